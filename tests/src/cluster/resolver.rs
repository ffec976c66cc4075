//! Makes a `Resolver`, changes it, and waits for what its status says.
//!
//! Owns the smallest spec that resolves in the test cluster; never looks into the operator.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use weir_crds::Resolver;

use super::doh::DohClient;
use super::namespace::Namespace;
use super::{Cluster, eventually};

/// How long a `Resolver` gets to become ready: its pods are pulled, started and primed.
pub const READY_LIMIT: Duration = Duration::from_secs(60);

/// How long a node may take to know of a Service's pods.
const SERVICE_LIMIT: Duration = Duration::from_secs(10);

/// One `Resolver` of a test.
pub struct Subject<'a> {
    /// The namespace that it is in.
    pub namespace: &'a Namespace,
    /// Its name.
    pub name: String,
    api: Api<Resolver>,
}

impl<'a> Subject<'a> {
    /// Applies a `Resolver` with this spec.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn apply(namespace: &'a Namespace, name: &str, spec: &Value) -> Result<Self> {
        let api = Api::namespaced(namespace.cluster.client.clone(), &namespace.name);
        let subject = Self {
            namespace,
            name: name.to_owned(),
            api,
        };
        subject.change(spec).await?;
        Ok(subject)
    }

    /// Applies another spec in place of the one before.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn change(&self, spec: &Value) -> Result<Resolver> {
        let object = json!({
            "apiVersion": "weir.dev/v1alpha1",
            "kind": "Resolver",
            "metadata": {"name": self.name},
            "spec": spec,
        });
        let parameters = PatchParams::apply("weir-tests").force();
        Ok(self
            .api
            .patch(&self.name, &parameters, &Patch::Apply(object))
            .await?)
    }

    /// The object as it is now.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn get(&self) -> Result<Resolver> {
        Ok(self.api.get(&self.name).await?)
    }

    /// Deletes it; its children go in the background.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn delete(&self) -> Result<()> {
        self.api
            .delete(&self.name, &DeleteParams::default())
            .await?;
        Ok(())
    }

    /// Waits until a condition about the spec's present generation has a status, and gives its
    /// reason and message.
    ///
    /// # Errors
    /// When the time is over.
    pub async fn wait_for(
        &self,
        kind: &str,
        status: &str,
        limit: Duration,
    ) -> Result<(String, String)> {
        self.wait_until_condition(kind, status, limit, |_| true)
            .await
    }

    /// As [`Subject::wait_for`], with a message that must be right too.
    ///
    /// # Errors
    /// When the time is over.
    pub async fn wait_until_condition(
        &self,
        kind: &str,
        status: &str,
        limit: Duration,
        right: impl Fn(&str) -> bool,
    ) -> Result<(String, String)> {
        eventually(&format!("condition {kind}={status}"), limit, || async {
            let resolver = self.get().await?;
            let generation = resolver.metadata.generation;
            let found = resolver.status.unwrap_or_default();
            let condition = found
                .conditions
                .iter()
                .find(|condition| condition.type_ == kind);
            match condition {
                Some(condition)
                    if condition.status == status
                        && condition.observed_generation == generation
                        && right(&condition.message) =>
                {
                    Ok((condition.reason.clone(), condition.message.clone()))
                }
                _ => bail!(
                    "generation {generation:?}, status {}",
                    serde_json::to_string(&found)?
                ),
            }
        })
        .await
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready within [`READY_LIMIT`].
    pub async fn wait_ready(&self) -> Result<()> {
        self.wait_for("Ready", "True", READY_LIMIT)
            .await
            .map(|_| ())
    }

    /// Waits until every pod acknowledges the revision of the present spec, and gives it.
    ///
    /// # Errors
    /// When the time is over.
    pub async fn wait_acknowledged(&self, before: &str, limit: Duration) -> Result<String> {
        eventually("every pod acknowledges the revision", limit, || async {
            let resolver = self.get().await?;
            let pods = usize::try_from(resolver.spec.replicas)?;
            let generation = resolver.metadata.generation;
            let status = resolver.status.unwrap_or_default();
            let revision = status.revision.clone().unwrap_or_default();
            let acknowledged = status
                .pods
                .iter()
                .filter(|pod| pod.revision.as_deref() == Some(&revision) && pod.message.is_empty())
                .count();
            if status.observed_generation == generation
                && revision != before
                && acknowledged == pods
            {
                return Ok(revision);
            }
            bail!(
                "{acknowledged} of {pods} pods at {revision}, before {before}: {}",
                serde_json::to_string(&status)?
            )
        })
        .await
    }

    /// The revision that its status names.
    ///
    /// # Errors
    /// When it is not there, or has no revision yet.
    pub async fn revision(&self) -> Result<String> {
        let status = self.get().await?.status.context("there is no status yet")?;
        status.revision.context("there is no revision yet")
    }

    /// Its pods.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let selector = format!("app.kubernetes.io/instance={}", self.name);
        let pods = self
            .namespaced::<Pod>()
            .list(&ListParams::default().labels(&selector))
            .await?;
        Ok(pods.items)
    }

    /// Names of its pods with how often their containers were started anew.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn restarts(&self) -> Result<Vec<(String, i32)>> {
        let mut all = Vec::new();
        for pod in self.pods().await? {
            let statuses = pod
                .status
                .and_then(|status| status.container_statuses)
                .unwrap_or_default();
            let restarts = statuses
                .iter()
                .map(|container| container.restart_count)
                .sum();
            all.push((pod.metadata.name.unwrap_or_default(), restarts));
        }
        all.sort();
        Ok(all)
    }

    /// The address of its Service.
    ///
    /// # Errors
    /// When there is none yet.
    pub async fn address(&self) -> Result<String> {
        let service = self.namespaced::<Service>().get(&self.name).await?;
        service
            .spec
            .and_then(|spec| spec.cluster_ip)
            .context("the Service has no address")
    }

    /// The host name that its certificate is for.
    #[must_use]
    pub fn host(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace.name)
    }

    /// The certificate of the operator's authority, in PEM, that clients are to trust.
    ///
    /// # Errors
    /// When it was not published yet.
    pub async fn authority(&self) -> Result<String> {
        let map = self
            .namespaced::<ConfigMap>()
            .get(&format!("{}-ca", self.name))
            .await?;
        let mut data = map.data.unwrap_or_default();
        data.remove("ca.crt").context("the ConfigMap has no ca.crt")
    }

    /// A client that is connected to the Service, trusting the operator's authority.
    ///
    /// # Errors
    /// When it cannot connect, or the certificate is not what it should be.
    pub async fn connect(&self) -> Result<DohClient> {
        self.connect_by(&self.authority().await?).await
    }

    /// A client that is connected to the Service, trusting this authority (PEM). A node needs a moment
    /// to send the Service's address to pods that became ready just now.
    ///
    /// # Errors
    /// As [`Subject::connect`].
    pub async fn connect_by(&self, authority: &str) -> Result<DohClient> {
        let address = format!("{}:443", self.address().await?).parse()?;
        let host = self.host();
        eventually("a connection to the Service", SERVICE_LIMIT, || {
            DohClient::connect(address, &host, authority)
        })
        .await
    }

    /// The addresses of its pods that are ready and not about to end.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn ready_addresses(&self) -> Result<Vec<String>> {
        let pods = self.pods().await?;
        let ready = pods
            .into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none());
        let ready = ready.filter_map(|pod| pod.status).filter(|status| {
            let conditions = status.conditions.iter().flatten();
            conditions
                .clone()
                .any(|c| c.type_ == "Ready" && c.status == "True")
        });
        Ok(ready.filter_map(|status| status.pod_ip).collect())
    }

    /// A client for each ready pod, past the Service, trusting the operator's authority.
    ///
    /// # Errors
    /// As [`Subject::connect`].
    pub async fn connect_every_pod(&self) -> Result<Vec<DohClient>> {
        self.connect_every_pod_by(&self.authority().await?).await
    }

    /// A client for each ready pod, trusting this authority (PEM).
    ///
    /// # Errors
    /// As [`Subject::connect`].
    pub async fn connect_every_pod_by(&self, authority: &str) -> Result<Vec<DohClient>> {
        let mut clients = Vec::new();
        for address in self.ready_addresses().await? {
            let address = format!("{address}:8443").parse()?;
            clients.push(DohClient::connect(address, &self.host(), authority).await?);
        }
        Ok(clients)
    }

    fn namespaced<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.namespace.cluster.client.clone(), &self.namespace.name)
    }
}

/// A spec that recurses over the demo's internet and validates, with this many pods; other fields are
/// put over it.
#[must_use]
pub fn spec(cluster: &Cluster, replicas: u32, over: Value) -> Value {
    let (root, anchor) = (&cluster.root, &cluster.anchor);
    let mut spec = json!({
        "replicas": replicas,
        "resolution": {"rootHints": {"servers": [{"name": "a.root", "addresses": [root]}]}},
        "dnssec": {"trustAnchors": {"records": [anchor]}},
        "cache": {"size": "16Mi"},
        "rollout": {"config": {"strategy": "AtOnce"}, "drain": {"notice": "1s", "timeout": "5s"}},
    });
    merge(&mut spec, over);
    spec
}

fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}
