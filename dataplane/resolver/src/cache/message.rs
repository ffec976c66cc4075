//! Answers in the cache, by question.
//!
//! Owns which form an answer is kept in: an RRset alone when that is all there is to it, a packed message
//! for aliases and denials (RFC 2308), a failure for a short time (RFC 9520); and finding one, fresh or stale
//! (RFC 8767). Never resolves.

use std::sync::Arc;

use crate::answer::{Answer, ExtendedError, ResponseCode, Security};
use crate::cache::entry::{Age, MessageView, Section, pack_message, rrset_parts};
use crate::cache::rrset::{NewRrset, Put, Times, bound_ttl, put};
use crate::cache::shard::{Entry, Key, Kind, Marks, Shard};
use crate::cache::trust::Trust;
use crate::name::Name;
use crate::question::Question;
use crate::rrset::{Class, RdataList, RecordType, Rrset};
use crate::settings::{DnssecMode, Settings};
use crate::wire::RrsetView;

/// The type under which NXDOMAIN is kept: it is about the name (RFC 2308, 5).
const EVERY_TYPE: RecordType = RecordType(0);

/// What kind of answer is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) now: u32,
    /// Only what went through validation, bogus verdicts included; else only data, bogus ones left out.
    pub(crate) validated: bool,
    /// Expired no longer than this ago; none looks for fresh ones.
    pub(crate) stale: Option<u32>,
}

impl Want {
    /// For a client with this CD bit (RFC 4035, 3.2.2).
    pub(crate) fn for_client(now: u32, checking_disabled: bool, settings: &Settings) -> Self {
        Self {
            now,
            validated: !checking_disabled && settings.dnssec.mode != DnssecMode::Off,
            stale: None,
        }
    }

    /// The same, but expired.
    pub(crate) fn or_stale(self, settings: &Settings) -> Option<Self> {
        let max_age = settings.cache.serve_stale?.max_age.as_secs();
        Some(Self {
            stale: Some(u32::try_from(max_age).unwrap_or(u32::MAX)),
            ..self
        })
    }

    fn accepts(&self, entry: &Entry) -> bool {
        let in_time = match self.stale {
            None => entry.expires > self.now,
            Some(max_age) => entry.expires <= self.now && self.now - entry.expires <= max_age,
        };
        let fit = match entry.kind {
            Kind::Rrset => entry.marks.is_complete(),
            Kind::Verdict | Kind::Raw => true,
            // RFC 8767, 4: failures are never stale answers.
            Kind::Failure => self.stale.is_none(),
        };
        let checked = if self.validated {
            // A failure to resolve is what it is, validated or not.
            entry.kind == Kind::Failure || entry.security != Security::Unchecked
        } else {
            entry.security != Security::Bogus
        };
        in_time && fit && checked
    }
}

/// Finds the entry that answers a question.
pub(crate) fn find(
    shard: &Shard,
    name_hash: u64,
    name: &[u8],
    (record_type, class): (RecordType, Class),
    want: Want,
) -> Option<u32> {
    let candidates = [
        (Kind::Rrset, record_type),
        (Kind::Verdict, record_type),
        (Kind::Raw, record_type),
        (Kind::Verdict, EVERY_TYPE),
        (Kind::Raw, EVERY_TYPE),
        (Kind::Failure, record_type),
    ];
    candidates.into_iter().find_map(|(kind, record_type)| {
        let key = Key {
            name_hash,
            name,
            record_type,
            class,
            kind,
        };
        let at = shard.find(&key)?;
        shard
            .entry(at)
            .filter(|entry| want.accepts(entry))
            .map(|_| at)
    })
}

/// The TTL that stale data is given (RFC 8767, 4).
pub(crate) fn expired_ttl(settings: &Settings) -> u32 {
    settings
        .cache
        .serve_stale
        .map_or(0, |stale| stale.answer_ttl)
}

/// An answer as it lies in the cache, nothing copied.
pub(crate) struct Found<'a> {
    pub(crate) rcode: ResponseCode,
    pub(crate) extended_error: Option<ExtendedError>,
    pub(crate) security: Security,
    /// Seconds for which it may be kept from now on.
    pub(crate) ttl: u32,
    pub(crate) sections: [Section<'a>; 3],
}

/// Reads an entry as the answer to the question for `name`; what is expired in it shows `expired_ttl`.
pub(crate) fn read<'a>(
    entry: &'a Entry,
    name: &'a [u8],
    now: u32,
    expired_ttl: u32,
) -> Option<Found<'a>> {
    let left = entry.expires.saturating_sub(now);
    let is_stale = left == 0;
    let ttl = if is_stale { expired_ttl } else { left };
    let stale_error = |rcode| match rcode {
        ResponseCode::NXDOMAIN => ExtendedError::STALE_NXDOMAIN_ANSWER,
        _ => ExtendedError::STALE_ANSWER,
    };
    if entry.kind == Kind::Rrset {
        let (rdata, signatures) = rrset_parts(&entry.block)?;
        let set = RrsetView {
            owner: name,
            record_type: entry.record_type,
            class: entry.class,
            ttl,
            rdata,
            signatures,
        };
        let rcode = ResponseCode::NOERROR;
        return Some(Found {
            rcode,
            extended_error: is_stale.then(|| stale_error(rcode)),
            security: entry.security,
            ttl,
            sections: [
                Section::One(Some(set)),
                Section::One(None),
                Section::One(None),
            ],
        });
    }
    let message = MessageView::read(&entry.block)?;
    let age = Age {
        elapsed: now.saturating_sub(entry.stored),
        expired_ttl: if is_stale { expired_ttl } else { 0 },
    };
    let own_error = message.extended_error;
    Some(Found {
        rcode: message.rcode,
        extended_error: if is_stale {
            Some(stale_error(message.rcode))
        } else {
            own_error
        },
        security: entry.security,
        ttl,
        sections: message.sections(age).map(Section::Many),
    })
}

impl Found<'_> {
    /// The answer as a value of its own.
    pub(crate) fn to_answer(&self) -> Option<Answer> {
        let [answer, authority, additional] = self.sections;
        Some(Answer {
            rcode: self.rcode,
            authoritative: false,
            security: self.security,
            answer: own(answer)?,
            authority: own(authority)?,
            additional: own(additional)?,
            ttl: self.ttl,
            extended_error: self.extended_error,
            sources: Vec::new(),
        })
    }
}

fn own(section: Section<'_>) -> Option<Vec<Arc<Rrset>>> {
    let sets = section.map(|set| {
        Some(Arc::new(Rrset {
            owner: Name::from_wire(set.owner).ok()?,
            record_type: set.record_type,
            class: set.class,
            ttl: set.ttl,
            rdata: RdataList::from_packed(set.rdata.to_vec()),
            signatures: RdataList::from_packed(set.signatures.to_vec()),
        }))
    });
    sets.collect()
}

/// Keeps an answer in the shard of the name asked for.
pub(crate) fn keep(
    shard: &mut Shard,
    name_hash: u64,
    times: Times,
    settings: &Settings,
    (question, answer): (&Question, &Answer),
) {
    let is_data = matches!(
        answer.rcode,
        ResponseCode::NOERROR | ResponseCode::NXDOMAIN | ResponseCode::YXDOMAIN
    );
    if !is_data {
        let ttl = failure_ttl(answer, settings);
        insert(
            shard,
            name_hash,
            times,
            settings,
            (question, answer),
            (Kind::Failure, ttl),
        );
        return;
    }
    let is_negative = is_negative(question, answer);
    let ttl = match bound_ttl(answer.ttl, &settings.cache) {
        ttl if is_negative => ttl
            .max(settings.cache.ttl_negative_min)
            .min(settings.cache.ttl_negative_max),
        ttl => ttl,
    };
    // A TTL of zero is for those who wait now; kept only to be served stale.
    if (answer.ttl == 0 || ttl == 0) && settings.cache.serve_stale.is_none() {
        return;
    }
    if let Some(set) = only_rrset(question, answer, settings) {
        let new = NewRrset {
            set,
            ttl: ttl.min(bound_ttl(set.ttl, &settings.cache)),
            trust: None,
            security: answer.security,
            complete: true,
        };
        if !matches!(put(shard, name_hash, times, new), Put::HeldOther) {
            return;
        }
    }
    let kind = match answer.security {
        Security::Unchecked => Kind::Raw,
        _ => Kind::Verdict,
    };
    insert(
        shard,
        name_hash,
        times,
        settings,
        (question, answer),
        (kind, ttl),
    );
}

/// How long a failure is kept; a bogus verdict has its own time, less when validation says so.
fn failure_ttl(answer: &Answer, settings: &Settings) -> u32 {
    if answer.security == Security::Bogus {
        let most = u32::try_from(settings.dnssec.bogus_ttl.as_secs()).unwrap_or(u32::MAX);
        if answer.ttl == 0 {
            most
        } else {
            most.min(answer.ttl)
        }
    } else {
        // RFC 9520, 3.2: at most five minutes.
        settings.cache.failure_ttl.min(300)
    }
}

fn is_negative(question: &Question, answer: &Answer) -> bool {
    let found = answer.answer.iter().any(|set| {
        set.record_type == question.record_type || question.record_type == RecordType::ANY
    });
    answer.rcode == ResponseCode::NXDOMAIN || !found
}

/// The one RRset that an answer comes to, if nothing else of it is worth keeping.
fn only_rrset<'a>(
    question: &Question,
    answer: &'a Answer,
    settings: &Settings,
) -> Option<&'a Rrset> {
    let [set] = answer.answer.as_slice() else {
        return None;
    };
    let spare = settings.responses.minimal
        && answer
            .authority
            .iter()
            .all(|set| set.record_type == RecordType::NS);
    let bare = answer.authority.is_empty() && answer.additional.is_empty();
    let is_it = set.owner == question.name
        && set.record_type == question.record_type
        && set.class == question.class
        && !set.rdata.is_empty();
    let plain = answer.rcode == ResponseCode::NOERROR && answer.extended_error.is_none();
    (is_it && plain && (bare || spare)).then_some(set)
}

fn insert(
    shard: &mut Shard,
    name_hash: u64,
    times: Times,
    settings: &Settings,
    (question, answer): (&Question, &Answer),
    (kind, ttl): (Kind, u32),
) {
    let about_name = answer.rcode == ResponseCode::NXDOMAIN && answer.answer.is_empty();
    let record_type = if about_name {
        EVERY_TYPE
    } else {
        question.record_type
    };
    let name = question.name.as_wire();
    let key = Key {
        name_hash,
        name,
        record_type,
        class: question.class,
        kind,
    };
    let entry = Entry {
        block: pack_message(name, answer, |own| bound_ttl(own, &settings.cache)),
        stored: times.now,
        expires: times.now.saturating_add(ttl),
        record_type,
        class: question.class,
        kind,
        security: answer.security,
        trust: Trust::AnswerAuthoritative,
        marks: Marks::default(),
    };
    shard.insert(&key, entry, times.dead_before);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::answer::Origin;
    use crate::cache::Cache;
    use crate::cache::sample::{CD, RD, at, hit, key, name, nxdomain, positive, question};

    #[test]
    fn unvalidated_data_is_for_those_who_check_themselves() {
        let (cache, mut settings) = (Cache::default(), Settings::default());
        let asked = question("a.example", RecordType::A);
        let mut answer = positive("a.example", 60);
        answer.security = Security::Unchecked;
        cache.store(at(0), &settings, &asked, &answer);
        assert_eq!(hit(&cache, at(0), "a.example", RD, &settings), None);
        assert!(hit(&cache, at(0), "a.example", CD, &settings).is_some());
        assert!(cache.verdict(at(0), &asked).is_none());
        assert!(cache.answer(at(0), &asked).is_some());
        settings.dnssec.mode = DnssecMode::Off;
        assert!(hit(&cache, at(0), "a.example", RD, &settings).is_some());
    }

    #[test]
    fn nxdomain_is_about_every_type_and_everything_below() {
        let (cache, settings) = (Cache::default(), Settings::default());
        let asked = question("x.example", RecordType::TXT);
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
        let insecure = question("i.example", RecordType::A);
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
        cache.store(at(0), &settings, &question("f", RecordType::A), &failure);
        assert!(hit(&cache, at(4), "f", RD, &settings).is_some());
        assert!(hit(&cache, at(4), "f", CD, &settings).is_some());
        assert!(hit(&cache, at(5), "f", RD, &settings).is_none());
        let mut bogus = failure;
        bogus.security = Security::Bogus;
        cache.store(at(0), &settings, &question("b", RecordType::A), &bogus);
        assert!(hit(&cache, at(59), "b", RD, &settings).is_some_and(|hit| hit.max_age.is_none()));
        assert!(hit(&cache, at(4), "b", CD, &settings).is_none());
    }

    #[test]
    fn stale_answers_follow_rfc_8767() {
        let (cache, mut settings) = (Cache::default(), Settings::default());
        let asked = key("a.example", RecordType::A);
        cache.store(
            at(0),
            &settings,
            &asked.question,
            &positive("a.example", 60),
        );
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
        cache.store(at(70), &settings, &asked.question, &failure);
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
}
