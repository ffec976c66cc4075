//! The one door to all caches.
//!
//! Owns what may be asked of them and stored in them. Shared by every worker; each shard is locked for one
//! lookup at a time; bounded by octets. Reads no clock and draws no numbers: time and seed are handed in.

mod change;
mod delegation;
pub mod denial;
mod entry;
pub(crate) mod halves;
mod hit;
pub mod inside;
pub mod keys;
mod message;
mod rrset;
#[cfg(test)]
mod sample;
mod shard;
pub mod signatures;
mod store;
mod trust;

use std::sync::Arc;

use bytes::BytesMut;

use crate::answer::{Answer, ResponseCode, Security};
use crate::cache::change::{Outdated, outdated};
use crate::cache::denial::DenialCache;
use crate::cache::inside::InsideCache;
use crate::cache::keys::KeyCache;
use crate::cache::message::{Want, expired_ttl};
use crate::cache::rrset::{NewRrset, Put, Times, key_of};
use crate::cache::shard::{Entry, Shard};
use crate::cache::signatures::GoodSignatures;
use crate::cache::store::{Store, dead_before, seconds};
use crate::name::Name;
use crate::question::{Question, QuestionKey};
use crate::rrset::{Class, RecordType, Rrset, made_by_dname};
use crate::settings::{CacheSettings, Settings};
use crate::time::Now;
use crate::wire::QueryView;

pub use hit::Hit;
pub use rrset::{CachedRrset, bound_ttl};
pub use store::Usage;
pub use trust::Trust;

/// The caches: shared by every worker, locked for one lookup at a time, bounded by octets.
#[derive(Debug)]
pub struct Cache {
    store: Store,
    keys: KeyCache,
    denials: DenialCache,
    good_signatures: GoodSignatures,
    inside: InsideCache,
}

impl Default for Cache {
    /// A small cache with a fixed seed, for tests. Names in it can be made to collide.
    fn default() -> Self {
        Self::new(16 << 20, [0, 0])
    }
}

impl Cache {
    /// A cache of at most `size` octets (`CacheSettings::size`); `seed` must be secret, since clients choose names.
    #[must_use]
    pub fn new(size: usize, seed: [u64; 2]) -> Self {
        Self {
            store: Store::new(size, seed),
            keys: KeyCache::default(),
            denials: DenialCache::default(),
            good_signatures: GoodSignatures::default(),
            inside: InsideCache::default(),
        }
    }

    /// What is known of the keys of zones.
    #[must_use]
    pub const fn keys(&self) -> &KeyCache {
        &self.keys
    }

    /// Validated denials.
    #[must_use]
    pub const fn denials(&self) -> &DenialCache {
        &self.denials
    }

    /// Signatures that were found good.
    #[must_use]
    pub const fn good_signatures(&self) -> &GoodSignatures {
        &self.good_signatures
    }

    /// Names at which no zone begins.
    #[must_use]
    pub const fn inside(&self) -> &InsideCache {
        &self.inside
    }

    /// Answers a repeated question by appending the whole message to `out`; see [`Hit`].
    ///
    /// The caller has checked that this client may ask, and that no local zone has the name. `size_limit` is
    /// what its transport carries, 65 535 for DoH. Nothing is appended when there is no answer.
    pub fn hit(
        &self,
        now: Now,
        view: &QueryView<'_>,
        size_limit: u16,
        settings: &Settings,
        out: &mut BytesMut,
    ) -> Option<Hit> {
        self.store.with(view.name, |shard, hash| {
            hit::answer(shard, hash, seconds(now), (view, size_limit), settings, out)
        })?
    }

    /// A fresh answer made of data, validated or not (see its `security`), bogus ones left out. Also a fresh
    /// failure to resolve (RFC 9520), as SERVFAIL.
    #[must_use]
    pub fn answer(&self, now: Now, question: &Question) -> Option<Answer> {
        let want = Want {
            now: seconds(now),
            validated: false,
            stale: None,
        };
        self.look(want, question, 0)
    }

    /// A fresh answer that went through validation: data, or the SERVFAIL of a bogus verdict. Also a fresh
    /// failure to resolve.
    #[must_use]
    pub fn verdict(&self, now: Now, question: &Question) -> Option<Answer> {
        let want = Want {
            now: seconds(now),
            validated: true,
            stale: None,
        };
        self.look(want, question, 0)
    }

    /// An expired answer that may still be served (RFC 8767), its TTLs and extended error those of a stale one.
    #[must_use]
    pub fn stale(&self, now: Now, settings: &Settings, key: &QuestionKey) -> Option<Answer> {
        let want = Want::for_client(seconds(now), key.checking_disabled, settings);
        let ttl = expired_ttl(settings);
        self.look(want.or_stale(settings)?, &key.question, ttl)
    }

    fn look(&self, want: Want, question: &Question, expired_ttl: u32) -> Option<Answer> {
        let name = question.name.as_wire();
        let asked = (question.record_type, question.class);
        self.store.with(name, |shard, hash| {
            let at = message::find(shard, hash, name, asked, want)?;
            shard.mark_used(at);
            message::read(shard.entry(at)?, name, want.now, expired_ttl)?.to_answer()
        })?
    }

    /// The NXDOMAIN of the closest ancestor of `name` that is proven not to exist (RFC 8020): so it does not
    /// either. `name` itself is not looked at.
    #[must_use]
    pub fn nxdomain_above(&self, now: Now, name: &Name, class: Class) -> Option<Answer> {
        name.ancestors().skip(1).find_map(|ancestor| {
            let question = Question {
                name: ancestor,
                record_type: RecordType(0),
                class,
            };
            self.verdict(now, &question).filter(|answer| {
                answer.rcode == ResponseCode::NXDOMAIN && answer.security == Security::Secure
            })
        })
    }

    /// Keeps what a state came to, and the status of the RRsets in it.
    ///
    /// Failures stay for `failure_ttl`, bogus verdicts for `bogus_ttl` at most, everything else for `Answer::ttl` within the
    /// bounds of the settings; zero keeps nothing, but for serving stale. Authoritative answers are those of local
    /// zones and are not kept.
    pub fn store(&self, now: Now, settings: &Settings, question: &Question, answer: &Answer) {
        if answer.authoritative {
            return;
        }
        // One insecure part makes the whole insecure, so that says nothing of the others.
        if answer.answer.len() > 1 && answer.security == Security::Secure {
            let made = made_by_dname(&answer.answer);
            let sets = answer.answer.iter().enumerate();
            for (_, set) in sets.filter(|(index, _)| !made.contains(index)) {
                let times = times(now, &settings.cache);
                self.put(times, &settings.cache, (set, None, answer.security));
            }
        }
        let times = times(now, &settings.cache);
        self.store.with(question.name.as_wire(), |shard, hash| {
            message::keep(shard, hash, times, settings, (question, answer));
        });
    }

    /// Keeps an RRset of a reply, not validated, unless a better one is there (RFC 2181, 5.4.1). Gives what is
    /// held now: the same with its TTL in bounds, or what is more trusted. A TTL of zero keeps nothing.
    ///
    /// While an answer with `leeway` seconds left is renewed, what expires by then gives way as if it had expired, so
    /// that all of the answer starts anew; else `leeway` is zero.
    pub fn store_rrset(
        &self,
        now: Now,
        settings: &CacheSettings,
        mut rrset: Rrset,
        trust: Trust,
        leeway: u32,
    ) -> Arc<Rrset> {
        let mut times = times(now, settings);
        times.renewed_until = times.now.saturating_add(leeway);
        let set = (&rrset, Some(trust), Security::Unchecked);
        match self.put(times, settings, set) {
            Some(Put::Stored(ttl)) => rrset.ttl = ttl,
            Some(Put::HeldSame | Put::HeldOther) => {
                let held = self.rrset(now, &rrset.owner, rrset.record_type, rrset.class);
                if let Some(held) = held {
                    return held.rrset;
                }
            }
            None => {}
        }
        Arc::new(rrset)
    }

    /// Keeps an RRset that was validated, with the TTL that validation allows it.
    pub fn store_verified(&self, now: Now, settings: &CacheSettings, rrset: &Rrset) {
        let times = times(now, settings);
        let trust = Some(Trust::AnswerAuthoritative);
        self.put(times, settings, (rrset, trust, Security::Secure));
    }

    fn put(
        &self,
        times: Times,
        settings: &CacheSettings,
        (set, trust, security): (&Rrset, Option<Trust>, Security),
    ) -> Option<Put> {
        let ttl = bound_ttl(set.ttl, settings);
        // A DNAME is of use for a moment longer.
        if (ttl == 0 && set.record_type != RecordType::DNAME) || set.rdata.is_empty() {
            return None;
        }
        let new = NewRrset {
            set,
            ttl,
            trust,
            security,
            complete: false,
        };
        let put = |shard: &mut Shard, hash| rrset::put(shard, hash, times, new);
        self.store.with(set.owner.as_wire(), put)
    }

    /// A fresh RRset, its TTL what is left of it.
    #[must_use]
    pub fn rrset(
        &self,
        now: Now,
        name: &Name,
        record_type: RecordType,
        class: Class,
    ) -> Option<CachedRrset> {
        let name = name.as_wire();
        self.store.with(name, |shard, hash| {
            let key = key_of(name, hash, record_type, class);
            rrset::get(shard, seconds(now), &key)
        })?
    }

    /// The fresh NS RRset of the closest zone that `name` lies in; `name` itself may be its apex.
    ///
    /// One below a delegation that has expired does not count: the parent may have dropped it since (ghost
    /// domains).
    #[must_use]
    pub fn delegation(&self, now: Now, name: &Name, class: Class) -> Option<Arc<Rrset>> {
        delegation::closest(&self.store, seconds(now), name, class)
    }

    /// Forgets expired NS RRsets from `zone` up to below `top`: a referral has gone past them.
    pub fn forget_expired_between(&self, now: Now, top: &Name, zone: &Name, class: Class) {
        delegation::forget_expired(&self.store, seconds(now), (top, zone), class);
    }

    /// Forgets a name, and with `subtree` everything below it; says how many entries that were.
    pub fn flush(&self, name: &Name, subtree: bool) -> usize {
        self.keys.forget(name, subtree);
        self.denials.forget(name, subtree);
        self.inside.forget(name, subtree);
        if subtree {
            return self.remove_if(|entry| is_within(entry, name));
        }
        let wire = name.as_wire();
        let gone = self.store.with(wire, |shard: &mut Shard, _| {
            shard.remove_if(|entry| entry::name_of(&entry.block) == wire)
        });
        gone.unwrap_or(0)
    }

    fn remove_if(&self, goes: impl Fn(&Entry) -> bool) -> usize {
        let mut gone = 0;
        self.store.each(|shard| gone += shard.remove_if(&goes));
        gone
    }

    /// Brings the caches in line with new settings: forgets only what lies under zones that changed, all
    /// of it when the way of validating changed, and shrinks or grows.
    pub fn settings_changed(&self, now: Now, old: &Settings, new: &Settings) {
        if old.cache.size != new.cache.size {
            self.store
                .resize(new.cache.size, dead_before(now, &new.cache));
        }
        let outdated = match outdated(old, new) {
            Outdated::Everything => vec![Name::root()],
            Outdated::Zones(zones) => zones,
        };
        for name in outdated {
            self.flush(&name, true);
        }
    }

    /// What all entries come to, for metrics.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.store.usage()
    }
}

fn times(now: Now, settings: &CacheSettings) -> Times {
    Times {
        now: seconds(now),
        renewed_until: seconds(now),
        dead_before: dead_before(now, settings),
    }
}

fn is_within(entry: &Entry, name: &Name) -> bool {
    Name::from_wire(entry::name_of(&entry.block)).is_ok_and(|own| own.is_within(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::sample::{RD, at, hit, name, positive, question};
    use crate::rrset::RdataList;
    use crate::settings::{LocalZone, LocalZoneKind};

    #[test]
    fn answers_age_and_expire() {
        let (cache, settings) = (Cache::default(), Settings::default());
        let asked = question("a.example", RecordType::A);
        cache.store(at(100), &settings, &asked, &positive("a.example", 60));
        let left = |now| {
            let answer = cache.answer(at(now), &asked)?;
            assert_eq!(answer.ttl, answer.answer[0].ttl);
            Some(answer.ttl)
        };
        assert_eq!((left(100), left(159), left(160)), (Some(60), Some(1), None));
        let found = cache.rrset(at(130), &name("a.example"), RecordType::A, Class::IN);
        assert_eq!(found.unwrap().rrset.ttl, 30);
        assert_eq!(
            cache.usage().entries,
            1,
            "an answer of one RRset is kept once"
        );
        assert_eq!(
            hit(&cache, at(130), "A.example", RD, &settings)
                .unwrap()
                .max_age,
            Some(30)
        );
        assert_eq!(hit(&cache, at(160), "a.example", RD, &settings), None);
    }

    #[test]
    fn time_to_live_is_bounded() {
        let mut settings = Settings::default();
        (settings.cache.ttl_min, settings.cache.ttl_max) = (10, 100);
        let cache = Cache::default();
        for (ttl, expected) in [(3, 10), (50, 50), (5000, 100)] {
            let asked = question(&format!("t{ttl}"), RecordType::A);
            let answer = positive(&format!("t{ttl}"), ttl);
            cache.store(at(0), &settings, &asked, &answer);
            let found = cache.answer(at(0), &asked).unwrap();
            assert_eq!(found.ttl, expected);
        }
    }

    #[test]
    fn flushing_and_changed_settings_forget_what_they_must() {
        let (cache, old) = (Cache::default(), Settings::default());
        for text in ["a.example", "b.a.example", "example", "other"] {
            cache.store(
                at(0),
                &old,
                &question(text, RecordType::A),
                &positive(text, 60),
            );
        }
        let has = |text| {
            cache
                .answer(at(0), &question(text, RecordType::A))
                .is_some()
        };
        assert_eq!(cache.flush(&name("a.example"), false), 1);
        assert!(!has("a.example") && has("b.a.example"));
        let mut new = old.clone();
        new.epoch = 1;
        new.cache.ttl_max = 10;
        cache.settings_changed(at(0), &old, &new);
        assert!(has("b.a.example") && has("example") && has("other"));
        new.resolution.local_zones.push(LocalZone {
            name: name("example"),
            kind: LocalZoneKind::Static,
            records: Vec::new(),
        });
        cache.settings_changed(at(0), &old, &new);
        assert!(!has("b.a.example") && !has("example") && has("other"));
        new.cache.size = 0;
        cache.settings_changed(at(0), &old, &new);
        assert_eq!(cache.usage().octets, 0);
    }

    #[test]
    fn a_million_names_cost_little_each() {
        let (cache, settings) = (Cache::new(64 << 20, [1, 2]), Settings::default());
        let count = 20_000;
        for number in 0..count {
            let owner = format!("host{number:07}.example.com");
            let mut answer = positive(&owner, 3600);
            Arc::make_mut(&mut answer.answer[0]).signatures = RdataList::default();
            cache.store(at(0), &settings, &question(&owner, RecordType::A), &answer);
        }
        let usage = cache.usage();
        assert_eq!(usage.entries, count);
        assert!(usage.octets / count < 150, "{}", usage.octets / count);
    }
}
