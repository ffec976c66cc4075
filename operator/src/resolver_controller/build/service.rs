//! The Service that clients use, and the headless one with the admin ports of the pods.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use weir_config::listener::ListenerProtocol;
use weir_crds::resolver::pods::{ExternalTrafficPolicy, ServiceType};

use crate::naming;
use crate::resolver_controller::build::meta::meta;
use crate::resolver_controller::validate::{ValidatedListener, ValidatedResolver};

/// The Service that clients use; it has the name of the resolver.
pub(crate) fn client_service(resolver: &ValidatedResolver) -> Service {
    let mut metadata = meta(resolver, resolver.name.clone());
    metadata
        .annotations
        .clone_from(&resolver.service.annotations);
    let kind = resolver.service.kind.unwrap_or_default();
    let policy = match resolver.service.external_traffic_policy.unwrap_or_default() {
        ExternalTrafficPolicy::Local => "Local",
        ExternalTrafficPolicy::Cluster => "Cluster",
    };
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(type_name(kind).to_owned()),
            selector: Some(naming::selector(&resolver.name)),
            ports: Some(resolver.listeners.iter().map(port).collect()),
            ip_family_policy: Some("PreferDualStack".to_owned()),
            external_traffic_policy: (kind != ServiceType::ClusterIP).then(|| policy.to_owned()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// The headless Service with the admin ports of all pods, ready or not.
pub(crate) fn admin_service(resolver: &ValidatedResolver) -> Service {
    let port = ServicePort {
        name: Some("admin".to_owned()),
        port: i32::from(naming::ADMIN_PORT),
        target_port: Some(IntOrString::String("admin".to_owned())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    };
    Service {
        metadata: meta(resolver, naming::admin(&resolver.name)),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            cluster_ip: Some("None".to_owned()),
            selector: Some(naming::selector(&resolver.name)),
            publish_not_ready_addresses: Some(true),
            ip_family_policy: Some("PreferDualStack".to_owned()),
            ports: Some(vec![port]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

const fn type_name(kind: ServiceType) -> &'static str {
    match kind {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    }
}

fn port(listener: &ValidatedListener) -> ServicePort {
    let protocol = match listener.protocol {
        ListenerProtocol::DoH => "https",
        ListenerProtocol::DoHPlaintext => "kubernetes.io/h2c",
    };
    ServicePort {
        name: Some(listener.name.clone()),
        app_protocol: Some(protocol.to_owned()),
        port: i32::from(listener.port),
        target_port: Some(IntOrString::String(listener.name.clone())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}
