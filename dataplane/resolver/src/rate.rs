//! How often somebody may ask in a second.
//!
//! Owns one number for each key (the generic cell rate algorithm), in two generations of bounded size, so that
//! many clients cost no more memory than few. Never counts what was refused.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Instant;

/// A second's worth may come at once.
const BURST: Duration = Duration::from_secs(1);

/// Rates by key.
#[derive(Debug)]
pub struct Rates<K> {
    young: BTreeMap<K, Instant>,
    old: BTreeMap<K, Instant>,
    keys_max: usize,
}

impl<K: Ord + Clone> Rates<K> {
    /// Room for up to twice `keys_max` keys; the longest unused are forgotten.
    #[must_use]
    pub const fn bounded(keys_max: usize) -> Self {
        Self {
            young: BTreeMap::new(),
            old: BTreeMap::new(),
            keys_max,
        }
    }

    /// Whether one more is within `per_second`, and counts it if so. Zero does not limit.
    pub fn admit(&mut self, now: Instant, key: &K, per_second: u32) -> bool {
        if per_second == 0 {
            return true;
        }
        let interval = BURST / per_second;
        let known = self.young.get(key).or_else(|| self.old.get(key)).copied();
        // When all that was admitted so far would have come, had it come evenly.
        let due = known.unwrap_or(now).max(now);
        if due.since(now) + interval > BURST {
            return false;
        }
        self.old.remove(key);
        if self.young.len() >= self.keys_max && !self.young.contains_key(key) {
            self.old = core::mem::take(&mut self.young);
        }
        self.young.insert(key.clone(), due.after(interval));
        true
    }

    /// Keys that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant::ORIGIN.after(Duration::from_millis(milliseconds))
    }

    #[test]
    fn a_seconds_worth_at_once_and_then_evenly() {
        let mut rates = Rates::bounded(8);
        let mut admitted = |now| (0..50).filter(|_| rates.admit(at(now), &1, 10)).count();
        assert_eq!(admitted(0), 10);
        assert_eq!(admitted(99), 0);
        assert_eq!(admitted(100), 1);
        assert_eq!(admitted(600), 5);
        assert_eq!(admitted(60_000), 10);
    }

    #[test]
    fn keys_have_rates_of_their_own_and_are_bounded() {
        let mut rates = Rates::bounded(4);
        for key in 0..100 {
            assert!(rates.admit(at(0), &key, 1));
            assert!(!rates.admit(at(0), &key, 1));
            assert!(rates.len() <= 8);
        }
        assert!(rates.admit(at(0), &99, 0));
    }
}
