//! The seeded generator that the shell hands in: identifiers, case, server choice.
//!
//! SplitMix64-seeded xoshiro256++ would be predictable to somebody who sees its output, and message
//! identifiers must not be (RFC 5452, 9.2): so this is SipHash-1-3 in counter mode under a secret key.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

/// A deterministic stream of numbers, unpredictable without its seed.
#[derive(Clone, Debug)]
pub struct Random {
    key: (u64, u64),
    counter: u64,
}

impl Random {
    /// A generator from 128 secret bits; the same seed gives the same stream.
    #[must_use]
    pub const fn from_seed(seed: [u64; 2]) -> Self {
        Self {
            key: (seed[0], seed[1]),
            counter: 0,
        }
    }

    /// 64 more bits.
    pub fn next_u64(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(1);
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write_u64(self.counter);
        hasher.finish()
    }

    /// 16 more bits.
    pub fn next_u16(&mut self) -> u16 {
        (self.next_u64() >> 48) as u16
    }

    /// A number below `bound`, 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        // Multiply and shift (Lemire); the bias is below 2^-32 for every bound that is used.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as usize
    }

    /// A seed for a generator or hasher that must not share this one's stream.
    pub fn fork(&mut self) -> [u64; 2] {
        [self.next_u64(), self.next_u64()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_stream_within_bounds() {
        let mut one = Random::from_seed([1, 2]);
        let mut two = Random::from_seed([1, 2]);
        for bound in 1..200 {
            let drawn = one.below(bound);
            assert!(drawn < bound);
            assert_eq!(drawn, two.below(bound));
        }
        assert_eq!(one.below(0), 0);
    }
}
