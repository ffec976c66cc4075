//! A namespace of one test: made, used, and removed even when the test panics.
//!
//! Pods in it must meet the restricted Pod Security Standard. When the test panics, what is in the
//! namespace is written to standard error first.

use std::process::Command;
use std::thread;

use anyhow::Result;
use k8s_openapi::api::core::v1::{Namespace as Object, Secret};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use super::{Cluster, announce, variable};

/// A namespace that exists while this value does.
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// The cluster that it is in.
    pub cluster: Cluster,
}

impl Namespace {
    /// Makes a namespace whose name begins with `weir-test-` and the label.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn create(cluster: &Cluster, label: &str) -> Result<Self> {
        let object: Object = serde_json::from_value(json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "generateName": format!("weir-test-{label}-"),
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        }))?;
        let made = Api::<Object>::all(cluster.client.clone())
            .create(&PostParams::default(), &object)
            .await?;
        Ok(Self {
            name: made.metadata.name.unwrap_or_default(),
            cluster: cluster.clone(),
        })
    }

    /// Makes a Secret of type `kubernetes.io/tls`, or replaces what is in it.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn tls_secret(&self, name: &str, chain: &str, key: &str) -> Result<()> {
        let object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": chain, "tls.key": key},
        });
        Api::<Secret>::namespaced(self.cluster.client.clone(), &self.name)
            .patch(
                name,
                &PatchParams::apply("weir-tests").force(),
                &Patch::Apply(object),
            )
            .await?;
        Ok(())
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        let Ok(program) = variable("WEIR_KUBECTL") else {
            return String::new();
        };
        Command::new(program)
            .arg(format!(
                "--kubeconfig={}",
                self.cluster.kubeconfig.display()
            ))
            .args(["--namespace", &self.name])
            .args(arguments)
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default()
    }

    /// Writes what is in the namespace, and what its pods and the operator said.
    fn describe(&self) {
        for arguments in [
            &["get", "pods,services,resolvers", "-o", "wide"][..],
            &["get", "resolvers", "-o", "yaml"],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &[
                "logs",
                "--selector=app.kubernetes.io/component=dataplane",
                "--tail=40",
                "--prefix",
            ],
            &[
                "logs",
                "--namespace=weir-system",
                "deployment/weir-operator",
                "--tail=80",
            ],
        ] {
            announce(&format!(
                "$ kubectl {}\n{}",
                arguments.join(" "),
                self.kubectl(arguments)
            ));
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if thread::panicking() {
            self.describe();
        }
        self.kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}
