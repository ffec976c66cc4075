//! Durations as strings with units: `"1800ms"`, `"5s"`, `"1h30m"`.
//!
//! Owns the text form only; the value is a [`Duration`]. A bare number is refused, because its
//! unit would be a guess.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};

/// Units from the largest to the smallest, each in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// What is wrong with the text of a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a duration: write numbers with a unit of ms, s, m or h, such as 1800ms, 5s or 1h30m"
)]
pub struct DurationFault(String);

/// Reads a duration such as `1800ms` or `1h30m`.
///
/// # Errors
/// When the text is empty, a number has no unit, the unit is unknown, or the sum does not fit.
pub fn parse(text: &str) -> Result<Duration, DurationFault> {
    read(text).ok_or_else(|| DurationFault(text.to_owned()))
}

fn read(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0_u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let (_, scale) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        let amount = number.parse::<u64>().ok()?.checked_mul(scale)?;
        total = total.checked_add(amount)?;
        rest = tail;
    }
    Some(Duration::from_millis(total))
}

/// Writes a duration in the largest unit that keeps it whole; parts below a millisecond are
/// dropped.
#[must_use]
pub fn format(duration: Duration) -> String {
    let total = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if total == 0 {
        return "0s".to_owned();
    }
    UNITS
        .into_iter()
        .find(|(_, scale)| total.is_multiple_of(*scale))
        .map_or_else(
            || format!("{total}ms"),
            |(unit, scale)| format!("{}{unit}", total / scale),
        )
}

/// For `#[serde(with)]`: writes the text form.
///
/// # Errors
/// Only those of the serializer.
pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*value))
}

/// For `#[serde(with)]`: reads the text form.
///
/// # Errors
/// When the value is not a string that [`parse`] takes.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for (text, millis, canonical) in [
            ("1800ms", 1_800, "1800ms"),
            ("1s800ms", 1_800, "1800ms"),
            ("60s", 60_000, "1m"),
            ("1h30m", 5_400_000, "90m"),
            ("24h", 86_400_000, "24h"),
            ("0s", 0, "0s"),
        ] {
            let value = parse(text).unwrap();
            assert_eq!(value, Duration::from_millis(millis), "{text}");
            assert_eq!(format(value), canonical);
            assert_eq!(parse(canonical).unwrap(), value);
        }
    }

    #[test]
    fn refuses_what_has_no_unit() {
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "1.5s",
            "5d",
            "99999999999999999999h",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
