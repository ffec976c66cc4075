//! Reads what a `Resolver` names or owns: Secrets, ConfigMaps, pods, the Deployment.
//!
//! Owns reading; never judges what it read.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use weir_config::DataplaneConfig;
use weir_config::push::PushCertificate;

use crate::naming;
use crate::secret::text_of;

/// Everything that was read.
#[derive(Debug, Clone, Default)]
pub struct Dereferenced {
    /// The Secret that the spec names, if it is there.
    pub named_secret: Option<Secret>,
    /// The Secret with the resolver's own authority.
    pub authority: Option<Secret>,
    /// The Secret with the certificate of the admin ports.
    pub admin: Option<Secret>,
    /// The files that a pod starts from: what was accepted last.
    pub accepted: Accepted,
    /// The pods.
    pub pods: Vec<PodView>,
    /// How many pods of the newest template are ready, and how many are wanted; none without a
    /// Deployment.
    pub deployment: Option<DeploymentView>,
}

/// The files that a pod starts from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The document, if there is one that this version can read.
    pub config: Option<DataplaneConfig>,
    /// The certificate of the listeners.
    pub certificate: Option<PushCertificate>,
}

/// What matters of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Its identity, which no other pod ever has.
    pub uid: String,
    /// Its address, once it has one.
    pub address: Option<IpAddr>,
    /// Whether it answers queries.
    pub ready: bool,
    /// Whether it runs and has not been asked to end.
    pub running: bool,
    /// Whether it has been asked to end.
    pub ending: bool,
    /// How often its container was restarted.
    pub restarts: i32,
    /// The digest of what it read when it started.
    pub startup: String,
}

/// What matters of the Deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeploymentView {
    /// Whether its status is about its newest spec.
    pub observed: bool,
    /// Pods that it has.
    pub replicas: i32,
    /// Pods of its newest template.
    pub updated: i32,
    /// Pods that are ready.
    pub ready: i32,
}

/// Reads everything.
///
/// # Errors
/// When the API server does not answer.
pub async fn dereference(
    client: &Client,
    namespace: &str,
    name: &str,
    named_secret: Option<&str>,
) -> Result<Dereferenced, kube::Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let named_secret = match named_secret {
        Some(name) => secrets.get_opt(name).await?,
        None => None,
    };
    let config_map = config_maps.get_opt(&naming::config(name)).await?;
    let serving = secrets.get_opt(&naming::serving(name)).await?;
    let list = ListParams::default().labels(&naming::selector_text(name));
    let mut pods: Vec<_> = pods.list(&list).await?.items.iter().map(view).collect();
    pods.sort_by(|first, second| first.name.cmp(&second.name));
    Ok(Dereferenced {
        named_secret,
        authority: secrets.get_opt(&naming::authority(name)).await?,
        admin: secrets.get_opt(&naming::admin(name)).await?,
        accepted: Accepted {
            config: config_map.as_ref().and_then(accepted_config),
            certificate: serving.as_ref().and_then(accepted_certificate),
        },
        pods,
        deployment: deployments
            .get_opt(name)
            .await?
            .as_ref()
            .map(deployment_view),
    })
}

fn accepted_config(config_map: &ConfigMap) -> Option<DataplaneConfig> {
    DataplaneConfig::read(config_map.data.as_ref()?.get(naming::CONFIG_FILE)?).ok()
}

fn accepted_certificate(secret: &Secret) -> Option<PushCertificate> {
    Some(PushCertificate {
        chain_pem: text_of(secret, naming::CERTIFICATE_FILE)?,
        key_pem: text_of(secret, naming::KEY_FILE)?,
    })
}

fn view(pod: &Pod) -> PodView {
    let status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let ready = conditions
        .iter()
        .any(|it| it.type_ == "Ready" && it.status == "True");
    let containers = status.container_statuses.unwrap_or_default();
    let container = containers.iter().find(|it| it.name == naming::CONTAINER);
    let started = container.is_some_and(|it| {
        it.state
            .as_ref()
            .is_some_and(|state| state.running.is_some())
    });
    let ending = pod.metadata.deletion_timestamp.is_some();
    PodView {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        address: status.pod_ip.and_then(|address| address.parse().ok()),
        ready: ready && !ending,
        running: started && !ending,
        ending,
        restarts: container.map_or(0, |it| it.restart_count),
        startup: annotation(
            pod.metadata.annotations.as_ref(),
            naming::STARTUP_ANNOTATION,
        ),
    }
}

fn annotation(annotations: Option<&BTreeMap<String, String>>, name: &str) -> String {
    annotations
        .and_then(|all| all.get(name))
        .cloned()
        .unwrap_or_default()
}

fn deployment_view(deployment: &Deployment) -> DeploymentView {
    let status = deployment.status.clone().unwrap_or_default();
    DeploymentView {
        observed: status.observed_generation == deployment.metadata.generation,
        replicas: status.replicas.unwrap_or_default(),
        updated: status.updated_replicas.unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
    }
}
