//! The smoothed round trip of one server and its back-off (RFC 6298, sections 2 and 5).
//!
//! Owns the estimate from which a query's timeout and the order of servers follow. Never keeps a
//! time of its own: it is told how long something took.

use std::time::Duration;

/// What a server that was never asked is taken for: neither preferred nor shunned.
pub const UNKNOWN: Duration = Duration::from_millis(376);
/// No timeout is shorter, so that a busy local network is not mistaken for a dead server.
const TIMEOUT_MIN: Duration = Duration::from_millis(50);
/// No single query waits longer; a slower server is of no use to a client.
const TIMEOUT_MAX: Duration = Duration::from_secs(4);
/// The estimate is backed off no further.
const ESTIMATE_MAX: Duration = Duration::from_secs(120);
/// From this estimate on a server counts as dead: five timeouts in a row of an unknown one.
const DEAD: Duration = Duration::from_secs(12);

/// Queries that a server ignores for their type count up to here.
const IGNORED_MAX: Duration = Duration::from_secs(3);

/// The round trip of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    smoothed: Duration,
    variation: Duration,
    estimate: Duration,
    measured: bool,
}

impl Default for RoundTrip {
    fn default() -> Self {
        Self {
            smoothed: Duration::ZERO,
            variation: UNKNOWN / 4,
            estimate: UNKNOWN,
            measured: false,
        }
    }
}

impl RoundTrip {
    /// A reply came after `sample`.
    pub fn replied(&mut self, sample: Duration) {
        let sample = sample.min(ESTIMATE_MAX);
        if self.measured {
            // RFC 6298, 2.3: variation by a quarter, then the mean by an eighth.
            let error = self.smoothed.abs_diff(sample);
            self.variation = (self.variation * 3 + error) / 4;
            self.smoothed = (self.smoothed * 7 + sample) / 8;
        } else {
            self.smoothed = sample;
            self.variation = sample / 2;
            self.measured = true;
        }
        self.estimate = self.computed();
    }

    /// No reply came in time (RFC 6298, 5.5).
    pub fn timed_out(&mut self) {
        self.estimate = (self.estimate * 2).min(ESTIMATE_MAX);
    }

    /// The same for a query of a type that some servers never answer: it backs off, and never kills a server
    /// that has answered other queries.
    pub fn ignored(&mut self) {
        self.timed_out();
        if self.measured {
            self.estimate = self.estimate.min(IGNORED_MAX);
        }
    }

    /// Takes a given estimate for measured.
    pub const fn set(&mut self, estimate: Duration) {
        self.smoothed = estimate;
        self.variation = Duration::ZERO;
        self.estimate = estimate;
        self.measured = true;
    }

    fn computed(&self) -> Duration {
        (self.smoothed + self.variation * 4).clamp(TIMEOUT_MIN, ESTIMATE_MAX)
    }

    /// What servers are ordered by: mean plus variation, doubled by each timeout since.
    #[must_use]
    pub const fn estimate(&self) -> Duration {
        self.estimate
    }

    /// How long the next query waits for its reply.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.estimate.clamp(TIMEOUT_MIN, TIMEOUT_MAX)
    }

    /// Whether so many timeouts followed each other that the server is only probed.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.estimate >= DEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_and_a_reply_ends_it() {
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.timeout(), UNKNOWN);
        for _ in 0..4 {
            round_trip.timed_out();
            assert!(!round_trip.is_dead());
        }
        round_trip.timed_out();
        assert!(round_trip.is_dead());
        assert_eq!(round_trip.timeout(), TIMEOUT_MAX);
        for _ in 0..20 {
            round_trip.timed_out();
        }
        assert_eq!(round_trip.estimate(), ESTIMATE_MAX);
        round_trip.replied(Duration::from_millis(20));
        assert!(!round_trip.is_dead() && round_trip.measured);
        assert_eq!(round_trip.estimate(), Duration::from_millis(60));
    }

    #[test]
    fn ignored_queries_do_not_kill() {
        let mut round_trip = RoundTrip::default();
        round_trip.replied(Duration::from_millis(20));
        for _ in 0..20 {
            round_trip.ignored();
        }
        assert!(!round_trip.is_dead());
        let mut silent = RoundTrip::default();
        for _ in 0..5 {
            silent.ignored();
        }
        assert!(silent.is_dead());
    }

    #[test]
    fn steady_samples_narrow_the_estimate() {
        let mut round_trip = RoundTrip::default();
        for _ in 0..50 {
            round_trip.replied(Duration::from_millis(100));
        }
        assert!(round_trip.estimate() < Duration::from_millis(110));
        assert!(round_trip.estimate() >= Duration::from_millis(100));
    }
}
