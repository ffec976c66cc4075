//! What is known of the keys of zones.
//!
//! Owns the verdicts of walks along chains of trust (RFC 4035, 5): by name, the zone's keys, or that
//! it is not signed, or broken, or that no zone begins there. Bounded by octets; the older half goes when the
//! younger is full. Never verifies: only `validate::chain` puts something in.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::answer::ExtendedError;
use crate::cache::halves::{Cost, Halves};
use crate::name::Name;
use crate::time::Instant;

/// One key of a zone that may verify signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneKey {
    /// Its key tag (RFC 4034, appendix B).
    pub tag: u16,
    /// Its algorithm.
    pub algorithm: u8,
    /// The public key, in the form of its algorithm.
    pub public_key: Box<[u8]>,
}

/// The keys of a zone to which a chain of trust leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneKeys {
    /// The apex.
    pub zone: Name,
    /// The keys.
    pub keys: Vec<ZoneKey>,
    /// Algorithms of which every RRset needs a good signature; empty when any one is enough.
    pub algorithms: Vec<u8>,
}

/// What a walk along the chain of trust found at a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneStatus {
    /// A zone begins here, with these keys.
    Secure(Arc<ZoneKeys>),
    /// From here on nothing is signed, or nothing that can be verified; the code says why, if it tells.
    Insecure(Option<ExtendedError>),
    /// The chain of trust is broken here.
    Bogus(ExtendedError),
    /// No zone begins here: the name belongs to the zone above.
    Inside,
}

impl ZoneStatus {
    fn octets(&self) -> usize {
        match self {
            Self::Secure(keys) => keys.keys.iter().map(|key| key.public_key.len() + 32).sum(),
            _ => 0,
        }
    }
}

#[derive(Debug)]
struct Entry {
    status: ZoneStatus,
    epoch: u32,
    expires: Instant,
}

/// The verdicts, shared by every worker; class IN only.
#[derive(Debug)]
pub struct KeyCache(Mutex<Halves<Entry>>);

/// What an entry costs beside its keys, roughly.
const ENTRY_OCTETS: usize = 160;
/// Octets of either half.
const HALF_OCTETS: usize = 4 << 20;

impl KeyCache {
    /// What is known of `name` under the settings of `epoch`.
    #[must_use]
    pub fn get(&self, now: Instant, epoch: u32, name: &Name) -> Option<ZoneStatus> {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = halves.get(name)?;
        (entry.epoch == epoch && entry.expires > now).then(|| entry.status.clone())
    }

    /// Remembers what was found at `name` for `ttl`.
    pub fn put(&self, now: Instant, epoch: u32, name: &Name, status: ZoneStatus, ttl: Duration) {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let expires = now.after(ttl);
        let entry = Entry {
            status,
            epoch,
            expires,
        };
        halves.insert(name.clone(), entry);
    }

    /// Forgets `name`, and with `subtree` everything below it.
    pub fn forget(&self, name: &Name, subtree: bool) {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        halves.forget(name, subtree);
    }
}

impl Default for KeyCache {
    fn default() -> Self {
        Self(Mutex::new(Halves::new(HALF_OCTETS)))
    }
}

impl Cost for Entry {
    fn cost(&self) -> usize {
        ENTRY_OCTETS + self.status.octets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    fn at(seconds: u64) -> Instant {
        Instant::ORIGIN.after(Duration::from_secs(seconds))
    }

    #[test]
    fn entries_end_with_their_time_or_settings() {
        let cache = KeyCache::default();
        let ttl = Duration::from_secs(10);
        cache.put(at(0), 1, &name("a"), ZoneStatus::Inside, ttl);
        assert_eq!(cache.get(at(9), 1, &name("a")), Some(ZoneStatus::Inside));
        assert_eq!(cache.get(at(10), 1, &name("a")), None);
        assert_eq!(cache.get(at(9), 2, &name("a")), None);
        assert_eq!(cache.get(at(9), 1, &name("b")), None);
    }

    #[test]
    fn a_full_cache_keeps_what_is_used() {
        let cache = KeyCache::default();
        let ttl = Duration::from_secs(10);
        let used = name("used");
        cache.put(at(0), 0, &used, ZoneStatus::Inside, ttl);
        cache.put(at(0), 0, &name("unused"), ZoneStatus::Inside, ttl);
        for number in 0..3 * HALF_OCTETS / ENTRY_OCTETS {
            cache.put(
                at(0),
                0,
                &name(&format!("n{number}")),
                ZoneStatus::Inside,
                ttl,
            );
            if number % 1000 == 0 {
                assert!(cache.get(at(0), 0, &used).is_some());
            }
        }
        assert!(cache.get(at(0), 0, &name("unused")).is_none());
        let halves = cache.0.lock().unwrap();
        let most = 2 * HALF_OCTETS / ENTRY_OCTETS + 2;
        assert!(halves.len() <= most);
    }

    #[test]
    fn forgets_a_name_or_what_is_below_it() {
        let cache = KeyCache::default();
        let ttl = Duration::from_secs(10);
        for each in ["a", "b.a", "ba"] {
            cache.put(at(0), 0, &name(each), ZoneStatus::Inside, ttl);
        }
        cache.forget(&name("a"), false);
        assert!(cache.get(at(0), 0, &name("a")).is_none());
        assert!(cache.get(at(0), 0, &name("b.a")).is_some());
        cache.forget(&name("a"), true);
        assert!(cache.get(at(0), 0, &name("b.a")).is_none());
        assert!(cache.get(at(0), 0, &name("ba")).is_some());
    }
}
