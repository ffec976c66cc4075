//! What the operator would make of a manifest, without a cluster.
//!
//! Owns the text form. Certificates and keys of the operator's making are shown as placeholders,
//! because they are made anew for each cluster.

use kube::ResourceExt as _;
use serde::Serialize;
use weir_config::Problem;
use weir_crds::Resolver;

use crate::authority::KeyPairPem;
use crate::certificate::CertificateFault;
use crate::context::Settings;
use crate::resolver_controller::build::{Resources, Write, build};
use crate::resolver_controller::certify::{Certified, OwnAuthority};
use crate::resolver_controller::validate::{CertificateSource, Place, ValidatedResolver, validate};

/// What stands where a certificate or key will be.
const PLACEHOLDER: &str = "(made by the operator)";

/// Why a manifest cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderFault {
    /// It is not a `Resolver`.
    #[error("this is not one YAML document: {0}")]
    Form(#[from] serde_saphyr::Error),
    /// It is one of another kind.
    #[error("this is {0}, not a Resolver: give one Resolver manifest")]
    Kind(String),
    /// Its spec cannot be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Spec(Vec<Problem>),
    /// An object cannot be written.
    #[error("an object cannot be written as YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
    /// A field has not the form of the API; its path and why.
    #[error("{path}: {why}")]
    Field {
        /// Where it stands, such as `spec.replicas`.
        path: String,
        /// What was expected.
        why: serde_json::Error,
    },
    /// Fields that the API does not have, which an API server would refuse.
    #[error("{}", .0.iter().map(|path| format!("{path}: a Resolver has no such field")).collect::<Vec<_>>().join("\n"))]
    Unknown(Vec<String>),
    /// A document cannot be written as JSON.
    #[error("the document cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

fn read(manifest: &str) -> Result<Resolver, RenderFault> {
    let value: serde_json::Value = serde_saphyr::from_str(manifest)?;
    match value.get("kind").and_then(serde_json::Value::as_str) {
        Some("Resolver") => read_fields(value),
        kind => Err(RenderFault::Kind(
            kind.unwrap_or("an object without kind").to_owned(),
        )),
    }
}

/// The fields of a Resolver, all of which must be known: one that is misspelt must not be lost.
fn read_fields(value: serde_json::Value) -> Result<Resolver, RenderFault> {
    let mut unknown = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(value, &mut track);
    // A field that may be absent shows in the path as a question mark of its own.
    let resolver = serde_ignored::deserialize(deserializer, |path| {
        let path = path.to_string().replace(".?", "");
        // What says which kind this is, is not a field of the kind.
        if path != "apiVersion" && path != "kind" {
            unknown.push(path);
        }
    });
    match resolver {
        Err(why) => Err(RenderFault::Field {
            path: track.path().to_string(),
            why,
        }),
        Ok(_) if !unknown.is_empty() => Err(RenderFault::Unknown(unknown)),
        Ok(resolver) => Ok(resolver),
    }
}

/// The document of a manifest for a data plane that runs alone: on loopback, with a certificate
/// that it makes itself.
///
/// # Errors
/// What is wrong with the manifest.
pub fn config(manifest: &str) -> Result<String, RenderFault> {
    let resolver = validate(&read(manifest)?, Place::Alone).map_err(RenderFault::Spec)?;
    Ok(serde_json::to_string_pretty(&resolver.config)?)
}

/// Every object of a manifest as YAML, the document within its ConfigMap.
///
/// # Errors
/// What is wrong with the manifest.
pub fn objects(manifest: &str, settings: &Settings) -> Result<String, RenderFault> {
    let resolver = read(manifest)?;
    let place = Place::Pod(settings.listen_address);
    let mut validated = validate(&resolver, place).map_err(RenderFault::Spec)?;
    validated.owner.name = resolver.name_any();
    let certificate = weir_config::push::PushCertificate {
        chain_pem: PLACEHOLDER.to_owned(),
        key_pem: PLACEHOLDER.to_owned(),
    };
    let write = Write {
        config: true,
        certificate: validated.certificate.as_ref().map(|_| &certificate),
    };
    let certified = placeholders(&validated);
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
    } = build(&validated, &certified, PLACEHOLDER, settings, write, true);
    let mut page = String::new();
    add(&mut page, &service_account)?;
    for secret in secrets.iter().chain(&files.serving) {
        add(&mut page, secret)?;
    }
    for config_map in authority.iter().chain(&files.config) {
        add(&mut page, config_map)?;
    }
    for service in &services {
        add(&mut page, service)?;
    }
    add(&mut page, &network_policy)?;
    add(&mut page, &pod_disruption_budget)?;
    if let Some(deployment) = &deployment {
        add(&mut page, deployment)?;
    }
    Ok(page)
}

fn placeholders(resolver: &ValidatedResolver) -> Certified {
    let pair = || KeyPairPem {
        certificate: PLACEHOLDER.to_owned(),
        key: PLACEHOLDER.to_owned(),
    };
    let own = resolver.certificate == Some(CertificateSource::SelfSigned);
    Certified {
        serving: resolver
            .certificate
            .as_ref()
            .map(|_| Err(CertificateFault::NotIssued)),
        own: own.then(|| OwnAuthority {
            authority: pair(),
            issued: pair(),
        }),
        admin: pair(),
    }
}

/// Adds one object. Through JSON, so that absent fields stay absent and names are those of the API.
fn add(page: &mut String, object: &impl Serialize) -> Result<(), RenderFault> {
    let mut value = serde_json::to_value(object)?;
    // Without a cluster there is no identity that an owner could be known by.
    if let Some(metadata) = value.get_mut("metadata").and_then(|it| it.as_object_mut()) {
        metadata.remove("ownerReferences");
    }
    page.push_str("---\n");
    page.push_str(&serde_saphyr::to_string(&value)?);
    Ok(())
}
