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
