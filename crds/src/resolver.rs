//! `Resolver`: a set of pods that answer DNS over HTTPS.
//!
//! Owns the API that a user writes and the rules that the API server checks. Names of fields are
//! those of `DataplaneConfig` wherever both have them.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use access::{AccessRuleSpec, ResponsesSpec};
use cache::CacheSpec;
use dnssec::DnssecSpec;
use listener::ListenerSpec;
use mesh::MeshSpec;
use pods::{PodTemplateSpec, ServiceSpec};
use resolution::ResolutionSpec;
use rollout::RolloutSpec;
use status::ResolverStatus;
use telemetry::TelemetrySpec;

pub mod access;
pub mod cache;
pub mod dnssec;
pub mod listener;
pub mod mesh;
pub mod pods;
pub mod rate_limit;
pub mod resolution;
pub mod rollout;
pub mod status;
pub mod telemetry;
pub mod zone;

/// What a user wants of a resolver. `spec: {}` is complete: three pods that answer DNS over HTTPS
/// on port 443 with a certificate of the operator's own, and resolve from the root with
/// validation.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "weir.dev",
    version = "v1alpha1",
    kind = "Resolver",
    plural = "resolvers",
    namespaced,
    shortname = "wr",
    category = "weir",
    status = "ResolverStatus",
    derive = "PartialEq",
    doc = "A set of pods that answer DNS over HTTPS.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Pods", type_ = "string", json_path = ".status.readyPods"),
    printcolumn(
        name = "Revision",
        type_ = "string",
        json_path = ".status.shortRevision"
    ),
    printcolumn(
        name = "Endpoint",
        type_ = "string",
        json_path = ".status.endpoints[0]"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = "1"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = "1"
    )
)]
#[kube(validation = Rule::new("self.metadata.name.matches('^[a-z]([a-z0-9-]*[a-z0-9])?$') && size(self.metadata.name) <= 50")
    .message("the name becomes that of a Service: use at most 50 letters of a to z, digits and '-', and begin with a letter"))]
#[serde(rename_all = "camelCase")]
pub struct ResolverSpec {
    /// Pods. 0 to 1000, default 3. Change: **live**.
    #[serde(default = "three")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// What the pods carry beside what the operator gives them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<PodTemplateSpec>,
    /// Where clients connect. Default one listener named `doh` with protocol `DoH` on port 443.
    /// Change: **rollout** when one is added or removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.filter(l, !has(l.protocol) || l.protocol == 'DoH').size() <= 1 && \
            self.filter(l, has(l.protocol) && l.protocol == 'DoHPlaintext').size() <= 1")
            .message("give at most one listener of each protocol")
    )]
    pub listeners: Option<Vec<ListenerSpec>>,
    /// The Service that clients use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSpec>,
    /// The table of questions that are being resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<MeshSpec>,
    /// Where answers come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<ResolutionSpec>,
    /// Whether answers are validated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dnssec: Option<DnssecSpec>,
    /// The caches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheSpec>,
    /// Who may ask. The longest prefix that holds the client counts; a client that no rule holds
    /// is refused. Default everyone. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub access_control: Option<Vec<AccessRuleSpec>>,
    /// What answers carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responses: Option<ResponsesSpec>,
    /// What is told of the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<TelemetrySpec>,
    /// How a change reaches the pods, and how a pod ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutSpec>,
}

fn three() -> i32 {
    3
}
