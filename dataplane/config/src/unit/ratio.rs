//! A ratio between 0 and 1 as a decimal string: `"0.01"`.
//!
//! Kept as whole millionths, so that documents compare and digest exactly.

use std::fmt;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Millionths in one.
const ONE: u32 = 1_000_000;

/// A ratio between 0 and 1 in whole millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ratio(u32);

/// What is wrong with the text of a ratio.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a ratio: write a decimal between \"0\" and \"1\" with at most six places, such as \"0.01\""
)]
pub struct RatioFault(String);

impl Ratio {
    /// The ratio of so many millionths; more than a million count as one.
    #[must_use]
    pub const fn from_millionths(millionths: u32) -> Self {
        Self(if millionths > ONE { ONE } else { millionths })
    }

    /// The ratio in whole millionths, 0 to 1 000 000.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// The ratio as a float, 0.0 to 1.0.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(ONE)
    }
}

impl FromStr for Ratio {
    type Err = RatioFault;

    fn from_str(text: &str) -> Result<Self, RatioFault> {
        let fault = || RatioFault(text.to_owned());
        let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(places) || places.len() > 6 {
            return Err(fault());
        }
        let whole: u32 = whole.parse().map_err(|_| fault())?;
        let millionths: u32 = format!("{places:0<6}").parse().map_err(|_| fault())?;
        match whole
            .checked_mul(ONE)
            .and_then(|value| value.checked_add(millionths))
        {
            Some(total) if total <= ONE => Ok(Self(total)),
            _ => Err(fault()),
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = format!("{:06}", self.0 % ONE);
        match places.trim_end_matches('0') {
            "" => write!(formatter, "{}", self.0 / ONE),
            places => write!(formatter, "{}.{places}", self.0 / ONE),
        }
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RatioVisitor)
    }
}

struct RatioVisitor;

impl Visitor<'_> for RatioVisitor {
    type Value = Ratio;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a ratio between 0 and 1 such as \"0.01\"")
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Ratio, E> {
        value.parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Ratio, E> {
        value.to_string().parse().map_err(E::custom)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Ratio, E> {
        value.to_string().parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for (text, millionths) in [
            ("0", 0),
            ("1", 1_000_000),
            ("0.01", 10_000),
            ("0.000001", 1),
        ] {
            let ratio: Ratio = text.parse().unwrap();
            assert_eq!(ratio.millionths(), millionths);
            assert_eq!(ratio.to_string(), text);
        }
        for text in ["", "1.1", "-0.1", ".5", "0.", "1e-3", "0.0000001", "2"] {
            assert!(text.parse::<Ratio>().is_err(), "{text}");
        }
    }
}
