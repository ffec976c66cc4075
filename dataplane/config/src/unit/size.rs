//! Sizes in bytes as Kubernetes quantities: `"64Mi"`, `"16Ki"`, `"4096"`.
//!
//! Owns the text form only; the value is a count of bytes.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserializer, Serializer};

/// Binary suffixes from the largest to the smallest; these are written.
const BINARY: [(&str, u64); 4] = [
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
];
/// Decimal suffixes; these are read only.
const DECIMAL: [(&str, u64); 4] = [
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
];

/// What is wrong with the text of a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a size: write whole bytes with an optional suffix of Ki, Mi, Gi, Ti, k, M, G or T, such as 64Mi"
)]
pub struct SizeFault(String);

/// Reads a size such as `64Mi` into bytes.
///
/// # Errors
/// When the text is no whole number, its suffix is unknown, or the product does not fit.
pub fn parse(text: &str) -> Result<u64, SizeFault> {
    read(text).ok_or_else(|| SizeFault(text.to_owned()))
}

fn read(text: &str) -> Option<u64> {
    let (number, scale) = BINARY
        .into_iter()
        .chain(DECIMAL)
        .find_map(|(suffix, scale)| Some((text.strip_suffix(suffix)?, scale)))
        .unwrap_or((text, 1));
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(scale)
}

/// Writes bytes with the largest binary suffix that keeps them whole.
#[must_use]
pub fn format(bytes: u64) -> String {
    BINARY
        .into_iter()
        .find(|(_, scale)| bytes != 0 && bytes.is_multiple_of(*scale))
        .map_or_else(
            || bytes.to_string(),
            |(suffix, scale)| format!("{}{suffix}", bytes / scale),
        )
}

/// For `#[serde(with)]`: writes the text form.
///
/// # Errors
/// Only those of the serializer.
pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*value))
}

/// For `#[serde(with)]`: reads the text form, or a bare number of bytes.
///
/// # Errors
/// When the value is neither.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(SizeVisitor)
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = u64;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a size in bytes such as 64Mi")
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<u64, E> {
        Ok(value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<u64, E> {
        u64::try_from(value).map_err(|_| E::custom(SizeFault(value.to_string())))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<u64, E> {
        parse(value).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for (text, bytes, canonical) in [
            ("64Mi", 67_108_864, "64Mi"),
            ("16384", 16_384, "16Ki"),
            ("1G", 1_000_000_000, "1000000000"),
            ("0", 0, "0"),
            ("1024Ki", 1_048_576, "1Mi"),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
            assert_eq!(format(bytes), canonical);
        }
        for text in ["", "Mi", "-1", "1.5Gi", "64 Mi", "64MB", "99999999999Ti"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
