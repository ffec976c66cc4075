//! Referrals: down to the zone that a server points to (RFC 1034, 4.3.2, 3b).
//!
//! Owns what is kept of a referral and the delegation made of it. The parent's word on the NS RRset
//! is never prolonged by the zone itself (ghost domains, CVE-2012-1033): the cache sees to that.

use std::sync::Arc;
use std::time::Duration;

use crate::answer::{Answer, ExtendedError, ResponseCode};
use crate::cache::Trust;
use crate::context::Context;
use crate::fetch::FetchPlan;
use crate::iterate::delegation::Delegation;
use crate::iterate::scrub;
use crate::iterate::store::{Section, keep, keep_all};
use crate::iterate::work::{Next, Open, Work};
use crate::name::Name;
use crate::question::Question;
use crate::rrset::{RecordType, Rrset};
use crate::wire::Reply;

/// Goes down to `cut`.
pub fn descend(
    work: &mut Work,
    context: &mut Context<'_>,
    plan: &FetchPlan,
    reply: &Reply,
    cut: &Name,
    open: &Open,
) -> Next {
    let settings = context.settings;
    let referral = scrub::referral(
        reply,
        &plan.zone,
        cut,
        work.current.class,
        settings.limits.name_servers_max,
        settings.resolution.harden_glue,
    );
    let Some(referral) = referral else {
        retire(work, open);
        return Next::Choose;
    };
    work.referrals = work.referrals.saturating_add(1);
    if work.referrals > settings.limits.referrals_max {
        work.failure = ExtendedError::OTHER;
        return Next::Finish(work.fail(settings));
    }
    let glue: Vec<Rrset> = referral
        .glue
        .into_iter()
        .filter_map(|rrset| scrub::without_private(rrset, &settings.resolution))
        .collect();
    keep(
        work,
        context,
        referral.ns.clone(),
        Trust::AuthorityNonAuthoritative,
    );
    let proofs = keep_all(
        work,
        context,
        referral.proofs,
        Section::Authority.trust(reply),
    );
    keep_glue(work, context, &glue);
    keep_denied_ds(work, context, cut, &proofs);
    context
        .cache
        .forget_expired_between(context.now, &plan.zone, cut, work.current.class);
    let delegation = match work.set_aside.take() {
        // The parent's view joins what is known from the zone itself, tried addresses included.
        Some(mut known) if known.zone == *cut => {
            known.add_ns(&referral.ns, context);
            known.add_glue(&glue, context);
            known.parent_asked = true;
            known.by_referral = true;
            known
        }
        other => {
            work.set_aside = other;
            Delegation::from_referral(&referral.ns, &glue, context)
        }
    };
    work.minimiser.descend(cut);
    work.use_delegation(delegation);
    Next::Choose
}

/// Keeps glue in the cache, and apart as what leads to a server when its own zone says otherwise.
fn keep_glue(work: &Work, context: &Context<'_>, glue: &[Rrset]) {
    keep_all(
        work,
        context,
        glue.to_vec(),
        Trust::AdditionalNonAuthoritative,
    );
    for rrset in glue {
        context.infra.note_glue(
            context.now.instant,
            Duration::from_secs(u64::from(rrset.ttl)),
            &rrset.owner,
            rrset.rdata.iter().filter_map(scrub::address),
        );
    }
}

fn retire(work: &mut Work, open: &Open) {
    if let Some(delegation) = &mut work.delegation
        && let Some(address) = delegation.addresses.get_mut(open.index)
    {
        address.retired = true;
    }
}

/// A referral's proof that there is no DS RRset is the answer to the question for it, which validation asks.
fn keep_denied_ds(work: &Work, context: &Context<'_>, cut: &Name, proofs: &[Arc<Rrset>]) {
    let denied = !proofs.is_empty()
        && proofs
            .iter()
            .all(|rrset| rrset.record_type != RecordType::DS);
    let no_cache = work
        .delegation
        .as_ref()
        .is_some_and(|delegation| delegation.no_cache);
    if !denied || no_cache {
        return;
    }
    let mut answer = Answer::empty(ResponseCode::NOERROR, None);
    answer.authority = proofs.to_vec();
    let ttl = proofs.iter().map(|rrset| rrset.ttl).min().unwrap_or(0);
    answer.ttl = ttl.min(context.settings.cache.ttl_negative_max);
    let question = Question {
        name: cut.clone(),
        record_type: RecordType::DS,
        class: work.current.class,
    };
    context
        .cache
        .store(context.now, context.settings, &question, &answer);
}

/// The parent answered a DS question with the referral to the zone itself: its DS RRset is the answer,
/// or its proof that there is none (RFC 4035, 3.1.4.1).
pub fn ds_by_referral(
    work: &mut Work,
    context: &mut Context<'_>,
    plan: &FetchPlan,
    reply: &Reply,
) -> Next {
    let (name, class) = (work.current.name.clone(), work.current.class);
    let ds = reply.authority.iter().find(|rrset| {
        rrset.record_type == RecordType::DS && rrset.owner == name && !rrset.rdata.is_empty()
    });
    if let Some(ds) = ds {
        let ds = keep(work, context, ds.clone(), Section::Authority.trust(reply));
        return Next::Finish(work.finish(ResponseCode::NOERROR, vec![ds], Vec::new()));
    }
    let proofs = scrub::denials(reply, &plan.zone, class);
    let proofs: Vec<Arc<Rrset>> = keep_all(work, context, proofs, Section::Authority.trust(reply));
    let mut answer = work.finish(ResponseCode::NOERROR, Vec::new(), proofs);
    answer.ttl = answer.ttl.min(context.settings.cache.ttl_negative_max);
    Next::Finish(answer)
}

#[cfg(test)]
mod tests {
    use crate::answer::ResponseCode;
    use crate::iterate::internet::internet;
    use crate::rrset::RecordType;
    use crate::scenario::{Reaction, answers, denies, refers};

    #[test]
    fn a_hostile_referral_costs_a_bounded_number_of_queries() {
        let mut world = internet();
        world.server("10.0.0.2", |plan| {
            let cut = plan.question.name.suffix(2);
            let ns: Vec<String> = (0..100)
                .map(|number| format!("{cut} 3600 NS n{number}.{cut}victim{number}.com"))
                .collect();
            Reaction::Reply(0, vec![], ns, vec![])
        });
        let answer = world.resolve("www.example.com", RecordType::A);
        assert_eq!(answer.rcode, ResponseCode::SERVFAIL);
        assert!(world.log.len() <= 200, "{}", world.log.len());
    }

    #[test]
    fn referrals_are_remembered_until_they_expire() {
        let mut world = internet();
        world.resolve("www.example.com", RecordType::A);
        world.resolve("www.empty.example.com", RecordType::A);
        assert_eq!(
            world.asked(),
            [
                "10.0.0.3 empty.example.com. A",
                "10.0.0.3 www.empty.example.com. A"
            ]
        );
        world.pass(4000);
        world.resolve("www.empty.example.com", RecordType::A);
        assert_eq!(world.asked()[0], "10.0.0.2 example.com. A");
    }

    #[test]
    fn a_child_below_an_expired_delegation_is_not_trusted() {
        let mut world = internet();
        world.server("10.0.0.2", |plan| match plan.question.name.label_count() {
            2 => refers(
                &["example.com 5 NS ns.example.com"],
                &["ns.example.com 5 A 10.0.0.3"],
            ),
            _ => denies(ResponseCode::NXDOMAIN, "com 900 SOA 60"),
        });
        world.server("10.0.0.3", |_| {
            refers(
                &["sub.example.com 86400 NS ns.sub.example.com"],
                &["ns.sub.example.com 86400 A 10.0.0.4"],
            )
        });
        world.server("10.0.0.4", |_| {
            answers(&["a.sub.example.com 1 A 192.0.2.9"])
        });
        world.resolve("a.sub.example.com", RecordType::A);
        world.pass(10);
        world.resolve("a.sub.example.com", RecordType::A);
        assert_eq!(world.asked()[0], "10.0.0.2 example.com. A");
    }
}
