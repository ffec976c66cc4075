//! From a trust anchor down to a name, zone by zone (RFC 4035, 5).
//!
//! Owns the walk: which DS or DNSKEY is asked for next, and what was found at each name on the way.
//! Asks each name once, again elsewhere when the answer was broken. Never judges an RRset of an answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::answer::{Answer, ExtendedError};
use crate::cache::keys::{ZoneKeys, ZoneStatus};
use crate::context::Context;
use crate::name::Name;
use crate::outcome::Request;
use crate::question::{Question, StateKind};
use crate::rrset::{Class, RecordType, Rrset};
use crate::trust_anchor::{self, Anchor};
use crate::validate::delegation::{DsFound, Entrances, read_dnskey, read_ds};
use crate::validate::signature::Policy;

/// What is known of the zone that a name lies in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zone {
    /// It is signed, and these are its keys.
    Secure(Arc<ZoneKeys>),
    /// A proof or a negative trust anchor says that nothing is signed there.
    Insecure(Option<ExtendedError>),
    /// The chain of trust to it is broken.
    Bogus(ExtendedError),
    /// No trust anchor lies above.
    Indeterminate,
}

/// What the open question is for.
#[derive(Clone, Debug)]
enum Need {
    /// The keys of a trust anchor's zone.
    Anchor(Name),
    /// Whether a zone begins at a name that lies in this zone.
    Ds(Name, Arc<ZoneKeys>),
    /// The keys of a zone that this DS RRset stands for.
    Dnskey(Name, Arc<Rrset>, u32),
}

/// Walks along chains of trust on behalf of one answer.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    open: Option<Need>,
    found: BTreeMap<Name, ZoneStatus>,
}

/// How long the verdict on a zone is kept at most: a walk now and then finds that a zone went unsigned.
const VERDICT_SECONDS_MAX: u32 = 86_400;

impl Chain {
    /// The zone that `name` lies in; none while a question is open.
    pub fn zone_of(&mut self, name: &Name, context: &mut Context<'_>) -> Option<Zone> {
        if self.open.is_some() {
            return None;
        }
        let anchor = match trust_anchor::closest(&context.settings.dnssec, context.now.unix, name) {
            Anchor::None => return Some(Zone::Indeterminate),
            Anchor::Negative(_) => return Some(Zone::Insecure(None)),
            Anchor::Positive(zone) => zone,
        };
        let mut keys = match self.status(&anchor, context) {
            Some(ZoneStatus::Secure(keys)) => keys,
            Some(ZoneStatus::Insecure(error)) => return Some(Zone::Insecure(error)),
            Some(ZoneStatus::Bogus(error)) => return Some(Zone::Bogus(error)),
            Some(ZoneStatus::Inside) | None => {
                self.need(Need::Anchor(anchor), context);
                return None;
            }
        };
        for labels in anchor.label_count() + 1..=name.label_count() {
            let step = name.suffix(labels);
            match self.status(&step, context) {
                Some(ZoneStatus::Secure(below)) => keys = below,
                Some(ZoneStatus::Inside) => {}
                Some(ZoneStatus::Insecure(error)) => return Some(Zone::Insecure(error)),
                Some(ZoneStatus::Bogus(error)) => return Some(Zone::Bogus(error)),
                None => {
                    self.need(Need::Ds(step, keys), context);
                    return None;
                }
            }
        }
        Some(Zone::Secure(keys))
    }

    fn status(&self, name: &Name, context: &Context<'_>) -> Option<ZoneStatus> {
        self.found.get(name).cloned().or_else(|| {
            let keys = context.cache.keys();
            keys.get(context.now.instant, context.settings.epoch, name)
        })
    }

    fn need(&mut self, need: Need, context: &mut Context<'_>) {
        let (name, record_type) = match &need {
            Need::Anchor(zone) | Need::Dnskey(zone, ..) => (zone, RecordType::DNSKEY),
            Need::Ds(name, _) => (name, RecordType::DS),
        };
        context.requests.push(Request::Need {
            question: Question {
                name: name.clone(),
                record_type,
                class: Class::IN,
            },
            kind: StateKind::Validation,
        });
        self.open = Some(need);
    }

    /// Takes the answer to the open question; none when the mesh refused to ask it.
    pub fn answered(
        &mut self,
        question: &Question,
        answer: Option<&Answer>,
        context: &mut Context<'_>,
    ) {
        let Some(need) = self.open.take() else {
            return;
        };
        let (name, record_type) = match &need {
            Need::Anchor(zone) | Need::Dnskey(zone, ..) => (zone, RecordType::DNSKEY),
            Need::Ds(name, _) => (name, RecordType::DS),
        };
        if *name != question.name || record_type != question.record_type {
            self.open = Some(need);
            return;
        }
        let failed = Answer::empty(crate::answer::ResponseCode::SERVFAIL, None);
        let answer = answer.unwrap_or(&failed);
        let policy = Policy {
            settings: context.settings,
            now: context.now,
        };
        let (name, status, ttl) = match need {
            Need::Ds(name, zone) => match read_ds(&name, answer, &zone, &policy, context.budget) {
                DsFound::Signed { ds, ttl } => {
                    self.need(Need::Dnskey(name, ds, ttl), context);
                    return;
                }
                DsFound::Known { status, ttl } => (name, status, ttl),
            },
            Need::Dnskey(name, ds, ds_ttl) => {
                let entrances = Entrances {
                    ds: ds.rdata.iter().collect(),
                    dnskey: Vec::new(),
                };
                let (status, ttl) = read_dnskey(&name, answer, &entrances, &policy, context.budget);
                (name, status, ttl.map(|ttl| ttl.min(ds_ttl)))
            }
            Need::Anchor(name) => {
                let (ds, dnskey) = trust_anchor::of_zone(&context.settings.dnssec, &name);
                let entrances = Entrances { ds, dnskey };
                let (status, ttl) = read_dnskey(&name, answer, &entrances, &policy, context.budget);
                (name, status, ttl)
            }
        };
        self.learn(name, status, ttl, context);
    }

    fn learn(&mut self, name: Name, status: ZoneStatus, ttl: Option<u32>, context: &Context<'_>) {
        let ttl = ttl.map_or(context.settings.dnssec.bogus_ttl, |ttl| {
            Duration::from_secs(u64::from(ttl.min(VERDICT_SECONDS_MAX)))
        });
        let keys = context.cache.keys();
        keys.put(
            context.now.instant,
            context.settings.epoch,
            &name,
            status.clone(),
            ttl,
        );
        self.found.insert(name, status);
    }
}
