//! Answers a query without the mesh where that is possible: from the cache, or because it is no
//! query that data could answer. Everything else becomes a question for the mesh.

use weir_resolver::access;
use weir_resolver::answer::Shaped;
use weir_resolver::event::Event;
use weir_resolver::name::{NAME_MAX, Name};
use weir_resolver::question::Query;
use weir_resolver::wire::{self, QueryError, QueryView};

use super::request::HttpFault;
use super::stream::Asked;
use crate::context::WorkerContext;
use crate::mailbox::Note;

/// What was found.
pub enum Found {
    /// The answer.
    Answer(Shaped),
    /// Nothing: the mesh is to be asked this.
    Ask(Box<Query>),
    /// It is not a query.
    Fault(HttpFault),
}

/// The longest answer that DoH carries (RFC 8484, 6).
const SIZE_LIMIT: u16 = u16::MAX;

/// Looks a query up.
pub fn look_up(worker: &WorkerContext, asked: &mut Asked, message: &[u8]) -> Found {
    let mut lowered = [0; NAME_MAX];
    let view = match wire::parse_query(message, &mut lowered) {
        Ok(view) => view,
        Err(QueryError::Answered(rcode)) => {
            return Found::Answer(wire::encode_error(
                message,
                rcode,
                &worker.settings.borrow(),
            ));
        }
        Err(
            QueryError::Short
            | QueryError::IsResponse
            | QueryError::Malformed
            | QueryError::TrailingOctets,
        ) => return Found::Fault(HttpFault::Message),
    };
    asked.record_type = view.record_type.0;
    let tracing = worker.sampler.borrow().is_on();
    if tracing && asked.decision.sampled {
        asked.name = Name::from_wire(view.name).ok();
    }
    if let Some(answer) = from_cache(worker, asked, &view) {
        return Found::Answer(answer);
    }
    let query = Box::new(view.to_query(Some(asked.client), SIZE_LIMIT));
    if tracing {
        asked.name = Some(query.question.name.clone());
    }
    Found::Ask(query)
}

/// A cached answer, for a client that may have it. Local zones go before the cache, and what a
/// client may not ask is for the mesh to say.
fn from_cache(worker: &WorkerContext, asked: &Asked, view: &QueryView<'_>) -> Option<Shaped> {
    let settings = worker.settings.borrow();
    if settings.local().concern(view.name, view.class)
        || !access::may_have_cached(worker.access(asked.client), view.recursion_desired)
    {
        return None;
    }
    let mut scratch = worker.scratch.borrow_mut();
    scratch.make_room();
    let now = worker.turn.get();
    let hit = worker
        .cache
        .hit(now, view, SIZE_LIMIT, &settings, &mut scratch.answers)?;
    let message = scratch.answers.split().freeze();
    if hit.renew {
        let query = view.to_query(None, SIZE_LIMIT);
        worker.inbox.put(Note::Event(Event::Prefetch { query }));
    }
    Some(Shaped {
        message,
        max_age: hit.max_age,
        rcode: hit.rcode,
        extended_error: hit.extended_error,
        origin: hit.origin,
        security: hit.security,
    })
}

#[cfg(test)]
mod tests {
    use weir_resolver::settings::{AccessAction, AccessRule, Prefix};

    use super::*;

    #[test]
    fn the_most_specific_rule_decides() {
        let rule = |address: &str, length, action| AccessRule {
            prefix: Prefix {
                address: address.parse().unwrap(),
                length,
            },
            action,
        };
        let rules = [
            rule("10.0.0.0", 8, AccessAction::Allow),
            rule("10.1.0.0", 16, AccessAction::Refuse),
        ];
        let may = |client: &str| {
            access::may_have_cached(access::action(&rules, client.parse().unwrap()), true)
        };
        assert!(may("10.2.0.1") && may("::ffff:10.2.0.1"));
        assert!(!may("10.1.0.1") && !may("192.0.2.1") && !may("2001:db8::1"));
        let unruled = access::action(&[], "192.0.2.1".parse().unwrap());
        assert!(access::may_have_cached(unruled, true));
        assert!(!access::may_have_cached(AccessAction::Allow, false));
    }
}
