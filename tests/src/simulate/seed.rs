//! The one input of a simulation: everything that is drawn comes from here.
//!
//! Owns `Draw`, a fast generator with no claim to secrecy. Never reads a clock or a device.

use weir_resolver::action::Action;

/// A stream of numbers from one seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// The stream of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed ^ 0x5851_f42d_4c95_7f2d)
    }

    /// 64 more bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// A number from `low` to `high`, both included.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in so many of a hundred cases.
    pub const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of several, or nothing of none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(usize::try_from(self.below(choices.len() as u64)).unwrap_or(0))
    }
}

/// A hash of everything that happened: the same seed must give the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceHash(u64);

impl TraceHash {
    /// Takes an action in.
    pub fn note(&mut self, action: &Action) {
        let (kind, value) = match action {
            Action::Answer { stream, answer } => (
                1,
                u64::from(stream.stream) << 16 | u64::from(answer.rcode.0),
            ),
            Action::Refuse { stream, .. } => (2, u64::from(stream.stream)),
            Action::Fetch(fetch) => (3, fetch.fetch.number()),
            Action::Cancel(fetch) => (4, fetch.number()),
            Action::Trace(change) => (5, change.state.number()),
            Action::Yield | Action::Probed { .. } => (6, 0),
        };
        [kind, value].iter().for_each(|each| self.add(*each));
    }

    /// Takes one more number in.
    pub const fn add(&mut self, value: u64) {
        self.0 = (self.0 ^ value)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29);
    }

    /// The hash so far.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}
