//! Which names are known to lie inside a zone: no zone begins there.
//!
//! Owns what replies to minimised queries said of the names on the way (RFC 9156, 3, step 4: a cached NOERROR
//! answers the step), so that a thousand names below one are not a thousand queries for it. Bounded by count; the
//! older half goes when the younger is full. Answers no client and proves nothing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::cache::halves::{Cost, Halves};
use crate::name::Name;
use crate::time::Instant;

/// Entries of either half.
const HALF_MAX: usize = 8192;

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Labels of the zone, whose name is the end of the entry's own.
    zone_labels: usize,
    expires: Instant,
}

/// The names, shared by every worker; class IN only.
#[derive(Debug)]
pub struct InsideCache(Mutex<Halves<Entry>>);

impl InsideCache {
    /// Whether `name` is known to lie inside `zone`, an ancestor of it.
    #[must_use]
    pub fn holds(&self, now: Instant, name: &Name, zone: &Name) -> bool {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = halves.get(name);
        entry.is_some_and(|entry| entry.zone_labels == zone.label_count() && entry.expires > now)
    }

    /// Remembers for `ttl` that `name` lies inside `zone`.
    pub fn put(&self, now: Instant, name: &Name, zone: &Name, ttl: Duration) {
        let entry = Entry {
            zone_labels: zone.label_count(),
            expires: now.after(ttl),
        };
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        halves.insert(name.clone(), entry);
    }

    /// Forgets `name`, and with `subtree` everything below it.
    pub fn forget(&self, name: &Name, subtree: bool) {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        halves.forget(name, subtree);
    }
}

impl Default for InsideCache {
    fn default() -> Self {
        Self(Mutex::new(Halves::new(HALF_MAX)))
    }
}

impl Cost for Entry {
    fn cost(&self) -> usize {
        1
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
    fn a_name_is_inside_one_zone_for_its_time() {
        let cache = InsideCache::default();
        let (inside, zone) = (name("u.bench.example"), name("bench.example"));
        cache.put(at(0), &inside, &zone, Duration::from_secs(10));
        assert!(cache.holds(at(9), &inside, &zone));
        assert!(!cache.holds(at(10), &inside, &zone));
        assert!(!cache.holds(at(9), &inside, &name("example")));
        assert!(!cache.holds(at(9), &name("v.bench.example"), &zone));
        cache.forget(&name("bench.example"), false);
        assert!(cache.holds(at(9), &inside, &zone));
        cache.forget(&name("bench.example"), true);
        assert!(!cache.holds(at(9), &inside, &zone));
    }

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let cache = InsideCache::default();
        let (used, zone) = (name("used.example"), name("example"));
        let ttl = Duration::from_secs(10);
        cache.put(at(0), &used, &zone, ttl);
        for number in 0..3 * HALF_MAX {
            cache.put(at(0), &name(&format!("n{number}.example")), &zone, ttl);
            if number % 1000 == 0 {
                assert!(cache.holds(at(1), &used, &zone));
            }
        }
        let halves = cache.0.lock().unwrap();
        assert!(halves.len() <= 2 * HALF_MAX + 2);
    }
}
