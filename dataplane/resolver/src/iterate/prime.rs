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

#[cfg(test)]
mod tests {
    use crate::answer::ResponseCode;
    use crate::iterate::internet::internet;
    use crate::name::Name;
    use crate::rrset::RecordType;
    use crate::scenario::{answers, question, refers};

    #[test]
    fn priming_is_asked_for_once() {
        let mut world = internet();
        world.settings.resolution.prime_root = true;
        world.server("10.0.0.1", |plan| {
            if plan.question.name.is_root() {
                answers(&[". 86400 NS k.root"])
            } else {
                refers(
                    &["com 86400 NS a.gtld.com"],
                    &["a.gtld.com 86400 A 10.0.0.2"],
                )
            }
        });
        let answer = world.resolve("www.example.com", RecordType::A);
        assert_eq!(answer.rcode, ResponseCode::NOERROR);
        assert_eq!(world.asked()[0], "10.0.0.1 . NS");
        assert_eq!(question(".", RecordType::NS).name, Name::root());
    }
}
