//! Which address of a delegation is asked next, and which addresses are looked up.
//!
//! Owns the choice: by round trip within a band, so that load spreads over servers about as good as
//! the best, and every other one after these. Never changes what is remembered of servers.

use std::net::IpAddr;
use std::time::Duration;

use crate::context::Context;
use crate::infra::{Lame, View};
use crate::iterate::delegation::{Delegation, FAMILIES, Lookup};
use crate::name::Name;
use crate::question::Question;
use crate::rrset::Class;

/// Servers at most this much slower than the best are as good.
const BAND: Duration = Duration::from_millis(400);
/// RFC 9520, 3.1: a query is sent to an address at most three times over one transport.
const FAILURES_MAX: u8 = 3;

/// The address chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its place in the delegation.
    pub index: usize,
    /// What is known of it.
    pub view: View,
    /// Whether it is asked as a resolver, because it is no authority and no authority is left.
    pub as_resolver: bool,
    /// Whether a server that is not known yet would be better.
    pub degraded: bool,
}

/// Classes of servers: a later one is used when the earlier ones are exhausted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    Good,
    Unsigned,
    Resolver,
    /// Lame for another question; servers are known that are so for one type only.
    Lame,
}

struct Candidate {
    index: usize,
    view: View,
    tier: Tier,
    failures: u8,
}

/// Chooses an address; none when none is left that may be asked.
pub fn choose(
    delegation: &Delegation,
    avoid: &[(Option<Name>, IpAddr)],
    context: &mut Context<'_>,
) -> Option<Choice> {
    let mut candidates = candidates(delegation, avoid, context);
    let tier = candidates.iter().map(|candidate| candidate.tier).min()?;
    candidates.retain(|candidate| candidate.tier == tier);
    let estimate = |candidate: &Candidate| candidate.view.round_trip.estimate();
    let best = candidates.iter().map(estimate).min()?;
    candidates.retain(|candidate| estimate(candidate) <= best + BAND);
    let fewest = candidates
        .iter()
        .map(|candidate| candidate.failures)
        .min()?;
    candidates.retain(|candidate| candidate.failures == fewest);
    let drawn = context.random.below(candidates.len());
    candidates.get(drawn).map(|candidate| Choice {
        index: candidate.index,
        view: candidate.view,
        as_resolver: candidate.tier == Tier::Resolver,
        degraded: candidate.tier != Tier::Good,
    })
}

fn candidates(
    delegation: &Delegation,
    avoid: &[(Option<Name>, IpAddr)],
    context: &Context<'_>,
) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (index, address) in delegation.addresses.iter().enumerate() {
        if address.retired
            || address.failures >= FAILURES_MAX
            || is_avoided(avoid, &delegation.zone, address.socket.ip())
        {
            continue;
        }
        let view = context
            .infra
            .view(context.now.instant, address.socket, &delegation.zone);
        if !view.usable {
            continue;
        }
        let lame = view
            .lame
            .filter(|_| !delegation.recursion_desired())
            .or_else(|| address.recursive.then_some(Lame::Recursive));
        let tier = match lame {
            None => Tier::Good,
            Some(Lame::Unsigned) => Tier::Unsigned,
            Some(Lame::Recursive) => Tier::Resolver,
            Some(Lame::NotAuthoritative) => Tier::Lame,
        };
        found.push(Candidate {
            index,
            view,
            tier,
            failures: address.failures,
        });
    }
    found
}

fn is_avoided(avoid: &[(Option<Name>, IpAddr)], zone: &Name, server: IpAddr) -> bool {
    avoid
        .iter()
        .any(|(of, other)| *other == server && of.as_ref().is_none_or(|of| of == zone))
}

/// Up to `count` address lookups that are still missing, marked as open; names outside the zone first,
/// since they do not depend on it.
pub fn look_up(
    delegation: &mut Delegation,
    count: usize,
    context: &mut Context<'_>,
) -> Vec<Question> {
    let limits = &context.settings.limits;
    let mut found = Vec::new();
    let open = delegation
        .servers
        .iter()
        .flat_map(|server| server.lookups)
        .filter(|lookup| *lookup == Lookup::Open)
        .count();
    let mut room = (limits.subs_per_state_max as usize).saturating_sub(open);
    let start = context.random.below(delegation.servers.len().max(1));
    let zone = delegation.zone.clone();
    let total = delegation.servers.len();
    let mut names = 0;
    for outside in [true, false] {
        for step in 0..total {
            if names >= count || room == 0 {
                return found;
            }
            let Some(server) = delegation.servers.get_mut((start + step) % total) else {
                continue;
            };
            if server.name.is_within(&zone) == outside || !server.lookups.contains(&Lookup::Missing)
            {
                continue;
            }
            for (lookup, record_type) in server.lookups.iter_mut().zip(FAMILIES) {
                if *lookup != Lookup::Missing || room == 0 {
                    continue;
                }
                if delegation.lookups_made >= limits.targets_per_delegation_max
                    || context.budget.spend_target().is_err()
                {
                    *lookup = Lookup::Failed;
                    continue;
                }
                delegation.lookups_made += 1;
                room -= 1;
                *lookup = Lookup::Open;
                found.push(Question {
                    name: server.name.clone(),
                    record_type,
                    class: Class::IN,
                });
            }
            names += 1;
        }
    }
    found
}
