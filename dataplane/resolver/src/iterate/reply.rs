//! The third part of resolving a name: what came back.
//!
//! Owns the way from a message to what is learnt of the server, what goes into the cache, and what
//! is done next (RFC 1034, 5.3.3, step 4). Never chooses a server.

use std::time::Duration;

use crate::answer::{ExtendedError, ResponseCode};
use crate::context::Context;
use crate::fetch::{FetchFailure, FetchPlan, Transport};
use crate::iterate::alias::AliasError;
use crate::iterate::classify::{Asked, ReplyKind, Unusable, classify};
use crate::iterate::conclude;
use crate::iterate::cookies;
use crate::iterate::expect;
use crate::iterate::refer;
use crate::iterate::scrub;
use crate::iterate::send;
use crate::iterate::store;
use crate::iterate::work::{Next, Open, Work};
use crate::rrset::RecordType;
use crate::settings::QnameMinimisation;
use crate::wire::{self, Reply};

/// Queries of one question to one server over a stream in place of UDP.
const STREAMS_MAX: u8 = 2;

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
    let Ok(mut reply) = wire::parse_reply(message, &context.settings.limits) else {
        work.failure = ExtendedError::NETWORK_ERROR;
        return send::pass_over(work, &open);
    };
    if cookies::is_forged(plan, &reply) {
        return cookies::over_tcp(work, context, plan, &open);
    }
    note_reply(work, context, plan, &reply, &open, round_trip);
    if let Some(next) = cookies::check(work, context, plan, &reply, &open) {
        return next;
    }
    if reply.truncated {
        return match plan.transport {
            Transport::Udp => send::send_again(work, context, open.index, plan, |plan| {
                plan.transport = Transport::Tcp;
                plan.randomise_case = false;
            }),
            Transport::Tcp | Transport::Tls(_) | Transport::Https { .. } => {
                work.failure = ExtendedError::NETWORK_ERROR;
                send::pass_over(work, &open)
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
    scrub::gather_signatures(&mut reply, context.settings.limits.signatures_per_rrset_max);
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
    work.agent = reply.edns.as_ref().and_then(|edns| edns.agent.clone());
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
    if address.failures > 0 && plan.transport == Transport::Udp && !plan.edns {
        context.infra.note_no_edns(now, ttl, plan.server);
    }
    address.failures = 0;
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
    let often_ignored = [RecordType::AAAA, RecordType::DS, RecordType::HTTPS];
    match failure {
        FetchFailure::Timeout if often_ignored.contains(&plan.question.record_type) => {
            context.infra.ignored(now, ttl, plan.server, plan.timeout);
        }
        FetchFailure::Timeout => {
            context.infra.timed_out(now, ttl, plan.server, plan.timeout);
        }
        // It is there, and spells names its own way. Over TCP that does no harm.
        FetchFailure::CaseLost => {
            context.infra.note_case_lost(now, ttl, plan.server);
            return cookies::over_tcp(work, context, plan, &open);
        }
        FetchFailure::Unreachable | FetchFailure::TlsFailed | FetchFailure::HttpFailed => {
            context
                .infra
                .timed_out(now, ttl, plan.server, Duration::ZERO);
            work.failure = ExtendedError::NETWORK_ERROR;
        }
        FetchFailure::Exhausted => {}
    }
    if open.minimised && failure == FetchFailure::Timeout && !is_strict(context) {
        work.minimiser.timed_out();
    }
    let gone = matches!(
        failure,
        FetchFailure::Unreachable | FetchFailure::TlsFailed | FetchFailure::HttpFailed
    );
    if let Some(delegation) = &mut work.delegation
        && let Some(address) = delegation.addresses.get_mut(open.index)
    {
        address.failures = address.failures.saturating_add(1);
        if plan.transport != address.transport {
            address.streams_failed = address.streams_failed.saturating_add(1);
            // One that is lost right after a truncated reply is tried once more: there is no other way to the answer.
            address.retired |= address.failures > 1 || address.streams_failed >= STREAMS_MAX;
        }
        address.retired |= gone;
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
        ReplyKind::Answer(_)
        | ReplyKind::Alias(_)
        | ReplyKind::TooLong(_)
        | ReplyKind::NoData
        | ReplyKind::Empty => {
            store::keep_inside(work, context, plan, reply);
            work.minimiser.advance(&plan.question.name);
            Next::Choose
        }
        // A signed denial holds for all that lies below the name, too.
        ReplyKind::NameError if is_strict(context) || expect::is_proved(context, plan, reply) => {
            work.note_source(&plan.zone, plan.server);
            conclude::negative(work, context, plan, reply, ResponseCode::NXDOMAIN)
        }
        // Some servers deny empty non-terminals, so the name itself has to be asked for.
        ReplyKind::NameError => {
            work.minimiser.give_up();
            Next::Choose
        }
        ReplyKind::Unusable(_) if !is_strict(context) => {
            work.minimiser.failed();
            Next::Choose
        }
        ReplyKind::Lame(lame) => send::pass_over_lame(work, context, plan, lame, open),
        ReplyKind::Unusable(unusable) => {
            note_unusable(work, unusable);
            send::pass_over(work, open)
        }
    }
}

fn note_unusable(work: &mut Work, unusable: Unusable) {
    work.failure = match unusable {
        Unusable::Error(_) => ExtendedError::NO_REACHABLE_AUTHORITY,
        Unusable::OtherQuestion => ExtendedError::NETWORK_ERROR,
        Unusable::Alias(_) => ExtendedError::OTHER,
        Unusable::NotAuthoritative => ExtendedError::NO_REACHABLE_AUTHORITY,
    };
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
        ReplyKind::Answer(chain) => conclude::answer(work, context, plan, reply, chain, open),
        ReplyKind::Alias(chain) => conclude::aliased(work, context, plan, reply, chain),
        ReplyKind::TooLong(chain) => conclude::too_long(work, context, reply, chain),
        ReplyKind::NoData | ReplyKind::NameError => {
            conclude::denied(work, context, plan, reply, open)
        }
        ReplyKind::Empty => conclude::empty(work, context, plan, reply, open),
        ReplyKind::Referral(cut) => {
            if plan.question.record_type == RecordType::DS && cut == plan.question.name {
                return refer::ds_by_referral(work, context, plan, reply);
            }
            refer::descend(work, context, plan, reply, &cut, open)
        }
        ReplyKind::Lame(lame) => send::pass_over_lame(work, context, plan, lame, open),
        ReplyKind::Unusable(Unusable::Alias(AliasError::Loop)) => {
            work.failure = ExtendedError::OTHER;
            Next::Finish(work.fail(context.settings))
        }
        ReplyKind::Unusable(unusable) => {
            note_unusable(work, unusable);
            send::pass_over(work, open)
        }
    }
}
