//! The table of questions being resolved: its bounds that an operator chooses.
//!
//! Those that none chooses are `Limits`.

use std::time::Duration;

use crate::settings::prefix::Prefix;

/// The table of questions being resolved.
#[derive(Clone, Debug)]
pub struct MeshSettings {
    /// States with waiters, per worker; half of them cannot be jostled.
    pub states_max: u32,
    /// Waiters in all, per worker.
    pub waiting_replies_max: u32,
    /// The age from which a state of the second half makes room for a new one.
    pub jostle_timeout: Duration,
    /// How long a waiter may wait in all before it is answered SERVFAIL, and how long a state goes on for the cache
    /// alone once the last has left.
    pub total_time: Duration,
    /// Waiters (and orphans) of one client.
    pub client_waiting_max: u32,
    /// The same for clients of a prefix; the most specific decides.
    pub client_waiting_overrides: Vec<(Prefix, u32)>,
    /// What becomes of work whose last waiter left.
    pub on_stream_reset: OnStreamReset,
}

impl Default for MeshSettings {
    fn default() -> Self {
        Self {
            states_max: 4096,
            waiting_replies_max: 65_536,
            jostle_timeout: Duration::from_millis(200),
            total_time: Duration::from_secs(10),
            client_waiting_max: 1000,
            client_waiting_overrides: Vec::new(),
            on_stream_reset: OnStreamReset::FinishForCache,
        }
    }
}

/// What becomes of work whose last waiter left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStreamReset {
    /// It goes on for the cache, within the orphan rule.
    FinishForCache,
    /// It is cancelled at once.
    Cancel,
}
