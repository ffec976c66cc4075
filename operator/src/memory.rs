//! `Memory`: what the operator remembers of each resolver between two reconciliations.
//!
//! All of it can be lost: a pod that is asked again says again what is live in it, and a change
//! that was being watched is watched once more. Owns no decision.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use weir_config::unit::instant::UnixSeconds;

/// What a pod acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// How often its container had been restarted then; after another restart it no longer holds.
    pub restarts: i32,
    /// The document that is live in it.
    pub revision: String,
    /// The certificate that is live in it.
    pub certificate: Option<String>,
    /// Until when that certificate is valid.
    pub certificate_not_after: Option<UnixSeconds>,
    /// When it said so.
    pub at: UnixSeconds,
}

/// A document that some pods have and the others wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// The document.
    pub revision: String,
    /// The pods that have it: their identity, and how often they had been restarted.
    pub pods: BTreeMap<String, i32>,
    /// Since when.
    pub since: UnixSeconds,
}

/// A document that did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The document.
    pub revision: String,
    /// What happened, for the condition.
    pub message: String,
}

/// What is remembered of one resolver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remembered {
    /// What each pod acknowledged, by the identity of the pod.
    pub acknowledged: BTreeMap<String, Acknowledgement>,
    /// The document that is being watched.
    pub canary: Option<Canary>,
    /// The document that did not pass.
    pub failed: Option<Failed>,
}

/// The name and namespace of a resolver.
pub type ResolverKey = (String, String);

/// What is remembered of each resolver. A resolver is reconciled by one task at a time, which
/// takes what is remembered and gives it back.
#[derive(Debug, Default)]
pub struct Memory {
    resolvers: Mutex<HashMap<ResolverKey, Remembered>>,
}

impl Memory {
    /// What is remembered of a resolver.
    #[must_use]
    pub fn get(&self, key: &ResolverKey) -> Remembered {
        self.locked(|resolvers| resolvers.get(key).cloned().unwrap_or_default())
    }

    /// Remembers this of a resolver.
    pub fn put(&self, key: ResolverKey, remembered: Remembered) {
        self.locked(|resolvers| resolvers.insert(key, remembered));
    }

    /// Forgets a resolver.
    pub fn forget(&self, key: &ResolverKey) {
        self.locked(|resolvers| resolvers.remove(key));
    }

    fn locked<T>(&self, work: impl FnOnce(&mut HashMap<ResolverKey, Remembered>) -> T) -> T {
        work(
            &mut self
                .resolvers
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}
