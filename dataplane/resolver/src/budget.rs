//! Work that one root question may still cause.
//!
//! A budget is made with the state of a client's question and shared by every state made on its behalf.
//! There is no setter and no reset: it only goes down, across restarts, validation and sharing
//! (invariant F4; CVE-2026-50045 was a budget that a restart renewed).

use crate::settings::Settings;

/// The limit that was reached, by its name in `Limits` or `Settings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[error("{0} exhausted")]
pub struct Exhausted(pub &'static str);

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    upstream_queries: u16,
    targets: u16,
    failed_targets: u16,
    restarts: u16,
    signatures: u16,
    hashes: u16,
}

/// Counts one unit down, or says which limit that was.
const fn spend(left: &mut u16, units: u16, name: &'static str) -> Result<(), Exhausted> {
    match left.checked_sub(units) {
        Some(rest) => {
            *left = rest;
            Ok(())
        }
        None => {
            *left = 0;
            Err(Exhausted(name))
        }
    }
}

impl Budget {
    /// The full allowance of one client question.
    #[must_use]
    pub const fn new(settings: &Settings) -> Self {
        Self {
            upstream_queries: settings.resolution.budget.upstream_queries,
            targets: settings.limits.targets_per_root_max,
            failed_targets: settings.limits.failed_targets_max,
            restarts: settings.resolution.budget.restarts,
            signatures: settings.dnssec.signatures_per_query,
            hashes: settings.limits.nsec3_hashes_per_answer_max,
        }
    }

    /// One upstream query.
    ///
    /// # Errors
    /// When none is left; every following call fails too.
    pub const fn spend_upstream_query(&mut self) -> Result<(), Exhausted> {
        spend(&mut self.upstream_queries, 1, "upstream_queries")
    }

    /// One lookup of a name server's address.
    ///
    /// # Errors
    /// When none is left.
    pub const fn spend_target(&mut self) -> Result<(), Exhausted> {
        spend(&mut self.targets, 1, "targets_per_root_max")
    }

    /// One such lookup that failed.
    ///
    /// # Errors
    /// When none may fail any more.
    pub const fn spend_failed_target(&mut self) -> Result<(), Exhausted> {
        spend(&mut self.failed_targets, 1, "failed_targets_max")
    }

    /// One alias followed.
    ///
    /// # Errors
    /// When none is left.
    pub const fn spend_restart(&mut self) -> Result<(), Exhausted> {
        spend(&mut self.restarts, 1, "restarts")
    }

    /// One RRSIG verification.
    ///
    /// # Errors
    /// When none is left.
    pub const fn spend_signature(&mut self) -> Result<(), Exhausted> {
        spend(&mut self.signatures, 1, "signatures_per_query")
    }

    /// One NSEC3 hash.
    ///
    /// # Errors
    /// When none is left.
    pub const fn spend_hash(&mut self) -> Result<(), Exhausted> {
        spend(&mut self.hashes, 1, "nsec3_hashes_per_answer_max")
    }

    /// Signatures and NSEC3 hashes left.
    #[must_use]
    pub const fn validation_left(&self) -> (u16, u16) {
        (self.signatures, self.hashes)
    }

    /// Upstream queries left.
    #[must_use]
    pub const fn upstream_queries_left(&self) -> u16 {
        self.upstream_queries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_budget_stays_spent() {
        let mut settings = Settings::default();
        settings.resolution.budget.upstream_queries = 2;
        let mut budget = Budget::new(&settings);
        assert!(budget.spend_upstream_query().is_ok() && budget.spend_upstream_query().is_ok());
        for _ in 0..3 {
            assert_eq!(
                budget.spend_upstream_query(),
                Err(Exhausted("upstream_queries"))
            );
        }
    }
}
