//! What is decided about a query before anything is looked up: who may ask, and what is answered here.
//!
//! Owns the order of the two: access control first, then local zones. Never makes a state.

use crate::access;
use crate::action::Refusal;
use crate::answer::{Answer, ExtendedError, Origin, ResponseCode};
use crate::local::{LocalOutcome, LocalZones};
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
    query.client.map_or(AccessAction::AllowSnoop, |client| {
        access::action(&settings.access_control, client)
    })
}

/// Decides about a query.
pub(crate) fn decide(settings: &Settings, local: &LocalZones, query: &Query) -> Policy {
    let refused = || {
        let prohibited = ExtendedError::PROHIBITED;
        let answer = Answer::empty(ResponseCode::REFUSED, Some(prohibited));
        Policy::Answer(Box::new(answer), Origin::Refused)
    };
    match access(settings, query) {
        AccessAction::Deny => Policy::Deny(Refusal::Denied),
        AccessAction::Refuse => refused(),
        AccessAction::Allow if !query.recursion_desired => refused(),
        AccessAction::Allow | AccessAction::AllowSnoop => answer_locally(local, query),
    }
}

/// What local zones say.
fn answer_locally(local: &LocalZones, query: &Query) -> Policy {
    let question = &query.question;
    if !local.concern(question.name.as_wire(), question.class) {
        return Policy::Ask;
    }
    match local.answer(question) {
        LocalOutcome::Resolve => Policy::Ask,
        LocalOutcome::Deny => Policy::Deny(Refusal::Denied),
        // An alias that leads out of local zones is given as it is: its target is asked for by the client.
        LocalOutcome::Answer(answer) | LocalOutcome::Follow { answer, .. } => {
            Policy::Answer(Box::new(answer), Origin::Local)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::name::Name;
    use crate::question::Question;
    use crate::rrset::{Class, RecordType};
    use crate::settings::{AccessRule, LocalZone, LocalZoneKind, Prefix};

    fn query(text: &str, client: &str) -> Query {
        let name = Name::from_text(text).unwrap();
        Query {
            id: 0,
            spelling: name.as_wire().into(),
            question: Question {
                name,
                record_type: RecordType::A,
                class: Class::IN,
            },
            recursion_desired: true,
            checking_disabled: false,
            authentic_data: false,
            edns: None,
            size_limit: u16::MAX,
            client: Some(client.parse().unwrap()),
        }
    }

    #[test]
    fn access_goes_before_local_zones() {
        let mut settings = Settings::default();
        settings.resolution.local_zones = vec![LocalZone {
            name: Name::from_text("hole").unwrap(),
            kind: LocalZoneKind::Deny,
            records: Vec::new(),
        }];
        settings.access_control = vec![AccessRule {
            prefix: Prefix {
                address: "10.0.0.0".parse().unwrap(),
                length: 8,
            },
            action: AccessAction::Allow,
        }];
        let settings = Arc::new(settings);
        let local = LocalZones::new(&settings);
        let brief = |text: &str, client: &str| match decide(&settings, &local, &query(text, client))
        {
            Policy::Ask => "ask".to_owned(),
            Policy::Deny(refusal) => refusal.label().to_owned(),
            Policy::Answer(answer, origin) => format!("{origin:?} {}", answer.rcode.0),
        };
        assert_eq!(brief("example", "10.0.0.1"), "ask");
        assert_eq!(brief("localhost", "10.0.0.1"), "Local 0");
        assert_eq!(brief("a.test", "10.0.0.1"), "Local 3");
        assert_eq!(brief("a.hole", "10.0.0.1"), "denied");
        assert_eq!(brief("localhost", "192.0.2.1"), "Refused 5");
    }
}
