//! What lies at a name on the way down a chain of trust (RFC 4035, 5.2).
//!
//! Owns the reading of the answers to DS and DNSKEY questions: which keys a zone has, or why none can
//! be trusted. Never asks; `validate::chain` does.

use std::sync::Arc;

use hickory_proto::dnssec::DigestType;
use hickory_proto::dnssec::crypto::Digest;

use crate::answer::{Answer, ExtendedError, ResponseCode};
use crate::budget::Budget;
use crate::cache::keys::{ZoneKey, ZoneKeys, ZoneStatus};
use crate::name::Name;
use crate::rdata::{Dnskey, Ds};
use crate::rrset::{RecordType, Rrset};
use crate::validate::denial::{Delegation, Denial, Proof};
use crate::validate::signature::{Fault, Policy, verify};

/// What the answer to a DS question says.
#[derive(Clone, Debug)]
pub enum DsFound {
    /// A signed zone begins here, if its keys agree with these.
    Signed {
        /// The verified DS RRset.
        ds: Arc<Rrset>,
        /// How long it may be kept.
        ttl: u32,
    },
    /// All is said already.
    Known {
        /// What is known.
        status: ZoneStatus,
        /// How long; none for a failure.
        ttl: Option<u32>,
    },
}

const fn bogus(error: ExtendedError) -> DsFound {
    DsFound::Known {
        status: ZoneStatus::Bogus(error),
        ttl: None,
    }
}

fn find<'a>(
    section: &'a [Arc<Rrset>],
    name: &Name,
    record_type: RecordType,
) -> Option<&'a Arc<Rrset>> {
    section
        .iter()
        .find(|rrset| rrset.owner == *name && rrset.record_type == record_type)
}

/// Reads the answer to the DS question of `name`, which lies in or below `zone`.
pub fn read_ds(
    name: &Name,
    answer: &Answer,
    zone: &ZoneKeys,
    policy: &Policy<'_>,
    budget: &mut Budget,
) -> DsFound {
    if !matches!(answer.rcode, ResponseCode::NOERROR | ResponseCode::NXDOMAIN) {
        return bogus(answer.extended_error.unwrap_or(ExtendedError::DNSSEC_BOGUS));
    }
    if let Some(ds) = find(&answer.answer, name, RecordType::DS) {
        return read_positive(ds, answer, zone, policy, budget);
    }
    let mut denial = Denial::collect(&answer.authority, zone, policy, budget);
    if let Some(cname) = find(&answer.answer, name, RecordType::CNAME) {
        // An alias and a delegation cannot share a name, so a good one denies the zone cut.
        return match verify(cname, zone, policy, budget) {
            Ok(verified) => {
                let proof = verified
                    .closest_encloser()
                    .map_or(Proof::Secure, |above| denial.expansion(name, above, budget));
                match proof {
                    Proof::Missing(error) => bogus(error),
                    Proof::Secure => inside(verified.ttl().min(denial.ttl())),
                    Proof::Insecure(error) => DsFound::Known {
                        status: ZoneStatus::Insecure(error),
                        ttl: Some(verified.ttl().min(denial.ttl())),
                    },
                }
            }
            Err(fault) => bogus(fault.extended_error()),
        };
    }
    match denial.no_ds(name, budget) {
        Delegation::Inside => inside(denial.ttl()),
        Delegation::Unsigned(error) => DsFound::Known {
            status: ZoneStatus::Insecure(error),
            ttl: Some(denial.ttl()),
        },
        Delegation::Missing(error) => bogus(error),
    }
}

const fn inside(ttl: u32) -> DsFound {
    DsFound::Known {
        status: ZoneStatus::Inside,
        ttl: Some(ttl),
    }
}

fn read_positive(
    ds: &Arc<Rrset>,
    answer: &Answer,
    zone: &ZoneKeys,
    policy: &Policy<'_>,
    budget: &mut Budget,
) -> DsFound {
    let verified = match verify(ds, zone, policy, budget) {
        Ok(verified) => verified,
        Err(fault) => return bogus(fault.extended_error()),
    };
    if let Some(above) = verified.closest_encloser() {
        let mut denial = Denial::collect(&answer.authority, zone, policy, budget);
        if let Proof::Missing(error) = denial.expansion(&ds.owner, above, budget) {
            return bogus(error);
        }
    }
    match unusable(ds.rdata.iter(), policy) {
        Some(error) => DsFound::Known {
            status: ZoneStatus::Insecure(Some(error)),
            ttl: Some(verified.ttl()),
        },
        None => DsFound::Signed {
            ds: Arc::clone(ds),
            ttl: verified.ttl(),
        },
    }
}

const fn digest_type(number: u8) -> Option<DigestType> {
    match number {
        1 => Some(DigestType::SHA1),
        2 => Some(DigestType::SHA256),
        4 => Some(DigestType::SHA384),
        _ => None,
    }
}

/// Why none of these DS records can be used, when that is so (RFC 4035, 5.2; RFC 6840, 5.2).
fn unusable<'a>(ds: impl Iterator<Item = &'a [u8]>, policy: &Policy<'_>) -> Option<ExtendedError> {
    let mut error = ExtendedError::UNSUPPORTED_DNSKEY_ALGORITHM;
    for ds in ds.filter_map(Ds::parse) {
        if policy.supports(ds.algorithm) {
            if digest_type(ds.digest_type).is_some() {
                return None;
            }
            error = ExtendedError::UNSUPPORTED_DS_DIGEST_TYPE;
        }
    }
    Some(error)
}

/// Keys that may start a zone's chain: by digest, or as they are.
#[derive(Clone, Debug)]
pub struct Entrances<'a> {
    /// DS record data.
    pub ds: Vec<&'a [u8]>,
    /// DNSKEY record data of configured trust anchors.
    pub dnskey: Vec<&'a [u8]>,
}

/// Reads the answer to the DNSKEY question of `zone`. Gives what is known and for how long.
pub fn read_dnskey(
    zone: &Name,
    answer: &Answer,
    entrances: &Entrances<'_>,
    policy: &Policy<'_>,
    budget: &mut Budget,
) -> (ZoneStatus, Option<u32>) {
    if let Some(error) = no_entrance(entrances, policy) {
        return (ZoneStatus::Insecure(Some(error)), Some(answer.ttl.max(60)));
    }
    let Some(rrset) = find(&answer.answer, zone, RecordType::DNSKEY) else {
        // RFC 8914, 4.10: also when nobody could be asked, for the keys are what an answer lacks.
        return (ZoneStatus::Bogus(ExtendedError::DNSKEY_MISSING), None);
    };
    let (keys, algorithms, error) = entrance_keys(rrset, entrances, policy);
    if keys.is_empty() {
        return (ZoneStatus::Bogus(error), None);
    }
    let entrance = ZoneKeys {
        zone: zone.clone(),
        keys,
        algorithms: algorithms.clone(),
    };
    match verify(rrset, &entrance, policy, budget) {
        Ok(verified) if verified.closest_encloser().is_none() => {
            let keys = ZoneKeys {
                zone: zone.clone(),
                keys: rrset
                    .rdata
                    .iter()
                    .filter_map(Dnskey::parse)
                    .filter(|key| may_sign(key, policy))
                    .map(|key| zone_key(&key))
                    .collect(),
                algorithms,
            };
            (ZoneStatus::Secure(Arc::new(keys)), Some(verified.ttl()))
        }
        Ok(_) => (ZoneStatus::Bogus(ExtendedError::DNSSEC_BOGUS), None),
        // A key that the chain leads to is there, so a signature by another one is only missing its own.
        Err(Fault::NoKey) => (ZoneStatus::Bogus(ExtendedError::RRSIGS_MISSING), None),
        Err(fault) => (ZoneStatus::Bogus(fault.extended_error()), None),
    }
}

fn no_entrance(entrances: &Entrances<'_>, policy: &Policy<'_>) -> Option<ExtendedError> {
    let mut keys = entrances.dnskey.iter().filter_map(|key| Dnskey::parse(key));
    if keys.any(|key| policy.supports(key.algorithm)) {
        return None;
    }
    unusable(entrances.ds.iter().copied(), policy)
}

fn may_sign(key: &Dnskey<'_>, policy: &Policy<'_>) -> bool {
    key.is_zone_key() && !key.is_revoked() && policy.supports(key.algorithm)
}

fn zone_key(key: &Dnskey<'_>) -> ZoneKey {
    ZoneKey {
        tag: key.key_tag(),
        algorithm: key.algorithm,
        public_key: key.public_key.into(),
    }
}

/// The keys of `rrset` that an entrance leads to, the algorithms that every RRset must be signed with,
/// and what to say when there is no key.
fn entrance_keys(
    rrset: &Rrset,
    entrances: &Entrances<'_>,
    policy: &Policy<'_>,
) -> (Vec<ZoneKey>, Vec<u8>, ExtendedError) {
    let harden = policy.settings.dnssec.harden_algorithm_downgrade;
    let mut algorithms = Vec::new();
    let mut keys: Vec<ZoneKey> = Vec::new();
    let mut error = ExtendedError::DNSKEY_MISSING;
    let mut add = |key: &Dnskey<'_>, error: &mut ExtendedError| {
        if !key.is_zone_key() {
            *error = ExtendedError::NO_ZONE_KEY_BIT_SET;
        } else if may_sign(key, policy) {
            let key = zone_key(key);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    };
    let dnskeys: Vec<Dnskey<'_>> = rrset.rdata.iter().filter_map(Dnskey::parse).collect();
    for anchor in entrances.dnskey.iter().filter_map(|key| Dnskey::parse(key)) {
        if !policy.supports(anchor.algorithm) {
            continue;
        }
        algorithms.push(anchor.algorithm);
        for key in dnskeys.iter().filter(|key| key.rdata() == anchor.rdata()) {
            add(key, &mut error);
        }
    }
    let strongest = strongest_digest(entrances, policy);
    let usable = entrances
        .ds
        .iter()
        .filter_map(|ds| Ds::parse(ds))
        .filter(|ds| policy.supports(ds.algorithm) && digest_type(ds.digest_type).is_some())
        // RFC 4509, 3: a SHA-1 digest is not looked at beside a stronger one.
        .filter(|ds| {
            let weak = ds.digest_type == 1 && policy.settings.dnssec.ignore_sha1_digests;
            Some(ds.digest_type) == strongest || !harden && !weak
        });
    let mut digests = usize::from(policy.settings.limits.ds_tried_max);
    for ds in usable.take(digests) {
        algorithms.push(ds.algorithm);
        let candidates = dnskeys
            .iter()
            .filter(|key| key.algorithm == ds.algorithm && key.key_tag() == ds.key_tag);
        for key in candidates {
            digests = digests.saturating_sub(1);
            if is_digest_of(&ds, &rrset.owner, key) {
                add(key, &mut error);
                break;
            }
            if digests == 0 {
                break;
            }
        }
    }
    algorithms.sort_unstable();
    algorithms.dedup();
    if !harden {
        algorithms.clear();
    }
    (keys, algorithms, error)
}

fn strongest_digest(entrances: &Entrances<'_>, policy: &Policy<'_>) -> Option<u8> {
    let records = entrances.ds.iter().filter_map(|ds| Ds::parse(ds));
    records
        .filter(|ds| policy.supports(ds.algorithm) && digest_type(ds.digest_type).is_some())
        .map(|ds| ds.digest_type)
        .max()
}

/// Whether a DS record names this key of `owner`: by algorithm, key tag and digest (RFC 4034, 5.1).
pub(crate) fn names_key(ds: &Ds<'_>, owner: &Name, key: &Dnskey<'_>) -> bool {
    ds.algorithm == key.algorithm && ds.key_tag == key.key_tag() && is_digest_of(ds, owner, key)
}

fn is_digest_of(ds: &Ds<'_>, owner: &Name, key: &Dnskey<'_>) -> bool {
    let Some(digest_type) = digest_type(ds.digest_type) else {
        return false;
    };
    Digest::from_iter([owner.as_wire(), key.rdata()], digest_type)
        .is_ok_and(|digest| digest.as_ref() == ds.digest)
}
