//! Installs the chart with the images of this checkout.
//!
//! Owns the name and the namespace of the release that the cluster tests share.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tokio::sync::OnceCell;

use super::process::run;
use super::variable;

/// The namespace of the shared operator.
pub const NAMESPACE: &str = "weir-system";

/// The name of the shared release.
pub const RELEASE: &str = "weir";

/// The two versions of Helm that the chart is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Helm {
    /// Helm 4.
    Four,
    /// Helm 3.
    Three,
}

impl Helm {
    /// What this version of Helm printed.
    ///
    /// # Errors
    /// When it fails.
    pub async fn run(self, arguments: &[&str]) -> Result<String> {
        let program = match self {
            Self::Four => variable("WEIR_HELM4")?,
            Self::Three => variable("WEIR_HELM3")?,
        };
        run(program, arguments).await
    }

    /// Installs the shared release once in this process, unless another test of it has.
    ///
    /// # Errors
    /// As [`Helm::install`].
    pub async fn install_once(self) -> Result<()> {
        static INSTALLED: OnceCell<()> = OnceCell::const_new();
        let installed = INSTALLED.get_or_try_init(|| async { self.install().await.map(|_| ()) });
        installed.await.copied()
    }

    /// Installs the shared release, or brings it to what this checkout says. Helm refuses two at once.
    ///
    /// # Errors
    /// When it fails or the operator does not become ready.
    pub async fn install(self) -> Result<String> {
        let kubeconfig = kubeconfig()?;
        let chart = chart();
        let values = image_values()?;
        let mut arguments = vec![
            "upgrade",
            "--install",
            RELEASE,
            &chart,
            "--namespace",
            NAMESPACE,
            "--create-namespace",
            "--wait",
            "--timeout",
            "120s",
            &kubeconfig,
        ];
        for value in &values {
            arguments.extend(["--set-string", value]);
        }
        self.run(&arguments).await
    }

    /// Uninstalls the shared release.
    ///
    /// # Errors
    /// When it fails.
    pub async fn uninstall(self) -> Result<String> {
        let kubeconfig = kubeconfig()?;
        self.run(&[
            "uninstall",
            RELEASE,
            "--namespace",
            NAMESPACE,
            "--wait",
            &kubeconfig,
        ])
        .await
    }
}

/// The folder of the chart.
#[must_use]
pub fn chart() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.join("charts/weir").display().to_string()
}

fn kubeconfig() -> Result<String> {
    Ok(format!(
        "--kubeconfig={}",
        PathBuf::from(variable("WEIR_CLUSTER")?).display()
    ))
}

/// The chart's values that name the images of this checkout.
fn image_values() -> Result<Vec<String>> {
    let mut values = Vec::new();
    for (part, image) in [
        ("operator", variable("WEIR_OPERATOR_IMAGE")?),
        ("dataplane", variable("WEIR_DATAPLANE_IMAGE")?),
    ] {
        let (registry, rest) = image
            .rsplit_once('/')
            .context("an image without a registry")?;
        let (repository, tag) = rest.split_once(':').context("an image without a tag")?;
        values.push(format!("image.registry={registry}"));
        values.push(format!("{part}.image.repository={repository}"));
        values.push(format!("{part}.image.tag={tag}"));
    }
    Ok(values)
}
