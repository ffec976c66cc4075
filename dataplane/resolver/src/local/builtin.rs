//! Special-use names that no resolver should ask others about.
//!
//! Owns the list and its records (RFC 6303, 3 and 4; RFC 6761, 6; RFC 7686; RFC 7793; RFC 8375; RFC 9462, 6.4; RFC 9476).
//! Names with `local` in mDNS sense (RFC 6762) are left out: clusters use them.

use std::sync::Arc;

use crate::name::Name;
use crate::rrset::{RdataList, RecordType, Rrset};
use crate::settings::{LocalZone, LocalZoneKind};

/// RFC 6303, 3: the time to live and MINIMUM of these zones.
const TTL: u32 = 10_800;

/// Names under which there is nothing.
const EMPTY: [&str; 26] = [
    // RFC 6761, 6.2 and 6.4; RFC 7686; RFC 9476.
    "test",
    "invalid",
    "onion",
    "alt",
    // RFC 8375; RFC 9462, 6.4; RFC 9665.
    "home.arpa",
    "resolver.arpa",
    "service.arpa",
    // RFC 6303, 4.1 to 4.2.
    "10.in-addr.arpa",
    "168.192.in-addr.arpa",
    "0.in-addr.arpa",
    "254.169.in-addr.arpa",
    "2.0.192.in-addr.arpa",
    "100.51.198.in-addr.arpa",
    "113.0.203.in-addr.arpa",
    "255.255.255.255.in-addr.arpa",
    // RFC 6303, 4.3 to 4.6.
    "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
    "d.f.ip6.arpa",
    "8.e.f.ip6.arpa",
    "9.e.f.ip6.arpa",
    "a.e.f.ip6.arpa",
    "b.e.f.ip6.arpa",
    "8.b.d.0.1.0.0.2.ip6.arpa",
    // RFC 9637.
    "0.f.f.3.ip6.arpa",
    "1.f.f.3.ip6.arpa",
    "2.f.f.3.ip6.arpa",
    "3.f.f.3.ip6.arpa",
];

/// The built-in zones.
pub(crate) fn zones() -> Vec<LocalZone> {
    let mut zones: Vec<LocalZone> = EMPTY.into_iter().filter_map(empty).collect();
    // RFC 6303, 4.1: 172.16/12. RFC 7793: 100.64/10.
    zones.extend((16..32).filter_map(|octet| empty(&format!("{octet}.172.in-addr.arpa"))));
    zones.extend((64..128).filter_map(|octet| empty(&format!("{octet}.100.in-addr.arpa"))));
    zones.extend(loopback().into_iter().flatten());
    zones
}

/// A zone with SOA and NS alone (RFC 6303, 3).
fn empty(text: &str) -> Option<LocalZone> {
    let name = Name::from_text(text).ok()?;
    // RNAME `nobody.invalid`, then SERIAL, REFRESH, RETRY, EXPIRE and MINIMUM.
    let mut soa = name.as_wire().to_vec();
    soa.extend_from_slice(b"\x06nobody\x07invalid\x00");
    for number in [1u32, 3600, 1200, 604_800, TTL] {
        soa.extend_from_slice(&number.to_be_bytes());
    }
    let records = vec![
        record(&name, RecordType::SOA, &soa),
        record(&name, RecordType::NS, name.as_wire()),
    ];
    Some(LocalZone {
        name,
        kind: LocalZoneKind::Static,
        records,
    })
}

/// `localhost` and its reverse (RFC 6761, 6.3; RFC 6303, 4.2 and 4.3).
fn loopback() -> Option<[LocalZone; 3]> {
    let localhost = b"\x09localhost\x00";
    let mut forward = empty("localhost")?;
    forward.kind = LocalZoneKind::Redirect;
    let name = forward.name.clone();
    forward
        .records
        .push(record(&name, RecordType::A, &[127, 0, 0, 1]));
    let mut address = [0; 16];
    address[15] = 1;
    forward
        .records
        .push(record(&name, RecordType::AAAA, &address));
    let mut reverse = empty("127.in-addr.arpa")?;
    let owner = Name::from_text("1.0.0.127.in-addr.arpa").ok()?;
    reverse
        .records
        .push(record(&owner, RecordType::PTR, localhost));
    let mut reverse_v6 = empty(&format!("1.{}ip6.arpa", "0.".repeat(31)))?;
    let owner = reverse_v6.name.clone();
    reverse_v6
        .records
        .push(record(&owner, RecordType::PTR, localhost));
    Some([forward, reverse, reverse_v6])
}

fn record(owner: &Name, record_type: RecordType, rdata: &[u8]) -> Arc<Rrset> {
    let rdata = RdataList::new([rdata]);
    Arc::new(Rrset::unsigned(owner.clone(), record_type, TTL, rdata))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdata::Soa;

    #[test]
    fn every_zone_is_whole() {
        let zones = zones();
        assert_eq!(zones.len(), EMPTY.len() + 16 + 64 + 3);
        for zone in zones {
            let soa = zone.records[0]
                .rdata
                .iter()
                .next()
                .and_then(Soa::parse)
                .unwrap();
            assert_eq!(
                (soa.minimum, zone.records[1].record_type),
                (TTL, RecordType::NS)
            );
            assert!(
                zone.records
                    .iter()
                    .all(|set| set.owner.is_within(&zone.name))
            );
        }
    }
}
