//! Domain names as text in the document (RFC 1035 5.1, RFC 1123 2.1).
//!
//! Owns the question whether a text is a domain name; never resolves one.

use crate::problem::Problems;

/// Says what is wrong with a domain name in presentation format, if anything.
///
/// The root is `.`; a trailing dot is optional. Letters, digits, hyphen and underscore are taken
/// as they are; any other octet must be written as `\DDD` or with a backslash before it.
#[must_use]
pub fn fault(text: &str) -> Option<&'static str> {
    if text == "." {
        return None;
    }
    if text.is_empty() {
        return Some("is empty: write a domain name, or . for the root");
    }
    let mut octets = 1;
    for label in label_lengths(text.strip_suffix('.').unwrap_or(text)) {
        match label {
            0 => return Some("has an empty label: remove the doubled or leading dot"),
            1..=63 => octets += label + 1,
            _ => return Some("has a label of more than 63 octets: shorten it"),
        }
    }
    (octets > 255).then_some("is longer than 255 octets: shorten it")
}

/// The length of each label in octets; an escaped octet counts as one.
fn label_lengths(text: &str) -> Vec<usize> {
    let mut labels = Vec::new();
    let mut length = 0;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'.' => {
                labels.push(length);
                length = 0;
            }
            b'\\' => {
                if bytes.next().is_some_and(|first| first.is_ascii_digit()) {
                    bytes.next();
                    bytes.next();
                }
                length += 1;
            }
            _ => length += 1,
        }
    }
    labels.push(length);
    labels
}

/// Notes a problem of the field when its text is not a domain name.
pub(crate) fn check(problems: &mut Problems, field: &str, text: &str) {
    let odd = text
        .bytes()
        .any(|byte| !byte.is_ascii_graphic() || byte == b'"' || byte == b'/');
    if odd {
        problems.add(field, format!("'{text}' is not a domain name: use letters, digits, '-', '_' and '.', and write other octets as \\DDD"));
    } else if let Some(fault) = fault(text) {
        problems.add(field, format!("'{text}' {fault}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_and_refuses_the_rest() {
        for name in [
            ".",
            "example",
            "example.org.",
            "_dns.example.org",
            "a\\.b.example",
            "\\255.x",
        ] {
            assert_eq!(fault(name), None, "{name}");
        }
        for name in [
            "",
            "..",
            "a..b",
            ".a",
            &"x".repeat(64),
            &["abcdefg"; 33].join("."),
        ] {
            assert!(fault(name).is_some(), "{name}");
        }
    }
}
