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

#[cfg(test)]
mod tests {
    use crate::answer::ResponseCode;
    use crate::iterate::internet::internet;
    use crate::rrset::RecordType;
    use crate::scenario::{Reaction, answers, denies, shown};

    #[test]
    fn name_servers_elsewhere_are_looked_up() {
        let mut world = internet();
        let answer = world.resolve("www.example.org", RecordType::A);
        assert_eq!(shown(&answer), ["www.example.org. A 192.0.2.2"]);
    }

    #[test]
    fn glue_leads_on_when_the_zone_contradicts_it() {
        let mut world = internet();
        world.server("10.0.0.3", |plan| {
            match (
                plan.question.name.to_string().as_str(),
                plan.question.record_type,
            ) {
                ("ns.example.com.", RecordType::A) => answers(&["ns.example.com 300 A 10.0.0.9"]),
                ("www.example.org.", RecordType::A) => {
                    answers(&["www.example.org 300 A 192.0.2.2"])
                }
                _ => denies(ResponseCode::NOERROR, "example.com 900 SOA 60"),
            }
        });
        world.server("10.0.0.9", |_| Reaction::Reply(5, vec![], vec![], vec![]));
        let answer = world.resolve("www.example.org", RecordType::A);
        assert_eq!(shown(&answer), ["www.example.org. A 192.0.2.2"]);
        assert!(
            world
                .asked()
                .contains(&"10.0.0.9 www.example.org. A".to_owned())
        );
    }
}
