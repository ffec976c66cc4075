//! Trust anchors that follow the keys of their zones (RFC 5011).
//!
//! Owns `Tracking`: the state of every zone with trust anchors, when to probe which, and what the anchors in
//! force are. Never asks: who drives it sends `Event::Probe` for a zone that is due, hands
//! `Action::Probed` in, puts the anchors in force into the settings when they changed, and keeps the text
//! of the state where it outlives the process.

pub mod key;
pub mod state_text;
pub mod zone;

use crate::answer::{Answer, ResponseCode};
use crate::name::Name;
use crate::random::Random;
use crate::rrset::RecordType;
use crate::settings::{Settings, TrustAnchor};
use crate::time::Now;
use crate::tracking::state_text::StateFault;
use crate::tracking::zone::{Probed, TrackedZone};
use crate::validate::signature::Policy;

/// The tracked trust anchors of a process.
#[derive(Debug)]
pub struct Tracking {
    configured: Vec<TrustAnchor>,
    zones: Vec<TrackedZone>,
    random: Random,
}

/// What a probe changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// What it came to.
    pub probed: Probed,
    /// Whether other anchors are in force now.
    pub anchors_changed: bool,
}

impl Tracking {
    /// Starts from the configured anchors, knowing nothing of their zones.
    #[must_use]
    pub fn new(configured: Vec<TrustAnchor>, random: Random) -> Self {
        let mut tracking = Self {
            configured: Vec::new(),
            zones: Vec::new(),
            random,
        };
        tracking.replace(configured);
        tracking
    }

    /// Takes up where the process that wrote this text ended. Zones that are not configured any more
    /// are left out; one whose configured anchors are others now meets these first.
    ///
    /// # Errors
    /// When the text cannot be read; nothing is taken over then.
    pub fn restore(&mut self, text: &str) -> Result<(), StateFault> {
        self.zones = state_text::read(text)?;
        let configured = core::mem::take(&mut self.configured);
        self.replace(configured);
        Ok(())
    }

    /// Goes by these configured anchors from now on.
    pub fn replace(&mut self, configured: Vec<TrustAnchor>) {
        self.zones
            .retain(|zone| configured.iter().any(|anchor| anchor.zone == zone.name));
        for anchor in &configured {
            let seed = fingerprint(anchor);
            match self.zones.iter_mut().find(|zone| zone.name == anchor.zone) {
                Some(zone) if zone.seed == seed => {}
                Some(zone) => {
                    zone.seed = seed;
                    zone.seeded = false;
                    zone.next_probe = 0;
                }
                None => self.zones.push(TrackedZone {
                    seed,
                    ..TrackedZone::new(anchor.zone.clone())
                }),
            }
        }
        self.configured = configured;
    }

    /// The text to keep where it outlives the process.
    #[must_use]
    pub fn state(&self) -> String {
        state_text::write(&self.zones)
    }

    /// The state of each zone.
    #[must_use]
    pub fn zones(&self) -> &[TrackedZone] {
        &self.zones
    }

    /// The anchors in force.
    #[must_use]
    pub fn anchors(&self) -> Vec<TrustAnchor> {
        let pairs = self.configured.iter().filter_map(|anchor| {
            let zone = self.zones.iter().find(|zone| zone.name == anchor.zone)?;
            zone.anchor(anchor)
        });
        pairs.collect()
    }

    /// When the next probe is due, in seconds of Unix time; none when no zone is to be probed.
    #[must_use]
    pub fn next_probe(&self) -> Option<u64> {
        let times = self.zones.iter().map(|zone| zone.next_probe);
        times.filter(|&at| at != u64::MAX).min()
    }

    /// The zones whose probes are due. Each counts as asked: without a result it is due again in an hour.
    pub fn due(&mut self, now: Now) -> Vec<Name> {
        let at = now.unix.0;
        let due = self.zones.iter_mut().filter(|zone| zone.next_probe <= at);
        due.map(|zone| {
            zone.last_queried = at;
            zone.next_probe = at + 3600;
            zone.name.clone()
        })
        .collect()
    }

    /// Takes the answer to a probe into account; none when the zone is not tracked any more.
    pub fn observe(
        &mut self,
        zone: &Name,
        answer: &Answer,
        settings: &Settings,
        now: Now,
    ) -> Option<Observed> {
        let before = self.anchors();
        let configured = self.configured.iter().find(|anchor| anchor.zone == *zone)?;
        let tracked = self.zones.iter_mut().find(|each| each.name == *zone)?;
        let rrset = answer.answer.iter().find(|rrset| {
            answer.rcode == ResponseCode::NOERROR
                && rrset.owner == *zone
                && rrset.record_type == RecordType::DNSKEY
        });
        let probed = tracked.probed(
            rrset,
            configured,
            &Policy {
                settings,
                now,
                good: None,
            },
        );
        if tracked.next_probe != u64::MAX {
            // Up to a tenth earlier, so that the probes of many resolvers do not come together.
            let wait = tracked.next_probe.saturating_sub(now.unix.0);
            let tenth = usize::try_from(wait / 10).unwrap_or(0);
            let earlier = self.random.below(tenth.max(1)) as u64;
            tracked.next_probe -= earlier;
        }
        Some(Observed {
            probed,
            anchors_changed: before != self.anchors(),
        })
    }
}

/// Tells sets of configured anchors apart (FNV-1a, 64 bits); order counts.
fn fingerprint(anchor: &TrustAnchor) -> u64 {
    let records = anchor.ds.iter().chain(anchor.dnskey.iter());
    records
        .flat_map(|rdata| {
            let length = u16::try_from(rdata.len()).unwrap_or(u16::MAX);
            length
                .to_be_bytes()
                .into_iter()
                .chain(rdata.iter().copied())
        })
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::rrset::{RdataList, Rrset};
    use crate::signing::{DATE, Signer, rrset};
    use crate::time::{Instant, UnixTime};
    use crate::tracking::key::KeyState;
    use crate::tracking::key::KeyState::{AddPending, Missing, Revoked, Valid};

    const DAY: u64 = 86_400;

    /// A zone with an old and a new key, and the resolver that tracks it.
    struct World {
        tracking: Tracking,
        old: Signer,
        new: Signer,
        at: u64,
    }

    fn signer() -> Signer {
        let mut signer = Signer::new("example");
        signer.flags = 0x0101;
        (signer.inception, signer.expiration) = (DATE - DAY, DATE + 1000 * DAY);
        signer
    }

    impl World {
        fn new() -> Self {
            let (old, new) = (signer(), signer());
            let anchor = TrustAnchor {
                zone: old.zone.clone(),
                ds: RdataList::new([&old.ds(2)[..]]),
                dnskey: RdataList::default(),
            };
            Self {
                tracking: Tracking::new(vec![anchor], Random::from_seed([1, 2])),
                old,
                new,
                at: DATE,
            }
        }

        /// A DNSKEY RRset of these keys with the signatures of those.
        fn set(keys: &[&Signer], by: &[&Signer]) -> Arc<Rrset> {
            let rdata: Vec<Vec<u8>> = keys.iter().map(|key| key.dnskey()).collect();
            let rdata: Vec<&[u8]> = rdata.iter().map(Vec::as_slice).collect();
            let mut set = rrset("example", RecordType::DNSKEY, &rdata);
            let signed: Vec<Arc<Rrset>> = by.iter().map(|key| key.sign(set.clone())).collect();
            set.signatures = RdataList::new(signed.iter().flat_map(|each| each.signatures.iter()));
            Arc::new(set)
        }

        fn probe_after(&mut self, days: u64, set: Arc<Rrset>) -> Observed {
            self.at += days * DAY;
            let now = Now {
                instant: Instant::ORIGIN,
                unix: UnixTime(self.at),
            };
            self.tracking.due(now);
            let mut answer = Answer::empty(ResponseCode::NOERROR, None);
            answer.answer.push(set);
            let zone = self.old.zone.clone();
            self.tracking
                .observe(&zone, &answer, &Settings::default(), now)
                .unwrap()
        }

        fn states(&self) -> Vec<KeyState> {
            let keys = self.tracking.zones()[0].keys.iter();
            keys.map(|key| key.state).collect()
        }
    }

    #[test]
    fn a_new_key_is_trusted_after_the_hold_down_and_not_before() {
        let mut world = World::new();
        let one = World::set(&[&world.old], &[&world.old]);
        assert_eq!(world.probe_after(0, one).probed, Probed::Verified);
        assert_eq!(world.states(), [Valid]);
        let both = World::set(&[&world.old, &world.new], &[&world.old]);
        assert!(!world.probe_after(1, both.clone()).anchors_changed);
        let stolen = World::set(&[&world.new], &[&world.new]);
        assert_eq!(world.probe_after(10, stolen).probed, Probed::Failed);
        world.probe_after(19, both.clone());
        assert_eq!(world.states(), [Valid, AddPending]);
        assert!(world.probe_after(1, both).anchors_changed);
        assert_eq!(world.states(), [Valid, Valid]);
        // A state that was kept goes on as if nothing had happened.
        let text = world.tracking.state();
        world.tracking.restore(&text).unwrap();
        assert_eq!(world.states(), [Valid, Valid]);
        let new = World::set(&[&world.new], &[&world.new]);
        assert_eq!(world.probe_after(1, new.clone()).probed, Probed::Verified);
        assert_eq!(world.states(), [Missing, Valid]);
        assert_eq!(world.tracking.anchors()[0].dnskey.len(), 2);
        world.probe_after(366, new);
        assert_eq!(world.states(), [Valid]);
    }

    #[test]
    fn a_pending_key_that_goes_away_starts_over() {
        let mut world = World::new();
        let one = World::set(&[&world.old], &[&world.old]);
        let both = World::set(&[&world.old, &world.new], &[&world.old]);
        for set in [one.clone(), both.clone(), one, both.clone()] {
            world.probe_after(20, set);
        }
        world.probe_after(20, both);
        assert_eq!(world.states(), [Valid, AddPending]);
    }

    #[test]
    fn a_key_is_revoked_by_itself_alone_and_for_ever() {
        let mut world = World::new();
        let both = World::set(&[&world.old, &world.new], &[&world.old]);
        world.probe_after(0, both.clone());
        world.probe_after(31, both);
        assert_eq!(world.states(), [Valid, Valid]);
        world.old.flags |= 0x80;
        let claimed = World::set(&[&world.old, &world.new], &[&world.new]);
        world.probe_after(1, claimed);
        assert_eq!(
            world.states(),
            [Missing, Valid],
            "not signed by the key itself"
        );
        let revoked = World::set(&[&world.old, &world.new], &[&world.old, &world.new]);
        assert!(world.probe_after(1, revoked).anchors_changed);
        assert_eq!(world.states(), [Revoked, Valid]);
        world.old.flags &= !0x80;
        world.probe_after(1, World::set(&[&world.old, &world.new], &[&world.new]));
        assert_eq!(world.states(), [Revoked, Valid]);
        let stolen = World::set(&[&world.old], &[&world.old]);
        assert_eq!(world.probe_after(1, stolen).probed, Probed::Failed);
    }

    #[test]
    fn a_zone_whose_last_key_is_revoked_has_no_anchor_until_others_are_configured() {
        let mut world = World::new();
        let one = World::set(&[&world.old], &[&world.old]);
        world.probe_after(0, one);
        world.old.flags |= 0x80;
        let gone = World::set(&[&world.old], &[&world.old]);
        assert_eq!(world.probe_after(1, gone).probed, Probed::Deleted);
        assert!(world.tracking.anchors().is_empty());
        assert_eq!(world.tracking.next_probe(), None);
        let anchor = TrustAnchor {
            zone: world.new.zone.clone(),
            ds: RdataList::new([&world.new.ds(2)[..]]),
            dnskey: RdataList::default(),
        };
        world.tracking.replace(vec![anchor]);
        assert_eq!(world.tracking.anchors().len(), 1);
        let new = World::set(&[&world.new], &[&world.new]);
        assert_eq!(world.probe_after(1, new).probed, Probed::Verified);
        assert_eq!(world.states(), [Revoked, Valid]);
    }

    #[test]
    fn probes_are_as_far_apart_as_the_ttl_says() {
        let mut world = World::new();
        let mut set = World::set(&[&world.old], &[&world.old]).as_ref().clone();
        set.signatures = RdataList::default();
        set.ttl = 40 * 3600;
        let set = world.old.sign(set);
        world.probe_after(0, set);
        let next = world.tracking.next_probe().unwrap();
        assert!(
            (DATE + 18 * 3600..=DATE + 20 * 3600).contains(&next),
            "{}",
            next - DATE
        );
    }
}
