//! Translates a `DataplaneConfig` into what the core goes by. The only translation: whatever a
//! document says is checked there or here, and a `Settings` holds nothing that could be wrong.

pub mod record;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use weir_config::access::AccessAction as ConfigAccess;
use weir_config::dnssec::{DnssecMode as ConfigMode, TrustAnchors};
use weir_config::mesh::OnStreamReset as ConfigReset;
use weir_config::resolution::{IpFamily, QnameMinimisation as ConfigMinimisation};
use weir_config::unit::cidr::Cidr;
use weir_config::zone::{LocalZoneType, RootHints, UpstreamProtocol};
use weir_config::{DataplaneConfig, Problem};
use weir_resolver::fetch::Transport;
use weir_resolver::name::Name;
use weir_resolver::settings::{
    AccessAction, AccessRule, BudgetSettings, CacheSettings, DnssecMode, DnssecSettings, Hint,
    LocalZone, LocalZoneKind, MeshSettings, NegativeTrustAnchor, OnStreamReset, Prefix,
    QnameMinimisation, RateLimits, ResolutionSettings, ResponseSettings, ServeStale, Settings,
    Upstream, UpstreamZone,
};
use weir_resolver::time::UnixTime;
use weir_resolver::{root_hints, trust_anchor};

/// RFC 1035, 4.2.1.
const DNS_PORT: u16 = 53;

/// What is wrong, field by field.
#[derive(Default)]
struct Faults(Vec<Problem>);

impl Faults {
    fn add(&mut self, field: String, message: String) {
        self.0.push(Problem { field, message });
    }

    fn name(&mut self, field: impl Fn() -> String, text: &str) -> Name {
        Name::from_text(text).unwrap_or_else(|fault| {
            self.add(field(), format!("'{text}' is not a domain name: {fault}"));
            Name::root()
        })
    }
}

/// The settings of one of `workers` workers.
///
/// # Errors
/// Every field that cannot be used, and what to change.
pub fn translate(
    config: &DataplaneConfig,
    epoch: u32,
    workers: u16,
) -> Result<Settings, Vec<Problem>> {
    let mut faults = Faults::default();
    let defaults = Settings::default();
    let settings = Settings {
        epoch,
        limits: defaults.limits,
        mesh: mesh(config, workers),
        resolution: resolution(config, defaults.resolution, &mut faults),
        dnssec: dnssec(config, defaults.dnssec, &mut faults),
        cache: cache(config, defaults.cache),
        access_control: config
            .access_control
            .iter()
            .flat_map(|rule| rule.cidrs.iter().map(|cidr| (prefix(cidr), rule.action)))
            .map(|(prefix, action)| AccessRule {
                prefix,
                action: access(action),
            })
            .collect(),
        responses: ResponseSettings {
            extended_errors: config.responses.extended_errors,
            padding_block_size: clamp(config.responses.padding_block_size),
            minimal: config.responses.minimal,
            minimal_any: config.responses.minimal_any,
            identity: config.responses.identity.clone(),
            version: config.responses.version.clone(),
        },
    };
    if faults.0.is_empty() {
        Ok(settings)
    } else {
        Err(faults.0)
    }
}

fn mesh(config: &DataplaneConfig, workers: u16) -> MeshSettings {
    let share = |whole: u32| whole.div_ceil(u32::from(workers.max(1)));
    let clients = &config.mesh.per_client_wait_limit;
    MeshSettings {
        states_max: share(config.mesh.max_states),
        waiting_replies_max: share(config.mesh.max_waiting_replies),
        jostle_timeout: config.mesh.jostle_timeout,
        total_time: config.resolution.budget.total_time,
        client_waiting_max: clients.default,
        client_waiting_overrides: clients
            .overrides
            .iter()
            .map(|rule| (prefix(&rule.cidr), rule.limit))
            .collect(),
        on_stream_reset: match config.mesh.on_stream_reset {
            ConfigReset::FinishForCache => OnStreamReset::FinishForCache,
            ConfigReset::Cancel => OnStreamReset::Cancel,
        },
    }
}

fn resolution(
    config: &DataplaneConfig,
    defaults: ResolutionSettings,
    faults: &mut Faults,
) -> ResolutionSettings {
    let from = &config.resolution;
    let root_hints = hints(&from.root_hints, faults);
    let (forward_zones, stub_zones) = (forward_zones(config, faults), stub_zones(config, faults));
    let asked = root_hints
        .iter()
        .flat_map(|hint| hint.addresses.iter().copied());
    let zones = forward_zones.iter().chain(&stub_zones);
    let named = zones.flat_map(|zone| zone.upstreams.iter().map(|upstream| upstream.address));
    // Whoever configures a loopback server means it; else no delegation may lead there.
    let avoid_loopback = !asked.chain(named).any(|address| address.ip().is_loopback());
    let budget = &from.budget;
    ResolutionSettings {
        prime_root: matches!(from.root_hints, RootHints::BuiltIn(_)),
        root_hints,
        forward_zones,
        stub_zones,
        local_zones: local_zones(config, faults),
        qname_minimisation: match from.qname_minimisation {
            ConfigMinimisation::Off => QnameMinimisation::Off,
            ConfigMinimisation::Relaxed => QnameMinimisation::Relaxed,
            ConfigMinimisation::Strict => QnameMinimisation::Strict,
        },
        case_randomisation: from.case_randomisation,
        upstream_cookies: from.upstream_cookies,
        error_reporting: from.error_reporting,
        builtin_local_zones: from.special_use_names,
        rate_limits: rate_limits(&from.rate_limits, faults),
        nat64: from.dns64.as_ref().is_some_and(|dns64| dns64.nat64),
        budget: BudgetSettings {
            upstream_queries: clamp(budget.upstream_queries),
            queries_per_state: clamp(budget.queries_per_state),
            restarts: clamp(budget.restarts),
            depth: clamp(budget.depth),
        },
        ipv4: from.ip_families.contains(&IpFamily::IPv4),
        ipv6: from.ip_families.contains(&IpFamily::IPv6),
        private_addresses: from.private_addresses.iter().map(prefix).collect(),
        private_domains: from
            .private_domains
            .iter()
            .enumerate()
            .map(|(index, text)| {
                faults.name(|| format!("resolution.privateDomains[{index}]"), text)
            })
            .collect(),
        avoid_loopback,
        dns64_prefix: from.dns64.as_ref().map(|dns64| prefix(&dns64.prefix)),
        ..defaults
    }
}

fn rate_limits(from: &weir_config::rate_limit::RateLimits, faults: &mut Faults) -> RateLimits {
    let field = |index| format!("resolution.rateLimits.perZone.overrides[{index}].zone");
    let (client, zone) = (&from.per_client, &from.per_zone);
    let rules = client.overrides.iter();
    let zones = zone.overrides.iter().enumerate();
    RateLimits {
        client: client.queries_per_second,
        client_overrides: rules
            .map(|rule| (prefix(&rule.cidr), rule.queries_per_second))
            .collect(),
        zone: zone.queries_per_second,
        zone_overrides: zones
            .map(|(index, rule)| {
                let name = faults.name(|| field(index), &rule.zone);
                (name, rule.queries_per_second)
            })
            .collect(),
    }
}

fn hints(hints: &RootHints, faults: &mut Faults) -> Vec<Hint> {
    let servers = match hints {
        RootHints::BuiltIn(_) => return root_hints::builtin(),
        RootHints::Servers(servers) => servers,
    };
    let hint = |(index, server): (usize, &weir_config::zone::RootServer)| {
        let field = || format!("resolution.rootHints.servers[{index}].name");
        Hint {
            name: faults.name(field, &server.name),
            addresses: server
                .addresses
                .iter()
                .map(|ip| SocketAddr::new(*ip, DNS_PORT))
                .collect(),
        }
    };
    servers.iter().enumerate().map(hint).collect()
}

fn upstream_zone(name: Name, upstreams: Vec<Upstream>, validate: bool) -> UpstreamZone {
    UpstreamZone {
        name,
        upstreams,
        upstream_names: Vec::new(),
        validate,
        fall_back: false,
        prime: false,
        no_cache: false,
    }
}

fn forward_zones(config: &DataplaneConfig, faults: &mut Faults) -> Vec<UpstreamZone> {
    let mut zones = Vec::new();
    for (index, zone) in config.resolution.forward_zones.iter().enumerate() {
        let field = || format!("resolution.forwardZones[{index}].name");
        let name = faults.name(field, &zone.name);
        let upstreams = zone.upstreams.iter().map(|upstream| Upstream {
            address: SocketAddr::new(upstream.address, upstream.port_or_default()),
            transport: match (upstream.protocol, &upstream.server_name) {
                (UpstreamProtocol::DoT, Some(server)) => Transport::Tls(server.as_str().into()),
                (UpstreamProtocol::DoH, Some(server)) => Transport::Https {
                    host: server.as_str().into(),
                    path: upstream.path_or_default().into(),
                },
                // The document was checked: neither of the first two is without a name.
                (UpstreamProtocol::DoT | UpstreamProtocol::DoH | UpstreamProtocol::Do53, _) => {
                    Transport::Udp
                }
            },
        });
        zones.push(upstream_zone(name, upstreams.collect(), zone.validate));
    }
    zones
}

fn stub_zones(config: &DataplaneConfig, faults: &mut Faults) -> Vec<UpstreamZone> {
    let mut zones = Vec::new();
    for (index, zone) in config.resolution.stub_zones.iter().enumerate() {
        let field = || format!("resolution.stubZones[{index}].name");
        let name = faults.name(field, &zone.name);
        let upstreams = zone.upstreams.iter().map(|upstream| Upstream {
            address: SocketAddr::new(upstream.address, upstream.port),
            transport: Transport::Udp,
        });
        zones.push(upstream_zone(name, upstreams.collect(), zone.validate));
    }
    zones
}

fn local_zones(config: &DataplaneConfig, faults: &mut Faults) -> Vec<LocalZone> {
    let mut zones = Vec::new();
    for (index, zone) in config.resolution.local_zones.iter().enumerate() {
        let path = format!("resolution.localZones[{index}]");
        let name = faults.name(|| format!("{path}.name"), &zone.name);
        let mut records = Vec::new();
        for (number, text) in zone.records.iter().enumerate() {
            match record::parse(text, &name) {
                Ok(found) => record::merge(&mut records, found),
                Err(fault) => faults.add(format!("{path}.records[{number}]"), fault.to_string()),
            }
        }
        let records = records.into_iter().map(Arc::new).collect();
        zones.push(LocalZone {
            name,
            kind: local_zone_kind(zone.kind),
            records,
        });
    }
    zones
}

const fn local_zone_kind(kind: LocalZoneType) -> LocalZoneKind {
    match kind {
        LocalZoneType::Static => LocalZoneKind::Static,
        LocalZoneType::Transparent => LocalZoneKind::Transparent,
        LocalZoneType::TypeTransparent => LocalZoneKind::TypeTransparent,
        LocalZoneType::Redirect => LocalZoneKind::Redirect,
        LocalZoneType::Refuse => LocalZoneKind::Refuse,
        LocalZoneType::Deny => LocalZoneKind::Deny,
        LocalZoneType::AlwaysRefuse => LocalZoneKind::AlwaysRefuse,
        LocalZoneType::AlwaysNxdomain => LocalZoneKind::AlwaysNxdomain,
        LocalZoneType::AlwaysNodata => LocalZoneKind::AlwaysNodata,
        LocalZoneType::AlwaysTransparent => LocalZoneKind::AlwaysTransparent,
        LocalZoneType::Inform => LocalZoneKind::Inform,
        LocalZoneType::AlwaysNull => LocalZoneKind::AlwaysNull,
        LocalZoneType::InformDeny => LocalZoneKind::InformDeny,
        LocalZoneType::BlockA => LocalZoneKind::BlockA,
        LocalZoneType::BlockAaaa => LocalZoneKind::BlockAaaa,
        LocalZoneType::BlockAWithData => LocalZoneKind::BlockAWithData,
        LocalZoneType::BlockAaaaWithData => LocalZoneKind::BlockAaaaWithData,
        LocalZoneType::NoDefault => LocalZoneKind::NoDefault,
    }
}

fn dnssec(
    config: &DataplaneConfig,
    defaults: DnssecSettings,
    faults: &mut Faults,
) -> DnssecSettings {
    let from = &config.dnssec;
    let trust_anchors = match &from.trust_anchors {
        TrustAnchors::BuiltIn(_) => vec![trust_anchor::builtin_root()],
        TrustAnchors::Records(records) => {
            let mut anchors = Vec::new();
            for (index, text) in records.iter().enumerate() {
                match record::parse(text, &Name::root()) {
                    Ok(found) => record::anchor(&mut anchors, found),
                    Err(fault) => {
                        let field = format!("dnssec.trustAnchors.records[{index}]");
                        faults.add(field, fault.to_string());
                    }
                }
            }
            anchors
        }
    };
    let negative = |(index, anchor): (usize, &weir_config::dnssec::NegativeTrustAnchor)| {
        let field = || format!("dnssec.negativeTrustAnchors[{index}].name");
        NegativeTrustAnchor {
            name: faults.name(field, &anchor.name),
            expires_at: anchor.expires_at.map(|end| UnixTime(end.0)),
        }
    };
    DnssecSettings {
        mode: match from.mode {
            ConfigMode::Validate => DnssecMode::Validate,
            ConfigMode::Off => DnssecMode::Off,
        },
        trust_anchors,
        negative_trust_anchors: from
            .negative_trust_anchors
            .iter()
            .enumerate()
            .map(negative)
            .collect(),
        aggressive_nsec: from.aggressive_nsec,
        signatures_per_query: clamp(from.limits.signatures_per_query),
        nsec3_iterations: clamp(from.limits.nsec3_iterations),
        ..defaults
    }
}

fn cache(config: &DataplaneConfig, defaults: CacheSettings) -> CacheSettings {
    let from = &config.cache;
    let seconds =
        |duration: std::time::Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    let stale = &from.serve_stale;
    CacheSettings {
        size: usize::try_from(from.size).unwrap_or(usize::MAX),
        ttl_min: seconds(from.ttl.min),
        ttl_max: seconds(from.ttl.max),
        ttl_negative_min: 0,
        ttl_negative_max: seconds(from.ttl.max_negative),
        serve_stale: stale.enabled.then(|| ServeStale {
            max_age: stale.max_age,
            answer_ttl: seconds(stale.answer_ttl),
            client_timeout: stale.client_timeout,
        }),
        prefetch_percent: from
            .prefetch
            .enabled
            .then(|| u8::try_from(from.prefetch.remaining_percent).unwrap_or(u8::MAX)),
        ..defaults
    }
}

const fn access(action: ConfigAccess) -> AccessAction {
    match action {
        ConfigAccess::Allow => AccessAction::Allow,
        ConfigAccess::Refuse => AccessAction::Refuse,
        ConfigAccess::Deny => AccessAction::Deny,
    }
}

fn prefix(cidr: &Cidr) -> Prefix {
    let address: IpAddr = cidr.network();
    Prefix {
        address,
        length: cidr.prefix(),
    }
}

/// The document has checked the bounds; this only changes the width.
fn clamp(value: u32) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::unwrap_in_result, reason = "a test may panic")]
    fn settings(text: &str) -> Result<Settings, Vec<String>> {
        let config = DataplaneConfig::read(text).unwrap();
        translate(&config, 1, 2).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_smallest_document_recurses_from_the_root() {
        let settings = settings("{}").unwrap();
        assert_eq!(settings.resolution.root_hints.len(), 13);
        assert_eq!(settings.dnssec.trust_anchors.len(), 1);
        assert!(settings.resolution.prime_root && settings.resolution.avoid_loopback);
        assert_eq!(settings.mesh.states_max, 2048);
        assert_eq!(settings.access_control.len(), 2);
    }

    #[test]
    fn zones_and_anchors_are_read() {
        let settings = settings(
            "
resolution:
  rootHints: {servers: [{name: a.root, addresses: [127.0.0.1]}]}
  forwardZones: [{name: corp.example, upstreams: [{address: 10.0.0.1, protocol: DoT, serverName: dns.corp}]}]
  stubZones: [{name: lab.example, upstreams: [{address: 127.0.0.9, port: 5300}]}]
  localZones: [{name: home.arpa, records: ['nas A 192.0.2.7', 'nas A 192.0.2.8', '@ 60 TXT hi']}]
dnssec: {trustAnchors: {records: ['. DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D']}}
",
        )
        .unwrap();
        let resolution = &settings.resolution;
        assert!(!resolution.avoid_loopback && !resolution.prime_root);
        assert_eq!(resolution.forward_zones[0].upstreams[0].address.port(), 853);
        assert_eq!(
            resolution.forward_zones[0].upstreams[0].transport,
            Transport::Tls("dns.corp".into())
        );
        assert_eq!(resolution.stub_zones[0].upstreams[0].address.port(), 5300);
        let records = &resolution.local_zones[0].records;
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].owner, Name::from_text("nas.home.arpa").unwrap());
        assert_eq!(records[0].rdata.len(), 2);
        assert_eq!(records[1].ttl, 60);
        assert_eq!(settings.dnssec.trust_anchors, [trust_anchor_of_2017()]);
    }

    fn trust_anchor_of_2017() -> weir_resolver::settings::TrustAnchor {
        let builtin = trust_anchor::builtin_root();
        let first: Vec<&[u8]> = builtin.ds.iter().take(1).collect();
        let ds = weir_resolver::rrset::RdataList::new(first);
        weir_resolver::settings::TrustAnchor {
            ds,
            ..builtin.clone()
        }
    }

    #[test]
    fn special_use_names_can_be_left_out() {
        assert!(settings("{}").unwrap().resolution.builtin_local_zones);
        let without = settings("resolution: {specialUseNames: false}").unwrap();
        assert!(!without.resolution.builtin_local_zones);
    }

    #[test]
    fn faults_name_their_fields() {
        let faults = settings(
            "
resolution: {localZones: [{name: home.arpa, records: ['nas A 1.2.3', 'nas NOPE x y']}]}
dnssec: {trustAnchors: {records: ['. DS 1 2 3']}}
",
        )
        .unwrap_err();
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(
            faults[0].starts_with("resolution.localZones[0].records[0]: "),
            "{faults:?}"
        );
        assert!(
            faults[1].starts_with("resolution.localZones[0].records[1]: "),
            "{faults:?}"
        );
        assert!(
            faults[2].starts_with("dnssec.trustAnchors.records[0]: "),
            "{faults:?}"
        );
    }
}
