//! The one door to all caches.
//!
//! Owns what may be asked of them and stored in them. Shared by every worker; each shard is locked for one
//! lookup at a time; bounded by octets. Reads no clock and draws no numbers: time and seed are handed in.

pub mod denial;
mod entry;
pub(crate) mod halves;
mod hit;
pub mod inside;
pub mod keys;
mod message;
mod rrset;
mod shard;
pub mod signatures;
mod store;
mod trust;

use std::sync::Arc;

use bytes::BytesMut;

use crate::answer::{Answer, ResponseCode, Security};
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
use crate::settings::{CacheSettings, Settings, UpstreamZone};
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
        ancestors(name).skip(1).find_map(|ancestor| {
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
    pub fn store(&self, now: Now, settings: &Settings, key: &QuestionKey, answer: &Answer) {
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
        let question = &key.question;
        let times = times(now, &settings.cache);
        self.store.with(question.name.as_wire(), |shard, hash| {
            message::keep(shard, hash, times, settings, (question, answer));
        });
    }

    /// Keeps an RRset of a reply, not validated, unless a better one is there (RFC 2181, 5.4.1). Gives what is
    /// held now: the same with its TTL in bounds, or what is more trusted. A TTL of zero keeps nothing.
    pub fn store_rrset(
        &self,
        now: Now,
        settings: &CacheSettings,
        rrset: Rrset,
        trust: Trust,
    ) -> Arc<Rrset> {
        self.renew_rrset(now, settings, rrset, trust, 0)
    }

    /// The same while an answer with `leeway` seconds left is renewed: what expires by then gives way as if it
    /// had expired, so that all of the answer starts anew.
    pub fn renew_rrset(
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
        let mut closest = None;
        for ancestor in ancestors(name) {
            let wire = ancestor.as_wire();
            let held = self.store.with(wire, |shard, hash| {
                let key = key_of(wire, hash, RecordType::NS, class);
                rrset::look(shard, seconds(now), &key)
            });
            match held.unwrap_or_default() {
                rrset::Held::Fresh(set) => {
                    closest.get_or_insert(set);
                }
                rrset::Held::Expired => closest = None,
                rrset::Held::Nothing => {}
            }
        }
        closest
    }

    /// Forgets expired NS RRsets from `zone` up to below `top`: a referral has gone past them.
    pub fn forget_expired_between(&self, now: Now, top: &Name, zone: &Name, class: Class) {
        for name in ancestors(zone).take_while(|name| name != top) {
            let wire = name.as_wire();
            self.store.with(wire, |shard, hash| {
                let key = key_of(wire, hash, RecordType::NS, class);
                rrset::forget_expired(shard, seconds(now), &key);
            });
        }
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
        let all = old.dnssec.mode != new.dnssec.mode
            || old.resolution.dns64_prefix != new.resolution.dns64_prefix
            || old.resolution.private_addresses != new.resolution.private_addresses;
        if all {
            self.flush(&Name::root(), true);
            return;
        }
        for name in changed_zones(old, new) {
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

/// The name and all names above it, the root last.
fn ancestors(name: &Name) -> impl Iterator<Item = Name> {
    core::iter::successors(Some(name.clone()), Name::parent)
}

fn is_within(entry: &Entry, name: &Name) -> bool {
    Name::from_wire(entry::name_of(&entry.block)).is_ok_and(|own| own.is_within(name))
}

/// Zones under which answers may come from elsewhere now, or count differently.
fn changed_zones(old: &Settings, new: &Settings) -> Vec<Name> {
    let mut names = Vec::new();
    let upstream = |settings: &Settings| -> Vec<(bool, UpstreamZone)> {
        let (stubs, forwards) = (
            &settings.resolution.stub_zones,
            &settings.resolution.forward_zones,
        );
        let stubs = stubs.iter().map(|zone| (true, zone.clone()));
        stubs
            .chain(forwards.iter().map(|zone| (false, zone.clone())))
            .collect()
    };
    names.extend(differing(&upstream(old), &upstream(new)).map(|zone| zone.1.name.clone()));
    let (local, new_local) = (&old.resolution.local_zones, &new.resolution.local_zones);
    names.extend(differing(local, new_local).map(|zone| zone.name.clone()));
    let (anchors, new_anchors) = (&old.dnssec.trust_anchors, &new.dnssec.trust_anchors);
    names.extend(differing(anchors, new_anchors).map(|anchor| anchor.zone.clone()));
    let (negative, new_negative) = (
        &old.dnssec.negative_trust_anchors,
        &new.dnssec.negative_trust_anchors,
    );
    names.extend(differing(negative, new_negative).map(|anchor| anchor.name.clone()));
    names.sort();
    names.dedup();
    names
}

/// What stands in only one of two lists.
fn differing<'a, T: PartialEq>(old: &'a [T], new: &'a [T]) -> impl Iterator<Item = &'a T> {
    let gone = old.iter().filter(|each| !new.contains(each));
    let come = new.iter().filter(|each| !old.contains(each));
    gone.chain(come)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::answer::{ExtendedError, Origin};
    use crate::name::NAME_MAX;
    use crate::question::Query;
    use crate::random::Random;
    use crate::rrset::RdataList;
    use crate::settings::{LocalZone, LocalZoneKind};
    use crate::time::Instant;
    use crate::wire::{encode_answer, parse_query};

    const SOA: &[u8] = b"\x01n\x00\x01r\x00\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x1e";

    fn at(seconds: u64) -> Now {
        Now {
            instant: Instant::ORIGIN.after(Duration::from_secs(seconds)),
            ..Now::default()
        }
    }

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    fn question(text: &str, record_type: RecordType) -> Question {
        Question {
            name: name(text),
            record_type,
            class: Class::IN,
        }
    }

    fn key(text: &str, record_type: RecordType) -> QuestionKey {
        QuestionKey {
            question: question(text, record_type),
            recursion_desired: true,
            checking_disabled: false,
            priming: false,
            sub: false,
            epoch: 0,
        }
    }

    fn set(owner: &str, record_type: RecordType, ttl: u32, rdata: &[&[u8]]) -> Arc<Rrset> {
        let signature = [&record_type.0.to_be_bytes()[..], &[0; 16], b"\x00sig"].concat();
        Arc::new(Rrset {
            owner: name(owner),
            record_type,
            class: Class::IN,
            ttl,
            rdata: RdataList::new(rdata.iter().copied()),
            signatures: RdataList::new([&signature[..]]),
        })
    }

    fn address(owner: &str, ttl: u32) -> Arc<Rrset> {
        set(owner, RecordType::A, ttl, &[&[1, 2, 3, 4]])
    }

    fn positive(owner: &str, ttl: u32) -> Answer {
        Answer {
            security: Security::Insecure,
            answer: vec![address(owner, ttl)],
            ttl,
            ..Answer::empty(ResponseCode::NOERROR, None)
        }
    }

    fn nxdomain(zone: &str, security: Security) -> Answer {
        Answer {
            security,
            authority: vec![set(zone, RecordType::SOA, 3600, &[SOA])],
            ttl: 30,
            ..Answer::empty(ResponseCode::NXDOMAIN, None)
        }
    }

    fn message(name: &Name, record_type: RecordType, bits: u16, edns: Option<bool>) -> Vec<u8> {
        let mut out = Vec::new();
        for field in [4711, bits, 1, 0, 0, u16::from(edns.is_some())] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        out.extend(name.as_wire().to_ascii_uppercase());
        out.extend_from_slice(&record_type.0.to_be_bytes());
        out.extend_from_slice(&[0, 1]);
        if let Some(dnssec_ok) = edns {
            out.extend_from_slice(&[0, 0, 41, 4, 0xd0, 0, 0]);
            out.extend_from_slice(&[if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
        }
        out
    }

    /// Asks over the fast path, without EDNS.
    fn hit(cache: &Cache, now: Now, text: &str, bits: u16, settings: &Settings) -> Option<Hit> {
        let message = message(&name(text), RecordType::A, bits, None);
        let mut buffer = [0; NAME_MAX];
        let view = parse_query(&message, &mut buffer).unwrap();
        let mut out = BytesMut::new();
        let hit = cache.hit(now, &view, u16::MAX, settings, &mut out);
        assert_eq!(hit.is_some(), !out.is_empty());
        hit
    }

    const RD: u16 = 0x0100;
    const CD: u16 = 0x0110;

    #[test]
    fn answers_age_and_expire() {
        let (cache, settings) = (Cache::default(), Settings::default());
        let asked = key("a.example", RecordType::A);
        cache.store(at(100), &settings, &asked, &positive("a.example", 60));
        let left = |now| {
            let answer = cache.answer(at(now), &asked.question)?;
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
            let asked = key(&format!("t{ttl}"), RecordType::A);
            let answer = positive(&format!("t{ttl}"), ttl);
            cache.store(at(0), &settings, &asked, &answer);
            let found = cache.answer(at(0), &asked.question).unwrap();
            assert_eq!(found.ttl, expected);
        }
    }

    #[test]
    fn unvalidated_data_is_for_those_who_check_themselves() {
        let (cache, mut settings) = (Cache::default(), Settings::default());
        let asked = key("a.example", RecordType::A);
        let mut answer = positive("a.example", 60);
        answer.security = Security::Unchecked;
        cache.store(at(0), &settings, &asked, &answer);
        assert_eq!(hit(&cache, at(0), "a.example", RD, &settings), None);
        assert!(hit(&cache, at(0), "a.example", CD, &settings).is_some());
        assert!(cache.verdict(at(0), &asked.question).is_none());
        assert!(cache.answer(at(0), &asked.question).is_some());
        settings.dnssec.mode = crate::settings::DnssecMode::Off;
        assert!(hit(&cache, at(0), "a.example", RD, &settings).is_some());
    }

    #[test]
    fn nxdomain_is_about_every_type_and_everything_below() {
        let (cache, settings) = (Cache::default(), Settings::default());
        let asked = key("x.example", RecordType::TXT);
        cache.store(
            at(0),
            &settings,
            &asked,
            &nxdomain("example", Security::Secure),
        );
        let found = hit(&cache, at(0), "x.example", RD, &settings).unwrap();
        assert_eq!(
            (found.rcode, found.origin),
            (ResponseCode::NXDOMAIN, Origin::NegativeCache)
        );
        assert_eq!(found.max_age, Some(30));
        let above = |text| cache.nxdomain_above(at(0), &name(text), Class::IN);
        assert!(above("a.b.x.example").is_some());
        assert!(above("x.example").is_none() && above("y.example").is_none());
        let insecure = key("i.example", RecordType::A);
        cache.store(
            at(0),
            &settings,
            &insecure,
            &nxdomain("example", Security::Insecure),
        );
        assert!(above("a.i.example").is_none(), "only proof counts");
    }

    #[test]
    fn failures_pass_and_bogus_verdicts_spare_those_who_check_themselves() {
        let (cache, settings) = (Cache::default(), Settings::default());
        let failure = Answer::empty(ResponseCode::SERVFAIL, Some(ExtendedError::NETWORK_ERROR));
        cache.store(at(0), &settings, &key("f", RecordType::A), &failure);
        assert!(hit(&cache, at(4), "f", RD, &settings).is_some());
        assert!(hit(&cache, at(4), "f", CD, &settings).is_some());
        assert!(hit(&cache, at(5), "f", RD, &settings).is_none());
        let mut bogus = failure;
        bogus.security = Security::Bogus;
        cache.store(at(0), &settings, &key("b", RecordType::A), &bogus);
        assert!(hit(&cache, at(59), "b", RD, &settings).is_some_and(|hit| hit.max_age.is_none()));
        assert!(hit(&cache, at(4), "b", CD, &settings).is_none());
    }

    #[test]
    fn stale_answers_follow_rfc_8767() {
        let (cache, mut settings) = (Cache::default(), Settings::default());
        let asked = key("a.example", RecordType::A);
        cache.store(at(0), &settings, &asked, &positive("a.example", 60));
        assert!(
            cache.stale(at(59), &settings, &asked).is_none(),
            "it is fresh"
        );
        let stale = cache.stale(at(60), &settings, &asked).unwrap();
        assert_eq!((stale.ttl, stale.answer[0].ttl), (30, 30));
        assert_eq!(stale.extended_error, Some(ExtendedError::STALE_ANSWER));
        assert!(cache.stale(at(60 + 86_400), &settings, &asked).is_some());
        assert!(cache.stale(at(61 + 86_400), &settings, &asked).is_none());
        // Without a failure the client waits for the renewal.
        assert!(hit(&cache, at(70), "a.example", RD, &settings).is_none());
        let failure = Answer::empty(ResponseCode::SERVFAIL, None);
        cache.store(at(70), &settings, &asked, &failure);
        let found = hit(&cache, at(71), "a.example", RD, &settings).unwrap();
        assert_eq!((found.origin, found.max_age), (Origin::Stale, Some(30)));
        assert!(!found.renew, "it has just failed");
        if let Some(stale) = &mut settings.cache.serve_stale {
            stale.client_timeout = Duration::ZERO;
        }
        let found = hit(&cache, at(90), "a.example", RD, &settings).unwrap();
        assert_eq!(found.origin, Origin::Stale);
        settings.cache.serve_stale = None;
        assert!(hit(&cache, at(90), "a.example", RD, &settings).is_none());
    }

    #[test]
    fn renewal_is_asked_for_once_in_the_last_tenth() {
        let (cache, settings) = (Cache::default(), Settings::default());
        let asked = key("a.example", RecordType::A);
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
    fn lower_ranks_give_way() {
        let (cache, settings) = (Cache::default(), Settings::default());
        let store = |now, set: &Rrset, trust| {
            cache.store_rrset(at(now), &settings.cache, set.clone(), trust)
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
            let held = cache.renew_rrset(at(now), &settings.cache, ns, trust, leeway);
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
            cache.store_rrset(at(now), &settings.cache, set, Trust::AnswerAuthoritative);
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

    #[test]
    fn the_closest_zone_is_found() {
        let (cache, settings) = (Cache::default(), Settings::default());
        for (zone, ttl) in [(".", 100), ("example", 50), ("b.example", 20)] {
            let ns = set(zone, RecordType::NS, ttl, &[b"\x01n\x00"]);
            let trust = Trust::AuthorityNonAuthoritative;
            cache.store_rrset(at(0), &settings.cache, Arc::unwrap_or_clone(ns), trust);
        }
        let closest = |now, text| {
            let found = cache.delegation(at(now), &name(text), Class::IN);
            found.map(|found| found.owner.to_string())
        };
        assert_eq!(closest(0, "a.b.example").as_deref(), Some("b.example."));
        assert_eq!(closest(20, "a.b.example").as_deref(), Some("example."));
        assert_eq!(closest(50, "a.b.example").as_deref(), Some("."));
        assert_eq!(closest(100, "a.b.example"), None);
        let (top, zone) = (name("example"), name("a.b.example"));
        cache.forget_expired_between(at(30), &top, &zone, Class::IN);
        assert_eq!(
            (cache.usage().entries, closest(10, "a.b.example").as_deref()),
            (2, Some("example."))
        );
    }

    #[test]
    fn flushing_and_changed_settings_forget_what_they_must() {
        let (cache, old) = (Cache::default(), Settings::default());
        for text in ["a.example", "b.a.example", "example", "other"] {
            cache.store(at(0), &old, &key(text, RecordType::A), &positive(text, 60));
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
            cache.store(at(10), &settings, &key(&owner, RecordType::A), &answer);
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

    #[test]
    fn a_million_names_cost_little_each() {
        let (cache, settings) = (Cache::new(64 << 20, [1, 2]), Settings::default());
        let count = 20_000;
        for number in 0..count {
            let owner = format!("host{number:07}.example.com");
            let mut answer = positive(&owner, 3600);
            Arc::make_mut(&mut answer.answer[0]).signatures = RdataList::default();
            cache.store(at(0), &settings, &key(&owner, RecordType::A), &answer);
        }
        let usage = cache.usage();
        assert_eq!(usage.entries, count);
        assert!(usage.octets / count < 150, "{}", usage.octets / count);
    }
}
