//! Answers made of a reply: positive, aliased, negative.
//!
//! Owns what goes into the answer and the cache, and when an answer is set aside in the hope of a better
//! server. Never decides what a reply means: `classify` does.

use std::sync::Arc;

use crate::answer::{Answer, ResponseCode};
use crate::context::Context;
use crate::fetch::FetchPlan;
use crate::infra::Lame;
use crate::iterate::alias::Chain;
use crate::iterate::expect;
use crate::iterate::scrub;
use crate::iterate::send;
use crate::iterate::start;
use crate::iterate::store::{Section, keep, keep_all, lower_soa};
use crate::iterate::work::{Next, Open, Work};
use crate::rdata;
use crate::rrset::{RecordType, Rrset, made_by_dname};
use crate::wire::Reply;

/// Answers without signatures that are set aside in the hope of a better server.
const UNSIGNED_MAX: u8 = 3;

/// The chain of an answer, cleared of private addresses and kept in the cache.
fn keep_chain(work: &Work, context: &Context<'_>, reply: &Reply, chain: Chain) -> Vec<Arc<Rrset>> {
    let mut kept = Vec::new();
    let made = made_by_dname(&chain.rrsets);
    for (index, rrset) in chain.rrsets.into_iter().enumerate() {
        if made.contains(&index) {
            // By itself it would stand without its proof: it is made anew from its DNAME.
            kept.push(rrset);
            continue;
        }
        let rrset = Arc::unwrap_or_clone(rrset);
        let rrset = scrub::harvested(rrset, context.settings.limits.name_servers_max);
        if let Some(rrset) = scrub::without_private(rrset, &context.settings.resolution) {
            kept.push(keep(work, context, rrset, Section::Answer.trust(reply)));
        }
    }
    kept
}

/// The chain ends with what was asked for.
pub fn answer(
    work: &mut Work,
    context: &mut Context<'_>,
    plan: &FetchPlan,
    reply: &Reply,
    mut chain: Chain,
    open: &Open,
) -> Next {
    let several = [RecordType::ANY, RecordType::RRSIG];
    if several.contains(&work.current.record_type) {
        let max = context.settings.limits.rrsets_of_any_max;
        chain.rrsets.truncate(max);
    }
    if let Some(cut) = expect::without_unsigned_end(context, plan, &chain) {
        return aliased(work, context, plan, reply, cut);
    }
    let unsigned = expect::lacks_signatures(context, plan, &chain.rrsets);
    let rrsets = keep_chain(work, context, reply, chain);
    let class = work.current.class;
    let denials = scrub::denials(reply, &plan.zone, class);
    let mut authority = keep_all(work, context, denials, Section::Authority.trust(reply));
    let mut glue = Vec::new();
    if let Some((ns, addresses)) = own_name_servers(work, context, plan, reply)
        && !rrsets
            .iter()
            .any(|rrset| rrset.owner == ns.owner && rrset.record_type == RecordType::NS)
    {
        authority.push(ns);
        glue = addresses;
    }
    let mut answer = work.finish(ResponseCode::NOERROR, rrsets, authority);
    answer.additional = additional(work, context, plan, reply, &answer);
    answer.additional.extend(glue);
    let outcome = Next::Finish(answer);
    if unsigned && work.unsigned < UNSIGNED_MAX {
        return set_aside(work, context, plan, outcome, open);
    }
    outcome
}

/// The zone's own NS RRset and the addresses beside it, where the settings let them be passed on. Without AA they
/// are not kept.
fn own_name_servers(
    work: &Work,
    context: &Context<'_>,
    plan: &FetchPlan,
    reply: &Reply,
) -> Option<(Arc<Rrset>, Vec<Arc<Rrset>>)> {
    let settings = context.settings;
    if !settings.resolution.learn_name_servers {
        return None;
    }
    let class = work.current.class;
    let limit = settings.limits.name_servers_max;
    let parts = scrub::referral(reply, &plan.zone, &plan.zone, class, limit, true)?;
    let glue = scrub::all_without_private(parts.glue, &settings.resolution);
    if !reply.authoritative {
        let glue = glue.into_iter().map(Arc::new);
        return Some((Arc::new(parts.ns), glue.collect()));
    }
    let ns = keep(work, context, parts.ns, Section::Authority.trust(reply));
    let glue = keep_all(work, context, glue, Section::Additional.trust(reply));
    Some((ns, glue))
}

/// Addresses of the name servers that an NS answer names.
fn additional(
    work: &Work,
    context: &Context<'_>,
    plan: &FetchPlan,
    reply: &Reply,
    answer: &Answer,
) -> Vec<Arc<Rrset>> {
    if work.current.record_type != RecordType::NS {
        return Vec::new();
    }
    let names: Vec<_> = answer
        .answer
        .iter()
        .filter(|rrset| rrset.record_type == RecordType::NS)
        .flat_map(|rrset| rrset.rdata.iter().filter_map(rdata::target))
        .collect();
    let found = scrub::addresses_of(reply, &plan.zone, work.current.class, &names, true);
    let found = scrub::all_without_private(found, &context.settings.resolution);
    keep_all(work, context, found, Section::Additional.trust(reply))
}

/// Keeps an answer for the case that every other server is no better, and asks on.
fn set_aside(
    work: &mut Work,
    context: &Context<'_>,
    plan: &FetchPlan,
    outcome: Next,
    open: &Open,
) -> Next {
    let Next::Finish(answer) = outcome else {
        return outcome;
    };
    work.unsigned += 1;
    work.fallback.get_or_insert(answer);
    send::pass_over_lame(work, context, plan, Lame::Unsigned, open)
}

/// The chain leads elsewhere.
pub fn aliased(
    work: &mut Work,
    context: &mut Context<'_>,
    plan: &FetchPlan,
    reply: &Reply,
    chain: Chain,
) -> Next {
    let Some(target) = chain.target.clone() else {
        return Next::Choose;
    };
    let rrsets = keep_chain(work, context, reply, chain);
    let denials = scrub::denials(reply, &plan.zone, work.current.class);
    let denials = keep_all(work, context, denials, Section::Authority.trust(reply));
    start::follow(work, context, rrsets, denials, target)
}

/// NODATA or NXDOMAIN, with what the zone says of it.
pub fn negative(
    work: &mut Work,
    context: &Context<'_>,
    plan: &FetchPlan,
    reply: &Reply,
    rcode: ResponseCode,
) -> Next {
    let authority =
        scrub::negative_authority(reply, &plan.zone, &work.current.name, work.current.class);
    let has_soa = authority
        .iter()
        .any(|rrset| rrset.record_type == RecordType::SOA);
    let mut authority = keep_all(work, context, authority, Section::Authority.trust(reply));
    let least = context.settings.cache.ttl_negative_min;
    authority
        .iter_mut()
        .for_each(|rrset| lower_soa(rrset, least));
    let mut answer = work.finish(rcode, Vec::new(), authority);
    // RFC 2308, 5: without an SOA there is no time to keep it for.
    answer.ttl = if has_soa {
        answer.ttl.min(context.settings.cache.ttl_negative_max)
    } else {
        context.settings.cache.ttl_min
    };
    Next::Finish(answer)
}

/// A DNAME leads to a name that is too long (RFC 6672, 2.2).
pub fn too_long(work: &Work, context: &Context<'_>, reply: &Reply, chain: Chain) -> Next {
    let rrsets = keep_chain(work, context, reply, chain);
    Next::Finish(work.finish(ResponseCode::YXDOMAIN, rrsets, Vec::new()))
}

/// The name or the type does not exist.
pub fn denied(
    work: &mut Work,
    context: &mut Context<'_>,
    plan: &FetchPlan,
    reply: &Reply,
    open: &Open,
) -> Next {
    let outcome = negative(work, context, plan, reply, reply.rcode);
    if expect::lacks_denial(context, plan, reply) && work.unsigned < UNSIGNED_MAX {
        return set_aside(work, context, plan, outcome, open);
    }
    outcome
}

/// There is nothing in the reply: NODATA, if no other server knows more.
pub fn empty(
    work: &mut Work,
    context: &mut Context<'_>,
    plan: &FetchPlan,
    reply: &Reply,
    open: &Open,
) -> Next {
    if let Next::Finish(answer) = negative(work, context, plan, reply, ResponseCode::NOERROR) {
        work.fallback.get_or_insert(answer);
    }
    send::pass_over(work, open)
}
