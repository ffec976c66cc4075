//! Trust anchor files of scenarios: their text to the core's tracking, and the check of what it came to.
//!
//! A file holds records to start from, or the state of an earlier run. Compared are, for each key, its tag,
//! its state and when that began; how the file is dressed is the reference's own.

use std::collections::BTreeMap;

use weir_resolver::random::Random;
use weir_resolver::rdata::key_tag;
use weir_resolver::rrset::{RdataList, RecordType};
use weir_resolver::settings::TrustAnchor;
use weir_resolver::tracking::Tracking;
use weir_resolver::tracking::key::{KeyState, TrackedKey};
use weir_resolver::tracking::state_text;

use crate::replay::config::{Config, domain};
use crate::replay::config_text::AnchorFile;
use crate::replay::record::{Defaults, Record, parse_record};

/// The value that follows `name=` in a state line.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(name)?;
    rest.split([' ', ';'])
        .next()
        .filter(|text| !text.is_empty())
}

fn state_of(number: &str) -> Option<KeyState> {
    match number {
        "1" => Some(KeyState::AddPending),
        "2" => Some(KeyState::Valid),
        "3" => Some(KeyState::Missing),
        "4" => Some(KeyState::Revoked),
        _ => None,
    }
}

fn record(line: &str) -> Result<Option<Record>, String> {
    let text = line.split(';').next().unwrap_or_default().trim();
    if text.is_empty() {
        return Ok(None);
    }
    let record = parse_record(text, &Defaults::default()).map_err(|error| error.to_string())?;
    Ok(Some(record))
}

fn tracked(line: &str, record: &Record) -> Option<TrackedKey> {
    Some(TrackedKey {
        rdata: record.data.as_slice().into(),
        state: state_of(value(line, ";;state=")?)?,
        since: value(line, ";;lastchange=")?.parse().ok()?,
        seen: value(line, ";;count=")?.parse().ok()?,
        ttl: record.ttl,
    })
}

/// The tracking that the files of a scenario begin with; none without files. Their anchors join the settings.
///
/// # Errors
/// When a line is no record.
pub fn tracking(config: &mut Config) -> Result<Option<Tracking>, String> {
    if config.anchor_files.is_empty() {
        return Ok(None);
    }
    let mut anchors: Vec<TrustAnchor> = Vec::new();
    let mut states: BTreeMap<String, (Vec<TrackedKey>, u64)> = BTreeMap::new();
    for AnchorFile { lines, .. } in &config.anchor_files {
        let next = lines
            .iter()
            .find_map(|line| value(line, ";;next_probe_time: "));
        let next = next.and_then(|text| text.parse().ok()).unwrap_or(0);
        for line in lines {
            let Some(record) = record(line)? else {
                continue;
            };
            let zone = domain(&record.owner).map_err(|error| error.to_string())?;
            let at = anchors.iter().position(|anchor| anchor.zone == zone);
            let mut anchor = at.map_or_else(
                || TrustAnchor {
                    zone: zone.clone(),
                    ds: RdataList::default(),
                    dnskey: RdataList::default(),
                },
                |at| anchors.remove(at),
            );
            if let Some(key) = tracked(line, &record) {
                let state = states.entry(zone.to_string()).or_default();
                state.0.push(key);
                state.1 = next;
            } else {
                let list = if record.record_type == RecordType::DS {
                    &mut anchor.ds
                } else {
                    &mut anchor.dnskey
                };
                *list = RdataList::new(list.iter().chain([record.data.as_slice()]));
            }
            anchors.push(anchor);
        }
    }
    let mut tracking = Tracking::new(anchors, Random::from_seed([11, 12]));
    let mut zones = tracking.zones().to_vec();
    for zone in &mut zones {
        if let Some((keys, next_probe)) = states.remove(&zone.name.to_string()) {
            zone.keys = keys;
            zone.seeded = true;
            zone.next_probe = next_probe;
        }
    }
    // What a process does that takes up where another ended.
    let text = state_text::write(&zones);
    tracking.restore(&text).map_err(|error| error.to_string())?;
    Ok(Some(tracking))
}

/// Holds the tracking against the lines of a file, whose macros are expanded.
///
/// # Errors
/// The first difference.
pub fn check(lines: &[String], tracking: &Tracking) -> Result<(), String> {
    let mut wanted = Vec::new();
    let mut zone = None;
    for line in lines {
        let Some(record) = record(line)? else {
            continue;
        };
        zone = Some(domain(&record.owner).map_err(|error| error.to_string())?);
        if let Some(key) = tracked(line, &record) {
            wanted.push((key_tag(&key.rdata), key.state, key.since));
        }
    }
    let zone = zone.and_then(|zone| tracking.zones().iter().find(|each| each.name == zone));
    let zone = zone.ok_or("the zone of the file is not tracked")?;
    let keys = zone.keys.iter();
    let mut found: Vec<_> = keys
        .map(|key| (key_tag(&key.rdata), key.state, key.since))
        .collect();
    wanted.sort_unstable();
    found.sort_unstable();
    if wanted != found {
        return Err(format!("the keys are {found:?}, wanted {wanted:?}"));
    }
    let deleted = lines.iter().any(|line| line.starts_with(";;REVOKED"));
    if deleted != zone.is_deleted() {
        return Err(format!("the trust point counts as deleted: {}", !deleted));
    }
    Ok(())
}
