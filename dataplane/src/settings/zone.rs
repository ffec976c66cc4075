//! Zones that are asked elsewhere or answered here, and the hints of the root.
//!
//! Owns their translation; records of local zones are read by `record`.

use std::net::SocketAddr;
use std::sync::Arc;

use weir_config::DataplaneConfig;
use weir_config::zone::{LocalZoneType, RootHints, UpstreamProtocol};
use weir_resolver::fetch::Transport;
use weir_resolver::root_hints;
use weir_resolver::settings::{Hint, LocalZone, LocalZoneKind, Upstream, UpstreamZone};

use crate::settings::fault::Faults;
use crate::settings::record;

/// RFC 1035, 4.2.1.
const DNS_PORT: u16 = 53;

pub(crate) fn hints(hints: &RootHints, faults: &mut Faults) -> Vec<Hint> {
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

pub(crate) fn forward_zones(config: &DataplaneConfig, faults: &mut Faults) -> Vec<UpstreamZone> {
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
        zones.push(UpstreamZone::new(name, upstreams.collect(), zone.validate));
    }
    zones
}

pub(crate) fn stub_zones(config: &DataplaneConfig, faults: &mut Faults) -> Vec<UpstreamZone> {
    let mut zones = Vec::new();
    for (index, zone) in config.resolution.stub_zones.iter().enumerate() {
        let field = || format!("resolution.stubZones[{index}].name");
        let name = faults.name(field, &zone.name);
        let upstreams = zone.upstreams.iter().map(|upstream| Upstream {
            address: SocketAddr::new(upstream.address, upstream.port),
            transport: Transport::Udp,
        });
        zones.push(UpstreamZone::new(name, upstreams.collect(), zone.validate));
    }
    zones
}

pub(crate) fn local_zones(config: &DataplaneConfig, faults: &mut Faults) -> Vec<LocalZone> {
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
