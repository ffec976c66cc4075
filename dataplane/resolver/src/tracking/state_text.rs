//! The text in which the state of tracked trust anchors outlives the process.
//!
//! Owns the form: a line for each zone, followed by a line for each of its keys. Reads nothing that it
//! did not write whole; what does not fit is an error that names the line, and no zone of it is taken.

use core::fmt::Write as _;

use crate::name::Name;
use crate::tracking::key::{KeyState, TrackedKey};
use crate::tracking::zone::TrackedZone;

/// What every file starts with.
const HEAD: &str = "; trust anchors tracked by RFC 5011: written by weir, version 1";

/// Why a state file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateFault {
    /// It is not such a file, or of another version.
    #[error("line 1 is not '{HEAD}': remove the file to start from the configured trust anchors")]
    Head,
    /// A line does not fit.
    #[error("line {0} cannot be read: remove the file to start from the configured trust anchors")]
    Line(usize),
}

/// Writes the state of these zones.
#[must_use]
pub fn write(zones: &[TrackedZone]) -> String {
    let mut text = format!("{HEAD}\n");
    for zone in zones {
        let _ = writeln!(
            text,
            "zone {} seed={:016x} seeded={} queried={} success={} failed={} next={}",
            zone.name,
            zone.seed,
            zone.seeded,
            zone.last_queried,
            zone.last_success,
            zone.failed,
            zone.next_probe
        );
        for key in &zone.keys {
            let _ = write!(
                text,
                "key {} since={} seen={} ttl={} dnskey=",
                key.state.label(),
                key.since,
                key.seen,
                key.ttl
            );
            for octet in &key.rdata {
                let _ = write!(text, "{octet:02x}");
            }
            text.push('\n');
        }
    }
    text
}

/// Reads what `write` wrote.
///
/// # Errors
/// The first line that does not fit.
pub fn read(text: &str) -> Result<Vec<TrackedZone>, StateFault> {
    let mut lines = text.lines().enumerate();
    if lines.next().map(|(_, line)| line) != Some(HEAD) {
        return Err(StateFault::Head);
    }
    let mut zones: Vec<TrackedZone> = Vec::new();
    for (index, line) in lines {
        let fault = StateFault::Line(index + 1);
        if let Some(rest) = line.strip_prefix("zone ") {
            zones.push(zone(rest).ok_or(fault)?);
        } else if let Some(rest) = line.strip_prefix("key ") {
            let key = key(rest).ok_or_else(|| fault.clone())?;
            zones.last_mut().ok_or(fault)?.keys.push(key);
        } else if !line.is_empty() {
            return Err(fault);
        }
    }
    Ok(zones)
}

/// The value of the next word, which must be `name=value`.
fn value<'a>(words: &mut impl Iterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    words.next()?.strip_prefix(name)?.strip_prefix('=')
}

fn zone(line: &str) -> Option<TrackedZone> {
    let mut words = line.split(' ');
    let words = &mut words;
    let zone = TrackedZone {
        name: Name::from_text(words.next()?).ok()?,
        seed: u64::from_str_radix(value(words, "seed")?, 16).ok()?,
        seeded: value(words, "seeded")?.parse().ok()?,
        last_queried: value(words, "queried")?.parse().ok()?,
        last_success: value(words, "success")?.parse().ok()?,
        failed: value(words, "failed")?.parse().ok()?,
        next_probe: value(words, "next")?.parse().ok()?,
        keys: Vec::new(),
    };
    words.next().is_none().then_some(zone)
}

fn key(line: &str) -> Option<TrackedKey> {
    let mut words = line.split(' ');
    let words = &mut words;
    let label = words.next()?;
    let state = KeyState::ALL
        .into_iter()
        .find(|each| each.label() == label)?;
    let key = TrackedKey {
        state,
        since: value(words, "since")?.parse().ok()?,
        seen: value(words, "seen")?.parse().ok()?,
        ttl: value(words, "ttl")?.parse().ok()?,
        rdata: octets(value(words, "dnskey")?)?,
    };
    words.next().is_none().then_some(key)
}

fn octets(hex: &str) -> Option<Box<[u8]>> {
    let digits: Option<Vec<u8>> = hex
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect();
    let digits = digits?;
    // A DNSKEY has four octets before its key (RFC 4034, 2.1).
    if digits.len() % 2 != 0 || digits.len() < 10 {
        return None;
    }
    let pairs = digits.chunks_exact(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(high << 4 | low),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let zones = vec![
            TrackedZone {
                name: Name::root(),
                seed: 0xfeed,
                seeded: true,
                last_queried: 10,
                last_success: 9,
                failed: 2,
                next_probe: 11,
                keys: vec![TrackedKey {
                    rdata: [1, 1, 3, 8, 0xab, 0xcd].into(),
                    state: KeyState::AddPending,
                    since: 3,
                    seen: 4,
                    ttl: 5,
                }],
            },
            TrackedZone::new(Name::from_text("example").unwrap()),
        ];
        let text = write(&zones);
        assert_eq!(read(&text).unwrap(), zones);
        assert_eq!(read(""), Err(StateFault::Head));
        for (from, to) in [
            ("add_pending", "pending"),
            ("abcd", "abc"),
            ("since=3", "since=x"),
            ("failed=2 ", ""),
            ("zone .", "zone ..a"),
            ("key", "; key"),
        ] {
            assert!(text.contains(from), "{from}");
            let broken = text.replacen(from, to, 1);
            assert!(
                matches!(read(&broken), Err(StateFault::Line(_))),
                "{broken}"
            );
        }
        let orphan = format!("{HEAD}\nkey valid since=3 seen=4 ttl=5 dnskey=01010308ab\n");
        assert_eq!(read(&orphan), Err(StateFault::Line(2)));
    }
}
