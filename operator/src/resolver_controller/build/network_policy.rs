//! Who may reach the pods, and whom the pods may reach.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use weir_config::DataplaneConfig;

use crate::naming;
use crate::resolver_controller::build::meta::meta;
use crate::resolver_controller::validate::ValidatedResolver;

/// The label of the operator's pods, which the chart sets and never changes.
const OPERATOR: (&str, &str) = ("app.kubernetes.io/name", "weir-operator");

/// Clients and scrapers from anywhere, pushes from the operator's pods alone; out to name servers and to
/// the collector of traces.
pub(crate) fn network_policy(
    resolver: &ValidatedResolver,
    operator_namespace: &str,
) -> NetworkPolicy {
    let mut open: Vec<_> = resolver
        .listeners
        .iter()
        .map(|listener| port("TCP", listener.pod_port))
        .collect();
    open.push(port("TCP", naming::METRICS_PORT));
    let from_anyone = NetworkPolicyIngressRule {
        from: None,
        ports: Some(open),
    };
    let from_operator = NetworkPolicyIngressRule {
        from: Some(vec![operator(operator_namespace)]),
        ports: Some(vec![port("TCP", naming::ADMIN_PORT)]),
    };
    let out = NetworkPolicyEgressRule {
        to: None,
        ports: Some(out_ports(&resolver.config)),
    };
    NetworkPolicy {
        metadata: meta(resolver, resolver.name.clone()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(labels(naming::selector(&resolver.name))),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![from_anyone, from_operator]),
            egress: Some(vec![out]),
        }),
    }
}

/// Name servers by UDP and TCP, the ports that zones of the spec name, and the collector's.
fn out_ports(config: &DataplaneConfig) -> Vec<NetworkPolicyPort> {
    let mut ports: BTreeSet<(&str, u16)> = [("TCP", 53), ("UDP", 53)].into();
    for upstream in config
        .resolution
        .forward_zones
        .iter()
        .flat_map(|zone| &zone.upstreams)
    {
        ports.extend(["TCP", "UDP"].map(|protocol| (protocol, upstream.port_or_default())));
    }
    for upstream in config
        .resolution
        .stub_zones
        .iter()
        .flat_map(|zone| &zone.upstreams)
    {
        ports.extend(["TCP", "UDP"].map(|protocol| (protocol, upstream.port)));
    }
    let traces = config.telemetry.traces.as_ref();
    if let Some(collector) = traces.and_then(|traces| collector_port(&traces.endpoint)) {
        ports.insert(("TCP", collector));
    }
    ports
        .into_iter()
        .map(|(protocol, number)| port(protocol, number))
        .collect()
}

fn collector_port(endpoint: &str) -> Option<u16> {
    let uri: http::Uri = endpoint.parse().ok()?;
    uri.port_u16().or(match uri.scheme_str()? {
        "https" => Some(443),
        _ => Some(80),
    })
}

fn operator(namespace: &str) -> NetworkPolicyPeer {
    let name = (
        "kubernetes.io/metadata.name".to_owned(),
        namespace.to_owned(),
    );
    let pods = (OPERATOR.0.to_owned(), OPERATOR.1.to_owned());
    NetworkPolicyPeer {
        namespace_selector: Some(labels([name].into())),
        pod_selector: Some(labels([pods].into())),
        ..NetworkPolicyPeer::default()
    }
}

fn labels(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels),
        ..LabelSelector::default()
    }
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(i32::from(number))),
        end_port: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_the_operators_pods_may_push() {
        let peer = operator("weir-system");
        let labels = |selector: Option<LabelSelector>| selector.unwrap().match_labels.unwrap();
        let namespace = labels(peer.namespace_selector);
        assert_eq!(namespace["kubernetes.io/metadata.name"], "weir-system");
        let pods = labels(peer.pod_selector);
        assert_eq!(pods["app.kubernetes.io/name"], "weir-operator");
    }
}
