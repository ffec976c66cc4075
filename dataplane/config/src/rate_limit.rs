//! How often clients may ask, and how often zones are asked.
//!
//! Owns the fields and their bounds.

use serde::{Deserialize, Serialize};

use crate::name;
use crate::problem::Problems;
use crate::unit::cidr::Cidr;

/// The greatest rate.
const RATE_MAX: u32 = 1_000_000;

/// How often somebody may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RateLimits {
    /// Queries of one client that the cache alone does not answer.
    pub per_client: ClientRateLimit,
    /// Upstream queries to the servers of one zone.
    pub per_zone: ZoneRateLimit,
}

/// Queries of one client in a second that the cache alone does not answer; more are answered 429.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ClientRateLimit {
    /// For clients of no network below. 0 to 1000000, default 0, which does not limit.
    pub queries_per_second: u32,
    /// For clients of some networks; the longest prefix counts.
    pub overrides: Vec<ClientRateOverride>,
}

/// The rate of the clients of one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClientRateOverride {
    /// The network.
    pub cidr: Cidr,
    /// Queries of one client in it. 0 to 1000000; 0 does not limit.
    pub queries_per_second: u32,
}

/// Upstream queries in a second to the servers of one zone; questions that need more are answered SERVFAIL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ZoneRateLimit {
    /// For zones that are not named below. 0 to 1000000, default 0, which does not limit.
    pub queries_per_second: u32,
    /// For some zones, not for those below them.
    pub overrides: Vec<ZoneRateOverride>,
}

/// The rate of one zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ZoneRateOverride {
    /// Its apex.
    pub zone: String,
    /// Queries to its servers. 0 to 1000000; 0 does not limit.
    pub queries_per_second: u32,
}

fn check_rate(problems: &mut Problems, rate: u32) {
    problems.within("queriesPerSecond", rate, 0, RATE_MAX);
}

impl RateLimits {
    pub(crate) fn check(&self, problems: &mut Problems) {
        problems.field("perClient", |problems| {
            check_rate(problems, self.per_client.queries_per_second);
            problems.items("overrides", &self.per_client.overrides, |problems, rule| {
                check_rate(problems, rule.queries_per_second);
            });
        });
        problems.field("perZone", |problems| {
            check_rate(problems, self.per_zone.queries_per_second);
            problems.items("overrides", &self.per_zone.overrides, |problems, rule| {
                check_rate(problems, rule.queries_per_second);
                if let Some(fault) = name::fault(&rule.zone) {
                    problems.add("zone", format!("'{}' {fault}", rule.zone));
                }
            });
        });
    }
}
