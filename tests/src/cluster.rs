//! What a test on a real Kubernetes may assume: a cluster that is up, the demo's internet in it, and
//! images of this checkout; and the means to make and read objects there.
//!
//! `make test` prepares all that and says so in the environment (`tests/run.sh`). Without
//! `WEIR_CLUSTER` a cluster test says that it is skipped and ends. Each test works in a namespace of
//! its own; the operator and the `CustomResourceDefinition` are shared.

use std::env;
use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

pub mod admission;
pub mod doh;
pub mod helm;
pub mod namespace;
pub mod process;
pub mod resolver;
pub mod spans;
pub mod wrong;

/// The cluster, and where the programs that act on it are.
#[derive(Clone)]
pub struct Cluster {
    /// A client with every right.
    pub client: Client,
    /// The kubeconfig file of that client, for programs.
    pub kubeconfig: PathBuf,
    /// The address of the demo internet's root server.
    pub root: String,
    /// The DS record of that root, from which its signed zones validate.
    pub anchor: String,
}

impl Cluster {
    /// The cluster that `make test` prepared, or `None` where there is none.
    ///
    /// # Errors
    /// When the environment names a cluster and it cannot be used.
    pub async fn from_environment() -> Result<Option<Self>> {
        let Ok(kubeconfig) = env::var("WEIR_CLUSTER") else {
            return Ok(None);
        };
        let kubeconfig = PathBuf::from(kubeconfig);
        let read = Kubeconfig::read_from(&kubeconfig).context("WEIR_CLUSTER")?;
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
        let (root, anchor) = (variable("WEIR_ROOT")?, variable("WEIR_ANCHOR")?);
        Ok(Some(Self {
            client: Client::try_from(config)?,
            kubeconfig,
            root,
            anchor,
        }))
    }
}

/// A variable that `tests/run.sh` sets.
///
/// # Errors
/// When it is not set.
pub fn variable(name: &str) -> Result<String> {
    env::var(name).with_context(|| format!("{name} is not set: run the tests by `make test`"))
}

/// Runs a test on the cluster, or says that it is skipped.
///
/// # Errors
/// Those of the test.
pub async fn on_cluster<F, T>(test: F) -> Result<()>
where
    F: FnOnce(Cluster) -> T,
    T: Future<Output = Result<()>>,
{
    // Other tests of the same process may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match Cluster::from_environment().await? {
        Some(cluster) => test(cluster).await,
        None => {
            announce("skipped: WEIR_CLUSTER is not set; `make test` prepares a cluster");
            Ok(())
        }
    }
}

/// Asks until there is a value, or the time is over; the error then holds what was seen last.
///
/// # Errors
/// When the time is over.
pub async fn eventually<F, T, V>(what: &str, limit: Duration, mut ask: F) -> Result<V>
where
    F: FnMut() -> T,
    T: Future<Output = Result<V>>,
{
    let start = Instant::now();
    loop {
        match ask().await {
            Ok(value) => return Ok(value),
            Err(seen) if start.elapsed() > limit => {
                bail!("{what}: not within {limit:?}: {seen:#}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Says something on standard error, where the test runner shows it.
#[allow(clippy::print_stderr, reason = "a test talks to whoever runs it")]
pub fn announce(line: &str) {
    eprintln!("{line}");
}
