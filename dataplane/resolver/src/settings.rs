//! Everything that the shell may replace at run time, as one value.
//!
//! Plain data, already parsed: a `Settings` cannot hold a wrong value that a later step would have to
//! report. The shell translates the `DataplaneConfig` document into it, a replay its own file, the
//! simulator a seed. Names follow the `Resolver` resource.

mod prefix;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::fetch::Transport;
use crate::limits::Limits;
use crate::name::Name;
use crate::rrset::{RdataList, Rrset};
use crate::time::UnixTime;

pub use prefix::Prefix;

/// The whole.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Counts replacements; part of `QuestionKey`.
    pub epoch: u32,
    /// Bounds that no operator changes.
    pub limits: Limits,
    /// The table of questions being resolved.
    pub mesh: MeshSettings,
    /// Where answers come from.
    pub resolution: ResolutionSettings,
    /// DNSSEC.
    pub dnssec: DnssecSettings,
    /// How long answers are kept, and when stale ones are served.
    pub cache: CacheSettings,
    /// Who may ask; the most specific prefix decides, and with no entry at all everybody may.
    pub access_control: Vec<AccessRule>,
    /// How answers are dressed.
    pub responses: ResponseSettings,
}

/// What clients of a prefix may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// Whom it is about.
    pub prefix: Prefix,
    /// What they may do.
    pub action: AccessAction,
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccessAction {
    /// Ask with RD; without RD it is answered REFUSED.
    Allow,
    /// Ask also without RD, answered from the cache alone.
    AllowSnoop,
    /// Is answered REFUSED.
    Refuse,
    /// Gets no DNS answer.
    Deny,
}

/// The table of questions being resolved.
#[derive(Clone, Debug)]
pub struct MeshSettings {
    /// States with waiters, per worker; half of them cannot be jostled.
    pub states_max: u32,
    /// Waiters in all, per worker.
    pub waiting_replies_max: u32,
    /// The age from which a state of the second half makes room for a new one.
    pub jostle_timeout: Duration,
    /// How long a waiter may wait in all before it is answered SERVFAIL.
    pub total_time: Duration,
    /// Waiters (and orphans) of one client.
    pub client_waiting_max: u32,
    /// The same for clients of a prefix; the most specific decides.
    pub client_waiting_overrides: Vec<(Prefix, u32)>,
    /// What becomes of work whose last waiter left.
    pub on_stream_reset: OnStreamReset,
}

/// What becomes of work whose last waiter left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStreamReset {
    /// It goes on for the cache, within the orphan rule.
    FinishForCache,
    /// It is cancelled at once.
    Cancel,
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

/// A name server of a hint, stub or forward zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its address and port.
    pub address: SocketAddr,
    /// Over what it is asked first; UDP falls back to TCP on truncation.
    pub transport: Transport,
}

/// A named server with its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Its name.
    pub name: Name,
    /// Its addresses.
    pub addresses: Vec<SocketAddr>,
}

/// A zone that is asked at given servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamZone {
    /// The zone; the most specific of all stub, forward and local zones decides.
    pub name: Name,
    /// Its servers by address.
    pub upstreams: Vec<Upstream>,
    /// Its servers by name, resolved like any other name.
    pub upstream_names: Vec<Name>,
    /// Whether answers are validated below a trust anchor.
    pub validate: bool,
    /// Whether iteration is tried when every server failed.
    pub fall_back: bool,
    /// Stub zones: whether its NS RRset is asked for first.
    pub prime: bool,
    /// Whether answers are kept out of the cache.
    pub no_cache: bool,
}

/// What a local zone says of a name for which it has no records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalZoneKind {
    /// Answered from the zone: NXDOMAIN or NODATA.
    Static,
    /// As the apex, whatever the name below it.
    Redirect,
    /// Names with records are answered, NODATA for their other types; the rest is resolved.
    Transparent,
    /// As `Transparent`, but other types of names with records are resolved too.
    TypeTransparent,
    /// REFUSED.
    Refuse,
    /// No DNS answer.
    Deny,
    /// NXDOMAIN for everything in it, records or not.
    AlwaysNxdomain,
    /// NODATA for everything in it.
    AlwaysNodata,
    /// The null address 0.0.0.0 or `::` for A and AAAA, NODATA else.
    AlwaysNull,
    /// REFUSED for everything in it.
    AlwaysRefuse,
    /// Resolved as if there were no local zone.
    AlwaysTransparent,
    /// Resolved, and counted.
    Inform,
    /// No DNS answer, and counted.
    InformDeny,
    /// A is answered NODATA, the rest resolved.
    BlockA,
    /// AAAA is answered NODATA, the rest resolved.
    BlockAaaa,
    /// Names with records are answered from them; A is answered NODATA for all others, the rest resolved.
    BlockAWithData,
    /// Names with records are answered from them; AAAA is answered NODATA for all others, the rest resolved.
    BlockAaaaWithData,
    /// As if the built-in zone of this name did not exist.
    NoDefault,
}

/// A zone answered by Weir itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalZone {
    /// The apex.
    pub name: Name,
    /// What it says of names without records.
    pub kind: LocalZoneKind,
    /// Its records.
    pub records: Vec<Arc<Rrset>>,
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

/// Whether answers are validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnssecMode {
    /// Not at all.
    Off,
    /// Validated; bogus answers are SERVFAIL.
    Validate,
    /// Validated, counted and traced; bogus answers are given without AD.
    Permissive,
}

/// A trust anchor: DS or DNSKEY record data of one zone (RFC 4035, 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchor {
    /// The zone.
    pub zone: Name,
    /// DS record data.
    pub ds: RdataList,
    /// DNSKEY record data.
    pub dnskey: RdataList,
}

/// A name below which nothing is validated (RFC 7646).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegativeTrustAnchor {
    /// The name.
    pub name: Name,
    /// From when on it has no effect.
    pub expires_at: Option<UnixTime>,
}

/// DNSSEC.
#[derive(Clone, Debug)]
pub struct DnssecSettings {
    /// Whether answers are validated.
    pub mode: DnssecMode,
    /// Where chains of trust start.
    pub trust_anchors: Vec<TrustAnchor>,
    /// Where validation stops.
    pub negative_trust_anchors: Vec<NegativeTrustAnchor>,
    /// Whether cached denials answer other questions (RFC 8198).
    pub aggressive_nsec: bool,
    /// RRSIG verifications of one question and all that it needs.
    pub signatures_per_query: u16,
    /// More iterations make a zone insecure (RFC 9276, 3.2).
    pub nsec3_iterations: u16,
    /// How long a bogus verdict is kept; less when the data that it is about lives less long.
    pub bogus_ttl: Duration,
    /// Signature dates are accepted this far outside their window at least, and at most.
    pub signature_skew: (Duration, Duration),
    /// Whether `root-key-sentinel-…` names are honoured (RFC 8509).
    pub key_sentinel: bool,
    /// Whether every algorithm of the DS RRset must have a good signature.
    pub harden_algorithm_downgrade: bool,
    /// Whether DS records with SHA-1 digests are left aside where stronger ones are (RFC 4509, 3).
    pub ignore_sha1_digests: bool,
    /// Whether algorithms 5 and 7 count as supported (RFC 9905 says no to signers, validators may go on).
    pub sha1: bool,
    /// Tests only: a fixed date for signature windows; the scenario clock else.
    pub date_override: Option<DateOverride>,
    /// Tests only: signatures of algorithms 3, 5, 6 and 7 are supported and count as good.
    pub assume_sha1_and_dsa_good: bool,
}

/// Tests only: what date signatures are checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateOverride {
    /// This date, always.
    Fixed(UnixTime),
    /// None: dates do not matter.
    Ignore,
}

/// How long answers are kept.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// Octets of all caches together.
    pub size: usize,
    /// The least time to live; a lower one is raised.
    pub ttl_min: u32,
    /// The greatest time to live; a higher one is lowered.
    pub ttl_max: u32,
    /// The least time to live of a negative answer; a lower one is raised.
    pub ttl_negative_min: u32,
    /// The greatest time to live of a negative answer.
    pub ttl_negative_max: u32,
    /// How long a resolution failure is remembered (RFC 9520, at most 300 s).
    pub failure_ttl: u32,
    /// Serving stale answers (RFC 8767), if on.
    pub serve_stale: Option<ServeStale>,
    /// Popular answers are renewed within this last share of their time to live, in per cent, if on.
    pub prefetch_percent: Option<u8>,
    /// How long facts about servers are kept.
    pub server_ttl: Duration,
}

/// Serving stale answers (RFC 8767).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeStale {
    /// How long after their end answers may be served.
    pub max_age: Duration,
    /// The time to live that a stale answer is given.
    pub answer_ttl: u32,
    /// How long resolution is tried first; zero answers stale at once and renews behind.
    pub client_timeout: Duration,
}

/// How answers are dressed.
#[derive(Clone, Debug)]
pub struct ResponseSettings {
    /// Whether extended errors are sent (RFC 8914).
    pub extended_errors: bool,
    /// The block size of padded answers (RFC 8467), 0 for no padding.
    pub padding_block_size: u16,
    /// Whether positive answers carry only what is required; those with the proof of a wildcard carry all of its
    /// section.
    pub minimal: bool,
    /// Whether ANY is answered with one RRset (RFC 8482).
    pub minimal_any: bool,
    /// Whether `id.server` and `hostname.bind` are answered, and with what.
    pub identity: Option<String>,
    /// Whether `version.server` and `version.bind` are answered, and with what.
    pub version: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            epoch: 0,
            limits: Limits::DEFAULT,
            mesh: MeshSettings {
                states_max: 4096,
                waiting_replies_max: 65_536,
                jostle_timeout: Duration::from_millis(200),
                total_time: Duration::from_secs(10),
                client_waiting_max: 1000,
                client_waiting_overrides: Vec::new(),
                on_stream_reset: OnStreamReset::FinishForCache,
            },
            resolution: ResolutionSettings {
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
                budget: BudgetSettings {
                    upstream_queries: 200,
                    queries_per_state: 32,
                    restarts: 11,
                    depth: 4,
                },
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
            },
            dnssec: DnssecSettings {
                mode: DnssecMode::Validate,
                trust_anchors: Vec::new(),
                negative_trust_anchors: Vec::new(),
                aggressive_nsec: true,
                signatures_per_query: 256,
                nsec3_iterations: 150,
                bogus_ttl: Duration::from_secs(60),
                signature_skew: (Duration::from_secs(3600), Duration::from_secs(86_400)),
                key_sentinel: true,
                harden_algorithm_downgrade: false,
                ignore_sha1_digests: true,
                sha1: true,
                date_override: None,
                assume_sha1_and_dsa_good: false,
            },
            cache: CacheSettings {
                size: 256 << 20,
                ttl_min: 0,
                ttl_max: 86_400,
                ttl_negative_min: 0,
                ttl_negative_max: 3600,
                failure_ttl: 5,
                serve_stale: Some(ServeStale {
                    max_age: Duration::from_secs(86_400),
                    answer_ttl: 30,
                    client_timeout: Duration::from_millis(1800),
                }),
                prefetch_percent: Some(10),
                server_ttl: Duration::from_secs(900),
            },
            access_control: Vec::new(),
            responses: ResponseSettings {
                extended_errors: true,
                padding_block_size: 468,
                minimal: true,
                minimal_any: true,
                identity: None,
                version: None,
            },
        }
    }
}
