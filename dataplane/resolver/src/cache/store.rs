//! The shards, and which names lie in which.
//!
//! Owns the keyed hash (clients choose names, so it must not be predictable) and the locks, each held for one
//! lookup. All that is kept of one name lies in one shard. Never reads a clock.

use std::sync::{Mutex, PoisonError};

use siphasher::sip::SipHasher13;

use crate::cache::shard::Shard;
use crate::settings::CacheSettings;
use crate::time::Now;

/// Shards at most; a power of two.
const SHARDS_MAX: usize = 64;
/// A shard has at least this many octets, so that small caches still hold large answers.
const SHARD_OCTETS_MIN: usize = 1 << 20;

/// All entries of a cache.
#[derive(Debug)]
pub(crate) struct Store {
    shards: Box<[Mutex<Shard>]>,
    hasher: SipHasher13,
}

/// What all entries come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Octets in use.
    pub octets: usize,
    /// Entries: RRsets, messages and failures.
    pub entries: usize,
    /// Entries taken out for room since the start.
    pub evicted: u64,
}

impl Store {
    /// Shards of `size` octets in all; `seed` must be secret.
    pub(crate) fn new(size: usize, seed: [u64; 2]) -> Self {
        let count = (size / SHARD_OCTETS_MIN).clamp(1, SHARDS_MAX);
        // The greatest power of two that is not above.
        let count = 1 << count.ilog2();
        let shards = (0..count).map(|_| Mutex::new(Shard::new(size / count)));
        let [first, second] = seed;
        Self {
            shards: shards.collect(),
            hasher: SipHasher13::new_with_keys(first, second),
        }
    }

    /// Lends the shard of a name (lower case, wire form), and the name's hash.
    pub(crate) fn with<R>(&self, name: &[u8], run: impl FnOnce(&mut Shard, u64) -> R) -> Option<R> {
        let hash = self.hasher.hash(name);
        // The index of a shard uses the lower and the uppermost bits.
        let at = (hash >> 40) as usize & (self.shards.len() - 1);
        let mut shard = self
            .shards
            .get(at)?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Some(run(&mut shard, hash))
    }

    /// Lends every shard, one after the other.
    pub(crate) fn each(&self, mut run: impl FnMut(&mut Shard)) {
        for shard in &self.shards {
            run(&mut shard.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Changes the bound; the number of shards stays.
    pub(crate) fn resize(&self, size: usize, dead_before: u32) {
        let share = size / self.shards.len();
        self.each(|shard| shard.resize(share, dead_before));
    }

    /// What all shards come to; each is locked once.
    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        self.each(|shard| {
            usage.octets += shard.octets();
            usage.entries += shard.len();
            usage.evicted += shard.evicted();
        });
        usage
    }
}

/// Seconds of the monotonic clock as entries count them.
pub(crate) fn seconds(now: Now) -> u32 {
    u32::try_from(now.instant.seconds()).unwrap_or(u32::MAX)
}

/// Entries that expired before this are of no use any more, not even as stale answers.
pub(crate) fn dead_before(now: Now, settings: &CacheSettings) -> u32 {
    let kept = settings
        .serve_stale
        .map_or(0, |stale| stale.max_age.as_secs());
    seconds(now).saturating_sub(u32::try_from(kept).unwrap_or(u32::MAX))
}
