//! A small signed world for the tests of validation.
//!
//! Owns three zones with their keys, what servers would say, and what was asked. Compiled for tests alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::answer::{Answer, ExtendedError, ResponseCode, Security};
use crate::budget::Budget;
use crate::cache::Cache;
use crate::context::Context;
use crate::infra::Infra;
use crate::name::Name;
use crate::outcome::{Input, Request};
use crate::question::Question;
use crate::random::Random;
use crate::rrset::{Class, RdataList, RecordType, Rrset};
use crate::settings::{Settings, TrustAnchor};
use crate::signing::{DATE, Signer, rrset};
use crate::time::{Instant, Now, UnixTime};
use crate::validate::synthesis::{self, Synthesised};
use crate::validate::{Validation, Verdict};

pub(crate) fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

pub(crate) fn ask(owner: &str, record_type: RecordType) -> Question {
    Question {
        name: name(owner),
        record_type,
        class: Class::IN,
    }
}

pub(crate) const A: RecordType = RecordType::A;
pub(crate) const ADDRESS: &[&[u8]] = &[&[192, 0, 2, 1]];

/// The root, `example` and `sub.example` signed, and what servers would say.
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) cache: Cache,
    pub(crate) root: Signer,
    pub(crate) example: Signer,
    pub(crate) sub: Signer,
    pub(crate) answers: BTreeMap<Question, Answer>,
    pub(crate) asked: Vec<Question>,
    /// Signatures that the last validation computed.
    pub(crate) signatures: u16,
}

pub(crate) fn positive(rrsets: Vec<Arc<Rrset>>) -> Answer {
    let mut answer = Answer::empty(ResponseCode::NOERROR, None);
    answer.answer = rrsets;
    answer.ttl = 3600;
    answer
}

pub(crate) fn negative(rcode: ResponseCode, authority: Vec<Arc<Rrset>>) -> Answer {
    let mut answer = Answer::empty(rcode, None);
    answer.authority = authority;
    answer.ttl = 900;
    answer
}

/// What a step works with beside its world.
struct Desk {
    infra: Infra,
    random: Random,
    budget: Budget,
    requests: Vec<Request>,
}

impl Desk {
    fn new(settings: &Settings) -> Self {
        Self {
            infra: Infra::default(),
            random: Random::from_seed([7, 7]),
            budget: Budget::new(settings),
            requests: Vec::new(),
        }
    }

    fn context<'a>(&'a mut self, world: &'a World) -> Context<'a> {
        Context {
            now: Now {
                instant: Instant::ORIGIN,
                unix: UnixTime(DATE),
            },
            settings: &world.settings,
            cache: &world.cache,
            infra: &self.infra,
            random: &mut self.random,
            budget: &mut self.budget,
            depth: 0,
            pressure: false,
            skip_cache: false,
            requests: &mut self.requests,
        }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let (root, example, sub) = (
            Signer::new("."),
            Signer::new("example"),
            Signer::new("sub.example"),
        );
        let mut settings = Settings::default();
        settings.dnssec.trust_anchors.push(TrustAnchor {
            zone: Name::root(),
            ds: RdataList::new([&root.ds(2)[..]]),
            dnskey: RdataList::default(),
        });
        let mut world = Self {
            settings,
            cache: Cache::default(),
            root,
            example,
            sub,
            answers: BTreeMap::new(),
            asked: Vec::new(),
            signatures: 0,
        };
        world.publish();
        world
    }

    pub(crate) fn publish(&mut self) {
        self.set(".", RecordType::DNSKEY, positive(vec![self.root.keys()]));
        self.set(
            "example",
            RecordType::DNSKEY,
            positive(vec![self.example.keys()]),
        );
        self.set(
            "sub.example",
            RecordType::DNSKEY,
            positive(vec![self.sub.keys()]),
        );
        let ds = rrset("example", RecordType::DS, &[&self.example.ds(2)]);
        self.set(
            "example",
            RecordType::DS,
            positive(vec![self.root.sign(ds)]),
        );
        let ds = rrset("sub.example", RecordType::DS, &[&self.sub.ds(2)]);
        self.set(
            "sub.example",
            RecordType::DS,
            positive(vec![self.example.sign(ds)]),
        );
    }

    pub(crate) fn set(&mut self, owner: &str, record_type: RecordType, answer: Answer) {
        self.answers.insert(ask(owner, record_type), answer);
    }

    /// The signed SOA RRset of `example`, whose negative answers are kept for `minimum` seconds.
    pub(crate) fn soa(&self, minimum: u32) -> Arc<Rrset> {
        let rdata = [&b"\0\0aaaabbbbccccdddd"[..], &minimum.to_be_bytes()].concat();
        self.example
            .sign(rrset("example", RecordType::SOA, &[&rdata]))
    }

    /// Validates as the mesh would, answering needs from `answers`.
    pub(crate) fn validate(&mut self, question: &Question, answer: Answer) -> Answer {
        let mut validation = Validation::new(question.clone(), answer);
        let mut desk = Desk::new(&self.settings);
        let mut needed: Option<Question> = None;
        for _ in 0..100 {
            let given = needed.as_ref().and_then(|each| self.answers.get(each));
            let given = given.cloned().map(Arc::new);
            let input = match (&needed, &given) {
                (None, _) => Input::Start,
                (Some(question), Some(answer)) => Input::Answered { question, answer },
                (Some(question), None) => Input::NeedRefused { question },
            };
            match validation.step(&mut desk.context(self), input) {
                Verdict::Wait => {
                    let requests = core::mem::take(&mut desk.requests);
                    assert_eq!(requests.len(), 1, "waits for one question at a time");
                    let Request::Need { question, .. } = &requests[0] else {
                        panic!("asks for something else: {requests:?}");
                    };
                    self.asked.push(question.clone());
                    needed = Some(question.clone());
                }
                Verdict::Done(answer) | Verdict::Retry { otherwise: answer } => {
                    let left = desk.budget.validation_left().0;
                    self.signatures = self.settings.dnssec.signatures_per_query - left;
                    return answer;
                }
            }
        }
        panic!("no verdict on {question:?}");
    }

    pub(crate) fn synthesise(&self, owner: &str, record_type: RecordType) -> Option<Answer> {
        match self.synthesised(owner, record_type)? {
            Synthesised::Answer(answer) => Some(answer),
            Synthesised::Alias { .. } => None,
        }
    }

    pub(crate) fn synthesised(&self, owner: &str, record_type: RecordType) -> Option<Synthesised> {
        let mut desk = Desk::new(&self.settings);
        synthesis::answer(&ask(owner, record_type), &mut desk.context(self))
    }

    pub(crate) fn check(&mut self, owner: &str, record_type: RecordType, answer: Answer) -> Answer {
        self.validate(&ask(owner, record_type), answer)
    }
}

pub(crate) fn assert_bogus(answer: &Answer, error: ExtendedError) {
    let found = (answer.security, answer.rcode, answer.extended_error);
    assert_eq!(
        found,
        (Security::Bogus, ResponseCode::SERVFAIL, Some(error))
    );
    assert!(answer.answer.is_empty() && answer.authority.is_empty());
}
