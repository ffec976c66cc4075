//! Runs the programs that a cluster test needs: kubectl, helm, kdig, curl.
//!
//! Owns nothing; a program that fails is an error with all that it printed.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use super::variable;

/// What a program printed on standard output.
///
/// # Errors
/// When it cannot be started, or says that it failed.
pub async fn run(program: impl AsRef<Path>, arguments: &[&str]) -> Result<String> {
    let program = program.as_ref();
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("starting {}", program.display()))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let failure = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{} {}: {}\n{printed}{failure}",
            program.display(),
            arguments.join(" "),
            output.status
        );
    }
    Ok(printed)
}

/// What kubectl printed, run with the cluster's kubeconfig.
///
/// # Errors
/// As [`run`].
pub async fn kubectl(arguments: &[&str]) -> Result<String> {
    let kubeconfig = format!("--kubeconfig={}", variable("WEIR_CLUSTER")?);
    let mut all = vec![kubeconfig.as_str()];
    all.extend_from_slice(arguments);
    run(variable("WEIR_KUBECTL")?, &all).await
}

/// What the cluster's own tool printed.
///
/// # Errors
/// As [`run`].
pub async fn tool(arguments: &[&str]) -> Result<String> {
    run(variable("WEIR_CLUSTER_TOOL")?, arguments).await
}
