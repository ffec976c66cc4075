//! Every fixed bound of the crate in one table, each with its reason.
//!
//! Bounds that an operator may change are in `settings.rs`; here are those that no answer needs more of.
//! The simulator shrinks each to its least value, so code reads them from here and nowhere else.

use std::time::Duration;

/// The bounds. `Limits::DEFAULT` is what runs; tests and the simulator hand in others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Waiters of one state; more are refused. Answering them is sliced by `settle_per_step`.
    pub waiters_per_state_max: u32,
    /// Streams of one connection that may wait at once.
    pub waiting_per_connection_max: u32,
    /// Sub-states that one state waits for at once (NXNSAttack, CVE-2020-12662).
    pub subs_per_state_max: u32,
    /// States above one another: how deep a question may need another.
    pub depth_max: u32,
    /// Orphans, as a share of all states: one in this many.
    pub orphan_share: u32,
    /// State activations in one step; the rest is re-queued (invariant D1).
    pub activations_per_step_max: u32,
    /// Waiters settled in one step.
    pub settle_per_step: u32,
    /// Records visited when a dependency is checked for a cycle; a larger graph counts as a cycle.
    pub dependency_visits_max: u32,
    /// How long a state lives at most, whoever waits for it; longer than a waiter may wait.
    pub state_time_max: Duration,
    /// How long after its timeout a fetch that the driver never reported counts as failed.
    pub fetch_grace: Duration,
    /// Activations of one state in its life; more end it with SERVFAIL.
    pub activations_per_state_max: u32,
    /// Open fetches of one state.
    pub fetches_per_state_max: u32,
    /// Name servers of one delegation that are used (NRDelegation, CVE-2022-3204).
    pub name_servers_max: usize,
    /// Addresses of one delegation that are used.
    pub addresses_per_delegation_max: usize,
    /// Aliases of one reply that are followed (CAMP).
    pub aliases_per_reply_max: usize,
    /// RRSIGs of one RRset that are kept (KeyTrap, CVE-2023-50387).
    pub signatures_per_rrset_max: usize,
    /// RRsets of an answer to ANY or RRSIG that are taken, each of which has to be validated.
    pub rrsets_of_any_max: usize,
    /// Referrals that one question follows.
    pub referrals_max: u16,
    /// Target addresses looked up for one delegation.
    pub targets_per_delegation_max: u16,
    /// Target addresses looked up for one root question.
    pub targets_per_root_max: u16,
    /// Target lookups that may fail for one root question.
    pub failed_targets_max: u16,
    /// Records of one reply that are read; a larger one is malformed.
    pub records_per_reply_max: usize,
    /// Compression pointers written in one answer (CVE-2024-8508).
    pub compressed_names_max: usize,
    /// RRSIG verifications for one RRset.
    pub verifications_per_rrset_max: u16,
    /// NSEC3 hashes for one answer (CVE-2023-50868).
    pub nsec3_hashes_per_answer_max: u16,
    /// DS records of one zone that are tried against keys.
    pub ds_tried_max: u16,
    /// Restarts after bogus data, asking other servers.
    pub validation_restarts_max: u8,
}

impl Limits {
    /// What runs in production.
    pub const DEFAULT: Self = Self {
        waiters_per_state_max: 1024,
        waiting_per_connection_max: 100,
        subs_per_state_max: 16,
        depth_max: 6,
        orphan_share: 10,
        activations_per_step_max: 256,
        settle_per_step: 256,
        dependency_visits_max: 1024,
        state_time_max: Duration::from_secs(30),
        fetch_grace: Duration::from_secs(2),
        activations_per_state_max: 1000,
        fetches_per_state_max: 4,
        name_servers_max: 20,
        addresses_per_delegation_max: 64,
        aliases_per_reply_max: 11,
        signatures_per_rrset_max: 8,
        rrsets_of_any_max: 24,
        referrals_max: 130,
        targets_per_delegation_max: 16,
        targets_per_root_max: 64,
        failed_targets_max: 5,
        records_per_reply_max: 2000,
        compressed_names_max: 120,
        verifications_per_rrset_max: 8,
        nsec3_hashes_per_answer_max: 64,
        ds_tried_max: 8,
        validation_restarts_max: 5,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
