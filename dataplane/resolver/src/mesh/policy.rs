//! What is decided about a query before anything is looked up: who may ask.
//!
//! Owns access control. The most specific prefix decides; with no rule at all everybody may ask with RD.
//! Never makes a state.

use crate::action::Refusal;
use crate::answer::{Answer, ExtendedError, Origin, ResponseCode};
use crate::question::Query;
use crate::settings::{AccessAction, Settings};

/// What becomes of a query.
#[derive(Debug)]
pub(crate) enum Policy {
    /// It is looked up.
    Ask,
    /// It is answered at once.
    Answer(Box<Answer>, Origin),
    /// It gets no DNS answer.
    Deny(Refusal),
}

/// What the client of a query may do. Queries of the process itself have no client, and may do all.
fn access(settings: &Settings, query: &Query) -> AccessAction {
    let Some(client) = query.client.map(|client| client.to_canonical()) else {
        return AccessAction::AllowSnoop;
    };
    if settings.access_control.is_empty() {
        return AccessAction::Allow;
    }
    settings
        .access_control
        .iter()
        .filter(|rule| rule.prefix.contains(client))
        .max_by_key(|rule| rule.prefix.length)
        .map_or(AccessAction::Refuse, |rule| rule.action)
}

/// Decides about a query.
pub(crate) fn decide(settings: &Settings, query: &Query) -> Policy {
    let refused = || {
        let prohibited = ExtendedError::PROHIBITED;
        let answer = Answer::empty(ResponseCode::REFUSED, Some(prohibited));
        Policy::Answer(Box::new(answer), Origin::Refused)
    };
    match access(settings, query) {
        AccessAction::Deny => Policy::Deny(Refusal::Denied),
        AccessAction::Refuse => refused(),
        AccessAction::Allow if !query.recursion_desired => refused(),
        AccessAction::Allow | AccessAction::AllowSnoop => Policy::Ask,
    }
}
