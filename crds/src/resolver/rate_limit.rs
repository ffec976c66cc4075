//! `spec.resolution.rateLimits`: how often clients may ask, and how often zones are asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::unit::{CidrText, DomainText};

/// How often somebody may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitsSpec {
    /// Queries of one client that the cache alone does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_client: Option<ClientRateLimitSpec>,
    /// Upstream queries to the servers of one zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_zone: Option<ZoneRateLimitSpec>,
}

/// Queries of one client in a second that the cache alone does not answer; more are answered 429.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientRateLimitSpec {
    /// For clients of no network below. 0 to 1000000, default 0, which does not limit. Each worker
    /// of a pod counts the clients of its own connections. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub queries_per_second: Option<u32>,
    /// For clients of some networks; the longest prefix counts. Default none. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub overrides: Option<Vec<ClientRateOverrideSpec>>,
}

/// The rate of the clients of one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientRateOverrideSpec {
    /// The network. Change: **live**.
    pub cidr: CidrText,
    /// Queries of one client in it. 0 to 1000000; 0 does not limit. Change: **live**.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub queries_per_second: u32,
}

/// Upstream queries in a second to the servers of one zone; questions that need more are answered SERVFAIL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ZoneRateLimitSpec {
    /// For zones that are not named below. 0 to 1000000, default 0, which does not limit. Each pod
    /// counts its own. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub queries_per_second: Option<u32>,
    /// For some zones, not for those below them. Default none. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub overrides: Option<Vec<ZoneRateOverrideSpec>>,
}

/// The rate of one zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ZoneRateOverrideSpec {
    /// Its apex. Change: **live**.
    pub zone: DomainText,
    /// Queries to its servers. 0 to 1000000; 0 does not limit. Change: **live**.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub queries_per_second: u32,
}
