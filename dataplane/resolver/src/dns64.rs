//! IPv6 addresses made of IPv4 ones (DNS64, RFC 6147).
//!
//! Owns which reverse names stand for IPv4 addresses, when an answer is without IPv6 addresses, the embedding of an address in a prefix (RFC 6052,
//! 2.2) and the answer that is made. Never looks anything up.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::answer::{Answer, ResponseCode, Security};
use crate::name::Name;
use crate::rrset::{RdataList, RecordType, Rrset};
use crate::settings::Prefix;

/// Addresses that stand for IPv4 ones already and so are no IPv6 addresses to a client (RFC 6147, 5.1.4).
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// Whether an answer to an AAAA question gives no usable address, so that one may be made.
#[must_use]
pub fn is_without_ipv6(answer: &Answer) -> bool {
    // RFC 6147, 5.1.2: NXDOMAIN is final; any other error counts as an empty answer, but a bogus one
    // is not to be replaced.
    if answer.rcode == ResponseCode::NXDOMAIN || answer.security == Security::Bogus {
        return false;
    }
    !answer.answer.iter().any(|rrset| {
        rrset.record_type == RecordType::AAAA
            && rrset.rdata.iter().any(|data| !data.starts_with(&MAPPED))
    })
}

/// The answer made of `ipv4`, the answer to the same question of type A; `without_ipv6` when that has no
/// address either.
#[must_use]
pub fn synthesise(prefix: Prefix, without_ipv6: Answer, ipv4: &Answer) -> Answer {
    if ipv4.rcode == ResponseCode::SERVFAIL {
        // Addresses that are bogus or cannot be had are a failure, not a denial.
        return ipv4.clone();
    }
    let has_address = ipv4
        .answer
        .iter()
        .any(|rrset| rrset.record_type == RecordType::A);
    if !has_address {
        return without_ipv6;
    }
    // RFC 6147, 5.1.7: no longer than the denial of AAAA may be kept.
    let ttl_max = without_ipv6.ttl.max(1);
    let answer = ipv4.answer.iter().map(|rrset| {
        if rrset.record_type == RecordType::A {
            Arc::new(embed_all(prefix, rrset, ttl_max))
        } else {
            Arc::clone(rrset)
        }
    });
    Answer {
        rcode: ResponseCode::NOERROR,
        answer: answer.collect(),
        authority: Vec::new(),
        additional: Vec::new(),
        ttl: ipv4.ttl.min(ttl_max),
        // RFC 6147, 5.5: both the denial and the addresses were validated.
        security: ipv4.security.min(without_ipv6.security),
        ..ipv4.clone()
    }
}

/// The name under `in-addr.arpa` of the IPv4 address that `name`, under `ip6.arpa`, stands for within the prefix
/// (RFC 6147, 5.3.1).
#[must_use]
pub fn reverse_of_ipv4(prefix: Prefix, name: &Name) -> Option<Name> {
    let labels: Vec<&[u8]> = name.labels().collect();
    let (nibbles, zone) = labels.split_at_checked(32)?;
    if zone != [&b"ip6"[..], b"arpa"] {
        return None;
    }
    let mut octets = [0u8; 16];
    for (place, pair) in octets.iter_mut().rev().zip(nibbles.chunks(2)) {
        for label in pair.iter().rev() {
            let [digit] = label else { return None };
            let value = char::from(*digit).to_digit(16)?;
            *place = *place << 4 | u8::try_from(value).ok()?;
        }
    }
    let mut at = usize::from(prefix.length / 8);
    let mut address = [0u8; 4];
    for octet in &mut address {
        if at == 8 {
            at += 1;
        }
        *octet = *octets.get(at)?;
        at += 1;
    }
    if embed(prefix, Ipv4Addr::from(address)) != Some(octets) {
        return None;
    }
    let zone = Name::root().child(b"arpa").ok()?.child(b"in-addr").ok()?;
    address
        .iter()
        .try_fold(zone, |zone, octet| zone.child(octet.to_string().as_bytes()))
        .ok()
}

/// The answer to the question about `asked` under `in-addr.arpa`, told of `name` in its place. It is not signed.
#[must_use]
pub fn renamed(answer: &Answer, asked: &Name, name: &Name) -> Answer {
    let rename = |rrset: &Arc<Rrset>| {
        if rrset.owner != *asked {
            return Arc::clone(rrset);
        }
        Arc::new(Rrset {
            owner: name.clone(),
            signatures: RdataList::default(),
            ..Rrset::clone(rrset)
        })
    };
    Answer {
        answer: answer.answer.iter().map(rename).collect(),
        security: answer.security.min(Security::Insecure),
        ..answer.clone()
    }
}

fn embed_all(prefix: Prefix, rrset: &Rrset, ttl_max: u32) -> Rrset {
    let addresses: Vec<[u8; 16]> = rrset
        .rdata
        .iter()
        .filter_map(|data| data.first_chunk::<4>())
        .filter_map(|octets| embed(prefix, Ipv4Addr::from(*octets)))
        .collect();
    Rrset {
        owner: rrset.owner.clone(),
        record_type: RecordType::AAAA,
        class: rrset.class,
        ttl: rrset.ttl.min(ttl_max),
        rdata: RdataList::new(addresses.iter().map(|octets| octets.as_slice())),
        signatures: RdataList::default(),
    }
}

/// The IPv6 address of an IPv4 address under a prefix (RFC 6052, 2.2): bits 64 to 71 stay zero.
#[must_use]
pub fn embed(prefix: Prefix, address: Ipv4Addr) -> Option<[u8; 16]> {
    let IpAddr::V6(start) = prefix.address else {
        return None;
    };
    if !matches!(prefix.length, 32 | 40 | 48 | 56 | 64 | 96) {
        return None;
    }
    let mut octets = start.octets();
    let mut at = usize::from(prefix.length / 8);
    for octet in octets.iter_mut().skip(at) {
        *octet = 0;
    }
    for octet in address.octets() {
        if at == 8 {
            at += 1;
        }
        *octets.get_mut(at)? = octet;
        at += 1;
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn the_examples_of_rfc_6052() {
        // RFC 6052, 2.4.
        for (prefix, length, expected) in [
            ("2001:db8::", 32, "2001:db8:c000:221::"),
            ("2001:db8:100::", 40, "2001:db8:1c0:2:21::"),
            ("2001:db8:122::", 48, "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::", 56, "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::", 64, "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::", 96, "2001:db8:122:344::192.0.2.33"),
        ] {
            let prefix = Prefix {
                address: prefix.parse().unwrap(),
                length,
            };
            let embedded = embed(prefix, Ipv4Addr::new(192, 0, 2, 33)).unwrap();
            assert_eq!(
                Ipv6Addr::from(embedded),
                expected.parse::<Ipv6Addr>().unwrap()
            );
        }
    }

    #[test]
    fn reverse_names_within_the_prefix_lead_to_ipv4() {
        let reverse = |prefix: &str, length, address: &str| {
            let prefix = Prefix {
                address: prefix.parse().unwrap(),
                length,
            };
            let octets = address.parse::<Ipv6Addr>().unwrap().octets();
            let nibbles = octets
                .iter()
                .rev()
                .flat_map(|octet| [octet & 15, octet >> 4]);
            let text: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
            let name = Name::from_text(&format!("{text}ip6.arpa")).unwrap();
            reverse_of_ipv4(prefix, &name).map(|name| name.to_string())
        };
        let expected = Some("33.2.0.192.in-addr.arpa.".to_owned());
        assert_eq!(reverse("64:ff9b::", 96, "64:ff9b::192.0.2.33"), expected);
        assert_eq!(reverse("2001:db8::", 32, "2001:db8:c000:221::"), expected);
        let with_gap = reverse("2001:db8:122::", 48, "2001:db8:122:c000:2:2100::");
        assert_eq!(with_gap, expected);
        assert_eq!(reverse("64:ff9b::", 96, "64:ff9b:0:1::192.0.2.33"), None);
        assert_eq!(reverse("2001:db8::", 32, "2001:db8:c000:221::1"), None);
        let short = Name::from_text("1.0.ip6.arpa").unwrap();
        let prefix = Prefix {
            address: "64:ff9b::".parse().unwrap(),
            length: 96,
        };
        assert_eq!(reverse_of_ipv4(prefix, &short), None);
    }

    #[test]
    fn an_ipv4_prefix_gives_nothing() {
        let prefix = Prefix {
            address: "10.0.0.0".parse().unwrap(),
            length: 8,
        };
        assert_eq!(embed(prefix, Ipv4Addr::LOCALHOST), None);
    }
}
