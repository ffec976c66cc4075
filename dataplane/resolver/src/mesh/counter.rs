//! What the mesh counts, and the equations that must hold between the counts.
//!
//! Owns `Counters` (they only rise) and `Gauges` (lengths of collections, never counted by hand).
//! The shell turns both into metrics.

use std::time::Duration;

/// The upper ends of the buckets of `Counters::waited`; the last bucket has none.
pub const WAIT_BUCKETS: [Duration; 11] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(1000),
    Duration::from_millis(2500),
    Duration::from_millis(10_000),
];

/// Everything that happened since the mesh was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Queries that streams brought.
    pub queries: u64,
    /// Of these, answered from local zones or settings.
    pub answered_locally: u64,
    /// Of these, attached to a state that was there.
    pub joined: u64,
    /// Of these, for which a state was made.
    pub created: u64,
    /// Of these, refused: the client has too much running.
    pub refused_client_limit: u64,
    /// Of these, refused: the mesh is full or drains.
    pub refused_full: u64,
    /// Of these, refused: there is no answer for this client.
    pub refused_denied: u64,
    /// Of these, of a connection that was gone, or of a stream that had asked before.
    pub queries_ignored: u64,

    /// Waits that ended with an answer.
    pub answered: u64,
    /// Waits that the client ended by a reset.
    pub peer_cancelled: u64,
    /// Waits that Weir ended by a reset, or whose answer could not be written.
    pub reset: u64,
    /// Waits that ended with their connection.
    pub connection_lost: u64,
    /// Answers that were given as expired data (RFC 8767).
    pub answered_stale: u64,
    /// Waits that ended because their time was up.
    pub waiters_expired: u64,
    /// How long answered waiters had waited, by the buckets of `WAIT_BUCKETS`.
    pub waited: [u64; WAIT_BUCKETS.len() + 1],
    /// The same, summed, in nanoseconds.
    pub waited_nanoseconds: u64,

    /// Answers that left.
    pub answers_written: u64,
    /// Answers that did not: the stream or its connection ended first.
    pub answers_unwritten: u64,

    /// States made, of every kind.
    pub states_made: u64,
    /// Budgets made: one for each root question, none for what it needs (invariant F4).
    pub budgets_made: u64,
    /// Root questions: of clients, and those renewed behind on their own account.
    pub roots: u64,
    /// States that came to an answer.
    pub states_answered: u64,
    /// States that made room for others.
    pub states_jostled: u64,
    /// States that nobody needed any more.
    pub states_cancelled: u64,
    /// States whose time was up.
    pub states_expired: u64,
    /// States that a drain ended.
    pub states_drained: u64,
    /// States that were fenced off because an invariant did not hold.
    pub states_fenced: u64,
    /// States that went on as orphans.
    pub orphaned: u64,
    /// Looks at the keys of tracked zones that were begun; each is told once.
    pub probes: u64,
    /// Background work that was left because the mesh was full, short of memory, or drains.
    pub background_refused: u64,

    /// Queries sent to servers.
    pub fetches_sent: u64,
    /// Fetches that ended with a reply.
    pub fetches_replied: u64,
    /// Fetches that ended with a failure.
    pub fetches_failed: u64,
    /// Fetches that were cancelled.
    pub fetches_cancelled: u64,
    /// Of the failures, those that the driver never reported.
    pub fetches_unreported: u64,
    /// Needs for other questions that were refused.
    pub needs_refused: u64,

    /// Events that named a fetch that had ended.
    pub late_fetches: u64,
    /// Events that named a stream that had ended, or never asked.
    pub late_streams: u64,
    /// Events that named a connection that had ended, or opened before.
    pub late_connections: u64,

    /// Activations of states.
    pub activations: u64,
    /// Invariants that did not hold; zero unless there is a bug.
    pub invariant_violations: u64,
}

/// How much there is of everything, right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Open connections.
    pub connections: usize,
    /// Clients that are remembered.
    pub identities: usize,
    /// Streams that wait, or whose answer has not left.
    pub streams: usize,
    /// Streams that wait.
    pub waiters: usize,
    /// States.
    pub states: usize,
    /// States that can be found by their question.
    pub indexed: usize,
    /// States in the half that runs to its end.
    pub forever: usize,
    /// States in the half that makes room.
    pub jostle: usize,
    /// States that go on for the cache after their last consumer left.
    pub orphans: usize,
    /// States that can run now.
    pub runnable: usize,
    /// Dependencies between states.
    pub dependencies: usize,
    /// Open fetches.
    pub fetches: usize,
    /// Budgets.
    pub budgets: usize,
    /// Answers whose waiters did not all get them yet.
    pub deliveries: usize,
    /// Armed deadlines.
    pub timers: usize,
}

impl Gauges {
    /// Whether nothing at all is left.
    #[must_use]
    pub fn are_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl Counters {
    /// Queries that were admitted: each ends in exactly one disposition.
    #[must_use]
    pub const fn admitted(&self) -> u64 {
        self.joined + self.created
    }

    /// Counts one answered wait of this length.
    pub(crate) fn count_wait(&mut self, waited: Duration) {
        self.answered += 1;
        let nanoseconds = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        self.waited_nanoseconds = self.waited_nanoseconds.saturating_add(nanoseconds);
        let bucket = WAIT_BUCKETS.partition_point(|&end| end < waited);
        if let Some(count) = self.waited.get_mut(bucket) {
            *count += 1;
        }
    }

    /// The first equation that does not hold, by its name in the list of invariants (G).
    pub(crate) fn broken_equation(&self, gauges: &Gauges) -> Option<&'static str> {
        self.broken_equations(gauges).next()
    }

    /// All of them.
    pub(crate) fn broken_equations(
        &self,
        gauges: &Gauges,
    ) -> impl Iterator<Item = &'static str> + use<> {
        let refused = self.refused_client_limit + self.refused_full + self.refused_denied;
        let queries = self.answered_locally + self.admitted() + refused + self.queries_ignored;
        let disposed = self.answered + self.peer_cancelled + self.reset + self.connection_lost;
        let written = self.answers_written + self.answers_unwritten;
        let answering = gauges.streams.saturating_sub(gauges.waiters) as u64;
        let ended = self.states_answered
            + self.states_jostled
            + self.states_cancelled
            + self.states_expired
            + self.states_drained
            + self.states_fenced;
        let fetched = self.fetches_replied + self.fetches_failed + self.fetches_cancelled;
        let equations = [
            ("G2 queries", self.queries == queries),
            (
                "B1 dispositions",
                self.admitted() == disposed + gauges.waiters as u64,
            ),
            ("F4 budgets", self.budgets_made == self.roots),
            ("G4 waits", self.waited.iter().sum::<u64>() == self.answered),
            ("B2 answers", self.answered == written + answering),
            (
                "G5 states",
                self.states_made == ended + gauges.states as u64,
            ),
            (
                "G6 fetches",
                self.fetches_sent == fetched + gauges.fetches as u64,
            ),
        ];
        equations
            .into_iter()
            .filter_map(|(name, holds)| (!holds).then_some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_in_one_bucket() {
        let mut counters = Counters::default();
        for waited in [
            Duration::ZERO,
            Duration::from_millis(1),
            Duration::from_micros(1001),
            Duration::from_secs(60),
        ] {
            counters.count_wait(waited);
        }
        assert_eq!(counters.waited.iter().sum::<u64>(), 4);
        assert_eq!(counters.waited[0], 2);
        assert_eq!(counters.waited[1], 1);
        assert_eq!(counters.waited[WAIT_BUCKETS.len()], 1);
    }
}
