//! Stub, forward and local zones of a scenario's configuration.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use weir_resolver::fetch::Transport;
use weir_resolver::name::Name;
use weir_resolver::settings::{Hint, LocalZone, LocalZoneKind, Upstream, UpstreamZone};

use crate::replay::config::{Config, add_record, domain, domain_from_text, is_yes};
use crate::replay::config_text::{Clause, OptionLine};
use crate::replay::lines::ParseError;
use crate::replay::record::{Defaults, parse_record};
use crate::replay::token::{TextError, wrong};

const KINDS: [(&str, LocalZoneKind); 18] = [
    ("static", LocalZoneKind::Static),
    ("redirect", LocalZoneKind::Redirect),
    ("transparent", LocalZoneKind::Transparent),
    ("typetransparent", LocalZoneKind::TypeTransparent),
    ("refuse", LocalZoneKind::Refuse),
    ("deny", LocalZoneKind::Deny),
    ("always_nxdomain", LocalZoneKind::AlwaysNxdomain),
    ("always_nodata", LocalZoneKind::AlwaysNodata),
    ("always_null", LocalZoneKind::AlwaysNull),
    ("always_refuse", LocalZoneKind::AlwaysRefuse),
    ("always_transparent", LocalZoneKind::AlwaysTransparent),
    ("inform", LocalZoneKind::Inform),
    ("inform_deny", LocalZoneKind::InformDeny),
    ("block_a", LocalZoneKind::BlockA),
    ("block_aaaa", LocalZoneKind::BlockAaaa),
    ("block_a_wdata", LocalZoneKind::BlockAWithData),
    ("block_aaaa_wdata", LocalZoneKind::BlockAaaaWithData),
    ("nodefault", LocalZoneKind::NoDefault),
];

fn wrong_line(option: &OptionLine, error: TextError) -> ParseError {
    ParseError {
        line: option.line,
        what: format!("{}: {}", option.key, error.0),
    }
}

/// An address with an optional `@port`.
fn server(text: &str, transport: &Transport) -> Result<Upstream, TextError> {
    let text = text.split('#').next().unwrap_or_default();
    let (address, port) = text.split_once('@').unwrap_or((text, "53"));
    match (address.parse::<IpAddr>(), port.parse()) {
        (Ok(address), Ok(port)) => Ok(Upstream {
            address: SocketAddr::new(address, port),
            transport: transport.clone(),
        }),
        _ => wrong(format!("{text} is not a server address")),
    }
}

fn zone(config: &mut Config, clause: &Clause, stub: bool) -> Result<UpstreamZone, ParseError> {
    let mut zone = UpstreamZone::new(Name::root(), Vec::new(), true);
    for option in &clause.options {
        let value = option.values.first().map_or("", String::as_str);
        let result = match option.key.as_str() {
            "name" => domain_from_text(value).map(|name| zone.name = name),
            "stub-addr" | "forward-addr" => {
                server(value, &Transport::Udp).map(|upstream| zone.upstreams.push(upstream))
            }
            "stub-host" | "forward-host" => {
                domain_from_text(value).map(|name| zone.upstream_names.push(name))
            }
            "stub-first" | "forward-first" => {
                zone.fall_back = is_yes(value);
                Ok(())
            }
            "stub-no-cache" | "forward-no-cache" => {
                zone.no_cache = is_yes(value);
                Ok(())
            }
            "stub-prime" if stub => {
                zone.prime = is_yes(value);
                Ok(())
            }
            "stub-tcp-upstream" | "forward-tcp-upstream" => {
                if is_yes(value) {
                    for upstream in &mut zone.upstreams {
                        upstream.transport = Transport::Tcp;
                    }
                }
                Ok(())
            }
            _ => {
                config.unknown.insert(format!("{}: {value}", option.key));
                Ok(())
            }
        };
        result.map_err(|error| wrong_line(option, error))?;
    }
    Ok(zone)
}

/// A stub zone; that of the root names the root servers.
pub(crate) fn stub_zone(config: &mut Config, clause: &Clause) -> Result<(), ParseError> {
    let zone = zone(config, clause, true)?;
    let resolution = &mut config.settings.resolution;
    if !zone.name.is_root() {
        resolution.stub_zones.push(zone);
        return Ok(());
    }
    resolution.prime_root = zone.prime;
    for (index, upstream) in zone.upstreams.iter().enumerate() {
        let name = domain_from_text(&format!("root{index}.replay.invalid."));
        let name = name.map_err(|error| ParseError {
            line: 0,
            what: error.0,
        })?;
        resolution.root_hints.push(Hint {
            name,
            addresses: vec![upstream.address],
        });
    }
    Ok(())
}

/// A forward zone.
pub(crate) fn forward_zone(config: &mut Config, clause: &Clause) -> Result<(), ParseError> {
    let zone = zone(config, clause, false)?;
    config.settings.resolution.forward_zones.push(zone);
    Ok(())
}

/// A local zone without records.
pub(crate) fn local_zone(config: &mut Config, name: &str, kind: &str) -> Result<(), TextError> {
    let name = domain_from_text(name)?;
    let kind = match KINDS.iter().find(|(word, _)| *word == kind) {
        Some((_, kind)) => *kind,
        None => {
            config
                .without_counterpart
                .insert(format!("local-zone: {kind}"));
            return Ok(());
        }
    };
    let zones = &mut config.settings.resolution.local_zones;
    match zones.iter_mut().find(|zone| zone.name == name) {
        Some(zone) => zone.kind = kind,
        None => zones.push(LocalZone {
            name,
            kind,
            records: Vec::new(),
        }),
    }
    Ok(())
}

/// A record of the closest local zone, or of a transparent one of its own.
pub(crate) fn local_data(config: &mut Config, text: &str) -> Result<(), TextError> {
    let record = parse_record(text, &Defaults::default())?;
    let owner = domain(&record.owner)?;
    let zones = &mut config.settings.resolution.local_zones;
    let closest = zones
        .iter_mut()
        .filter(|zone| owner.is_within(&zone.name) && zone.kind != LocalZoneKind::NoDefault)
        .max_by_key(|zone| zone.name.label_count());
    if let Some(zone) = closest {
        return add_record(&mut zone.records, &record);
    }
    let mut records: Vec<Arc<_>> = Vec::new();
    add_record(&mut records, &record)?;
    zones.push(LocalZone {
        name: owner,
        kind: LocalZoneKind::Transparent,
        records,
    });
    Ok(())
}
