//! The keys of one zone, followed from probe to probe (RFC 5011, 2 to 4).
//!
//! Owns what a verified DNSKEY RRset does to the keys, and when the next probe is due. Never asks, and
//! believes nothing that a trusted key did not sign, or that a revoked key did not say of itself.

use std::sync::Arc;

use crate::budget::Budget;
use crate::cache::keys::{ZoneKey, ZoneKeys};
use crate::name::Name;
use crate::rdata::{Dnskey, Ds, Rrsig};
use crate::rrset::Rrset;
use crate::settings::TrustAnchor;
use crate::tracking::key::{KeyState, TrackedKey};
use crate::validate::delegation::names_key;
use crate::validate::signature::{Policy, verify};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// How long a key must be seen before it is trusted (RFC 5011, 2.4.1), and how long a revoked one is kept
/// (RFC 5011, 2.4.2).
pub const HOLD_DOWN: u64 = 30 * DAY;
/// How long a missing key stays trusted while another is valid. RFC 5011 sets no end; a year after its last
/// sighting a key that was never revoked guards nothing.
pub const MISSING_MAX: u64 = 366 * DAY;
/// A key must be seen in so many verified RRsets at least before it is trusted.
const SIGHTINGS_MIN: u32 = 2;
/// More keys of one zone than these are not tracked, so that no zone fills the state.
const KEYS_MAX: usize = 32;

/// A zone whose trust anchors are tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedZone {
    /// Its name.
    pub name: Name,
    /// Which configured trust anchors it started from: a fingerprint.
    pub seed: u64,
    /// Whether the configured anchors were met in a verified RRset, so that `keys` alone count from now on.
    pub seeded: bool,
    /// When a probe was last sent, in seconds of Unix time; 0 for never.
    pub last_queried: u64,
    /// When a probe last brought a verified RRset; 0 for never.
    pub last_success: u64,
    /// Probes that failed since then.
    pub failed: u32,
    /// When the next probe is due; 0 for at once.
    pub next_probe: u64,
    /// Its keys.
    pub keys: Vec<TrackedKey>,
}

/// What a probe came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// The RRset was verified.
    Verified,
    /// There was none, or it could not be verified.
    Failed,
    /// The last trusted key is revoked: the zone has no trust anchor any more (RFC 5011, 5).
    Deleted,
}

impl TrackedZone {
    /// A zone of which nothing is known yet.
    #[must_use]
    pub const fn new(name: Name) -> Self {
        Self {
            name,
            seed: 0,
            seeded: false,
            last_queried: 0,
            last_success: 0,
            failed: 0,
            next_probe: 0,
            keys: Vec::new(),
        }
    }

    /// Whether every key that it ever trusted is revoked (RFC 5011, 5).
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.seeded && !self.keys.iter().any(|key| key.state.is_trusted())
    }

    /// The trust anchors in force: the configured ones until they were met, then the tracked ones.
    #[must_use]
    pub fn anchor(&self, configured: &TrustAnchor) -> Option<TrustAnchor> {
        if self.is_deleted() {
            return None;
        }
        let trusted = || {
            let keys = self.keys.iter().filter(|key| key.state.is_trusted());
            keys.map(|key| &*key.rdata)
        };
        if self.seeded {
            return Some(TrustAnchor {
                zone: self.name.clone(),
                ds: crate::rrset::RdataList::default(),
                dnskey: crate::rrset::RdataList::new(trusted()),
            });
        }
        let given = configured
            .dnskey
            .iter()
            .filter(|rdata| !self.has_revoked(rdata));
        Some(TrustAnchor {
            zone: self.name.clone(),
            ds: configured.ds.clone(),
            dnskey: crate::rrset::RdataList::new(given.chain(trusted())),
        })
    }

    fn has_revoked(&self, rdata: &[u8]) -> bool {
        let mut keys = self.keys.iter();
        keys.any(|key| key.state == KeyState::Revoked && key.is(rdata))
    }

    /// A key of this zone that may be tracked: a secure entry point (RFC 5011, 2).
    fn entry_points<'a>(rrset: &'a Rrset) -> impl Iterator<Item = Dnskey<'a>> {
        let keys = rrset.rdata.iter().filter_map(Dnskey::parse);
        keys.filter(|key| key.is_zone_key() && key.is_secure_entry_point())
    }

    /// Takes the DNSKEY RRset of a probe into account; none when the probe brought none.
    pub fn probed(
        &mut self,
        rrset: Option<&Arc<Rrset>>,
        configured: &TrustAnchor,
        policy: &Policy<'_>,
    ) -> Probed {
        let at = policy.now.unix.0;
        self.last_queried = at;
        let Some(rrset) = rrset else {
            return self.fail(at, None);
        };
        let mut budget = Budget::new(policy.settings);
        self.revoke(rrset, configured, policy, &mut budget);
        if self.is_deleted() {
            self.last_success = at;
            self.failed = 0;
            self.next_probe = u64::MAX;
            return Probed::Deleted;
        }
        let entrance = self.entrance(rrset, configured, policy);
        let verified = verify(rrset, &entrance, policy, &mut budget)
            .is_ok_and(|verified| verified.closest_encloser().is_none());
        if !verified {
            return self.fail(at, Some(rrset));
        }
        self.seed_keys(rrset, &entrance, at);
        self.sight(rrset, policy, at);
        self.age(rrset, at);
        self.last_success = at;
        self.failed = 0;
        self.next_probe = at + intervals(rrset, at).0;
        Probed::Verified
    }

    fn fail(&mut self, at: u64, rrset: Option<&Arc<Rrset>>) -> Probed {
        self.failed = self.failed.saturating_add(1);
        self.next_probe = at + rrset.map_or(HOUR, |rrset| intervals(rrset, at).1);
        Probed::Failed
    }

    /// The keys that may vouch for the RRset.
    fn entrance(&self, rrset: &Rrset, configured: &TrustAnchor, policy: &Policy<'_>) -> ZoneKeys {
        let mut keys: Vec<ZoneKey> = Vec::new();
        let mut add = |key: &Dnskey<'_>| {
            let usable = key.is_zone_key() && !key.is_revoked() && policy.supports(key.algorithm);
            let key = zone_key(key);
            if usable && !keys.contains(&key) {
                keys.push(key);
            }
        };
        for key in self.keys.iter().filter(|key| key.state.is_trusted()) {
            if let Some(key) = Dnskey::parse(&key.rdata) {
                add(&key);
            }
        }
        if !self.seeded {
            for key in configured.dnskey.iter().filter_map(Dnskey::parse) {
                if !self.has_revoked(key.rdata()) {
                    add(&key);
                }
            }
            for key in rrset.rdata.iter().filter_map(Dnskey::parse) {
                if !self.has_revoked(key.rdata()) && is_configured(&key, &self.name, configured) {
                    add(&key);
                }
            }
        }
        ZoneKeys {
            zone: self.name.clone(),
            keys,
            algorithms: Vec::new(),
        }
    }

    /// Revokes trusted keys that say so themselves (RFC 5011, 2.1).
    fn revoke(
        &mut self,
        rrset: &Arc<Rrset>,
        configured: &TrustAnchor,
        policy: &Policy<'_>,
        budget: &mut Budget,
    ) {
        let at = policy.now.unix.0;
        for revoked in Self::entry_points(rrset).filter(Dnskey::is_revoked) {
            let known = self.keys.iter().position(|key| key.is(revoked.rdata()));
            let state = known
                .and_then(|index| self.keys.get(index))
                .map(|key| key.state);
            let plain = crate::tracking::key::unrevoked(revoked.rdata());
            let given = !self.seeded
                && Dnskey::parse(&plain)
                    .is_some_and(|key| is_configured(&key, &self.name, configured));
            if !state.is_some_and(KeyState::is_trusted) && !given {
                continue;
            }
            let own = ZoneKeys {
                zone: self.name.clone(),
                keys: vec![zone_key(&revoked)],
                algorithms: Vec::new(),
            };
            if verify(rrset, &own, policy, budget).is_err() {
                continue;
            }
            match known.and_then(|index| self.keys.get_mut(index)) {
                Some(key) => {
                    key.become_at(KeyState::Revoked, at);
                    key.rdata = revoked.rdata().into();
                }
                None => self.keys.push(TrackedKey {
                    rdata: revoked.rdata().into(),
                    state: KeyState::Revoked,
                    since: at,
                    seen: 0,
                    ttl: rrset.ttl,
                }),
            }
        }
    }

    /// The configured anchors that the verified RRset holds become tracked keys.
    fn seed_keys(&mut self, rrset: &Rrset, entrance: &ZoneKeys, at: u64) {
        if self.seeded {
            return;
        }
        for key in Self::entry_points(rrset).filter(|key| !key.is_revoked()) {
            if !entrance.keys.contains(&zone_key(&key)) || self.has_revoked(key.rdata()) {
                continue;
            }
            match self.keys.iter_mut().find(|known| known.is(key.rdata())) {
                Some(known) => known.become_at(KeyState::Valid, at),
                None => self.keys.push(TrackedKey {
                    rdata: key.rdata().into(),
                    state: KeyState::Valid,
                    since: at,
                    seen: 0,
                    ttl: rrset.ttl,
                }),
            }
        }
        // Without a secure entry point among them the configured anchors stay in force.
        self.seeded = self.keys.iter().any(|key| key.state.is_trusted());
    }

    /// What a verified RRset shows: new keys wait, known ones are there (RFC 5011, 4.1).
    fn sight(&mut self, rrset: &Rrset, policy: &Policy<'_>, at: u64) {
        for key in Self::entry_points(rrset).filter(|key| !key.is_revoked()) {
            let Some(known) = self.keys.iter_mut().find(|known| known.is(key.rdata())) else {
                if self.seeded && self.keys.len() < KEYS_MAX && policy.supports(key.algorithm) {
                    self.keys.push(TrackedKey {
                        rdata: key.rdata().into(),
                        state: KeyState::AddPending,
                        since: at,
                        seen: 1,
                        ttl: rrset.ttl,
                    });
                }
                continue;
            };
            match known.state {
                KeyState::AddPending => {
                    known.seen = known.seen.saturating_add(1);
                    // RFC 5011, 2.4.1: 30 days or the TTL of the first sighting, whichever is longer.
                    let wait = HOLD_DOWN.max(u64::from(known.ttl));
                    if known.seen >= SIGHTINGS_MIN && known.since + wait <= at {
                        known.become_at(KeyState::Valid, at);
                    }
                }
                KeyState::Missing => known.become_at(KeyState::Valid, at),
                KeyState::Valid | KeyState::Revoked => {}
            }
        }
    }

    /// What a verified RRset does not show, and what has waited long enough.
    fn age(&mut self, rrset: &Rrset, at: u64) {
        let shown = |key: &TrackedKey| {
            let mut records = rrset.rdata.iter();
            records.any(|rdata| *rdata == *key.rdata)
        };
        for key in &mut self.keys {
            if key.state == KeyState::Valid && !shown(key) {
                key.become_at(KeyState::Missing, at);
            }
        }
        let valid = self.keys.iter().any(|key| key.state == KeyState::Valid);
        self.keys.retain(|key| match key.state {
            KeyState::AddPending => shown(key),
            KeyState::Valid => true,
            KeyState::Missing => !valid || key.since + MISSING_MAX > at,
            KeyState::Revoked => shown(key) || key.since + HOLD_DOWN > at,
        });
    }
}

fn zone_key(key: &Dnskey<'_>) -> ZoneKey {
    ZoneKey {
        tag: key.key_tag(),
        algorithm: key.algorithm,
        public_key: key.public_key.into(),
    }
}

/// Whether the configured anchors of the zone name this key.
fn is_configured(key: &Dnskey<'_>, zone: &Name, configured: &TrustAnchor) -> bool {
    configured.dnskey.iter().any(|rdata| rdata == key.rdata())
        || configured
            .ds
            .iter()
            .filter_map(Ds::parse)
            .any(|ds| names_key(&ds, zone, key))
}

/// When to ask again, after a success and after a failure (RFC 5011, 2.3).
fn intervals(rrset: &Rrset, at: u64) -> (u64, u64) {
    let ttl = u64::from(rrset.ttl);
    let expirations = rrset
        .signatures
        .iter()
        .filter_map(Rrsig::parse)
        .map(|rrsig| {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "RFC 1982 arithmetic is modulo 2^32"
            )]
            let left = rrsig.expiration.wrapping_sub(at as u32).cast_signed();
            u64::try_from(left).unwrap_or(0)
        });
    let signature = expirations.min().unwrap_or(0);
    let query = (15 * DAY).min(ttl / 2).min(signature / 2).max(HOUR);
    let retry = DAY.min(ttl / 10).min(signature / 10).max(HOUR);
    (query, retry)
}
