//! Resolution: where answers come from, and how upstream servers are asked.
//!
//! Owns the fields and their bounds; records of local zones are read by the data plane.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name;
use crate::problem::Problems;
use crate::rate_limit::RateLimits;
use crate::unit::cidr::Cidr;
use crate::unit::duration;
use crate::zone::{ForwardZone, LocalZone, RootHints, StubZone};

/// Where answers come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Resolution {
    /// The servers of the root that priming starts from (RFC 9609).
    pub root_hints: RootHints,
    /// Zones whose names are asked of other resolvers.
    pub forward_zones: Vec<ForwardZone>,
    /// Zones whose authoritative servers are named here instead of found by delegation.
    pub stub_zones: Vec<StubZone>,
    /// Zones that are answered from here.
    pub local_zones: Vec<LocalZone>,
    /// How little of a name is shown to servers above its zone (RFC 9156). Default `Relaxed`.
    pub qname_minimisation: QnameMinimisation,
    /// Whether letters of upstream queries get random case as a defence against forged replies.
    /// Default true.
    pub case_randomisation: bool,
    /// Whether servers are sent DNS cookies (RFC 7873) as a defence against forged replies.
    /// Default true.
    pub upstream_cookies: bool,
    /// Whether answers that fail validation are reported to the agent that their server names (RFC 9567). A report
    /// tells that agent what was asked. Default false.
    pub error_reporting: bool,
    /// Whether special-use names (RFC 6761, 6303, 8375), as `localhost` and private reverse zones,
    /// are answered from here. Default true.
    pub special_use_names: bool,
    /// How often clients may ask, and how often zones are asked. Default not limited.
    pub rate_limits: RateLimits,
    /// What one question may cost.
    pub budget: Budget,
    /// Families of addresses that upstream servers are asked by. Default both.
    pub ip_families: Vec<IpFamily>,
    /// Networks whose addresses are dropped from answers of public zones (DNS rebinding).
    /// Default none.
    pub private_addresses: Vec<Cidr>,
    /// Zones that may give addresses of `privateAddresses`.
    pub private_domains: Vec<String>,
    /// Synthesis of AAAA records from A records (RFC 6147). Default off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns64: Option<Dns64>,
}

impl Default for Resolution {
    fn default() -> Self {
        Self {
            root_hints: RootHints::default(),
            forward_zones: Vec::new(),
            stub_zones: Vec::new(),
            local_zones: Vec::new(),
            qname_minimisation: QnameMinimisation::default(),
            case_randomisation: true,
            upstream_cookies: true,
            error_reporting: false,
            special_use_names: true,
            rate_limits: RateLimits::default(),
            budget: Budget::default(),
            ip_families: vec![IpFamily::IPv4, IpFamily::IPv6],
            private_addresses: Vec::new(),
            private_domains: Vec::new(),
            dns64: None,
        }
    }
}

/// How little of a name is shown to servers above its zone (RFC 9156).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum QnameMinimisation {
    /// Every server is shown the whole name.
    Off,
    /// Labels are shown one by one; a server that answers this wrongly is shown the whole name.
    #[default]
    Relaxed,
    /// Labels are shown one by one, whatever the servers answer.
    Strict,
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum IpFamily {
    /// IPv4.
    IPv4,
    /// IPv6.
    IPv6,
}

/// What one question may cost before it is answered SERVFAIL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Budget {
    /// Upstream queries of a question and all questions that it gives rise to. 8 to 10000,
    /// default 200.
    pub upstream_queries: u32,
    /// Upstream queries of a question itself. 4 to 1000, default 32.
    pub queries_per_state: u32,
    /// Times that a question starts again with another name (CNAME, DNAME). 1 to 64, default 11.
    pub restarts: u32,
    /// Depth of questions that wait for questions. 1 to 16, default 4.
    pub depth: u32,
    /// Time from the first upstream query to the end. 1s to 60s, default 10s.
    #[serde(with = "duration")]
    pub total_time: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            upstream_queries: 200,
            queries_per_state: 32,
            restarts: 11,
            depth: 4,
            total_time: Duration::from_secs(10),
        }
    }
}

/// Synthesis of AAAA records from A records (RFC 6147).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Dns64 {
    /// The prefix of the made addresses, of 32, 40, 48, 56, 64 or 96 bits (RFC 6052 2.2).
    /// Default `64:ff9b::/96`.
    pub prefix: Cidr,
    /// Whether IPv4 servers are asked through the prefix, for a network without IPv4 (NAT64).
    /// Default false.
    pub nat64: bool,
}

impl Default for Dns64 {
    fn default() -> Self {
        Self {
            prefix: Cidr::new(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0).into(), 96),
            nat64: false,
        }
    }
}

impl Resolution {
    pub(crate) fn check(&self, problems: &mut Problems) {
        problems.field("rootHints", |problems| self.root_hints.check(problems));
        problems.items("forwardZones", &self.forward_zones, |problems, zone| {
            zone.check(problems)
        });
        problems.items("stubZones", &self.stub_zones, |problems, zone| {
            zone.check(problems)
        });
        problems.items("localZones", &self.local_zones, |problems, zone| {
            zone.check(problems)
        });
        self.check_doubles(problems);
        problems.field("rateLimits", |problems| self.rate_limits.check(problems));
        problems.field("budget", |problems| self.budget.check(problems));
        if self.ip_families.is_empty() {
            problems.add("ipFamilies", "is empty: give IPv4, IPv6, or both");
        }
        problems.items(
            "privateDomains",
            &self.private_domains,
            |problems, domain| {
                if let Some(fault) = name::fault(domain) {
                    problems.here(format!("'{domain}' {fault}"));
                }
            },
        );
        if let Some(dns64) = &self.dns64 {
            problems.field("dns64", |problems| dns64.check(problems));
        }
    }

    /// A zone is asked in one way only, and answered from here in one way only.
    fn check_doubles(&self, problems: &mut Problems) {
        let mut upstream = BTreeSet::new();
        problems.items("forwardZones", &self.forward_zones, |problems, zone| {
            once(&mut upstream, problems, &zone.name);
        });
        problems.items("stubZones", &self.stub_zones, |problems, zone| {
            once(&mut upstream, problems, &zone.name);
        });
        let mut local = BTreeSet::new();
        problems.items("localZones", &self.local_zones, |problems, zone| {
            once(&mut local, problems, &zone.name);
        });
    }
}

fn once(seen: &mut BTreeSet<String>, problems: &mut Problems, zone: &str) {
    if !seen.insert(zone.strip_suffix('.').unwrap_or(zone).to_ascii_lowercase()) {
        problems.add(
            "name",
            format!("'{zone}' is given twice: keep one zone of that name"),
        );
    }
}

impl Budget {
    fn check(&self, problems: &mut Problems) {
        problems.within("upstreamQueries", self.upstream_queries, 8, 10_000);
        problems.within("queriesPerState", self.queries_per_state, 4, 1_000);
        problems.within("restarts", self.restarts, 1, 64);
        problems.within("depth", self.depth, 1, 16);
        problems.duration("totalTime", self.total_time, 1_000, 60_000);
    }
}

impl Dns64 {
    fn check(&self, problems: &mut Problems) {
        let lengths = [32, 40, 48, 56, 64, 96];
        if self.prefix.network().is_ipv4() || !lengths.contains(&self.prefix.prefix()) {
            problems.add(
                "prefix",
                "is no prefix of RFC 6052: use an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits",
            );
        }
    }
}
