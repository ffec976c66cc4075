//! `spec.template` and `spec.service`: where pods run and how they are reached.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, LocalObjectReference, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// What the pods carry beside what the operator gives them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplateSpec {
    /// Labels of the pods; those of the operator win. Default none. Change: **rollout**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations of the pods; those of the operator win. Default none. Change: **rollout**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Processor and memory of the container. Default a request of `100m` and the memory of
    /// `cache.size` and 128Mi, with no limit of processor. Change: **rollout**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "plain::<ResourceRequirements>")]
    pub resources: Option<ResourceRequirements>,
    /// Labels that a node must have. Default none. Change: **rollout**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints of nodes that the pods accept. Default none. Change: **rollout**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), schema_with = "plain::<Vec<Toleration>>")]
    pub tolerations: Option<Vec<Toleration>>,
    /// Nodes and pods that the pods seek or shun. Default none. Change: **rollout**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "plain::<Affinity>")]
    pub affinity: Option<Affinity>,
    /// How the pods spread. Default evenly over zones and nodes where that is possible.
    /// Change: **rollout**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 16),
        schema_with = "plain::<Vec<TopologySpreadConstraint>>"
    )]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// The priority class of the pods. Default none. Change: **rollout**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Secrets to pull the image with. Default none. Change: **rollout**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), schema_with = "plain::<Vec<LocalObjectReference>>")]
    pub image_pull_secrets: Option<Vec<LocalObjectReference>>,
}

/// The Service that clients use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// Who can reach it. Default `ClusterIP`. Change: **live**.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ServiceType")]
    pub kind: Option<ServiceType>,
    /// Annotations of the Service, for load balancers. Default none. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Whether traffic from outside stays on the node that it came to, which keeps the address of
    /// the client. Only for `NodePort` and `LoadBalancer`. Default `Local`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ExternalTrafficPolicy")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,
}

/// Who can reach a Service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Only from inside the cluster.
    #[default]
    ClusterIP,
    /// Also by a port of every node.
    NodePort,
    /// Also by a load balancer of the platform.
    LoadBalancer,
}

/// Where traffic from outside may go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExternalTrafficPolicy {
    /// To pods of the node that it came to.
    #[default]
    Local,
    /// To every pod, from an address of the node.
    Cluster,
}

/// The schema of a type of Kubernetes without its prose, which is long and known.
fn plain<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = generator.subschema_for::<T>();
    if let Some(object) = schema.as_object_mut() {
        for value in object.values_mut() {
            strip(value);
        }
        object.remove("description");
    }
    schema
}

fn strip(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(object) => {
            if object
                .get("description")
                .is_some_and(serde_json::Value::is_string)
            {
                object.remove("description");
            }
            object.values_mut().for_each(strip);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
