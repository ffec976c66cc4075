//! The first part of resolving a name: what the cache says of it, and who is closest to it.
//!
//! Owns the use of cached answers and the choice of the closest delegation among cache, stub and
//! forward zones, and hints (RFC 1034, 5.3.3, steps 1 and 2). Never sends a query.

use std::sync::Arc;
use std::time::Duration;

use crate::answer::{Answer, ExtendedError, ResponseCode};
use crate::context::Context;
use crate::forward::{self, UpstreamKind};
use crate::iterate::cached::{self, Cached};
use crate::iterate::delegation::Delegation;
use crate::iterate::phase::Phase;
use crate::iterate::prime;
use crate::iterate::work::{Next, Work};
use crate::name::Name;
use crate::question::StateKind;
use crate::rrset::{Class, RecordType, Rrset};
use crate::settings::DnssecMode;
use crate::time::Now;
use crate::validate::synthesis::{self, Synthesised};

/// Looks the current name up, or finds the servers to ask.
pub fn begin(work: &mut Work, context: &mut Context<'_>) -> Next {
    work.enter(Phase::Start);
    if work.current.class != Class::IN {
        // The hints and the delegations below them are those of one class.
        let error = Some(ExtendedError::NOT_SUPPORTED);
        return Next::Finish(Answer::empty(ResponseCode::REFUSED, error));
    }
    if may_use_cache(work, context)
        && let Some(next) = from_denials(work, context).or_else(|| from_cache(work, context))
    {
        return next;
    }
    if !work.recursion_desired {
        return Next::Finish(referral_from_cache(work, context));
    }
    if is_renewal(work, context) && work.kind != StateKind::Revalidation {
        let held = context.cache.answer(context.now, &work.current);
        work.leeway = held.map_or(0, |answer| answer.ttl);
    }
    let from = first_zone(work, context);
    if let Some(zone) = prime::wanted(work, context, &from) {
        return prime::request(work, context, zone);
    }
    let Some(delegation) = closest(work, context, from) else {
        return Next::Finish(work.fail(context.settings));
    };
    if work.minimiser.is_off() || delegation.recursion_desired() {
        work.minimiser.give_up();
    }
    work.use_delegation(delegation);
    work.enter(Phase::Choosing);
    Next::Choose
}

fn may_use_cache(work: &Work, context: &Context<'_>) -> bool {
    if work.skip_cache || work.kind == StateKind::Prime {
        return false;
    }
    if is_renewal(work, context) {
        return false;
    }
    let upstream = forward::upstream_zone(
        &context.settings.resolution,
        &work.current.name,
        &work.failed_upstreams,
    );
    !upstream.is_some_and(|(_, zone)| zone.no_cache)
}

/// Whether the answer that the cache has to the state's own question is being replaced.
fn is_renewal(work: &Work, context: &Context<'_>) -> bool {
    context.skip_cache && work.is_at_start()
}

/// What validated denials, or a wildcard beside them, say of the current name (RFC 8198). Not for those who check
/// themselves, and not where a verdict is held.
fn from_denials(work: &mut Work, context: &mut Context<'_>) -> Option<Next> {
    let may = work.kind.validates()
        && !work.checking_disabled
        && context.settings.dnssec.mode == DnssecMode::Validate
        && context.cache.verdict(context.now, &work.current).is_none();
    if !may {
        return None;
    }
    Some(match synthesis::answer(&work.current, context)? {
        Synthesised::Answer(answer) => Next::Finish(join(work, &answer)),
        Synthesised::Alias {
            alias,
            denials,
            target,
        } => follow(work, context, vec![alias], denials, target),
    })
}

fn from_cache(work: &mut Work, context: &mut Context<'_>) -> Option<Next> {
    let (rrsets, target) = match cached::look_up(work, context)? {
        Cached::Answer(answer) => return Some(Next::Finish(join(work, &answer))),
        Cached::Rrsets(rrsets, security) => {
            let mut answer = work.finish(ResponseCode::NOERROR, rrsets, Vec::new());
            if work.is_at_start() {
                answer.security = security;
            }
            return Some(Next::Finish(answer));
        }
        Cached::Alias(rrsets, target) => (rrsets, target),
    };
    Some(follow(work, context, rrsets, Vec::new(), target))
}

/// Follows an alias: what leads there is gathered, and the target is looked up from the start.
pub fn follow(
    work: &mut Work,
    context: &mut Context<'_>,
    rrsets: Vec<Arc<Rrset>>,
    denials: Vec<Arc<Rrset>>,
    target: Name,
) -> Next {
    let gathered = work.finish(ResponseCode::NOERROR, rrsets, denials);
    work.answer = gathered.answer;
    work.authority = gathered.authority;
    let looped = work.visited.contains(&target);
    if looped || context.budget.spend_restart().is_err() {
        return Next::Finish(work.fail(context.settings));
    }
    work.visited.push(target.clone());
    work.take_up(target, context.settings);
    work.enter(Phase::Start);
    Next::Start
}

/// A cached answer to the current name, behind what was gathered.
fn join(work: &Work, cached: &Answer) -> Answer {
    if work.is_at_start() {
        return cached.clone();
    }
    let mut answer = work.finish(
        cached.rcode,
        cached.answer.clone(),
        cached.authority.clone(),
    );
    answer.ttl = answer.ttl.min(cached.ttl);
    answer.extended_error = cached.extended_error;
    if cached.rcode == ResponseCode::SERVFAIL {
        answer.answer.clear();
        answer.authority.clear();
    }
    answer
}

/// Without RD: the closest delegation that is known.
fn referral_from_cache(work: &Work, context: &Context<'_>) -> Answer {
    let ns = context
        .cache
        .delegation(context.now, &work.current.name, work.current.class);
    let mut answer = work.finish(ResponseCode::NOERROR, Vec::new(), ns.into_iter().collect());
    answer.ttl = 0;
    answer
}

/// The name from which delegations are looked for upwards: DS lives at the parent's side (RFC 4035, 4.2),
/// and a renewed NS RRset is asked for from the parent on, so that nobody stays with a zone that has moved.
fn first_zone(work: &Work, context: &Context<'_>) -> Name {
    let record_type = work.current.record_type;
    let renewed = record_type == RecordType::NS
        && is_renewal(work, context)
        && work.kind != StateKind::Revalidation;
    if record_type == RecordType::DS || renewed {
        work.current.name.parent().unwrap_or_else(Name::root)
    } else {
        work.current.name.clone()
    }
}

/// The closest delegation at or above `from` that something can come of.
pub fn closest(work: &Work, context: &Context<'_>, from: Name) -> Option<Delegation> {
    let settings = &context.settings.resolution;
    let mut from = from;
    loop {
        let upstream = forward::upstream_zone(settings, &from, &work.failed_upstreams);
        if let Some((UpstreamKind::Forward, zone)) = upstream {
            return Some(Delegation::from_upstream(
                UpstreamKind::Forward,
                zone,
                context,
            ));
        }
        let cached = if work.kind == StateKind::Prime {
            None
        } else {
            // What does not outlive the answer that is renewed counts as expired already.
            let leeway = Duration::from_secs(work.leeway.into());
            let now = Now {
                instant: context.now.instant.after(leeway),
                ..context.now
            };
            context.cache.delegation(now, &from, work.current.class)
        };
        let cached = cached.filter(|ns| {
            upstream.is_none_or(|(_, zone)| {
                ns.owner.is_within(&zone.name) && (ns.owner != zone.name || prime::replaces(zone))
            })
        });
        if let Some(ns) = cached {
            let mut delegation = Delegation::from_ns(&ns, context);
            // The servers of a primed stub zone come from the zone, and its parent has no say.
            delegation.parent_asked = upstream.is_some_and(|(_, zone)| zone.name == ns.owner);
            if !delegation.is_useless() {
                return Some(delegation);
            }
            if let Some(parent) = ns.owner.parent()
                && upstream.is_none_or(|(_, zone)| ns.owner != zone.name)
            {
                from = parent;
                continue;
            }
        }
        if let Some((kind, zone)) = upstream {
            return Some(Delegation::from_upstream(kind, zone, context));
        }
        let hints = prime::hints(context.settings);
        return Some(Delegation::from_hints(&hints, context));
    }
}
