//! Validated denials by zone, kept to answer other questions (RFC 8198).
//!
//! Owns the NSEC, NSEC3 and SOA RRsets of zones, in the order of the zone. Bounded by octets; the
//! older half goes when the younger is full. Only validated RRsets come in. Proves nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::name::Name;
use crate::rdata::Nsec3;
use crate::rrset::{RecordType, Rrset};
use crate::time::Instant;

#[derive(Clone, Debug)]
struct Held {
    rrset: Arc<Rrset>,
    expires: Instant,
}

impl Held {
    /// The RRset with what is left of its time, when something is.
    fn read(&self, now: Instant) -> Option<Arc<Rrset>> {
        let left = self.expires.since(now).as_secs();
        let ttl = u32::try_from(left).ok().filter(|left| *left > 0)?;
        let mut rrset = Rrset::clone(&self.rrset);
        rrset.ttl = ttl;
        Some(Arc::new(rrset))
    }
}

/// How a zone hashes names for NSEC3 (RFC 5155, 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashing {
    /// Iterations beyond the first.
    pub iterations: u16,
    /// The salt.
    pub salt: Box<[u8]>,
}

#[derive(Debug, Default)]
struct ZoneDenials {
    epoch: u32,
    soa: Option<Held>,
    nsec: BTreeMap<Name, Held>,
    hashing: Option<Hashing>,
    /// By hashed owner in text form, which sorts as the hashes do.
    nsec3: BTreeMap<Box<[u8]>, Held>,
}

#[derive(Debug, Default)]
struct Halves {
    young: BTreeMap<Name, ZoneDenials>,
    young_octets: usize,
    old: BTreeMap<Name, ZoneDenials>,
}

/// The denials, shared by every worker; class IN only.
#[derive(Debug, Default)]
pub struct DenialCache(Mutex<Halves>);

/// What an entry costs beside its record data, roughly.
const ENTRY_OCTETS: usize = 240;
/// Octets of either half.
const HALF_OCTETS: usize = 8 << 20;

impl DenialCache {
    /// Remembers a validated NSEC, NSEC3 or SOA RRset of `zone` for `ttl`.
    pub fn add(&self, now: Instant, epoch: u32, zone: &Name, rrset: &Arc<Rrset>, ttl: Duration) {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = Held {
            rrset: Arc::clone(rrset),
            expires: now.after(ttl),
        };
        halves.young_octets +=
            ENTRY_OCTETS + rrset.rdata.heap_bytes() + rrset.signatures.heap_bytes();
        halves.zone_mut(zone, epoch).insert(held);
        if halves.young_octets > HALF_OCTETS {
            halves.old = core::mem::take(&mut halves.young);
            halves.young_octets = 0;
        }
    }

    /// Whether anything is known of `zone`.
    #[must_use]
    pub fn knows(&self, epoch: u32, zone: &Name) -> bool {
        let halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        halves.zones(zone, epoch).next().is_some()
    }

    /// The SOA RRset of `zone`.
    #[must_use]
    pub fn soa(&self, now: Instant, epoch: u32, zone: &Name) -> Option<Arc<Rrset>> {
        self.look(zone, epoch, |denials| denials.soa.as_ref()?.read(now))
    }

    /// The NSEC RRset at `name`, or else the one before it, which may span it.
    #[must_use]
    pub fn nsec_around(
        &self,
        now: Instant,
        epoch: u32,
        zone: &Name,
        name: &Name,
    ) -> Option<Arc<Rrset>> {
        self.look(zone, epoch, |denials| {
            let (_, held) = denials.nsec.range(..=name).next_back()?;
            held.read(now)
        })
    }

    /// How `zone` hashes names, when it has NSEC3.
    #[must_use]
    pub fn hashing(&self, epoch: u32, zone: &Name) -> Option<Hashing> {
        self.look(zone, epoch, |denials| denials.hashing.clone())
    }

    /// The NSEC3 RRset of this hash in text form, or else the one before it, around the end of the zone.
    #[must_use]
    pub fn nsec3_around(
        &self,
        now: Instant,
        epoch: u32,
        zone: &Name,
        hash: &[u8],
    ) -> Option<Arc<Rrset>> {
        self.look(zone, epoch, |denials| {
            let before = denials.nsec3.range(..=Box::from(hash)).next_back();
            let (_, held) = before.or_else(|| denials.nsec3.iter().next_back())?;
            held.read(now)
        })
    }

    /// Forgets what is known of `name`, and with `subtree` of every zone below it.
    pub fn forget(&self, name: &Name, subtree: bool) {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Halves { young, old, .. } = &mut *halves;
        for half in [young, old] {
            // A zone that holds the name may deny it, so its denials of the name go too.
            half.retain(|zone, _| !(zone == name || subtree && zone.is_within(name)));
            for denials in half.values_mut() {
                denials
                    .nsec
                    .retain(|owner, _| !(owner == name || subtree && owner.is_within(name)));
                denials.nsec3.clear();
            }
        }
    }

    fn look<T>(
        &self,
        zone: &Name,
        epoch: u32,
        read: impl Fn(&ZoneDenials) -> Option<T>,
    ) -> Option<T> {
        let halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        halves.zones(zone, epoch).find_map(read)
    }
}

impl Halves {
    fn zones(&self, zone: &Name, epoch: u32) -> impl Iterator<Item = &ZoneDenials> {
        let both = self.young.get(zone).into_iter().chain(self.old.get(zone));
        both.filter(move |denials| denials.epoch == epoch)
    }

    fn zone_mut(&mut self, zone: &Name, epoch: u32) -> &mut ZoneDenials {
        let denials = self.young.entry(zone.clone()).or_default();
        if denials.epoch != epoch {
            *denials = ZoneDenials {
                epoch,
                ..ZoneDenials::default()
            };
        }
        denials
    }
}

impl ZoneDenials {
    fn insert(&mut self, held: Held) {
        match held.rrset.record_type {
            RecordType::SOA => self.soa = Some(held),
            RecordType::NSEC => {
                self.nsec.insert(held.rrset.owner.clone(), held);
            }
            RecordType::NSEC3 => {
                let rrset = Arc::clone(&held.rrset);
                let nsec3 = rrset.rdata.iter().next().and_then(Nsec3::parse);
                let (Some(nsec3), Some(label)) = (nsec3, rrset.owner.labels().next()) else {
                    return;
                };
                let hashing = Hashing {
                    iterations: nsec3.iterations,
                    salt: nsec3.salt.into(),
                };
                // A zone that hashes anew has a whole new chain.
                if self.hashing.as_ref() != Some(&hashing) {
                    self.nsec3.clear();
                    self.hashing = Some(hashing);
                }
                self.nsec3.insert(label.into(), held);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rrset::RdataList;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    fn at(seconds: u64) -> Instant {
        Instant::ORIGIN.after(Duration::from_secs(seconds))
    }

    fn rrset(owner: &str, record_type: RecordType, rdata: &[u8]) -> Arc<Rrset> {
        let rdata = RdataList::new([rdata]);
        Arc::new(Rrset::unsigned(name(owner), record_type, 60, rdata))
    }

    const TTL: Duration = Duration::from_secs(60);

    #[test]
    fn finds_the_record_before_a_name_and_counts_its_time() {
        let cache = DenialCache::default();
        let zone = name("example");
        for owner in ["example", "b.example", "d.example"] {
            cache.add(at(0), 0, &zone, &rrset(owner, RecordType::NSEC, b""), TTL);
        }
        let around = |now, of: &str| cache.nsec_around(at(now), 0, &zone, &name(of));
        assert_eq!(around(10, "c.example").unwrap().owner, name("b.example"));
        assert_eq!(around(10, "d.example").unwrap().owner, name("d.example"));
        assert_eq!(around(10, "a.example").unwrap().ttl, 50);
        assert!(around(60, "c.example").is_none());
        assert!(
            cache
                .nsec_around(at(0), 1, &zone, &name("c.example"))
                .is_none()
        );
        assert!(cache.knows(0, &zone) && !cache.knows(0, &name("other")));
        cache.forget(&name("b.example"), false);
        assert_eq!(around(10, "c.example").unwrap().owner, name("example"));
    }

    #[test]
    fn hashes_go_around_and_a_new_salt_starts_anew() {
        let cache = DenialCache::default();
        let zone = name("example");
        let nsec3 = |salt: u8| [&[1, 0, 0, 1, 1, salt, 20][..], &[7; 20]].concat();
        for owner in ["33.example", "77.example"] {
            cache.add(
                at(0),
                0,
                &zone,
                &rrset(owner, RecordType::NSEC3, &nsec3(1)),
                TTL,
            );
        }
        let around = |hash: &[u8]| {
            let found = cache.nsec3_around(at(0), 0, &zone, hash);
            found.map(|rrset| rrset.owner.to_string())
        };
        assert_eq!(around(b"55").as_deref(), Some("33.example."));
        assert_eq!(around(b"11").as_deref(), Some("77.example."));
        assert_eq!(cache.hashing(0, &zone).unwrap().salt[..], [1]);
        cache.add(
            at(0),
            0,
            &zone,
            &rrset("55.example", RecordType::NSEC3, &nsec3(2)),
            TTL,
        );
        assert_eq!(around(b"11").as_deref(), Some("55.example."));
    }

    #[test]
    fn is_bounded() {
        let cache = DenialCache::default();
        for number in 0..3 * HALF_OCTETS / ENTRY_OCTETS / 10 {
            let zone = name(&format!("z{number}"));
            let record = rrset("example", RecordType::NSEC, &[0; 9 * ENTRY_OCTETS]);
            cache.add(at(0), 0, &zone, &record, TTL);
        }
        let halves = cache.0.lock().unwrap();
        assert!(halves.young.len() + halves.old.len() <= 2 * HALF_OCTETS / ENTRY_OCTETS / 10 + 2);
    }
}
