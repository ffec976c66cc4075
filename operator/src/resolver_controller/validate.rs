//! `ValidatedResolver`: a `Resolver` whose every field can be used; the only input of build.
//!
//! Pure. Sections that API and `DataplaneConfig` share are carried over by name, so that a field
//! that one knows and the other does not is an error and never lost.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource as _, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_config::digest::sha256;
use weir_config::listener::{ListenerProtocol, ListenerTls};
use weir_config::unit::duration;
use weir_config::{Admin, DataplaneConfig, Problem};
use weir_crds::resolver::listener as api;
use weir_crds::resolver::pods::{PodTemplateSpec, ServiceSpec};
use weir_crds::resolver::rollout::ConfigStrategy;
use weir_crds::{Resolver, ResolverSpec};

use crate::naming;

/// Where the data plane of a document runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a pod, listening on this address (`::` or `0.0.0.0`), with mounted files.
    Pod(IpAddr),
    /// On a machine of its own, on loopback, with a certificate that it makes itself.
    Alone,
}

/// A `Resolver` whose every field can be used.
#[derive(Debug, Clone)]
pub struct ValidatedResolver {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// What its children carry, so that they go with it.
    pub owner: OwnerReference,
    /// Wanted pods.
    pub replicas: i32,
    /// What the pods carry.
    pub template: PodTemplateSpec,
    /// The Service that clients use.
    pub service: ServiceSpec,
    /// The listeners.
    pub listeners: Vec<ValidatedListener>,
    /// Where the certificate of the listener with TLS comes from; none when there is no such one.
    pub certificate: Option<CertificateSource>,
    /// Host names that the certificate must be valid for.
    pub hostnames: Vec<String>,
    /// The document.
    pub config: DataplaneConfig,
    /// How a change of the document reaches the pods.
    pub strategy: Strategy,
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatedListener {
    /// Its name, and that of its port.
    pub name: String,
    /// What it speaks.
    pub protocol: ListenerProtocol,
    /// The port of the Service.
    pub port: u16,
    /// The port of the pod.
    pub pod_port: u16,
    /// The paths that take queries.
    pub paths: Vec<String>,
}

/// Where a certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// The Secret of this name.
    Secret(String),
    /// The operator signs it.
    SelfSigned,
}

/// How a change of the document reaches the pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// All at once.
    AtOnce,
    /// So many first, then the others after the window.
    Canary {
        /// Pods that get it first.
        pods: usize,
        /// How long these are watched.
        window: Duration,
    },
}

/// Turns a `Resolver` into one that can be built.
///
/// # Errors
/// Everything that is to be changed, with paths from `spec` on.
pub fn validate(resolver: &Resolver, place: Place) -> Result<ValidatedResolver, Vec<Problem>> {
    let spec = &resolver.spec;
    let listeners = spec.listeners.clone().unwrap_or_else(|| {
        vec![api::ListenerSpec {
            name: "doh".to_owned(),
            ..api::ListenerSpec::default()
        }]
    });
    let config = render(spec, &listeners, place)?;
    let problems = config.validate();
    if !problems.is_empty() {
        return Err(problems.into_iter().map(of_spec).collect());
    }
    let with_tls = listeners
        .iter()
        .find(|listener| protocol(listener) == ListenerProtocol::DoH);
    let tls = with_tls
        .and_then(|listener| listener.tls.clone())
        .unwrap_or_default();
    let secret = tls
        .certificate
        .and_then(|certificate| certificate.secret_ref);
    let source = secret.map_or(CertificateSource::SelfSigned, |secret| {
        CertificateSource::Secret(secret.name)
    });
    Ok(ValidatedResolver {
        name: resolver.name_any(),
        namespace: resolver.namespace().unwrap_or_else(|| "default".to_owned()),
        owner: resolver.controller_owner_ref(&()).unwrap_or_default(),
        replicas: spec.replicas,
        template: spec.template.clone().unwrap_or_default(),
        service: spec.service.clone().unwrap_or_default(),
        listeners: config
            .listeners
            .iter()
            .zip(&listeners)
            .map(listener)
            .collect(),
        certificate: with_tls.map(|_| source),
        hostnames: tls
            .hostnames
            .unwrap_or_default()
            .into_iter()
            .map(|name| name.0)
            .collect(),
        strategy: strategy(spec)?,
        config,
    })
}

impl ValidatedResolver {
    /// The digest of what a pod reads only when it starts: where it listens, and where its traces
    /// go. Pods are replaced when it changes.
    #[must_use]
    pub fn startup(&self) -> String {
        startup(&self.config)
    }
}

/// The digest of what a pod reads only when it starts.
#[must_use]
pub fn startup(config: &DataplaneConfig) -> String {
    let listeners: Vec<_> = config
        .listeners
        .iter()
        .map(|listener| {
            (
                &listener.name,
                listener.protocol,
                listener.address,
                &listener.tls,
            )
        })
        .collect();
    let traces = config
        .telemetry
        .traces
        .as_ref()
        .map(|traces| (&traces.endpoint, traces.protocol));
    let parts = (
        listeners,
        &config.admin,
        &config.metrics,
        config.workers,
        traces,
    );
    sha256(serde_json::to_string(&parts).unwrap_or_default().as_bytes())
}

fn listener(
    (config, spec): (&weir_config::listener::Listener, &api::ListenerSpec),
) -> ValidatedListener {
    let usual = match config.protocol {
        ListenerProtocol::DoH => 443,
        ListenerProtocol::DoHPlaintext => 80,
    };
    ValidatedListener {
        name: config.name.clone(),
        protocol: config.protocol,
        port: spec.port.unwrap_or(usual),
        pod_port: config.address.port(),
        paths: config.paths.clone(),
    }
}

fn protocol(listener: &api::ListenerSpec) -> ListenerProtocol {
    match listener.protocol.unwrap_or_default() {
        api::ListenerProtocol::DoH => ListenerProtocol::DoH,
        api::ListenerProtocol::DoHPlaintext => ListenerProtocol::DoHPlaintext,
    }
}

fn strategy(spec: &ResolverSpec) -> Result<Strategy, Vec<Problem>> {
    let config = spec
        .rollout
        .clone()
        .unwrap_or_default()
        .config
        .unwrap_or_default();
    if config.strategy.unwrap_or_default() == ConfigStrategy::AtOnce {
        return Ok(Strategy::AtOnce);
    }
    let window = match config.window {
        None => Duration::from_secs(10),
        Some(text) => duration::parse(&text.0).map_err(|fault| {
            let field = "spec.rollout.config.window".to_owned();
            vec![Problem {
                field,
                message: fault.to_string(),
            }]
        })?,
    };
    let pods = config.canary_pods.unwrap_or(1).max(1);
    Ok(Strategy::Canary {
        pods: usize::try_from(pods).unwrap_or(1),
        window,
    })
}

fn render(
    spec: &ResolverSpec,
    listeners: &[api::ListenerSpec],
    place: Place,
) -> Result<DataplaneConfig, Vec<Problem>> {
    let mut faults = Vec::new();
    let drain = spec
        .rollout
        .as_ref()
        .and_then(|rollout| rollout.drain.clone());
    let mut config = DataplaneConfig {
        mesh: carry("mesh", &spec.mesh, &mut faults),
        resolution: carry("resolution", &spec.resolution, &mut faults),
        dnssec: carry("dnssec", &spec.dnssec, &mut faults),
        cache: carry("cache", &spec.cache, &mut faults),
        responses: carry("responses", &spec.responses, &mut faults),
        telemetry: carry("telemetry", &spec.telemetry, &mut faults),
        drain: carry("rollout.drain", &drain, &mut faults),
        ..DataplaneConfig::default()
    };
    if spec.access_control.is_some() {
        config.access_control = carry("accessControl", &spec.access_control, &mut faults);
    }
    config.listeners = listeners
        .iter()
        .enumerate()
        .map(|(index, listener)| render_listener(index, listener, place, &mut faults))
        .collect();
    if let Place::Pod(address) = place {
        let file = |name| format!("{}/{name}", naming::ADMIN_FOLDER);
        config.admin = Some(Admin {
            address: SocketAddr::new(address, naming::ADMIN_PORT),
            ca_file: file(naming::CA_FILE),
            certificate_file: file(naming::CERTIFICATE_FILE),
            key_file: file(naming::KEY_FILE),
        });
        config.metrics.address = SocketAddr::new(address, naming::METRICS_PORT);
    }
    if faults.is_empty() {
        Ok(config)
    } else {
        Err(faults)
    }
}

fn render_listener(
    index: usize,
    spec: &api::ListenerSpec,
    place: Place,
    faults: &mut Vec<Problem>,
) -> weir_config::listener::Listener {
    let path = |field: &str| format!("listeners[{index}].{field}");
    let mut listener = weir_config::listener::Listener {
        name: spec.name.clone(),
        protocol: protocol(spec),
        http2: carry(&path("http2"), &spec.http2, faults),
        client_address: carry(&path("clientAddress"), &spec.client_address, faults),
        ..weir_config::listener::Listener::default()
    };
    if let Some(endpoints) = &spec.endpoints {
        listener.paths = endpoints
            .iter()
            .map(|endpoint| endpoint.path.clone())
            .collect();
    }
    let port = match listener.protocol {
        ListenerProtocol::DoH => naming::DOH_PORT,
        ListenerProtocol::DoHPlaintext => naming::PLAINTEXT_PORT,
    };
    listener.address.set_port(port);
    if let Place::Pod(address) = place {
        listener.address.set_ip(address);
        let file = |name| format!("{}/{name}", naming::TLS_FOLDER);
        listener.tls = (listener.protocol == ListenerProtocol::DoH).then(|| ListenerTls {
            certificate_file: file(naming::CERTIFICATE_FILE),
            key_file: file(naming::KEY_FILE),
            client_ca_file: None,
        });
    }
    listener
}

/// Carries a section of the API over to the document by the names of its fields.
fn carry<From: Serialize, To: DeserializeOwned + Default>(
    path: &str,
    section: &Option<From>,
    faults: &mut Vec<Problem>,
) -> To {
    let Some(section) = section else {
        return To::default();
    };
    let value = match serde_json::to_value(section) {
        Ok(value) => value,
        Err(fault) => {
            faults.push(Problem {
                field: format!("spec.{path}"),
                message: fault.to_string(),
            });
            return To::default();
        }
    };
    serde_path_to_error::deserialize(value).unwrap_or_else(|fault| {
        let inner = fault.path().to_string();
        let dot = if inner.starts_with('[') { "" } else { "." };
        let inner = if inner == "." {
            String::new()
        } else {
            format!("{dot}{inner}")
        };
        let message = fault.inner().to_string();
        faults.push(Problem {
            field: format!("spec.{path}{inner}"),
            message,
        });
        To::default()
    })
}

/// Turns the path of a field of the document into that of the spec.
fn of_spec(problem: Problem) -> Problem {
    let field = if problem.field.starts_with("drain") {
        format!("spec.rollout.{}", problem.field)
    } else {
        format!("spec.{}", problem.field.replace(".paths", ".endpoints"))
    };
    Problem {
        field,
        message: problem.message,
    }
}
