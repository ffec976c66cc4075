//! Where chains of trust start, and where validation stops.
//!
//! Owns the choice of the trust anchor for a name among the configured ones (RFC 4035, 5) and the negative ones
//! (RFC 7646), and the anchors of the root that IANA publishes. Never verifies anything.

use crate::forward;
use crate::name::Name;
use crate::rdata::{Dnskey, Ds, key_tag};
use crate::rrset::RdataList;
use crate::settings::{DnssecSettings, Settings, TrustAnchor};
use crate::time::{Now, UnixTime};
use crate::validate::delegation::names_key;

/// DS record data of the root's key signing key of 2017.
const ROOT_20326: [u8; 36] = [
    0x4f, 0x66, 8, 2, 0xe0, 0x6d, 0x44, 0xb8, 0x0b, 0x8f, 0x1d, 0x39, 0xa9, 0x5c, 0x0b, 0x0d, 0x7c,
    0x65, 0xd0, 0x84, 0x58, 0xe8, 0x80, 0x40, 0x9b, 0xbc, 0x68, 0x34, 0x57, 0x10, 0x42, 0x37, 0xc7,
    0xf8, 0xec, 0x8d,
];
/// DS record data of the root's key signing key of 2024.
const ROOT_38696: [u8; 36] = [
    0x97, 0x28, 8, 2, 0x68, 0x3d, 0x2d, 0x0a, 0xcb, 0x8c, 0x9b, 0x71, 0x2a, 0x19, 0x48, 0xb2, 0x7f,
    0x74, 0x12, 0x19, 0x29, 0x8d, 0x0a, 0x45, 0x0d, 0x61, 0x2c, 0x48, 0x3a, 0xf4, 0x44, 0xa4, 0xc0,
    0xfb, 0x2b, 0x16,
];

/// The trust anchors of the root, as IANA publishes them: the keys 20326 and 38696.
#[must_use]
pub fn builtin_root() -> TrustAnchor {
    TrustAnchor {
        zone: Name::root(),
        ds: RdataList::new([&ROOT_20326[..], &ROOT_38696[..]]),
        dnskey: RdataList::default(),
    }
}

/// Whether two anchors stand for the same keys of the same zone, be it by key or by digest: then whatever was proved
/// or refuted under one is so under the other.
pub(crate) fn trust_the_same(one: &TrustAnchor, other: &TrustAnchor) -> bool {
    one.zone == other.zone && covers(one, other) && covers(other, one)
}

/// Whether every key that `inner` stands for is one of `outer`.
fn covers(outer: &TrustAnchor, inner: &TrustAnchor) -> bool {
    // A digest by SHA-1 may count or not, beside others: it stands for no key here.
    let names = |ds: &[u8], key: &[u8]| {
        let (Some(ds), Some(key)) = (Ds::parse(ds), Dnskey::parse(key)) else {
            return false;
        };
        ds.digest_type > 1 && names_key(&ds, &outer.zone, &key)
    };
    let mut digests = inner.ds.iter();
    let mut keys = inner.dnskey.iter();
    digests.all(|ds| {
        outer.ds.iter().any(|own| own == ds) || outer.dnskey.iter().any(|key| names(ds, key))
    }) && keys.all(|key| {
        outer.dnskey.iter().any(|own| own == key) || outer.ds.iter().any(|ds| names(ds, key))
    })
}

/// What holds for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// No anchor lies at or above it.
    None,
    /// A negative trust anchor lies nearest, at this name (RFC 7646).
    Negative(Name),
    /// A trust anchor of this zone lies nearest.
    Positive(Name),
}

/// What holds for a name. Upstream zones that are not to be validated count as negative trust anchors.
#[must_use]
pub fn nearest(settings: &Settings, now: Now, name: &Name) -> Anchor {
    match forward::upstream_zone(&settings.resolution, name, &[]) {
        Some((_, zone)) if !zone.validate => Anchor::Negative(zone.name.clone()),
        _ => closest(&settings.dnssec, now.unix, name),
    }
}

/// The anchor nearest above `name`, or at it. At the same name a negative one goes before.
#[must_use]
pub fn closest(dnssec: &DnssecSettings, unix: UnixTime, name: &Name) -> Anchor {
    let deepest = |names: &mut dyn Iterator<Item = &Name>| {
        names
            .filter(|each| name.is_within(each))
            .max_by_key(|each| each.label_count())
            .cloned()
    };
    let negative = deepest(
        &mut dnssec
            .negative_trust_anchors
            .iter()
            .filter(|anchor| anchor.expires_at.is_none_or(|end| end > unix))
            .map(|anchor| &anchor.name),
    );
    let positive = deepest(&mut dnssec.trust_anchors.iter().map(|anchor| &anchor.zone));
    match (negative, positive) {
        (Some(negative), Some(positive)) if positive.label_count() > negative.label_count() => {
            Anchor::Positive(positive)
        }
        (Some(negative), _) => Anchor::Negative(negative),
        (None, Some(positive)) => Anchor::Positive(positive),
        (None, None) => Anchor::None,
    }
}

/// The trust anchors of one zone: DS record data and DNSKEY record data.
#[must_use]
pub fn of_zone<'a>(dnssec: &'a DnssecSettings, zone: &Name) -> (Vec<&'a [u8]>, Vec<&'a [u8]>) {
    let of_zone = || {
        dnssec
            .trust_anchors
            .iter()
            .filter(|anchor| anchor.zone == *zone)
    };
    (
        of_zone().flat_map(|anchor| anchor.ds.iter()).collect(),
        of_zone().flat_map(|anchor| anchor.dnskey.iter()).collect(),
    )
}

/// Whether a key with this tag is a trust anchor of the root (RFC 8509, 2.2).
#[must_use]
pub fn root_key_trusted(dnssec: &DnssecSettings, tag: u16) -> bool {
    let (ds, dnskey) = of_zone(dnssec, &Name::root());
    ds.iter()
        .filter_map(|rdata| Ds::parse(rdata))
        .any(|ds| ds.key_tag == tag)
        || dnskey.iter().any(|rdata| key_tag(rdata) == tag)
}

#[cfg(test)]
mod tests {
    use hickory_proto::dnssec::crypto::Digest;
    use hickory_proto::dnssec::{DigestType, PublicKey, TrustAnchors};

    use super::*;
    use crate::settings::NegativeTrustAnchor;
    use crate::signing::Signer;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    #[test]
    fn root_anchors_are_those_of_iana() {
        let known = TrustAnchors::default();
        let anchor = builtin_root();
        let mut matched = 0;
        for index in 0..known.len() {
            let key = known.get(index).unwrap();
            let mut dnskey = vec![1, 1, 3, 8];
            dnskey.extend(key.public_bytes());
            let mut input = vec![0];
            input.extend(&dnskey);
            let digest = Digest::new(&input, DigestType::SHA256).unwrap();
            matched += anchor
                .ds
                .iter()
                .filter_map(Ds::parse)
                .filter(|ds| ds.digest == digest.as_ref() && ds.key_tag == key_tag(&dnskey))
                .count();
        }
        assert_eq!(matched, 2);
        let mut settings = Settings::default();
        settings.dnssec.trust_anchors.push(anchor);
        assert!(root_key_trusted(&settings.dnssec, 20326));
        assert!(root_key_trusted(&settings.dnssec, 38696));
        assert!(!root_key_trusted(&settings.dnssec, 19036));
    }

    #[test]
    fn digests_and_their_keys_are_the_same_trust() {
        let (one, two) = (Signer::new("example"), Signer::new("example"));
        let anchor = |ds: &[&[u8]], keys: &[&[u8]]| TrustAnchor {
            zone: one.zone.clone(),
            ds: RdataList::new(ds.iter().copied()),
            dnskey: RdataList::new(keys.iter().copied()),
        };
        let (ds_one, ds_two, key_one, key_two) = (one.ds(2), two.ds(4), one.dnskey(), two.dnskey());
        let digests = anchor(&[&ds_one, &ds_two], &[]);
        let keys = anchor(&[], &[&key_two, &key_one]);
        assert!(trust_the_same(&digests, &keys));
        assert!(trust_the_same(&keys, &digests));
        assert!(trust_the_same(&digests, &anchor(&[&ds_one], &[&key_two])));
        // One key more or fewer, a weak digest, another zone.
        assert!(!trust_the_same(&anchor(&[&ds_one], &[]), &keys));
        assert!(!trust_the_same(&keys, &anchor(&[&ds_one], &[])));
        let weak = anchor(&[&one.ds(1)], &[]);
        assert!(!trust_the_same(&weak, &anchor(&[], &[&key_one])));
        let elsewhere = TrustAnchor {
            zone: name("other.example"),
            ..keys
        };
        assert!(!trust_the_same(&digests, &elsewhere));
    }

    #[test]
    fn the_nearest_anchor_decides() {
        let mut dnssec = Settings::default().dnssec;
        let at = UnixTime(100);
        assert_eq!(closest(&dnssec, at, &name("a.example")), Anchor::None);
        for zone in [".", "b.a.example"] {
            dnssec.trust_anchors.push(TrustAnchor {
                zone: name(zone),
                ds: RdataList::default(),
                dnskey: RdataList::default(),
            });
        }
        dnssec.negative_trust_anchors.push(NegativeTrustAnchor {
            name: name("example"),
            expires_at: Some(UnixTime(200)),
        });
        let nearest = |unix, of: &str| closest(&dnssec, UnixTime(unix), &name(of));
        assert_eq!(nearest(100, "a.example"), Anchor::Negative(name("example")));
        assert_eq!(nearest(200, "a.example"), Anchor::Positive(name(".")));
        assert_eq!(
            nearest(100, "c.b.a.example"),
            Anchor::Positive(name("b.a.example"))
        );
        assert_eq!(nearest(100, "other"), Anchor::Positive(name(".")));
    }
}
