//! RRsets in the cache, ranked by trust (RFC 2181, 5.4.1).
//!
//! Owns storing and reading of single RRsets. Never answers a question: an RRset is an answer only when it
//! is marked as complete, and `message.rs` knows of that.

use std::sync::Arc;

use crate::answer::Security;
use crate::cache::entry::{pack_rrset, rrset_parts};
use crate::cache::shard::{Entry, Key, Kind, Marks, Shard};
use crate::cache::trust::{Decision, Standing, Trust, decide};
use crate::name::Name;
use crate::rrset::{Class, RdataList, RecordType, Rrset};
use crate::settings::CacheSettings;

/// Seconds for which a DNAME with a TTL of zero may be used on.
const GRACE: u32 = 1;

/// An RRset from the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedRrset {
    /// The RRset, its TTL what is left of it.
    pub rrset: Arc<Rrset>,
    /// How far it is trusted.
    pub trust: Trust,
    /// Its security status.
    pub security: Security,
}

/// A time to live within the bounds of the settings.
#[must_use]
pub fn bound_ttl(ttl: u32, settings: &CacheSettings) -> u32 {
    ttl.max(settings.ttl_min).min(settings.ttl_max)
}

/// What is to be stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRrset<'a> {
    pub(crate) set: &'a Rrset,
    /// Its time to live, already bounded.
    pub(crate) ttl: u32,
    /// None keeps the rank of the same data when it is there, else that of an answer.
    pub(crate) trust: Option<Trust>,
    pub(crate) security: Security,
    /// Whether it is all of the answer to the question for it.
    pub(crate) complete: bool,
}

/// The times that storing needs, in seconds of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) now: u32,
    /// What expires by then gives way to anything newer; later than `now` while a renewal runs.
    pub(crate) renewed_until: u32,
    pub(crate) dead_before: u32,
}

/// Where an RRset is kept, by its owner (lower case, wire form), type and class.
pub(crate) const fn key_of(
    name: &[u8],
    name_hash: u64,
    record_type: RecordType,
    class: Class,
) -> Key<'_> {
    Key {
        name_hash,
        name,
        record_type,
        class,
        kind: Kind::Rrset,
    }
}

/// What came of storing an RRset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is kept, for so many seconds.
    Stored(u32),
    /// The old one stays, and has the same data; its signatures stay too.
    HeldSame,
    /// The old one stays, and has other data.
    HeldOther,
}

/// Stores an RRset unless a better one is there.
pub(crate) fn put(shard: &mut Shard, name_hash: u64, times: Times, new: NewRrset<'_>) -> Put {
    let set = new.set;
    let key = key_of(set.owner.as_wire(), name_hash, set.record_type, set.class);
    let mut entry = Entry {
        block: pack_rrset(set),
        stored: times.now,
        expires: times.now.saturating_add(new.ttl),
        record_type: set.record_type,
        class: set.class,
        kind: Kind::Rrset,
        security: new.security,
        trust: new.trust.unwrap_or(Trust::AnswerAuthoritative),
        marks: Marks::complete(new.complete),
    };
    if let Some(old) = shard.find(&key).and_then(|at| shard.entry_mut(at)) {
        // Signatures are made anew without a change of what they sign.
        let same_data = rrset_parts(&old.block).map(|parts| parts.0) == Some(set.rdata.as_packed());
        if new.trust.is_none() && same_data {
            entry.trust = old.trust;
        }
        if new.ttl == 0 && same_data && is_in_grace(old, times.now) {
            // It is the one that was used, which does not live on by being used.
            entry.stored = old.stored;
            entry.expires = old.expires;
        }
        let decision = decide(
            set.record_type,
            standing(old),
            standing(&entry),
            same_data,
            times.renewed_until,
        );
        match decision {
            Decision::Keep => {
                if same_data && new.complete {
                    old.marks.set_complete();
                }
                return if same_data {
                    Put::HeldSame
                } else {
                    Put::HeldOther
                };
            }
            Decision::Replace { expires } => entry.expires = expires,
        }
        let still_complete = same_data && old.marks.is_complete() && old.expires > times.now;
        if still_complete {
            entry.marks.set_complete();
        }
    }
    let ttl = entry.expires.saturating_sub(times.now);
    shard.insert(&key, entry, times.dead_before);
    Put::Stored(ttl)
}

const fn standing(entry: &Entry) -> Standing {
    Standing {
        trust: entry.trust,
        security: entry.security,
        expires: entry.expires,
    }
}

/// Forgets an RRset that is expired.
pub(crate) fn forget_expired(shard: &mut Shard, now: u32, key: &Key<'_>) {
    let Some(at) = shard.find(key) else {
        return;
    };
    if shard.entry(at).is_some_and(|entry| entry.expires <= now) {
        shard.remove(at);
    }
}

/// What is there under a key.
#[derive(Debug, Default)]
pub(crate) enum Held {
    /// An RRset with time left.
    Fresh(Arc<Rrset>),
    /// One without.
    Expired,
    /// None.
    #[default]
    Nothing,
}

/// Whether there is an RRset, and whether it has expired.
pub(crate) fn look(shard: &mut Shard, now: u32, key: &Key<'_>) -> Held {
    match get(shard, now, key) {
        Some(found) => Held::Fresh(found.rrset),
        None if shard.find(key).is_some() => Held::Expired,
        None => Held::Nothing,
    }
}

/// A fresh RRset.
pub(crate) fn get(shard: &mut Shard, now: u32, key: &Key<'_>) -> Option<CachedRrset> {
    let at = shard.find(key)?;
    shard.mark_used(at);
    let entry = shard.entry(at)?;
    let ttl = entry.expires.saturating_sub(now);
    if ttl == 0 && !is_in_grace(entry, now) {
        return None;
    }
    Some(CachedRrset {
        rrset: Arc::new(read(key.name, entry, ttl)?),
        trust: entry.trust,
        security: entry.security,
    })
}

/// A DNAME with a TTL of zero serves the names below it that are asked for in the same second and the next,
/// which saves its zone a query for each of them.
fn is_in_grace(entry: &Entry, now: u32) -> bool {
    entry.record_type == RecordType::DNAME
        && entry.expires == entry.stored
        && now.saturating_sub(entry.expires) <= GRACE
}

fn read(name: &[u8], entry: &Entry, ttl: u32) -> Option<Rrset> {
    let (rdata, signatures) = rrset_parts(&entry.block)?;
    Some(Rrset {
        owner: Name::from_wire(name).ok()?,
        record_type: entry.record_type,
        class: entry.class,
        ttl,
        rdata: RdataList::from_packed(rdata.to_vec()),
        signatures: RdataList::from_packed(signatures.to_vec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Cache;
    use crate::cache::sample::{address, at, name, question, set};
    use crate::settings::Settings;

    #[test]
    fn lower_ranks_give_way() {
        let (cache, settings) = (Cache::default(), Settings::default());
        let store = |now, set: &Rrset, trust| {
            cache.store_rrset(at(now), &settings.cache, set.clone(), trust, 0)
        };
        let glue = set("n", RecordType::A, 600, &[&[9, 9, 9, 9]]);
        store(0, &address("n", 60), Trust::AnswerAuthoritative);
        let held = store(1, &glue, Trust::AdditionalNonAuthoritative);
        assert_eq!((held.ttl, &held.rdata), (59, &address("n", 60).rdata));
        let kept = |now| cache.rrset(at(now), &name("n"), RecordType::A, Class::IN);
        assert_eq!(kept(1).unwrap().trust, Trust::AnswerAuthoritative);
        assert_eq!(*store(60, &glue, Trust::AdditionalNonAuthoritative), *glue);
        assert_eq!(kept(60).unwrap().rrset.rdata, glue.rdata);
        // Glue is no answer to a question for it.
        assert!(
            cache
                .answer(at(60), &question("n", RecordType::A))
                .is_none()
        );
    }

    #[test]
    fn what_ends_with_the_answer_is_renewed_with_it() {
        let (cache, settings) = (Cache::default(), Settings::default());
        let ns = |ttl, target: &'static [u8]| set("z", RecordType::NS, ttl, &[target]);
        let renew = |now, ns: Arc<Rrset>, leeway| {
            let (ns, trust) = (Arc::unwrap_or_clone(ns), Trust::AuthorityAuthoritative);
            let held = cache.store_rrset(at(now), &settings.cache, ns, trust, leeway);
            held.ttl
        };
        assert_eq!(renew(0, ns(300, b"\x01a\x00"), 0), 300);
        assert_eq!(renew(270, ns(3600, b"\x01b\x00"), 29), 30);
        assert_eq!(renew(270, ns(3600, b"\x01b\x00"), 30), 3600);
    }

    #[test]
    fn a_dname_without_a_life_lasts_a_moment() {
        let (cache, settings) = (Cache::default(), Settings::default());
        let store = |now, record_type| {
            let set = Arc::unwrap_or_clone(set("d", record_type, 0, &[b"\x01a\x00"]));
            cache.store_rrset(at(now), &settings.cache, set, Trust::AnswerAuthoritative, 0);
        };
        let held = |now, record_type| {
            let found = cache.rrset(at(now), &name("d"), record_type, Class::IN);
            found.map(|found| found.rrset.ttl)
        };
        store(10, RecordType::CNAME);
        assert_eq!(held(10, RecordType::CNAME), None);
        store(10, RecordType::DNAME);
        // To be used does not prolong it.
        store(11, RecordType::DNAME);
        assert_eq!(held(11, RecordType::DNAME), Some(0));
        assert_eq!(held(12, RecordType::DNAME), None);
    }
}
