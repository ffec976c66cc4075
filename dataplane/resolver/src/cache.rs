//! The one door to all caches.

pub mod keys;

use crate::cache::keys::KeyCache;

/// The caches: shared by every worker, locked for one lookup at a time, bounded by octets.
#[derive(Debug, Default)]
pub struct Cache {
    keys: KeyCache,
}

impl Cache {
    /// What is known of the keys of zones.
    #[must_use]
    pub const fn keys(&self) -> &KeyCache {
        &self.keys
    }
}
