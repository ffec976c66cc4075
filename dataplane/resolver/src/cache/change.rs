//! What a change of settings takes out of the caches.
//!
//! Owns the comparison of old and new settings: which zones' answers may come from elsewhere now, or count
//! differently. Forgets nothing itself.

use crate::name::Name;
use crate::settings::{Settings, UpstreamZone};
use crate::trust_anchor::trust_the_same;

/// What is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outdated {
    /// All of it: the way of answering changed for every name.
    Everything,
    /// What lies in these zones.
    Zones(Vec<Name>),
}

/// What of the answers under `old` does not hold under `new`.
pub(crate) fn outdated(old: &Settings, new: &Settings) -> Outdated {
    let all = old.dnssec.mode != new.dnssec.mode
        || old.resolution.dns64_prefix != new.resolution.dns64_prefix
        || old.resolution.private_addresses != new.resolution.private_addresses;
    if all {
        return Outdated::Everything;
    }
    Outdated::Zones(changed_zones(old, new))
}

/// Zones under which answers may come from elsewhere now, or count differently.
fn changed_zones(old: &Settings, new: &Settings) -> Vec<Name> {
    let mut names = Vec::new();
    let upstream = |settings: &Settings| -> Vec<(bool, UpstreamZone)> {
        let (stubs, forwards) = (
            &settings.resolution.stub_zones,
            &settings.resolution.forward_zones,
        );
        let stubs = stubs.iter().map(|zone| (true, zone.clone()));
        stubs
            .chain(forwards.iter().map(|zone| (false, zone.clone())))
            .collect()
    };
    names.extend(
        differing(&upstream(old), &upstream(new), PartialEq::eq).map(|zone| zone.1.name.clone()),
    );
    let (local, new_local) = (&old.resolution.local_zones, &new.resolution.local_zones);
    names.extend(differing(local, new_local, PartialEq::eq).map(|zone| zone.name.clone()));
    let (anchors, new_anchors) = (&old.dnssec.trust_anchors, &new.dnssec.trust_anchors);
    names.extend(differing(anchors, new_anchors, trust_the_same).map(|anchor| anchor.zone.clone()));
    let (negative, new_negative) = (
        &old.dnssec.negative_trust_anchors,
        &new.dnssec.negative_trust_anchors,
    );
    names
        .extend(differing(negative, new_negative, PartialEq::eq).map(|anchor| anchor.name.clone()));
    names.sort();
    names.dedup();
    names
}

/// What stands in only one of two lists, going by what counts as the same.
fn differing<'a, T>(
    old: &'a [T],
    new: &'a [T],
    same: fn(&T, &T) -> bool,
) -> impl Iterator<Item = &'a T> {
    let lacks = move |list: &[T], each: &T| !list.iter().any(|other| same(other, each));
    let gone = old.iter().filter(move |each| lacks(new, each));
    let come = new.iter().filter(move |each| lacks(old, each));
    gone.chain(come)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{DnssecMode, LocalZone, LocalZoneKind, NegativeTrustAnchor};

    #[test]
    fn only_zones_that_differ_are_outdated() {
        let name = |text| Name::from_text(text).unwrap();
        let local = |text| LocalZone {
            name: name(text),
            kind: LocalZoneKind::Static,
            records: Vec::new(),
        };
        let mut old = Settings::default();
        old.resolution.local_zones = vec![local("a"), local("b")];
        assert_eq!(outdated(&old, &old), Outdated::Zones(Vec::new()));
        let mut new = old.clone();
        new.resolution.local_zones = vec![local("b"), local("c")];
        new.dnssec.negative_trust_anchors = vec![NegativeTrustAnchor {
            name: name("c"),
            expires_at: None,
        }];
        let changed = Outdated::Zones(vec![name("a"), name("c")]);
        assert_eq!(outdated(&old, &new), changed);
        new.dnssec.mode = DnssecMode::Permissive;
        assert_eq!(outdated(&old, &new), Outdated::Everything);
    }
}
