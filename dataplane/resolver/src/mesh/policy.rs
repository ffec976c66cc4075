//! What is decided about a query before anything is looked up: who may ask, and what local zones say.
//!
//! Owns the order: access control, then local zones, then whether the client may ask without RD. Never
//! makes a state.

use crate::access;
use crate::action::Refusal;
use crate::answer::{Answer, ExtendedError, Origin, ResponseCode};
use crate::local::LocalOutcome;
use crate::name::Name;
use crate::question::Query;
use crate::rules::Rules;
use crate::settings::AccessAction;

/// What becomes of a query.
#[derive(Debug)]
pub(crate) enum Policy {
    /// It is looked up.
    Ask,
    /// It is answered at once.
    Answer(Box<Answer>, Origin),
    /// The answer begins with these aliases of local zones; the name that they lead to is looked up.
    Follow(Box<Answer>, Name),
    /// It gets no DNS answer.
    Deny(Refusal),
}

fn refused(error: ExtendedError) -> Policy {
    let answer = Answer::empty(ResponseCode::REFUSED, Some(error));
    Policy::Answer(Box::new(answer), Origin::Refused)
}

/// Decides about a query.
pub(crate) fn decide(rules: &Rules, query: &Query) -> Policy {
    // Queries of the process itself have no client, and may do all.
    let action = query.client.map_or(AccessAction::AllowSnoop, |client| {
        access::action(&rules.access_control, client)
    });
    match action {
        AccessAction::Deny => return Policy::Deny(Refusal::Denied),
        AccessAction::Refuse => return refused(ExtendedError::PROHIBITED),
        AccessAction::Allow | AccessAction::AllowSnoop => {}
    }
    match rules.local().answer(&query.question) {
        LocalOutcome::Answer(answer) => Policy::Answer(Box::new(answer), Origin::Local),
        LocalOutcome::Deny => Policy::Deny(Refusal::Denied),
        LocalOutcome::Resolve | LocalOutcome::Follow { .. }
            if action == AccessAction::Allow && !query.recursion_desired =>
        {
            refused(ExtendedError::NOT_AUTHORITATIVE)
        }
        LocalOutcome::Follow { answer, target } => Policy::Follow(Box::new(answer), target),
        LocalOutcome::Resolve => Policy::Ask,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use crate::question::Question;
    use crate::rrset::{Class, RecordType};
    use crate::settings::{AccessRule, LocalZone, LocalZoneKind, Prefix, Settings};

    fn query(text: &str, client: &str) -> Query {
        let name = Name::from_text(text).unwrap();
        let question = Question {
            name,
            record_type: RecordType::A,
            class: Class::IN,
        };
        Query {
            client: Some(client.parse().unwrap()),
            ..Query::plain(0, question)
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
        let rules = Rules::new(settings);
        let brief = |text: &str, client: &str| match decide(&rules, &query(text, client)) {
            Policy::Ask => "ask".to_owned(),
            Policy::Deny(refusal) => refusal.label().to_owned(),
            Policy::Follow(_, target) => target.to_string(),
            Policy::Answer(answer, origin) => format!("{origin:?} {}", answer.rcode.0),
        };
        assert_eq!(brief("example", "10.0.0.1"), "ask");
        assert_eq!(brief("localhost", "10.0.0.1"), "Local 0");
        assert_eq!(brief("a.test", "10.0.0.1"), "Local 3");
        assert_eq!(brief("a.hole", "10.0.0.1"), "denied");
        assert_eq!(brief("localhost", "192.0.2.1"), "Refused 5");
    }
}
