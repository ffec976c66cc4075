//! The root key trust anchor sentinel (RFC 8509).
//!
//! Owns the names by which a client learns whether a key is a trust anchor of the root here. Applies to secure
//! answers alone; the caller sees to that.

use crate::question::Question;
use crate::rrset::RecordType;
use crate::settings::Settings;
use crate::trust_anchor;

/// Whether a secure answer to this question is to be SERVFAIL (RFC 8509, 2.2).
#[must_use]
pub fn fails(question: &Question, settings: &Settings) -> bool {
    if !settings.dnssec.key_sentinel
        || !matches!(question.record_type, RecordType::A | RecordType::AAAA)
    {
        return false;
    }
    let Some(label) = question.name.labels().next() else {
        return false;
    };
    let is_trusted =
        |digits| key_tag(digits).map(|tag| trust_anchor::root_key_trusted(&settings.dnssec, tag));
    if let Some(digits) = label.strip_prefix(b"root-key-sentinel-is-ta-") {
        return is_trusted(digits) == Some(false);
    }
    if let Some(digits) = label.strip_prefix(b"root-key-sentinel-not-ta-") {
        return is_trusted(digits) == Some(true);
    }
    false
}

/// RFC 8509, 2.1: exactly five decimal digits.
fn key_tag(digits: &[u8]) -> Option<u16> {
    if digits.len() != 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use crate::rrset::Class;
    use crate::trust_anchor::builtin_root;

    #[test]
    fn sentinel_names() {
        let mut settings = Settings::default();
        settings.dnssec.trust_anchors.push(builtin_root());
        let ask = |label: &str, record_type| {
            let question = Question {
                name: Name::from_text(&format!("{label}.example")).unwrap(),
                record_type,
                class: Class::IN,
            };
            fails(&question, &settings)
        };
        assert!(!ask("root-key-sentinel-is-ta-20326", RecordType::A));
        assert!(ask("root-key-sentinel-is-ta-19036", RecordType::A));
        assert!(ask("root-key-sentinel-not-ta-20326", RecordType::AAAA));
        assert!(!ask("root-key-sentinel-not-ta-19036", RecordType::A));
        assert!(!ask("root-key-sentinel-is-ta-19036", RecordType::MX));
        assert!(!ask("root-key-sentinel-is-ta-1903", RecordType::A));
        assert!(!ask("root-key-sentinel-is-ta-99999", RecordType::A));
        assert!(!ask("www", RecordType::A));
    }
}
