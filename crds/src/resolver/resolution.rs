//! `spec.resolution`: where answers come from, and how upstream servers are asked.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resolver::rate_limit::RateLimitsSpec;
use crate::resolver::zone::{ForwardZoneSpec, LocalZoneSpec, RootHintsSpec, StubZoneSpec};
use crate::rule::duration_within;
use crate::unit::{CidrText, DomainText, DurationText};

/// Where answers come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResolutionSpec {
    /// The servers of the root that priming starts from. Default `builtIn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_hints: Option<RootHintsSpec>,
    /// Zones whose names are asked of other resolvers. Default none. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub forward_zones: Option<Vec<ForwardZoneSpec>>,
    /// Zones whose authoritative servers are named here instead of found by delegation. Default
    /// none. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub stub_zones: Option<Vec<StubZoneSpec>>,
    /// Zones that are answered from here. Default none. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub local_zones: Option<Vec<LocalZoneSpec>>,
    /// How little of a name is shown to servers above its zone (RFC 9156). Default `Relaxed`.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "QnameMinimisation")]
    pub qname_minimisation: Option<QnameMinimisation>,
    /// Whether letters of upstream queries get random case as a defence against forged replies.
    /// Default true. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case_randomisation: Option<bool>,
    /// Whether servers are sent DNS cookies (RFC 7873) as a defence against forged replies.
    /// Default true. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_cookies: Option<bool>,
    /// Whether answers that fail validation are reported to the agent that their server names (RFC 9567). A report
    /// tells that agent what was asked. Default false. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_reporting: Option<bool>,
    /// Whether special-use names (RFC 6761, 6303, 8375), as `localhost` and private reverse zones,
    /// are answered from here. Default true. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special_use_names: Option<bool>,
    /// How often clients may ask, and how often zones are asked. Default not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limits: Option<RateLimitsSpec>,
    /// What one question may cost before it is answered SERVFAIL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetSpec>,
    /// Families of addresses that upstream servers are asked by. Default both. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub ip_families: Option<Vec<IpFamily>>,
    /// Networks whose addresses are dropped from answers of public zones (DNS rebinding).
    /// Default none. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub private_addresses: Option<Vec<CidrText>>,
    /// Zones that may give addresses of `privateAddresses`. Default none. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub private_domains: Option<Vec<DomainText>>,
    /// Synthesis of AAAA records from A records (RFC 6147). Default off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns64: Option<Dns64Spec>,
}

/// How little of a name is shown to servers above its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum QnameMinimisation {
    /// Every server is shown the whole name.
    Off,
    /// Labels are shown one by one; a server that answers this wrongly is shown the whole name.
    Relaxed,
    /// Labels are shown one by one, whatever the servers answer.
    Strict,
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IpFamily {
    /// IPv4.
    IPv4,
    /// IPv6.
    IPv6,
}

/// What one question may cost before it is answered SERVFAIL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetSpec {
    /// Upstream queries of a question and of all that it gives rise to. 8 to 10000, default 200.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8, max = 10_000))]
    pub upstream_queries: Option<u32>,
    /// Upstream queries of a question itself. 4 to 1000, default 32. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 4, max = 1_000))]
    pub queries_per_state: Option<u32>,
    /// Times that a question starts again with another name (CNAME, DNAME). 1 to 64, default 11.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub restarts: Option<u32>,
    /// Depth of questions that wait for questions. 1 to 16, default 4. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub depth: Option<u32>,
    /// Time from the first upstream query to the end. 1s to 60s, default `10s`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration_within("1s", "60s"))]
    pub total_time: Option<DurationText>,
}

/// Synthesis of AAAA records from A records (RFC 6147).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dns64Spec {
    /// The prefix of the made addresses, of 32, 40, 48, 56, 64 or 96 bits (RFC 6052). Default
    /// `64:ff9b::/96`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<CidrText>,
    /// Whether IPv4 servers are asked through the prefix, for a network without IPv4 (NAT64).
    /// Default false. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat64: Option<bool>,
}
