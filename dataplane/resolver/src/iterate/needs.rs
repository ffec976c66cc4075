//! Questions that an iteration needed and that came to an answer, or were refused.
//!
//! Owns what is made of the addresses of name servers, and of priming.

use crate::answer::{Answer, ResponseCode};
use crate::context::Context;
use crate::iterate::phase::Phase;
use crate::iterate::scrub;
use crate::iterate::send;
use crate::iterate::work::{Next, Work};
use crate::question::Question;
use crate::rrset::{RecordType, Rrset};

/// A needed question came to an answer.
pub fn answered(
    work: &mut Work,
    context: &mut Context<'_>,
    question: &Question,
    answer: &Answer,
) -> Next {
    if is_priming(work, question) {
        return Next::Start;
    }
    if answer.rcode != ResponseCode::NOERROR && context.budget.spend_failed_target().is_err() {
        // No more lookups may fail: those that are open are the last.
        close_lookups(work);
    }
    let found: Vec<Rrset> = if send::is_address(question) {
        answer
            .answer
            .iter()
            .filter(|rrset| rrset.record_type == question.record_type)
            .filter_map(|rrset| {
                scrub::without_private((**rrset).clone(), &context.settings.resolution)
            })
            .collect()
    } else {
        Vec::new()
    };
    resume(work, context, question, &found)
}

/// A needed question could not be asked.
pub fn refused(work: &mut Work, context: &mut Context<'_>, question: &Question) -> Next {
    if is_priming(work, question) {
        return Next::Start;
    }
    resume(work, context, question, &[])
}

fn is_priming(work: &Work, question: &Question) -> bool {
    work.phase == Phase::Priming && question.record_type == RecordType::NS
}

fn close_lookups(work: &mut Work) {
    if let Some(delegation) = &mut work.delegation {
        delegation.lookups_made = u16::MAX;
    }
}

fn resume(
    work: &mut Work,
    context: &mut Context<'_>,
    question: &Question,
    found: &[Rrset],
) -> Next {
    let found: Vec<&Rrset> = found.iter().collect();
    if let Some(delegation) = &mut work.delegation {
        delegation.looked_up(question, &found, context);
    }
    if let Some(delegation) = &mut work.set_aside {
        delegation.looked_up(question, &found, context);
    }
    if work.open.is_some() || work.phase == Phase::Finished {
        return Next::Wait;
    }
    Next::Choose
}
