//! IPv6 addresses made of IPv4 ones (DNS64, RFC 6147).
//!
//! Owns when an answer is without IPv6 addresses, the embedding of an address in a prefix (RFC 6052,
//! 2.2) and the answer that is made. Never looks anything up.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::answer::{Answer, ResponseCode, Security};
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
    fn an_ipv4_prefix_gives_nothing() {
        let prefix = Prefix {
            address: "10.0.0.0".parse().unwrap(),
            length: 8,
        };
        assert_eq!(embed(prefix, Ipv4Addr::LOCALHOST), None);
    }
}
