//! The second part of resolving a name: asking a server.
//!
//! Owns which server is asked how, the lookups of server addresses, and what is left when every
//! server failed (the parent's view of the zone, another upstream, failure).

use std::time::Duration;

use crate::answer::ExtendedError;
use crate::context::Context;
use crate::cookie::Cookie;
use crate::fetch::{FetchPlan, Transport};
use crate::infra::{Lame, View};
use crate::iterate::delegation::{Delegation, Source};
use crate::iterate::phase::Phase;
use crate::iterate::start;
use crate::iterate::target::{self, Choice};
use crate::iterate::work::{Next, Open, Work};
use crate::name::Name;
use crate::outcome::Request;
use crate::question::{Question, StateKind};
use crate::settings::DnssecMode;

/// After this many queries without a reply the next carries no cookie, if the server never gave one.
const FAILURES_UNTIL_NO_COOKIE: u8 = 1;
/// After this many queries without a reply the next goes over TCP to a server that knows EDNS, and carries no
/// OPT record to another.
const FAILURES_UNTIL_OTHERWISE: u8 = 2;

/// Asks the next server, or looks for one.
pub fn choose(work: &mut Work, context: &mut Context<'_>) -> Next {
    if work.open.is_some() {
        return Next::Wait;
    }
    work.enter(Phase::Choosing);
    let Some(mut delegation) = work.delegation.take() else {
        return Next::Start;
    };
    if work.sent >= context.settings.resolution.budget.queries_per_state {
        work.failure = ExtendedError::OTHER;
        return Next::Finish(fallback_or_failure(work, context));
    }
    look_ahead(work, &mut delegation, context);
    let choice = target::choose(&delegation, &work.avoid, context);
    if let Some(choice) = choice.filter(|choice| !choice.degraded) {
        work.delegation = Some(delegation);
        return ask(work, context, choice);
    }
    if look_up(&mut delegation, 1, context) || delegation.has_open_lookups() {
        work.delegation = Some(delegation);
        work.enter(Phase::AwaitingTargets);
        return Next::Wait;
    }
    if let Some(choice) = choice {
        work.delegation = Some(delegation);
        return ask(work, context, choice);
    }
    last_resort(work, delegation, context)
}

/// Looks addresses up ahead of need, as the policy says for this depth.
fn look_ahead(work: &mut Work, delegation: &mut Delegation, context: &mut Context<'_>) {
    if work.looked_ahead {
        return;
    }
    work.looked_ahead = true;
    if context.pressure || work.kind == StateKind::Prime {
        return;
    }
    let policy = &context.settings.resolution.target_fetch_policy;
    let depth = usize::try_from(context.depth).unwrap_or(usize::MAX);
    let wanted = policy.get(depth).or_else(|| policy.last()).copied();
    let count = match wanted {
        Some(count @ 0..) => usize::from(count.unsigned_abs()),
        Some(_) => usize::MAX,
        None => 0,
    };
    if count > 0 {
        look_up(delegation, count, context);
    }
}

/// Needs the addresses of up to `count` name servers; says whether there is anything to wait for.
fn look_up(delegation: &mut Delegation, count: usize, context: &mut Context<'_>) -> bool {
    if context.depth >= u32::from(context.settings.resolution.budget.depth) {
        return false;
    }
    let questions = target::look_up(delegation, count, context);
    let any = !questions.is_empty();
    for question in questions {
        context.requests.push(Request::Need {
            question,
            kind: StateKind::Sub,
        });
    }
    any
}

fn ask(work: &mut Work, context: &mut Context<'_>, choice: Choice) -> Next {
    pass_known(work, context);
    let Some(delegation) = &work.delegation else {
        return Next::Start;
    };
    let limits = &context.settings.resolution.rate_limits;
    let now = context.now.instant;
    if !context.infra.may_ask_zone(now, &delegation.zone, limits) {
        work.failure = ExtendedError::NOT_READY;
        return Next::Finish(fallback_or_failure(work, context));
    }
    let question = if choice.as_resolver {
        work.current.clone()
    } else {
        work.minimiser.question(&work.current, &delegation.zone)
    };
    let Some(address) = delegation.addresses.get(choice.index) else {
        return Next::Wait;
    };
    let (server, failures) = (address.socket, address.failures);
    let otherwise = failures >= FAILURES_UNTIL_OTHERWISE;
    let edns = choice.view.edns && (choice.view.edns_seen || !otherwise);
    let transport = match &address.transport {
        Transport::Udp if otherwise && edns => Transport::Tcp,
        usual => usual.clone(),
    };
    let udp = transport == Transport::Udp;
    let cookie = edns
        .then(|| cookie(&choice.view, &transport, failures, context))
        .flatten();
    let plan = FetchPlan {
        server,
        timeout: timeout(&transport, &choice.view),
        transport,
        zone: delegation.zone.clone(),
        question,
        recursion_desired: delegation.recursion_desired() || choice.as_resolver,
        checking_disabled: context.settings.dnssec.mode != DnssecMode::Off,
        edns,
        cookie,
        randomise_case: udp
            && context.settings.resolution.case_randomisation
            && choice.view.keeps_case
            && edns,
    };
    send(work, context, choice.index, plan)
}

/// Takes the steps of minimisation whose replies are known: at those names no zone begins (RFC 9156, 3).
fn pass_known(work: &mut Work, context: &Context<'_>) {
    let Some(delegation) = work.delegation.as_ref().filter(|_| !work.skip_cache) else {
        return;
    };
    loop {
        let question = work.minimiser.question(&work.current, &delegation.zone);
        let inside = context.cache.inside();
        if question == work.current
            || !inside.holds(context.now.instant, &question.name, &delegation.zone)
        {
            return;
        }
        work.minimiser.advance(&question.name);
    }
}

/// The cookie for a query: the one that the server gave last, else a new one.
fn cookie(
    view: &View,
    transport: &Transport,
    failures: u8,
    context: &mut Context<'_>,
) -> Option<Cookie> {
    let carries = matches!(transport, Transport::Udp | Transport::Tcp);
    if !context.settings.resolution.upstream_cookies || !view.cookies || !carries {
        return None;
    }
    view.cookie.or_else(|| {
        let fresh = failures < FAILURES_UNTIL_NO_COOKIE;
        fresh.then(|| Cookie::of_client(context.random.next_u64()))
    })
}

/// A stream is waited for this long at least: it repairs losses itself, which takes its time.
const STREAM_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// A stream needs a handshake before its query.
fn timeout(transport: &Transport, view: &View) -> Duration {
    let udp = view.round_trip.timeout();
    match transport {
        Transport::Udp => udp,
        Transport::Tcp => (udp * 2).max(STREAM_TIMEOUT_MIN),
        Transport::Tls(_) | Transport::Https { .. } => (udp * 4).max(STREAM_TIMEOUT_MIN),
    }
}

/// Sends a query to the address at `index`.
pub fn send(work: &mut Work, context: &mut Context<'_>, index: usize, plan: FetchPlan) -> Next {
    work.sent = work.sent.saturating_add(1);
    work.open = Some(Open {
        index,
        minimised: plan.question != work.current,
    });
    context.infra.asked(context.now.instant, plan.server);
    context.requests.push(Request::Fetch(plan));
    work.enter(Phase::AwaitingReply);
    Next::Wait
}

/// Sends the same again to the same server, changed.
pub fn send_again(
    work: &mut Work,
    context: &mut Context<'_>,
    index: usize,
    plan: &FetchPlan,
    change: impl FnOnce(&mut FetchPlan),
) -> Next {
    if work.sent >= context.settings.resolution.budget.queries_per_state {
        return Next::Finish(fallback_or_failure(work, context));
    }
    let mut plan = plan.clone();
    change(&mut plan);
    let view = context
        .infra
        .view(context.now.instant, plan.server, &plan.zone);
    plan.timeout = timeout(&plan.transport, &view);
    send(work, context, index, plan)
}

fn fallback_or_failure(work: &mut Work, context: &Context<'_>) -> crate::answer::Answer {
    match work.fallback.take() {
        Some(answer) => answer,
        None => work.fail(context.settings),
    }
}

/// No server of the delegation is left.
fn last_resort(work: &mut Work, mut delegation: Delegation, context: &mut Context<'_>) -> Next {
    if let Some(answer) = work.fallback.take() {
        return Next::Finish(answer);
    }
    if delegation.add_remembered_glue(context) {
        work.delegation = Some(delegation);
        return Next::Choose;
    }
    if let Source::Upstream(kind) = delegation.source {
        if delegation.fall_back {
            work.failed_upstreams.push((delegation.zone, kind));
            work.reset_delegation(context.settings);
            return Next::Start;
        }
        return Next::Finish(work.fail(context.settings));
    }
    let parent = delegation.zone.parent();
    if delegation.parent_asked || work.set_aside.is_some() {
        return Next::Finish(work.fail(context.settings));
    }
    let Some(above) = parent else {
        return Next::Finish(work.fail(context.settings));
    };
    ask_parent(work, delegation, above, context)
}

/// Asks the parent for its own view of the zone: names and glue that the zone itself does not repeat.
fn ask_parent(
    work: &mut Work,
    delegation: Delegation,
    above: Name,
    context: &mut Context<'_>,
) -> Next {
    let Some(parent) = start::closest(work, context, above) else {
        return Next::Finish(work.fail(context.settings));
    };
    work.use_delegation(parent);
    work.set_aside = Some(delegation);
    Next::Choose
}

/// Whether a question is about an address of a name server.
#[must_use]
pub fn is_address(question: &Question) -> bool {
    crate::iterate::delegation::FAMILIES.contains(&question.record_type)
}

/// Goes on to another server; this one is not asked the same again.
pub fn pass_over(work: &mut Work, open: &Open) -> Next {
    if let Some(delegation) = &mut work.delegation
        && let Some(address) = delegation.addresses.get_mut(open.index)
    {
        address.retired = true;
    }
    Next::Choose
}

/// Goes on to another server, and remembers how this one fails the zone. One that answers by its own
/// recursion may be asked as a resolver later.
pub fn pass_over_lame(
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

#[cfg(test)]
mod tests {
    use crate::answer::ResponseCode;
    use crate::iterate::internet::internet;
    use crate::name::Name;
    use crate::rrset::RecordType;
    use crate::scenario::{RA, Reaction, World, socket, texts};
    use crate::settings::{Upstream, UpstreamZone};

    #[test]
    fn silence_backs_off_and_ends() {
        let mut world = internet();
        world.server("10.0.0.3", |_| Reaction::Silence);
        let answer = world.resolve("www.example.com", RecordType::A);
        assert_eq!(answer.rcode, ResponseCode::SERVFAIL);
        let timeouts: Vec<u128> = world
            .log
            .iter()
            .filter(|plan| plan.server == socket("10.0.0.3"))
            .map(|plan| plan.timeout.as_millis())
            .collect();
        assert_eq!(timeouts, [376, 752, 1504]);
    }

    #[test]
    fn names_that_nobody_answers_do_not_take_a_forwarder_away() {
        let mut world = World::new();
        let address = socket("10.0.0.9");
        world.settings.resolution.forward_zones = vec![UpstreamZone::new(
            Name::root(),
            vec![Upstream::udp(address)],
            false,
        )];
        // A resolver whose own authorities are silent is silent for these names, and well for all others.
        world.server("10.0.0.9", |plan| {
            if plan.question.name.to_string().starts_with("good") {
                let record = format!("{} 300 A 192.0.2.1", plan.question.name);
                return Reaction::Reply(RA, texts(&[&record]), vec![], vec![]);
            }
            Reaction::Silence
        });
        let dead = |world: &World| {
            let view = world.infra.view(world.now.instant, address, &Name::root());
            view.round_trip.is_dead()
        };
        for number in 0..8 {
            world.resolve(&format!("slow{number}.example"), RecordType::A);
        }
        assert!(dead(&world));
        // What is asked of a dead server is bounded all the same.
        assert!(world.log.len() <= 1, "{:?}", world.log);
        world.pass(12);
        let answer = world.resolve("good.example", RecordType::A);
        assert_eq!(answer.rcode, ResponseCode::NOERROR);
        assert!(!dead(&world));
    }

    #[test]
    fn a_zone_over_its_rate_is_left_alone() {
        let mut world = internet();
        let zone = Name::from_text("example.com").unwrap();
        world.settings.resolution.rate_limits.zone_overrides = vec![(zone, 2)];
        let mut resolve = |name: &str| world.resolve(name, RecordType::A).rcode;
        assert_eq!(resolve("www.example.com"), ResponseCode::NOERROR);
        assert_eq!(resolve("empty.example.com"), ResponseCode::NOERROR);
        assert_eq!(resolve("b.example.com"), ResponseCode::SERVFAIL);
        assert!(world.log.is_empty());
        world.pass(1);
        world.resolve("b.example.com", RecordType::A);
        assert!(!world.log.is_empty());
    }
}
