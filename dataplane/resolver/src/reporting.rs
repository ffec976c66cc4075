//! What an error report asks (RFC 9567, 6.1.1).
//!
//! Owns the name of a report. Never decides whether one is sent: `resolution` does, and the mesh has the last word.

use crate::answer::ExtendedError;
use crate::name::Name;
use crate::question::Question;
use crate::rrset::{Class, RecordType};

/// The label that a report begins with, and that stands before its agent.
const MARK: &[u8] = b"_er";

/// The question that tells `agent` of `error` in the answer to `failed`; none when its name would be too long, and
/// none about a report itself (RFC 9567, 6.1), or about a class that agents are not asked in.
#[must_use]
pub fn question(failed: &Question, error: ExtendedError, agent: &Name) -> Option<Question> {
    let is_report = failed.name.labels().next() == Some(MARK);
    if is_report || failed.class != Class::IN {
        return None;
    }
    let code = error.0.to_string();
    let record_type = failed.record_type.0.to_string();
    let labels: Vec<&[u8]> = failed.name.labels().collect();
    let before = [MARK, record_type.as_bytes()];
    let after = [code.as_bytes(), MARK];
    let all = before.into_iter().chain(labels).chain(after);
    let mut from_the_agent = all.collect::<Vec<_>>().into_iter().rev();
    let name = from_the_agent.try_fold(agent.clone(), |name, label| name.child(label).ok())?;
    Some(Question {
        name,
        record_type: RecordType::TXT,
        class: Class::IN,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str, record_type: RecordType, agent: &str) -> Option<String> {
        let name = Name::from_text(name).unwrap();
        let class = Class::IN;
        let failed = Question {
            name,
            record_type,
            class,
        };
        let agent = Name::from_text(agent).unwrap();
        let question = question(&failed, ExtendedError::SIGNATURE_EXPIRED, &agent)?;
        assert_eq!(question.record_type, RecordType::TXT);
        Some(question.name.to_string())
    }

    #[test]
    fn names_hold_type_name_and_code() {
        // The example of RFC 9567, 4.2.
        let name = report("broken.test", RecordType::A, "a01.agent-domain.example");
        let expected = "_er.1.broken.test.7._er.a01.agent-domain.example.";
        assert_eq!(name.as_deref(), Some(expected));
        let root = report(".", RecordType::DNSKEY, "agent");
        assert_eq!(root.as_deref(), Some("_er.48.7._er.agent."));
    }

    #[test]
    fn reports_are_not_reported_and_names_fit() {
        assert_eq!(
            report("_er.1.x.7._er.agent", RecordType::TXT, "agent"),
            None
        );
        let long = format!("{0}.{0}.{0}.{0}", "a".repeat(59));
        assert_eq!(report(&long, RecordType::A, "agent.example"), None);
    }
}
