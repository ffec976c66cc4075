//! The way of a repeated question: from octets to octets.
//!
//! Owns the fast path. It finds, ages and writes an answer under one lock with one hash and without
//! allocating; what it writes is what `wire::encode_answer` writes, because it is the same writer.

use bytes::BytesMut;

use crate::answer::{ExtendedError, Origin, ResponseCode, Security};
use crate::cache::message::{Found, Want, expired_ttl, find, read};
use crate::cache::shard::{Entry, Kind, Shard};
use crate::rrset::RecordType;
use crate::settings::Settings;
use crate::wire::{Body, Head, QueryView, encode};

/// An answer that was written from the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The response code in the message.
    pub rcode: ResponseCode,
    /// The extended error in the message, if any.
    pub extended_error: Option<ExtendedError>,
    /// Seconds for `cache-control: max-age`; none means `no-store`.
    pub max_age: Option<u32>,
    /// Where it came from: `Cache`, `NegativeCache` or `Stale`.
    pub origin: Origin,
    /// The security status.
    pub security: Security,
    /// Whether it is time to renew it behind: `Event::Prefetch` is due. Said once for each entry.
    pub renew: bool,
}

/// Appends the answer to `out`, if there is one.
pub(crate) fn answer(
    shard: &mut Shard,
    name_hash: u64,
    now: u32,
    (view, size_limit): (&QueryView<'_>, u16),
    settings: &Settings,
    out: &mut BytesMut,
) -> Option<Hit> {
    if view.record_type == RecordType::AAAA && settings.resolution.dns64_prefix.is_some() {
        // What is kept is the denial; an address is made of it by the mesh (RFC 6147).
        return None;
    }
    let want = Want::for_client(now, view.checking_disabled, settings);
    let chosen = choose(shard, name_hash, view, want, settings)?;
    let (at, is_stale) = (chosen.at, chosen.is_stale);
    shard.mark_used(at);
    // RFC 9520, 3.2: what has just failed is not asked for again at once.
    let ends = |entry| is_due(entry, now, settings);
    let due = !chosen.has_failed && (is_stale || shard.entry(at).is_some_and(ends));
    let renew = due && shard.mark_renewing(at);
    let found = read(shard.entry(at)?, view.name, now, expired_ttl(settings))?;
    Some(write(
        &found,
        (view, size_limit),
        settings,
        out,
        (is_stale, renew),
    ))
}

/// The entry to answer from.
struct Chosen {
    at: u32,
    is_stale: bool,
    /// Whether it stands in for a failure that is remembered.
    has_failed: bool,
}

fn choose(
    shard: &Shard,
    name_hash: u64,
    view: &QueryView<'_>,
    want: Want,
    settings: &Settings,
) -> Option<Chosen> {
    let asked = (view.record_type, view.class);
    let fresh = find(shard, name_hash, view.name, asked, want);
    let failed = fresh
        .and_then(|at| shard.entry(at))
        .is_some_and(|entry| entry.kind == Kind::Failure && entry.security != Security::Bogus);
    // RFC 8767, 5: data that could not be renewed is better than a failure; and with a client timeout of
    // zero nobody waits for the renewal.
    let at_once = settings
        .cache
        .serve_stale
        .is_some_and(|stale| stale.client_timeout.is_zero());
    if failed || (fresh.is_none() && at_once) {
        let want = want.or_stale(settings);
        let stale = want.and_then(|want| find(shard, name_hash, view.name, asked, want));
        if let Some(at) = stale {
            return Some(Chosen {
                at,
                is_stale: true,
                has_failed: failed,
            });
        }
    }
    fresh.map(|at| Chosen {
        at,
        is_stale: false,
        has_failed: false,
    })
}

/// Whether an entry is within the last share of its life.
fn is_due(entry: &Entry, now: u32, settings: &Settings) -> bool {
    let Some(percent) = settings.cache.prefetch_percent else {
        return false;
    };
    let life = u64::from(entry.expires.saturating_sub(entry.stored));
    let left = u64::from(entry.expires.saturating_sub(now));
    entry.kind != Kind::Failure && left * 100 <= life * u64::from(percent)
}

fn write(
    found: &Found<'_>,
    (view, size_limit): (&QueryView<'_>, u16),
    settings: &Settings,
    out: &mut BytesMut,
    (is_stale, renew): (bool, bool),
) -> Hit {
    let head = Head {
        id: view.id,
        spelling: view.spelling,
        name: view.name,
        record_type: view.record_type,
        class: view.class,
        recursion_desired: view.recursion_desired,
        checking_disabled: view.checking_disabled,
        authentic_data: view.authentic_data,
        edns: view.edns,
        size_limit,
    };
    let [answer, authority, additional] = found.sections;
    let is_positive = found.rcode == ResponseCode::NOERROR && answer.clone().next().is_some();
    let body = Body {
        rcode: found.rcode,
        authoritative: false,
        security: found.security,
        extended_error: found.extended_error,
        ttl: found.ttl,
        answer,
        authority,
        additional,
    };
    let encoded = encode(out, &head, body, settings);
    Hit {
        rcode: encoded.rcode,
        extended_error: encoded.extended_error,
        max_age: encoded.max_age,
        origin: match (is_stale, is_positive) {
            (true, _) => Origin::Stale,
            (false, true) => Origin::Cache,
            (false, false) => Origin::NegativeCache,
        },
        security: found.security,
        renew,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Answer;
    use crate::cache::Cache;
    use crate::cache::sample::{
        CD, RD, address, at, hit, message, name, nxdomain, positive, question, set,
    };
    use crate::name::NAME_MAX;
    use crate::question::Query;
    use crate::random::Random;
    use crate::wire::{encode_answer, parse_query};

    #[test]
    fn renewal_is_asked_for_once_in_the_last_tenth() {
        let (cache, settings) = (Cache::default(), Settings::default());
        let asked = question("a.example", RecordType::A);
        cache.store(at(0), &settings, &asked, &positive("a.example", 100));
        let renew = |now| {
            hit(&cache, at(now), "a.example", RD, &settings)
                .unwrap()
                .renew
        };
        assert!(!renew(89) && renew(90) && !renew(91));
        cache.store(at(91), &settings, &asked, &positive("a.example", 100));
        assert!(!renew(92) && renew(182));
    }

    #[test]
    fn the_fast_path_writes_what_the_slow_path_writes() {
        let mut random = Random::from_seed([5, 6]);
        let mut settings = Settings::default();
        let mut hits = 0;
        for round in 0..3000 {
            settings.responses.minimal = random.below(2) == 0;
            let cache = Cache::new(1 << 20, random.fork());
            let owner = format!("w{round}.example");
            let answer = random_answer(&mut random, &owner);
            cache.store(at(10), &settings, &question(&owner, RecordType::A), &answer);
            let bits = [RD, CD, 0x0120][random.below(3)];
            let edns = [None, Some(false), Some(true)][random.below(3)];
            let message = message(&name(&owner), RecordType::A, bits, edns);
            let mut buffer = [0; NAME_MAX];
            let view = parse_query(&message, &mut buffer).unwrap();
            let limit = [u16::MAX, 512, 100][random.below(3)];
            let query = view.to_query(None, limit);
            let later = [10, 10, 15, 25][random.below(4)];
            let mut out = BytesMut::from(&b"before"[..]);
            let hit = cache.hit(at(later), &view, limit, &settings, &mut out);
            let looked = match query.checking_disabled {
                true => cache.answer(at(later), &query.question),
                false => cache.verdict(at(later), &query.question),
            };
            let Some(hit) = hit else {
                assert!(looked.is_none());
                continue;
            };
            hits += 1;
            let same = |answer: &Answer| {
                let shaped = encode_answer(&query, answer, &settings, hit.origin);
                assert_eq!(out[6..], shaped.message[..], "{query:?} {answer:?}");
                assert_eq!(hit.max_age, shaped.max_age);
                assert_eq!((hit.rcode, hit.security), (shaped.rcode, shaped.security));
                assert_eq!(hit.extended_error, shaped.extended_error);
            };
            same(&looked.unwrap());
            if later == 10 && settings.responses.minimal {
                same(&answer);
            }
            decodes(&out[6..], &query, &answer);
        }
        assert!(hits > 2500, "{hits}");
    }

    /// An answer of up to three RRsets for `owner`, drawn from the generator.
    fn random_answer(random: &mut Random, owner: &str) -> Answer {
        let ttl = 20 + random.below(200) as u32;
        let security = [Security::Insecure, Security::Secure][random.below(2)];
        let rcode = ResponseCode::NOERROR;
        match random.below(5) {
            0 => Answer {
                security,
                ..nxdomain("example", security)
            },
            1 => Answer {
                rcode,
                ..nxdomain("example", security)
            },
            2 => Answer::empty(ResponseCode::SERVFAIL, Some(ExtendedError::OTHER)),
            3 => {
                let mut answer = positive("target.example", ttl);
                let alias = b"\x06Target\x07exAmple\x00";
                answer
                    .answer
                    .insert(0, set(owner, RecordType::CNAME, ttl + 7, &[alias]));
                answer.authority = vec![set(
                    "example",
                    RecordType::NSEC,
                    ttl,
                    &[b"\x00\x00\x01\x40"],
                )];
                answer.additional = vec![address("n.example", 11)];
                Answer { security, ..answer }
            }
            _ => {
                let count = 1 + random.below(20) as u8;
                let rdata: Vec<[u8; 4]> = (0..count).map(|last| [10, 0, 0, last]).collect();
                let rdata: Vec<&[u8]> = rdata.iter().map(|each| &each[..]).collect();
                let mut answer = positive(owner, ttl);
                answer.answer = vec![set(owner, RecordType::A, ttl, &rdata)];
                Answer { security, ..answer }
            }
        }
    }

    /// Whether hickory-proto reads the same out of a message.
    fn decodes(octets: &[u8], query: &Query, answer: &Answer) {
        let message = hickory_proto::op::Message::from_vec(octets).unwrap();
        assert_eq!(message.id, query.id);
        assert_eq!(u16::from(message.response_code), answer.rcode.0);
        assert_eq!(message.edns.is_some(), query.edns.is_some());
        if !message.truncation {
            let data: usize = answer.answer.iter().map(|set| set.rdata.len()).sum();
            let signatures = if query.dnssec_ok() {
                answer.answer.len()
            } else {
                0
            };
            assert_eq!(message.answers.len(), data + signatures);
        }
        let edns = query.edns.unwrap_or_default();
        assert!(edns.padding || octets.len() < 2000);
    }
}
