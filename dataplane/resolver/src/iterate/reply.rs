//! The third part of resolving a name: what came back.
//!
//! Owns the way from a message to what is learnt of the server, what goes into the cache, and what
//! is done next (RFC 1034, 5.3.3, step 4). Never chooses a server.

use std::sync::Arc;
use std::time::Duration;

use crate::answer::{Answer, ExtendedError, ResponseCode};
use crate::context::Context;
use crate::fetch::{FetchFailure, FetchPlan, Transport};
use crate::infra::Lame;
use crate::iterate::alias::{AliasError, Chain};
use crate::iterate::classify::{Asked, ReplyKind, Unusable, classify};
use crate::iterate::expect;
use crate::iterate::refer;
use crate::iterate::scrub;
use crate::iterate::send;
use crate::iterate::start;
use crate::iterate::store::{Section, keep, keep_all};
use crate::iterate::work::{Next, Open, Work};
use crate::rdata;
use crate::rrset::{RecordType, Rrset};
use crate::settings::QnameMinimisation;
use crate::wire::{self, Reply};

/// Answers without signatures that are set aside in the hope of a better server.
const UNSIGNED_MAX: u8 = 3;

/// A server replied.
pub fn replied(
    work: &mut Work,
    context: &mut Context<'_>,
    plan: &FetchPlan,
    message: &[u8],
    round_trip: Duration,
) -> Next {
    let Some(open) = work.open.take() else {
        return Next::Wait;
    };
    let Ok(reply) = wire::parse_reply(message, &context.settings.limits) else {
        work.failure = ExtendedError::INVALID_DATA;
        return pass_over(work, &open);
    };
    note_reply(work, context, plan, &reply, &open, round_trip);
    if reply.truncated {
        return match plan.transport {
            Transport::Udp => send::send_again(work, context, open.index, plan, |plan| {
                plan.transport = Transport::Tcp;
                plan.randomise_case = false;
            }),
            Transport::Tcp | Transport::Tls(_) | Transport::Https { .. } => {
                work.failure = ExtendedError::INVALID_DATA;
                pass_over(work, &open)
            }
        };
    }
    // RFC 6891, 7: a server that knows no EDNS says FORMERR or NOTIMP.
    let against_edns = [
        ResponseCode::FORMERR,
        ResponseCode::NOTIMP,
        ResponseCode::BADVERS,
    ];
    if plan.edns && reply.edns.is_none() && against_edns.contains(&reply.rcode) {
        let ttl = context.settings.cache.server_ttl;
        context
            .infra
            .note_no_edns(context.now.instant, ttl, plan.server);
        return send::send_again(work, context, open.index, plan, |plan| plan.edns = false);
    }
    let kind = classify(
        &reply,
        &Asked {
            question: &plan.question,
            zone: &plan.zone,
            recursion_desired: plan.recursion_desired,
            aliases_max: context.settings.limits.aliases_per_reply_max,
        },
    );
    if open.minimised {
        minimised(work, context, plan, &reply, kind, &open)
    } else {
        full(work, context, plan, &reply, kind, &open)
    }
}

/// Remembers what a reply shows of its server.
fn note_reply(
    work: &mut Work,
    context: &Context<'_>,
    plan: &FetchPlan,
    reply: &Reply,
    open: &Open,
    round_trip: Duration,
) {
    let (now, ttl) = (context.now.instant, context.settings.cache.server_ttl);
    let edns = reply.edns.is_some();
    context
        .infra
        .replied(now, ttl, plan.server, round_trip, edns);
    let address = work
        .delegation
        .as_mut()
        .and_then(|delegation| delegation.addresses.get_mut(open.index));
    let Some(address) = address else {
        return;
    };
    // What was left out after silence is what the server does not bear.
    if address.failures > 0 && plan.transport == Transport::Udp {
        if !plan.edns {
            context.infra.note_no_edns(now, ttl, plan.server);
        } else if !plan.randomise_case && context.settings.resolution.case_randomisation {
            context.infra.note_case_lost(now, ttl, plan.server);
        }
    }
    address.failures = 0;
}

/// Goes on to another server; this one is not asked the same again.
fn pass_over(work: &mut Work, open: &Open) -> Next {
    if let Some(delegation) = &mut work.delegation
        && let Some(address) = delegation.addresses.get_mut(open.index)
    {
        address.retired = true;
    }
    Next::Choose
}

/// A fetch ended without a reply.
pub fn failed(
    work: &mut Work,
    context: &mut Context<'_>,
    plan: &FetchPlan,
    failure: FetchFailure,
) -> Next {
    let Some(open) = work.open.take() else {
        return Next::Wait;
    };
    let (now, ttl) = (context.now.instant, context.settings.cache.server_ttl);
    match failure {
        FetchFailure::Timeout => context.infra.timed_out(now, ttl, plan.server),
        FetchFailure::Unreachable | FetchFailure::TlsFailed => {
            context.infra.timed_out(now, ttl, plan.server);
            work.failure = ExtendedError::NETWORK_ERROR;
        }
        FetchFailure::Exhausted => {}
    }
    if open.minimised && failure == FetchFailure::Timeout && !is_strict(context) {
        work.minimiser.timed_out();
    }
    let gone = matches!(failure, FetchFailure::Unreachable | FetchFailure::TlsFailed);
    if let Some(delegation) = &mut work.delegation
        && let Some(address) = delegation.addresses.get_mut(open.index)
    {
        address.failures = address.failures.saturating_add(1);
        // A stream that failed after truncation leaves nothing to try.
        address.retired |= gone || plan.transport != address.transport;
    }
    Next::Choose
}

fn is_strict(context: &Context<'_>) -> bool {
    context.settings.resolution.qname_minimisation == QnameMinimisation::Strict
}

/// A server was told less than the whole question.
fn minimised(
    work: &mut Work,
    context: &mut Context<'_>,
    plan: &FetchPlan,
    reply: &Reply,
    kind: ReplyKind,
    open: &Open,
) -> Next {
    match kind {
        ReplyKind::Referral(cut) => refer::descend(work, context, plan, reply, &cut, open),
        ReplyKind::Answer(_) | ReplyKind::Alias(_) | ReplyKind::NoData | ReplyKind::Empty => {
            work.minimiser.advance(&plan.question.name);
            Next::Choose
        }
        ReplyKind::NameError if is_strict(context) => {
            negative(work, context, plan, reply, ResponseCode::NXDOMAIN)
        }
        // Some servers deny empty non-terminals, so the name itself has to be asked for.
        ReplyKind::NameError => {
            work.minimiser.give_up();
            Next::Choose
        }
        ReplyKind::Unusable(_) if !is_strict(context) => {
            work.minimiser.give_up();
            Next::Choose
        }
        ReplyKind::Lame(lame) => lame_server(work, context, plan, lame, open),
        ReplyKind::Unusable(unusable) => {
            note_unusable(work, unusable);
            pass_over(work, open)
        }
    }
}

fn note_unusable(work: &mut Work, unusable: Unusable) {
    work.failure = match unusable {
        Unusable::Error(_) => ExtendedError::NO_REACHABLE_AUTHORITY,
        Unusable::Alias(_) | Unusable::OtherQuestion => ExtendedError::INVALID_DATA,
        Unusable::NotAuthoritative => ExtendedError::NO_REACHABLE_AUTHORITY,
    };
}

fn lame_server(
    work: &mut Work,
    context: &Context<'_>,
    plan: &FetchPlan,
    lame: Lame,
    open: &Open,
) -> Next {
    let ttl = context.settings.cache.server_ttl;
    context
        .infra
        .note_lame(context.now.instant, ttl, plan.server, &plan.zone, lame);
    if lame != Lame::Recursive || plan.recursion_desired {
        return pass_over(work, open);
    }
    if let Some(delegation) = &mut work.delegation
        && let Some(address) = delegation.addresses.get_mut(open.index)
    {
        address.recursive = true;
    }
    Next::Choose
}

/// A server was asked the whole question.
fn full(
    work: &mut Work,
    context: &mut Context<'_>,
    plan: &FetchPlan,
    reply: &Reply,
    kind: ReplyKind,
    open: &Open,
) -> Next {
    if matches!(
        kind,
        ReplyKind::Answer(_) | ReplyKind::Alias(_) | ReplyKind::NoData | ReplyKind::NameError
    ) {
        work.note_source(&plan.zone, plan.server);
    }
    match kind {
        ReplyKind::Answer(chain) => answer(work, context, plan, reply, chain, open),
        ReplyKind::Alias(chain) => aliased(work, context, plan, reply, chain),
        ReplyKind::NoData | ReplyKind::NameError => {
            if expect::lacks_denial(context, plan, reply) && work.unsigned < UNSIGNED_MAX {
                let outcome = negative(work, context, plan, reply, reply.rcode);
                return set_aside(work, context, plan, outcome, open);
            }
            negative(work, context, plan, reply, reply.rcode)
        }
        ReplyKind::Empty => {
            let outcome = negative(work, context, plan, reply, ResponseCode::NOERROR);
            if let (Next::Finish(answer), true) =
                (outcome, reply.authoritative || plan.recursion_desired)
            {
                work.fallback.get_or_insert(answer);
            }
            pass_over(work, open)
        }
        ReplyKind::Referral(cut) => {
            if plan.question.record_type == RecordType::DS && cut == plan.question.name {
                return refer::ds_by_referral(work, context, plan, reply);
            }
            refer::descend(work, context, plan, reply, &cut, open)
        }
        ReplyKind::Lame(lame) => lame_server(work, context, plan, lame, open),
        ReplyKind::Unusable(Unusable::Alias(AliasError::TooLong)) => {
            Next::Finish(work.finish(ResponseCode::YXDOMAIN, Vec::new(), Vec::new()))
        }
        ReplyKind::Unusable(Unusable::Alias(AliasError::Loop)) => {
            work.failure = ExtendedError::INVALID_DATA;
            Next::Finish(work.fail(context.settings))
        }
        ReplyKind::Unusable(unusable) => {
            note_unusable(work, unusable);
            pass_over(work, open)
        }
    }
}

/// The chain of an answer, cleared of private addresses and kept in the cache.
fn keep_chain(work: &Work, context: &Context<'_>, reply: &Reply, chain: Chain) -> Vec<Arc<Rrset>> {
    let mut kept = Vec::new();
    for rrset in chain.rrsets {
        let rrset = Arc::unwrap_or_clone(rrset);
        if let Some(rrset) = scrub::without_private(rrset, &context.settings.resolution) {
            kept.push(keep(work, context, rrset, Section::Answer.trust(reply)));
        }
    }
    kept
}

fn answer(
    work: &mut Work,
    context: &mut Context<'_>,
    plan: &FetchPlan,
    reply: &Reply,
    chain: Chain,
    open: &Open,
) -> Next {
    let unsigned = expect::lacks_signatures(context, plan, &chain.rrsets);
    let had_records = !chain.rrsets.is_empty();
    let rrsets = keep_chain(work, context, reply, chain);
    if had_records && rrsets.is_empty() {
        work.failure = ExtendedError::FILTERED;
        return pass_over(work, open);
    }
    let class = work.current.class;
    let denials = scrub::denials(reply, &plan.zone, class);
    let denials = keep_all(work, context, denials, Section::Authority.trust(reply));
    let mut answer = work.finish(ResponseCode::NOERROR, rrsets, denials);
    answer.additional = additional(work, context, plan, reply, &answer);
    let outcome = Next::Finish(answer);
    if unsigned && work.unsigned < UNSIGNED_MAX {
        return set_aside(work, context, plan, outcome, open);
    }
    outcome
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
    lame_server(work, context, plan, Lame::Unsigned, open)
}

fn aliased(
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
fn negative(
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
    let authority = keep_all(work, context, authority, Section::Authority.trust(reply));
    let mut answer = work.finish(rcode, Vec::new(), authority);
    // RFC 2308, 5: without an SOA there is no time to keep it for.
    answer.ttl = if has_soa {
        answer.ttl.min(context.settings.cache.ttl_negative_max)
    } else {
        0
    };
    Next::Finish(answer)
}
