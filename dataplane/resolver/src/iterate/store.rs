//! What an iteration puts into the cache.
//!
//! Owns nothing but the way there: zones whose answers are not kept go past it.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::{Trust, bound_ttl};
use crate::context::Context;
use crate::fetch::FetchPlan;
use crate::iterate::work::Work;
use crate::rdata;
use crate::rrset::{RecordType, Rrset};
use crate::wire::Reply;

/// The rank of data in a section of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The answer section.
    Answer,
    /// The authority section.
    Authority,
    /// The additional section.
    Additional,
}

impl Section {
    /// How far its data is trusted (RFC 2181, 5.4.1).
    #[must_use]
    pub const fn trust(self, reply: &Reply) -> Trust {
        match (self, reply.authoritative) {
            (Self::Answer, true) => Trust::AnswerAuthoritative,
            (Self::Answer, false) => Trust::AnswerNonAuthoritative,
            (Self::Authority, true) => Trust::AuthorityAuthoritative,
            (Self::Authority, false) => Trust::AuthorityNonAuthoritative,
            (Self::Additional, true) => Trust::AdditionalAuthoritative,
            (Self::Additional, false) => Trust::AdditionalNonAuthoritative,
        }
    }
}

/// Keeps an RRset, and gives what the cache now holds: the same, or something more trusted.
pub fn keep(work: &Work, context: &Context<'_>, mut rrset: Rrset, trust: Trust) -> Arc<Rrset> {
    let settings = &context.settings.cache;
    rrset.ttl = bound_ttl(rrset.ttl, settings);
    let no_cache = work
        .delegation
        .as_ref()
        .is_some_and(|delegation| delegation.no_cache);
    if no_cache || rrset.rdata.is_empty() {
        return Arc::new(rrset);
    }
    let leeway = leeway(work, rrset.record_type);
    if !work.skip_cache {
        return context
            .cache
            .store_rrset(context.now, settings, rrset, trust, leeway);
    }
    // What is held may be what validation just refused.
    let held = context
        .cache
        .store_rrset(context.now, settings, rrset.clone(), trust, leeway);
    if held.rdata == rrset.rdata && held.signatures == rrset.signatures {
        held
    } else {
        Arc::new(rrset)
    }
}

/// How much of the life of what is held is passed over. A zone cannot prolong its own NS RRset, unless its
/// parent has just confirmed it (ghost domains).
fn leeway(work: &Work, record_type: RecordType) -> u32 {
    let confirmed = || {
        work.delegation
            .as_ref()
            .is_some_and(|delegation| delegation.by_referral)
    };
    if record_type == RecordType::NS && !confirmed() {
        return 0;
    }
    work.leeway
}

/// Keeps several.
pub fn keep_all(
    work: &Work,
    context: &Context<'_>,
    rrsets: Vec<Rrset>,
    trust: Trust,
) -> Vec<Arc<Rrset>> {
    rrsets
        .into_iter()
        .map(|rrset| keep(work, context, rrset, trust))
        .collect()
}

/// Keeps that no zone begins at the name of a minimised query, for as long as the reply says so.
pub fn keep_inside(work: &Work, context: &Context<'_>, plan: &FetchPlan, reply: &Reply) {
    let no_cache = work
        .delegation
        .as_ref()
        .is_none_or(|delegation| delegation.no_cache);
    let of_denial = reply.authority.iter().filter_map(|rrset| {
        let minimum = rrset.rdata.iter().next().and_then(rdata::soa_minimum);
        let is_soa = rrset.record_type == RecordType::SOA;
        is_soa.then(|| rrset.ttl.min(minimum.unwrap_or(0)))
    });
    let times = reply.answer.iter().map(|rrset| rrset.ttl).chain(of_denial);
    let Some(ttl) = times.min().filter(|_| !no_cache) else {
        return;
    };
    let ttl = Duration::from_secs(ttl.min(context.settings.cache.ttl_negative_max).into());
    let (name, zone) = (&plan.question.name, &plan.zone);
    context
        .cache
        .inside()
        .put(context.now.instant, name, zone, ttl);
}

/// Gives an SOA the time to live of the negative answer that it stands in (RFC 2308, 5); `least` is what the settings
/// raise it to.
pub fn lower_soa(rrset: &mut Arc<Rrset>, least: u32) {
    if rrset.record_type != RecordType::SOA {
        return;
    }
    let minimum = rrset.rdata.iter().next().and_then(rdata::soa_minimum);
    let ttl = rrset.ttl.min(minimum.unwrap_or(0)).max(least);
    Arc::make_mut(rrset).ttl = ttl;
}
