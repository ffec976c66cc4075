//! Which zone a name lies in, by the NS RRsets that are kept.
//!
//! Owns the walk up from a name to the closest delegation (RFC 1034, 5.3.3). Asks no server.

use std::sync::Arc;

use crate::cache::rrset::{Held, forget_expired as forget_if_expired, key_of, look};
use crate::cache::store::Store;
use crate::name::Name;
use crate::rrset::{Class, RecordType, Rrset};

/// The fresh NS RRset of the closest zone that `name` lies in; `name` itself may be its apex.
///
/// One below a delegation that has expired does not count: the parent may have dropped it since (ghost domains).
pub(crate) fn closest(store: &Store, now: u32, name: &Name, class: Class) -> Option<Arc<Rrset>> {
    let mut closest = None;
    for ancestor in name.ancestors() {
        let wire = ancestor.as_wire();
        let held = store.with(wire, |shard, hash| {
            look(shard, now, &key_of(wire, hash, RecordType::NS, class))
        });
        match held.unwrap_or_default() {
            Held::Fresh(set) => {
                closest.get_or_insert(set);
            }
            Held::Expired => closest = None,
            Held::Nothing => {}
        }
    }
    closest
}

/// Forgets expired NS RRsets from `zone` up to below `top`: a referral has gone past them.
pub(crate) fn forget_expired(store: &Store, now: u32, (top, zone): (&Name, &Name), class: Class) {
    for name in zone.ancestors().take_while(|name| name != top) {
        let wire = name.as_wire();
        store.with(wire, |shard, hash| {
            forget_if_expired(shard, now, &key_of(wire, hash, RecordType::NS, class));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::sample::{at, name, set};
    use crate::cache::{Cache, Trust};
    use crate::settings::Settings;

    #[test]
    fn the_closest_zone_is_found() {
        let (cache, settings) = (Cache::default(), Settings::default());
        for (zone, ttl) in [(".", 100), ("example", 50), ("b.example", 20)] {
            let ns = set(zone, RecordType::NS, ttl, &[b"\x01n\x00"]);
            let trust = Trust::AuthorityNonAuthoritative;
            cache.store_rrset(at(0), &settings.cache, Arc::unwrap_or_clone(ns), trust, 0);
        }
        let closest = |now, text| {
            let found = cache.delegation(at(now), &name(text), Class::IN);
            found.map(|found| found.owner.to_string())
        };
        assert_eq!(closest(0, "a.b.example").as_deref(), Some("b.example."));
        assert_eq!(closest(20, "a.b.example").as_deref(), Some("example."));
        assert_eq!(closest(50, "a.b.example").as_deref(), Some("."));
        assert_eq!(closest(100, "a.b.example"), None);
        let (top, zone) = (name("example"), name("a.b.example"));
        cache.forget_expired_between(at(30), &top, &zone, Class::IN);
        assert_eq!(
            (cache.usage().entries, closest(10, "a.b.example").as_deref()),
            (2, Some("example."))
        );
    }
}
