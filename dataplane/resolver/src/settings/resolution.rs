//! Where answers come from, and how servers are asked.
//!
//! Owns the choices of an operator, the work that one question may cause among them.

use crate::name::Name;
use crate::settings::prefix::Prefix;
use crate::settings::zone::{Hint, LocalZone, UpstreamZone};

/// Where answers come from.
#[derive(Clone, Debug)]
pub struct ResolutionSettings {
    /// The servers of the root.
    pub root_hints: Vec<Hint>,
    /// Whether the root's NS RRset is asked for before it is used (RFC 9609).
    pub prime_root: bool,
    /// Zones asked at forwarders, with RD.
    pub forward_zones: Vec<UpstreamZone>,
    /// Zones asked at given authorities, without RD.
    pub stub_zones: Vec<UpstreamZone>,
    /// Zones answered by Weir itself; they override built-in ones of the same name.
    pub local_zones: Vec<LocalZone>,
    /// Whether special-use names are answered locally (RFC 6761, 6303, 8375).
    pub builtin_local_zones: bool,
    /// How names are revealed to name servers.
    pub qname_minimisation: QnameMinimisation,
    /// Whether the case of outgoing names is randomised (0x20).
    pub case_randomisation: bool,
    /// Whether servers are sent DNS cookies (RFC 7873), so that forged replies are told from theirs.
    pub upstream_cookies: bool,
    /// Whether bogus answers are reported to the agent that the server names (RFC 9567). Off: a report tells a third
    /// party what was asked.
    pub error_reporting: bool,
    /// Work limits.
    pub budget: BudgetSettings,
    /// How often somebody may ask.
    pub rate_limits: RateLimits,
    /// Whether IPv4 servers are asked.
    pub ipv4: bool,
    /// Whether IPv6 servers are asked.
    pub ipv6: bool,
    /// Addresses that public names may not have (rebinding).
    pub private_addresses: Vec<Prefix>,
    /// Names that may have them all the same.
    pub private_domains: Vec<Name>,
    /// Whether loopback addresses are never asked.
    pub avoid_loopback: bool,
    /// Whether glue that lies outside the zone that gave it is ignored.
    pub harden_glue: bool,
    /// Whether a validated NXDOMAIN denies everything below it (RFC 8020).
    pub harden_below_nxdomain: bool,
    /// Whether the NS RRset that a zone's own answers carry beside them joins that of its parent; off, since
    /// who forges an answer could take the zone over with it (CVE-2025-11411).
    pub learn_name_servers: bool,
    /// How many addresses of name servers are looked up eagerly, by dependency depth; -1 is all.
    pub target_fetch_policy: [i8; 5],
    /// The prefix for synthesised AAAA (RFC 6147), if DNS64 is on; 96 bits or as RFC 6052, 2.2 allows.
    pub dns64_prefix: Option<Prefix>,
    /// Whether IPv4 servers are reached through `dns64_prefix` (NAT64).
    pub nat64: bool,
    /// The UDP payload size sent to servers (RFC 6891), at least 512.
    pub udp_payload_size: u16,
}

impl Default for ResolutionSettings {
    fn default() -> Self {
        Self {
            root_hints: Vec::new(),
            prime_root: true,
            forward_zones: Vec::new(),
            stub_zones: Vec::new(),
            local_zones: Vec::new(),
            builtin_local_zones: true,
            qname_minimisation: QnameMinimisation::Relaxed,
            case_randomisation: true,
            upstream_cookies: true,
            error_reporting: false,
            budget: BudgetSettings::default(),
            rate_limits: RateLimits::default(),
            ipv4: true,
            ipv6: true,
            private_addresses: Vec::new(),
            private_domains: Vec::new(),
            avoid_loopback: true,
            harden_glue: true,
            harden_below_nxdomain: true,
            learn_name_servers: false,
            target_fetch_policy: [3, 2, 1, 0, 0],
            dns64_prefix: None,
            nat64: false,
            udp_payload_size: 1232,
        }
    }
}

/// How names are revealed to name servers (RFC 9156).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QnameMinimisation {
    /// The full name goes to every server.
    Off,
    /// Minimised, falling back to the full name when a server misbehaves.
    Relaxed,
    /// Minimised, without falling back.
    Strict,
}

/// Work that one client question may cause. Never renewed by a restart (CVE-2026-50045).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetSettings {
    /// Upstream queries of a question and all that it needs.
    pub upstream_queries: u16,
    /// Upstream queries of one state.
    pub queries_per_state: u16,
    /// Aliases followed.
    pub restarts: u16,
    /// How deep questions may need others.
    pub depth: u16,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self {
            upstream_queries: 200,
            queries_per_state: 32,
            restarts: 11,
            depth: 4,
        }
    }
}

/// How often somebody may ask. Zero does not limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Queries of one client in a second that are not answered from the cache alone, per worker.
    pub client: u32,
    /// The same for clients of a prefix; the most specific decides.
    pub client_overrides: Vec<(Prefix, u32)>,
    /// Upstream queries in a second to the servers of one zone, all workers together.
    pub zone: u32,
    /// The same for zones of these names.
    pub zone_overrides: Vec<(Name, u32)>,
}
