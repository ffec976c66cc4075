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
            // One message of the network may fail all that were on their way, so they count as one here, too.
            context.infra.timed_out(now, ttl, plan.server, plan.timeout);
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

#[cfg(test)]
mod tests {
    use crate::answer::ResponseCode;
    use crate::fetch::Transport;
    use crate::iterate::internet::internet;
    use crate::name::Name;
    use crate::rrset::RecordType;
    use crate::scenario::{AA, RA, Reaction, TC, answers, refers, shown, socket, texts};

    #[test]
    fn truncated_replies_are_asked_for_over_tcp() {
        let mut world = internet();
        let answer = world.resolve("big.example.com", RecordType::A);
        assert_eq!(shown(&answer), ["big.example.com. A 192.0.2.3"]);
        assert_eq!(
            world.asked().last().unwrap(),
            "10.0.0.3 big.example.com. A tcp"
        );
    }

    #[test]
    fn a_stream_that_is_lost_after_truncation_is_tried_once_more() {
        for (lost, rcode) in [(1, ResponseCode::NOERROR), (2, ResponseCode::SERVFAIL)] {
            let mut world = internet();
            let streams = core::cell::Cell::new(0);
            world.server("10.0.0.3", move |plan| match plan.transport {
                Transport::Udp => Reaction::Reply(AA | TC, vec![], vec![], vec![]),
                _ if streams.replace(streams.get() + 1) < lost => Reaction::Silence,
                _ => answers(&["big.example.com 300 A 192.0.2.3"]),
            });
            assert_eq!(world.resolve("big.example.com", RecordType::A).rcode, rcode);
            let streams = world
                .log
                .iter()
                .filter(|plan| plan.transport == Transport::Tcp);
            assert!(streams.clone().all(|plan| plan.timeout.as_millis() >= 1000));
            assert_eq!(streams.count(), 2);
        }
    }

    #[test]
    fn dead_and_lame_servers_are_passed_over() {
        let mut world = internet();
        world.server("10.0.0.2", |_| {
            refers(
                &[
                    "example.com 3600 NS ns1.example.com",
                    "example.com 3600 NS ns2.example.com",
                    "example.com 3600 NS ns3.example.com",
                    "example.com 3600 NS ns4.example.com",
                ],
                &[
                    "ns1.example.com 3600 A 10.0.1.1",
                    "ns2.example.com 3600 A 10.0.1.2",
                    "ns3.example.com 3600 A 10.0.1.3",
                    "ns4.example.com 3600 A 10.0.0.3",
                ],
            )
        });
        world.server("10.0.1.1", |_| Reaction::Silence);
        world.server("10.0.1.2", |_| refers(&[". 60 NS a.root"], &[]));
        world.server("10.0.1.3", |_| {
            Reaction::Reply(RA, texts(&["www.example.com 60 A 6.6.6.6"]), vec![], vec![])
        });
        for _ in 0..10 {
            let answer = world.resolve("www.example.com", RecordType::A);
            assert_eq!(shown(&answer), ["www.example.com. A 192.0.2.1"]);
        }
        let lame = |address: &str| {
            let zone = Name::from_text("example.com").unwrap();
            world
                .infra
                .view(world.now.instant, socket(address), &zone)
                .lame
        };
        assert!(lame("10.0.0.3").is_none());
    }

    #[test]
    fn servers_without_edns_are_asked_without_it() {
        let mut world = internet();
        world.server("10.0.0.3", |plan| {
            if plan.edns {
                Reaction::Reply(ResponseCode::FORMERR.0, vec![], vec![], vec![])
            } else {
                answers(&["www.example.com 300 A 192.0.2.1"])
            }
        });
        let answer = world.resolve("www.example.com", RecordType::A);
        assert_eq!(shown(&answer), ["www.example.com. A 192.0.2.1"]);
        let view = world
            .infra
            .view(world.now.instant, socket("10.0.0.3"), &Name::root());
        assert!(!view.edns);
    }

    #[test]
    fn a_server_that_loses_case_is_asked_plainly() {
        let mut world = internet();
        world.settings.resolution.case_randomisation = true;
        world.server("10.0.0.3", |plan| {
            if plan.randomise_case {
                Reaction::CaseLost
            } else {
                answers(&["www.example.com 300 A 192.0.2.1"])
            }
        });
        let answer = world.resolve("www.example.com", RecordType::A);
        assert_eq!(shown(&answer), ["www.example.com. A 192.0.2.1"]);
        assert_eq!(
            world.asked().last().unwrap(),
            "10.0.0.3 www.example.com. A tcp"
        );
        let view = world
            .infra
            .view(world.now.instant, socket("10.0.0.3"), &Name::root());
        assert!(!view.keeps_case && view.edns);
    }

    #[test]
    fn loss_does_not_take_the_defences_down() {
        let mut world = internet();
        world.settings.resolution.case_randomisation = true;
        let asked = core::cell::Cell::new(0);
        world.server("10.0.0.3", move |plan| {
            asked.set(asked.get() + 1);
            if plan.transport == Transport::Udp && asked.get() > 1 {
                Reaction::Silence
            } else {
                answers(&["x.example.com 0 A 192.0.2.1"])
            }
        });
        world.resolve("x.example.com", RecordType::A);
        let answer = world.resolve("x.example.com", RecordType::A);
        assert_eq!(shown(&answer), ["x.example.com. A 192.0.2.1"]);
        let sent: Vec<bool> = world.log.iter().map(|plan| plan.randomise_case).collect();
        assert_eq!(sent, [true, true, false]);
        assert_eq!(world.log.last().unwrap().transport, Transport::Tcp);
        let view = world
            .infra
            .view(world.now.instant, socket("10.0.0.3"), &Name::root());
        assert!(view.keeps_case && view.edns);
    }
}
