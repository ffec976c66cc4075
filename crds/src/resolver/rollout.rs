//! `spec.rollout`: how a change reaches the pods, and how a pod ends.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule::duration_within;
use crate::unit::DurationText;

/// How a change reaches the pods, and how a pod ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// How a change of configuration or certificate reaches the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigRolloutSpec>,
    /// How a pod ends without cutting a client off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainSpec>,
}

/// How a change reaches the pods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigRolloutSpec {
    /// Whether all pods get a change at once, or some before the others. Default `Canary`.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ConfigStrategy")]
    pub strategy: Option<ConfigStrategy>,
    /// Pods that get a change first. 1 to 100, default 1. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub canary_pods: Option<u32>,
    /// Time for which the first pods are watched before the others get the change. 1s to 1h,
    /// default `10s`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration_within("1s", "1h"))]
    pub window: Option<DurationText>,
}

/// Whether all pods get a change at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConfigStrategy {
    /// All pods at once.
    AtOnce,
    /// Some pods first, and the others once these have been seen to serve with it.
    #[default]
    Canary,
}

/// How a pod ends without cutting a client off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainSpec {
    /// How long a pod still takes connections once it is asked to end, so that load balancers
    /// look away. 0s to 5m, default `5s`. Change: **rollout**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration_within("0s", "5m"))]
    pub notice: Option<DurationText>,
    /// How long open streams may take after that. 1s to 30m, default `30s`. Change: **rollout**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration_within("1s", "30m"))]
    pub timeout: Option<DurationText>,
}
