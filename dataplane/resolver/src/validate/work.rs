//! What the validation of one answer has come to so far.
//!
//! Owns [`Work`]: the answer, how far each of its RRsets is judged, and the denials that were verified. Judges
//! nothing itself: the files beside it do.

use std::sync::Arc;

use crate::answer::{Answer, ExtendedError, ResponseCode};
use crate::cache::keys::ZoneKeys;
use crate::context::Context;
use crate::question::Question;
use crate::validate::chain::Chain;
use crate::validate::denial::{Denial, Proof};
use crate::validate::role::{Way, follow};
use crate::validate::signature::{Policy, Verified};

/// What is known of one RRset of the answer section.
#[derive(Clone, Debug)]
pub(crate) enum Judged {
    /// It is signed by these keys.
    Secure(Verified, Arc<ZoneKeys>),
    /// Its zone is not signed, for this reason if there is one.
    Insecure(Option<ExtendedError>),
    /// No trust anchor is above it.
    Indeterminate,
}

/// Why a step comes to no verdict.
pub(crate) enum Stop {
    /// It waits for a question that it needs.
    Wait,
    /// A part of the answer is broken.
    Bogus(ExtendedError),
}

/// The validation of one answer under way.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) question: Question,
    pub(crate) answer: Answer,
    /// The way from QNAME through the aliases of the answer section.
    pub(crate) way: Way,
    pub(crate) chain: Chain,
    /// What is known of each RRset of the answer section, by its index.
    pub(crate) judged: Vec<Option<Judged>>,
    /// The RRsets before this index are known to be no wildcard, or proven to be expanded rightly.
    pub(crate) expanded: usize,
    /// The verified denials of each zone that signed some.
    pub(crate) denials: Vec<(Arc<ZoneKeys>, Denial)>,
    /// The proof that the name at the end of the way, or its type, does not exist.
    pub(crate) absence: Option<Proof>,
    pub(crate) indeterminate: bool,
}

impl Work {
    /// Nothing judged yet.
    pub(crate) fn new(question: Question, answer: Answer) -> Self {
        let mut way = follow(&question, &answer.answer);
        if answer.rcode == ResponseCode::NXDOMAIN {
            way.go_beyond(&answer.answer);
        }
        Self {
            judged: vec![None; answer.answer.len()],
            question,
            answer,
            way,
            chain: Chain::default(),
            expanded: 0,
            denials: Vec::new(),
            absence: None,
            indeterminate: false,
        }
    }
}

/// How signatures are verified under these settings.
pub(crate) fn policy<'a>(context: &Context<'a>) -> Policy<'a> {
    Policy {
        settings: context.settings,
        now: context.now,
        good: Some(context.cache.good_signatures()),
    }
}

/// The denial records of a zone in this answer, verified once.
pub(crate) fn denial_of<'a>(
    denials: &'a mut Vec<(Arc<ZoneKeys>, Denial)>,
    answer: &Answer,
    keys: &Arc<ZoneKeys>,
    context: &mut Context<'_>,
) -> Option<&'a mut Denial> {
    let place = denials
        .iter()
        .position(|(known, _)| known.zone == keys.zone);
    if place.is_none() {
        let policy = policy(context);
        let denial = Denial::collect(&answer.authority, keys, &policy, context.budget);
        denials.push((Arc::clone(keys), denial));
    }
    let place = place.unwrap_or(denials.len() - 1);
    denials.get_mut(place).map(|(_, denial)| denial)
}
