//! `spec.mesh`: how many questions are resolved at once, and who yields.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule::duration_within;
use crate::unit::{CidrText, DurationText};

/// Bounds of the table of questions that are being resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeshSpec {
    /// Questions that one pod resolves at once. 16 to 1000000, default 4096. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16, max = 1_000_000))]
    pub max_states: Option<u32>,
    /// Streams that wait for an answer in one pod at once. 16 to 10000000, default 65536.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16, max = 10_000_000))]
    pub max_waiting_replies: Option<u32>,
    /// Age from which a question may be dropped for a new one when the table is full. 10ms to
    /// 60s, default `200ms`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration_within("10ms", "60s"))]
    pub jostle_timeout: Option<DurationText>,
    /// Streams of one client that may wait at once; more are answered REFUSED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_client_wait_limit: Option<PerClientWaitLimitSpec>,
    /// What happens to a question when the last stream that waits for it is reset. Default
    /// `FinishForCache`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OnStreamReset")]
    pub on_stream_reset: Option<OnStreamReset>,
}

/// Streams of one client that may wait at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PerClientWaitLimitSpec {
    /// For clients of no network below. 1 to 1000000, default 1000. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub default: Option<u32>,
    /// For clients of some networks; the longest prefix counts. Default none. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub overrides: Option<Vec<WaitLimitOverrideSpec>>,
}

/// The wait limit of the clients of one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitLimitOverrideSpec {
    /// The network. Change: **live**.
    pub cidr: CidrText,
    /// Streams of one client in it that may wait at once. 1 to 1000000. Change: **live**.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub limit: u32,
}

/// What happens to a question that nobody waits for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnStreamReset {
    /// It goes on in the background within bounds, so that its answer is cached.
    FinishForCache,
    /// It is ended at once, and its upstream queries with it.
    Cancel,
}
