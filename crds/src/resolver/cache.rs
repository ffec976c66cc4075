//! `spec.cache`: the size of the caches, and how long answers live.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule::{duration_within, size_within};
use crate::unit::{DurationText, SizeText};

/// The caches of answers of one pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheSpec {
    /// Bytes of all caches of a pod together. 1Mi to 1Ti, default `256Mi`. Change: **live**, and
    /// a **rollout** where it sets the memory that the pods ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = size_within("1Mi", "1Ti"))]
    pub size: Option<SizeText>,
    /// Bounds of the TTL of what is cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<CacheTtlSpec>,
    /// Answers that outlived their TTL (RFC 8767).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serve_stale: Option<ServeStaleSpec>,
    /// Renewal of answers that are asked for shortly before their TTL ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<PrefetchSpec>,
}

/// Bounds of the TTL of what is cached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.min) || !has(self.max) || \
        !self.min.matches('^([0-9]+(ms|s|m|h))+$') || \
        !self.max.matches('^([0-9]+(ms|s|m|h))+$') || duration(self.min) <= duration(self.max)")
    .message("min must not be more than max"))]
pub struct CacheTtlSpec {
    /// The least, even where a zone says less. 0s to 1h, default `0s`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration_within("0s", "1h"))]
    pub min: Option<DurationText>,
    /// The most, even where a zone says more. 1s to 168h, default `24h`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration_within("1s", "168h"))]
    pub max: Option<DurationText>,
    /// The most for answers that say that there is nothing (RFC 2308). 1s to 24h, default `1h`.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration_within("1s", "24h"))]
    pub max_negative: Option<DurationText>,
}

/// Answers that outlived their TTL (RFC 8767).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServeStaleSpec {
    /// Whether they are given at all. Default true. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How long after its TTL an answer may be given. 1s to 168h, default `24h`.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration_within("1s", "168h"))]
    pub max_age: Option<DurationText>,
    /// The TTL that they are given with. 1s to 1h, default `30s`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration_within("1s", "1h"))]
    pub answer_ttl: Option<DurationText>,
    /// How long a client waits for a fresh answer before it gets a stale one; 0s means not at
    /// all. 0s to 10s, default `1800ms`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration_within("0s", "10s"))]
    pub client_timeout: Option<DurationText>,
}

/// Renewal of answers that are asked for shortly before their TTL ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrefetchSpec {
    /// Whether it is done. Default true. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Share of the TTL that is left when it begins, in percent. 1 to 50, default 10.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub remaining_percent: Option<u32>,
}
