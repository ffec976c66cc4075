//! Server-side apply of everything that a resolver owns, and removal of what it no longer does.
//!
//! Owns the calls to the API server and their order; never decides how an object looks.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::naming;
use crate::resolver_controller::build::{Applied, Files, Prepared, Resources};

/// The API server refused an object, or did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{kind} {name}: {source}")]
pub struct ApplyFault {
    kind: String,
    name: String,
    source: Box<kube::Error>,
}

/// Applies every object, the files that pods start from before the pods.
///
/// # Errors
/// The first object that the API server does not take; the next reconciliation begins again.
pub async fn apply(
    client: &Client,
    resources: Resources<Prepared>,
) -> Result<Resources<Applied>, ApplyFault> {
    let Resources {
        service_account,
        secrets,
        authority,
        files,
        services,
        network_policy,
        pod_disruption_budget,
        deployment,
        ..
    } = &resources;
    one(client, service_account).await?;
    for secret in secrets {
        one(client, secret).await?;
    }
    if let Some(authority) = authority {
        one(client, authority).await?;
    }
    apply_files(client, files).await?;
    for service in services {
        one(client, service).await?;
    }
    one(client, network_policy).await?;
    one(client, pod_disruption_budget).await?;
    if let Some(deployment) = deployment {
        one(client, deployment).await?;
    }
    Ok(resources.applied())
}

/// Applies the files that pods start from.
///
/// # Errors
/// The first object that the API server does not take.
pub async fn apply_files(client: &Client, files: &Files) -> Result<(), ApplyFault> {
    let Files { config, serving } = files;
    if let Some(serving) = serving {
        one(client, serving).await?;
    }
    if let Some(config) = config {
        one(client, config).await?;
    }
    Ok(())
}

/// Removes the resolver's own authority, which nothing uses any more.
///
/// # Errors
/// When the API server does not answer.
pub async fn remove_authority(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<(), kube::Error> {
    let name = naming::authority(name);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    gone(
        secrets
            .delete(&name, &DeleteParams::default())
            .await
            .map(drop),
    )?;
    gone(
        config_maps
            .delete(&name, &DeleteParams::default())
            .await
            .map(drop),
    )
}

fn gone(result: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other,
    }
}

async fn one<K>(client: &Client, object: &K) -> Result<(), ApplyFault>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let name = object.name_any();
    let how = PatchParams::apply(naming::FIELD_MANAGER).force();
    api.patch(&name, &how, &Patch::Apply(object))
        .await
        .map(drop)
        .map_err(|source| ApplyFault {
            kind: K::kind(&()).into_owned(),
            name,
            source: Box::new(source),
        })
}
