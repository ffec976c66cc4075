//! What a connection of a storm is going to do, drawn from its seed: how long it lives, how it ends, what it asks.

use crate::bench::load;
use crate::simulate::seed::Draw;

/// How a connection behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It reads what comes.
    Plain,
    /// Its windows are zero at first, and open later.
    OpensLate,
    /// Its windows are zero for good: the server has to give its answers up.
    NeverOpens,
    /// It stops reading for a while, again and again.
    Pauses,
}

/// What a connection is going to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How it behaves.
    pub manner: Manner,
    /// Streams that it opens.
    pub streams: u64,
    /// After how many streams it is cut without a word, if it is.
    pub aborts_after: Option<u64>,
}

/// Connections of a hundred that are aborted.
const ABORTED: u64 = 5;
/// The longest life of a connection, in streams.
const LIFE: u64 = 1000;

impl Plan {
    /// Draws one that opens at most `left` streams.
    pub fn draw(draw: &mut Draw, left: u64) -> Self {
        let manner = match draw.below(100) {
            0..=1 => Manner::NeverOpens,
            2..=7 => Manner::OpensLate,
            8..=11 => Manner::Pauses,
            _ => Manner::Plain,
        };
        let life = match manner {
            // One window of streams: they last ten seconds.
            Manner::NeverOpens => draw.between(10, 100),
            _ => draw.between(LIFE / 4, LIFE),
        };
        let streams = life.min(left);
        let aborts_after = draw
            .chance(ABORTED)
            .then(|| draw.between(1, streams.max(1)));
        Self {
            manner,
            streams,
            aborts_after,
        }
    }
}

/// When a stream is reset by its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Never.
    Never,
    /// In the same octets as its request.
    AtOnce,
    /// After so many milliseconds.
    After(u64),
}

/// Draws when a stream is reset: three of ten are.
pub fn draw_reset(draw: &mut Draw) -> Reset {
    match draw.below(100) {
        0..=11 => Reset::AtOnce,
        12..=21 => Reset::After(draw.below(20)),
        22..=29 => Reset::After(draw.below(400)),
        _ => Reset::Never,
    }
}

/// A name to ask: some are cached, most of the others are new, and some have no answer.
pub fn draw_name(draw: &mut Draw, fresh: &mut u64) -> String {
    match draw.below(100) {
        0..=59 => format!("hot{}.storm.example", draw.below(300)),
        60..=97 => {
            *fresh += 1;
            format!("new{}.storm.example", *fresh)
        }
        _ => {
            *fresh += 1;
            format!("slow{}.storm.example", *fresh / 3)
        }
    }
}

/// Spells a name as it comes: some letters become capitals.
pub fn spell(draw: &mut Draw, name: &str) -> String {
    let mut bits = draw.next();
    name.chars()
        .map(|letter| {
            bits = bits.rotate_left(1);
            if bits & 1 == 1 {
                letter.to_ascii_uppercase()
            } else {
                letter
            }
        })
        .collect()
}

/// The query message for a name with an identifier.
#[must_use]
pub fn query(id: u16, name: &str) -> Vec<u8> {
    let mut message = load::query(name);
    if let Some(start) = message.first_chunk_mut::<2>() {
        *start = id.to_be_bytes();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_of_ten_streams_are_reset() {
        let mut draw = Draw::new(1);
        let resets = (0..10_000)
            .filter(|_| draw_reset(&mut draw) != Reset::Never)
            .count();
        assert!((2800..3200).contains(&resets), "{resets}");
    }

    #[test]
    fn a_spelling_changes_nothing_but_case() {
        let mut draw = Draw::new(2);
        let spelt = spell(&mut draw, "new1.storm.example");
        assert_ne!(spelt, "new1.storm.example");
        assert_eq!(spelt.to_ascii_lowercase(), "new1.storm.example");
    }
}
