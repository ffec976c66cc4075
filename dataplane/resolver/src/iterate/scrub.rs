//! What of a reply may be used: nothing that the answering zone has no say over.
//!
//! Owns the choice of RRsets from the sections of one reply (RFC 2181, 5.4.1; RFC 5452, 6), harvest
//! limits and the guard of private addresses. Never judges what the reply means: `classify` does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::name::Name;
use crate::rdata;
use crate::rrset::{Class, RdataList, RecordType, Rrset};
use crate::settings::ResolutionSettings;
use crate::wire::Reply;

/// Gives RRsets of the answer section the signatures that stand in another section, up to `signatures_max`.
pub fn gather_signatures(reply: &mut Reply, signatures_max: usize) {
    let Reply {
        answer,
        authority,
        additional,
        ..
    } = reply;
    for rrset in answer.iter_mut().filter(|rrset| !rrset.rdata.is_empty()) {
        let elsewhere = authority.iter().chain(&*additional).filter(|other| {
            other.rdata.is_empty()
                && other.record_type == rrset.record_type
                && other.class == rrset.class
                && other.owner == rrset.owner
        });
        let found: Vec<&[u8]> = elsewhere
            .flat_map(|other| other.signatures.iter())
            .collect();
        if !found.is_empty() {
            let all = rrset.signatures.iter().chain(found).take(signatures_max);
            rrset.signatures = RdataList::new(all);
        }
    }
}

/// An unsigned NS RRset cut to what is used of one (CacheFlush).
#[must_use]
pub fn harvested(rrset: Rrset, name_servers_max: usize) -> Rrset {
    let cut = rrset.record_type == RecordType::NS
        && rrset.signatures.is_empty()
        && rrset.rdata.len() > name_servers_max;
    if !cut {
        return rrset;
    }
    let rdata = RdataList::new(rrset.rdata.iter().take(name_servers_max));
    Rrset { rdata, ..rrset }
}

/// The parts of a referral.
#[derive(Clone, Debug)]
pub struct Referral {
    /// The name servers of the zone below.
    pub ns: Rrset,
    /// DS, or the proof that there is none.
    pub proofs: Vec<Rrset>,
    /// Addresses of the name servers.
    pub glue: Vec<Rrset>,
}

fn is_denial(rrset: &Rrset) -> bool {
    matches!(rrset.record_type, RecordType::NSEC | RecordType::NSEC3)
}

fn is_address(rrset: &Rrset) -> bool {
    matches!(rrset.record_type, RecordType::A | RecordType::AAAA)
}

/// The signed NSEC and NSEC3 RRsets of the authority section that lie within the zone.
#[must_use]
pub fn denials(reply: &Reply, zone: &Name, class: Class) -> Vec<Rrset> {
    let kept = reply.authority.iter().filter(|rrset| {
        is_denial(rrset)
            && rrset.class == class
            && rrset.owner.is_within(zone)
            && !rrset.signatures.is_empty()
            && !rrset.rdata.is_empty()
    });
    kept.cloned().collect()
}

/// SOA and denials of a negative answer for `name`. Only one SOA, of the zone closest to the name.
#[must_use]
pub fn negative_authority(reply: &Reply, zone: &Name, name: &Name, class: Class) -> Vec<Rrset> {
    let soa = reply
        .authority
        .iter()
        .filter(|rrset| rrset.record_type == RecordType::SOA && rrset.class == class)
        .filter(|rrset| rrset.owner.is_within(zone) && name.is_within(&rrset.owner))
        .filter(|rrset| !rrset.rdata.is_empty())
        .max_by_key(|rrset| rrset.owner.as_wire().len());
    let mut kept: Vec<Rrset> = soa.cloned().into_iter().collect();
    kept.extend(denials(reply, zone, class));
    kept
}

/// The referral to `cut` in a reply of a server of `zone`; none when its NS RRset is gone.
#[must_use]
pub fn referral(
    reply: &Reply,
    zone: &Name,
    cut: &Name,
    class: Class,
    name_servers_max: usize,
    harden_glue: bool,
) -> Option<Referral> {
    let at_cut = |record_type: RecordType| {
        reply.authority.iter().find(move |rrset| {
            rrset.record_type == record_type && rrset.class == class && rrset.owner == *cut
        })
    };
    let mut ns = at_cut(RecordType::NS)?.clone();
    if ns.rdata.len() > name_servers_max {
        ns.rdata = RdataList::new(ns.rdata.iter().take(name_servers_max));
    }
    let mut proofs: Vec<Rrset> = at_cut(RecordType::DS).cloned().into_iter().collect();
    proofs.retain(|rrset| !rrset.rdata.is_empty());
    proofs.extend(denials(reply, zone, class));
    let names: Vec<Name> = ns.rdata.iter().filter_map(rdata::target).collect();
    let glue = addresses_of(reply, zone, class, &names, harden_glue);
    Some(Referral { ns, proofs, glue })
}

/// The A and AAAA RRsets of the additional section for these names, within the zone unless told otherwise.
#[must_use]
pub fn addresses_of(
    reply: &Reply,
    zone: &Name,
    class: Class,
    names: &[Name],
    within_zone: bool,
) -> Vec<Rrset> {
    let kept = reply.additional.iter().filter(|rrset| {
        is_address(rrset)
            && rrset.class == class
            && !rrset.rdata.is_empty()
            && names.contains(&rrset.owner)
            && (!within_zone || rrset.owner.is_within(zone))
    });
    kept.cloned().collect()
}

/// Takes private addresses out of an RRset (rebinding); none when nothing is left.
#[must_use]
pub fn without_private(rrset: Rrset, settings: &ResolutionSettings) -> Option<Rrset> {
    if settings.private_addresses.is_empty() || rrset.class != Class::IN {
        return Some(rrset);
    }
    let may = settings
        .private_domains
        .iter()
        .any(|domain| rrset.owner.is_within(domain));
    if may {
        return Some(rrset);
    }
    let kept: Vec<&[u8]> = rrset
        .rdata
        .iter()
        .filter(|item| !is_private(rrset.record_type, item, settings))
        .collect();
    if kept.len() == rrset.rdata.len() {
        return Some(rrset);
    }
    if kept.is_empty() {
        return None;
    }
    let rdata = RdataList::new(kept);
    Some(Rrset { rdata, ..rrset })
}

/// The same of several; those with nothing left go.
#[must_use]
pub fn all_without_private(rrsets: Vec<Rrset>, settings: &ResolutionSettings) -> Vec<Rrset> {
    let kept = rrsets.into_iter();
    kept.filter_map(|rrset| without_private(rrset, settings))
        .collect()
}

fn is_private(record_type: RecordType, item: &[u8], settings: &ResolutionSettings) -> bool {
    let addresses = match record_type {
        RecordType::A | RecordType::AAAA => address(item).into_iter().collect(),
        RecordType::SVCB | RecordType::HTTPS => hints(item),
        _ => return false,
    };
    addresses.iter().any(|&address| {
        settings
            .private_addresses
            .iter()
            .any(|prefix| prefix.contains(address))
    })
}

/// The address that A or AAAA record data is.
#[must_use]
pub fn address(item: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(item) {
        return Some(IpAddr::V4(Ipv4Addr::from(octets)));
    }
    let octets = <[u8; 16]>::try_from(item).ok()?;
    Some(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical())
}

/// The addresses in `ipv4hint` and `ipv6hint` of SVCB record data (RFC 9460, 7.3).
fn hints(item: &[u8]) -> Vec<IpAddr> {
    const IPV4HINT: u16 = 4;
    const IPV6HINT: u16 = 6;
    let mut found = Vec::new();
    let Some(mut rest) = item.get(2..).and_then(after_name) else {
        return found;
    };
    while let Some((&[key_high, key_low, high, low], tail)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((value, next)) = tail.split_at_checked(length) else {
            break;
        };
        match u16::from_be_bytes([key_high, key_low]) {
            IPV4HINT => found.extend(value.chunks(4).filter_map(address)),
            IPV6HINT => found.extend(value.chunks(16).filter_map(address)),
            _ => {}
        }
        rest = next;
    }
    found
}

fn after_name(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, tail) = rest.split_first()?;
        rest = tail.get(usize::from(length)..)?;
        if length == 0 {
            return Some(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::ResponseCode;
    use crate::iterate::internet::internet;
    use crate::scenario::{AA, Reaction, World, answers, refers, shown, texts};
    use crate::settings::{Prefix, Settings};

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    fn rrset(owner: &str, record_type: RecordType, items: &[&[u8]]) -> Rrset {
        let rdata = RdataList::new(items.iter().copied());
        Rrset::unsigned(name(owner), record_type, 60, rdata)
    }

    #[test]
    fn a_referral_keeps_its_own_glue_only() {
        let servers = [
            name("ns.example.com"),
            name("ns.example.org"),
            name("x.com"),
        ];
        let items: Vec<&[u8]> = servers.iter().map(Name::as_wire).collect();
        let reply = Reply {
            id: 0,
            authoritative: false,
            truncated: false,
            recursion_desired: false,
            recursion_available: false,
            authentic_data: false,
            checking_disabled: false,
            rcode: ResponseCode::NOERROR,
            question: None,
            edns: None,
            answer: vec![],
            authority: vec![rrset("example.com", RecordType::NS, &items)],
            additional: vec![
                rrset("ns.example.com", RecordType::A, &[&[192, 0, 2, 1]]),
                rrset("ns.example.org", RecordType::A, &[&[192, 0, 2, 2]]),
                rrset("www.example.com", RecordType::A, &[&[192, 0, 2, 3]]),
            ],
        };
        let take = |max, harden| {
            referral(
                &reply,
                &name("com"),
                &name("example.com"),
                Class::IN,
                max,
                harden,
            )
            .unwrap()
        };
        let hardened = take(20, true);
        assert_eq!(hardened.glue.len(), 1);
        assert_eq!(hardened.glue[0].owner, name("ns.example.com"));
        assert_eq!(take(20, false).glue.len(), 2);
        assert_eq!(take(2, true).ns.rdata.len(), 2);
        assert!(referral(&reply, &name("com"), &name("other.com"), Class::IN, 9, true).is_none());
    }

    /// `example.com` has forty name servers, each with its address; its own answers are 192.0.2.1.
    fn crowded() -> World {
        let mut world = World::new();
        let ns: Vec<String> = (0..40)
            .map(|n| format!("example.com 3600 NS ns{n}.example.com"))
            .collect();
        let glue: Vec<String> = (0..40)
            .map(|n| format!("ns{n}.example.com 3600 A 10.0.1.{n}"))
            .collect();
        let (own, addresses) = (ns.clone(), glue.clone());
        world.server("10.0.0.1", move |_| {
            let (ns, glue): (Vec<&str>, Vec<&str>) = (
                own.iter().map(String::as_str).collect(),
                addresses.iter().map(String::as_str).collect(),
            );
            refers(&ns, &glue)
        });
        for n in 0..40 {
            let (ns, glue) = (ns.clone(), glue.clone());
            world.server(&format!("10.0.1.{n}"), move |plan| {
                match plan.question.record_type {
                    RecordType::NS => {
                        let all = |list: &[String]| {
                            texts(&list.iter().map(String::as_str).collect::<Vec<_>>())
                        };
                        Reaction::Reply(AA, all(&ns), vec![], all(&glue))
                    }
                    _ => answers(&["www.example.com 300 A 192.0.2.1"]),
                }
            });
        }
        world
    }

    #[test]
    fn of_a_crowd_of_name_servers_twenty_are_kept() {
        for max in [20, 5] {
            let mut world = crowded();
            world.settings.limits.name_servers_max = max;
            let answer = world.resolve("www.example.com", RecordType::A);
            assert_eq!(answer.rcode, ResponseCode::NOERROR);
            let zone = name("example.com");
            let held = |world: &World| {
                let cache = &world.cache;
                let ns = cache.rrset(world.now, &zone, RecordType::NS, Class::IN);
                ns.unwrap().rrset.rdata.len()
            };
            assert_eq!(held(&world), max);
            let glue = (0..40).filter(|n| {
                let owner = name(&format!("ns{n}.example.com"));
                let held = world
                    .cache
                    .rrset(world.now, &owner, RecordType::A, Class::IN);
                held.is_some()
            });
            assert_eq!(glue.count(), max);
            // The zone's own RRset, which is asked for, is cut as well.
            let answer = world.resolve("example.com", RecordType::NS);
            assert_eq!((answer.answer[0].rdata.len(), held(&world)), (max, max));
            assert_eq!(answer.additional.len(), max);
        }
    }

    #[test]
    fn a_public_zone_cannot_hand_out_private_addresses() {
        let private = |address: &str, length| Prefix {
            address: address.parse().unwrap(),
            length,
        };
        let mut world = crowded();
        world.settings.resolution.private_addresses = vec![private("192.0.2.0", 24)];
        for _ in 0..2 {
            // The second time from the cache.
            let answer = world.resolve("www.example.com", RecordType::A);
            assert!(answer.answer.is_empty(), "{answer:?}");
        }
        let mut world = crowded();
        let answer = world.resolve("example.com", RecordType::NS);
        assert!(!answer.additional.is_empty());
        // Its name servers are not asked at such addresses, nor are they told of.
        world.settings.resolution.private_addresses = vec![private("10.0.1.0", 25)];
        let answer = world.resolve("example.com", RecordType::NS);
        assert!(answer.additional.is_empty(), "{answer:?}");
        let mut world = crowded();
        world.settings.resolution.private_addresses = vec![private("10.0.1.0", 24)];
        let answer = world.resolve("www.example.com", RecordType::A);
        assert_eq!(answer.rcode, ResponseCode::SERVFAIL);
        assert!(
            world
                .asked()
                .iter()
                .all(|asked| asked.starts_with("10.0.0.1 "))
        );
        world.settings.resolution.private_domains = vec![name("example.com")];
        let answer = world.resolve("www.example.com", RecordType::A);
        assert_eq!(answer.rcode, ResponseCode::NOERROR);
    }

    #[test]
    fn private_addresses_go_unless_the_domain_may() {
        let mut settings = Settings::default().resolution;
        settings.private_addresses = vec![Prefix {
            address: "10.0.0.0".parse().unwrap(),
            length: 8,
        }];
        settings.private_domains = vec![name("home")];
        let mixed = rrset(
            "a.example",
            RecordType::A,
            &[&[10, 0, 0, 1], &[192, 0, 2, 1]],
        );
        let left = without_private(mixed, &settings).unwrap();
        assert_eq!(left.rdata.len(), 1);
        let private = rrset("a.example", RecordType::A, &[&[10, 0, 0, 1]]);
        assert!(without_private(private, &settings).is_none());
        let allowed = rrset("a.home", RecordType::A, &[&[10, 0, 0, 1]]);
        assert!(without_private(allowed, &settings).is_some());
        let mut mapped = [0u8; 16];
        mapped[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 1]);
        let mapped = rrset("a.example", RecordType::AAAA, &[&mapped]);
        assert!(without_private(mapped, &settings).is_none());
        let svcb = [&b"\0\x01\0\0\x04\0\x04"[..], &[10, 0, 0, 9]].concat();
        let svcb = rrset("a.example", RecordType::HTTPS, &[&svcb]);
        assert!(without_private(svcb, &settings).is_none());
    }

    #[test]
    fn foreign_records_are_left_out() {
        let mut world = internet();
        world.server("10.0.0.3", |_| {
            Reaction::Reply(
                AA,
                texts(&[
                    "www.example.com 300 A 192.0.2.1",
                    "www.bank.org 300 A 6.6.6.6",
                ]),
                texts(&["org 300 NS ns.example.com"]),
                texts(&["a.gtld.com 300 A 6.6.6.6"]),
            )
        });
        let answer = world.resolve("www.example.com", RecordType::A);
        assert_eq!(shown(&answer), ["www.example.com. A 192.0.2.1"]);
        assert!(answer.authority.is_empty() && answer.additional.is_empty());
    }
}
