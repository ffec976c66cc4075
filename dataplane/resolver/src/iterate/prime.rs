//! Priming: asking the servers of the hints, or of a stub zone, for the zone's own NS RRset (RFC 9609).
//!
//! Owns when that is wanted and what stands in until it is done. The asking is a state of its own,
//! of kind `Prime`, which uses the hints and no cache.

use std::borrow::Cow;

use crate::context::Context;
use crate::forward::{self, UpstreamKind};
use crate::iterate::phase::Phase;
use crate::iterate::work::{Next, Work};
use crate::name::Name;
use crate::outcome::Request;
use crate::question::{Question, StateKind};
use crate::root_hints;
use crate::rrset::{Class, RecordType};
use crate::settings::{Hint, Settings, UpstreamZone};

/// The hints in force.
#[must_use]
pub fn hints(settings: &Settings) -> Cow<'_, [Hint]> {
    if settings.resolution.root_hints.is_empty() {
        Cow::Owned(root_hints::builtin())
    } else {
        Cow::Borrowed(&settings.resolution.root_hints)
    }
}

/// Whether the NS RRset of the zone itself takes the place of the configured servers.
#[must_use]
pub const fn replaces(zone: &UpstreamZone) -> bool {
    zone.prime
}

/// The zone that is to be primed before a name can be looked up, if any.
#[must_use]
pub fn wanted(work: &Work, context: &Context<'_>, from: &Name) -> Option<Name> {
    if work.kind == StateKind::Prime {
        return None;
    }
    let settings = &context.settings.resolution;
    let zone = match forward::upstream_zone(settings, from, &work.failed_upstreams) {
        Some((UpstreamKind::Stub, zone)) if zone.prime => zone.name.clone(),
        Some(_) => return None,
        None if settings.prime_root => Name::root(),
        None => return None,
    };
    let cached = context.cache.delegation(context.now, from, Class::IN);
    if cached.is_some_and(|ns| ns.owner.is_within(&zone)) || work.primed.contains(&zone) {
        return None;
    }
    Some(zone)
}

/// Asks for the zone's NS RRset first.
pub fn request(work: &mut Work, context: &mut Context<'_>, zone: Name) -> Next {
    work.enter(Phase::Priming);
    work.primed.push(zone.clone());
    context.requests.push(Request::Need {
        question: Question {
            name: zone,
            record_type: RecordType::NS,
            class: Class::IN,
        },
        kind: StateKind::Prime,
    });
    Next::Wait
}
