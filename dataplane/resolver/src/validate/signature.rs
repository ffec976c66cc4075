//! One RRset against the keys of one zone (RFC 4035, 5.3).
//!
//! Owns the octets that are signed, the checks around a signature, and [`Verified`], which nothing
//! else can make. Never decides what a missing signature means: that depends on the chain of trust.

use core::fmt;

use hickory_proto::dnssec::crypto::Digest;
use hickory_proto::dnssec::{Algorithm, DigestType, PublicKey, PublicKeyBuf};

use crate::answer::ExtendedError;
use crate::budget::Budget;
use crate::cache::keys::ZoneKeys;
use crate::cache::signatures::{GoodSignatures, SignatureDigest};
use crate::name::Name;
use crate::rdata::{self, Nsec, Rrsig};
use crate::rrset::{RecordType, Rrset};
use crate::settings::{DateOverride, Settings};
use crate::time::{Now, UnixTime};
use crate::validate::short_rsa;

/// What a signature is held against, beside keys.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// What time it is.
    pub now: Now,
    /// Signatures that were found good before, if any are remembered.
    pub good: Option<&'a GoodSignatures>,
}

/// Why an RRset does not verify. Ordered: the later a check failed, the more telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// No RRSIG covers it.
    NoSignature,
    /// No RRSIG is well formed, by the right zone and about this RRset.
    WrongSignature,
    /// No key of the zone has the algorithm and key tag of an RRSIG.
    NoKey,
    /// The validity period has not begun.
    NotYetValid,
    /// The validity period is over.
    Expired,
    /// The validity period ends before it begins.
    ExpiredBeforeValid,
    /// The signature is wrong.
    BadSignature,
    /// More verifications than one RRset or question is worth (CVE-2023-50387).
    TooMuchWork,
}

impl Fault {
    /// The extended error that tells of it (RFC 8914).
    #[must_use]
    pub const fn extended_error(self) -> ExtendedError {
        match self {
            Self::NoSignature => ExtendedError::RRSIGS_MISSING,
            Self::NoKey => ExtendedError::DNSKEY_MISSING,
            Self::NotYetValid => ExtendedError::SIGNATURE_NOT_YET_VALID,
            Self::Expired => ExtendedError::SIGNATURE_EXPIRED,
            Self::ExpiredBeforeValid => ExtendedError::SIGNATURE_EXPIRED_BEFORE_VALID,
            Self::WrongSignature | Self::BadSignature | Self::TooMuchWork => {
                ExtendedError::DNSSEC_BOGUS
            }
        }
    }
}

/// Proof that an RRset has a good signature by its zone.
#[derive(Clone, PartialEq, Eq)]
pub struct Verified {
    ttl: u32,
    closest_encloser: Option<Name>,
}

impl Verified {
    /// How long the RRset may be kept: its TTL, the signed one, and what is left of the signature
    /// (RFC 4035, 5.3.3).
    #[must_use]
    pub const fn ttl(&self) -> u32 {
        self.ttl
    }

    /// When the RRset was expanded from a wildcard: the name above the asterisk.
    #[must_use]
    pub const fn closest_encloser(&self) -> Option<&Name> {
        self.closest_encloser.as_ref()
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified(ttl {}", self.ttl)?;
        match &self.closest_encloser {
            Some(name) => write!(f, ", *.{name})"),
            None => f.write_str(")"),
        }
    }
}

impl Policy<'_> {
    /// Whether signatures of this algorithm can be verified.
    #[must_use]
    pub const fn supports(&self, algorithm: u8) -> bool {
        match algorithm {
            8 | 10 | 13 | 14 | 15 => true,
            5 | 7 => self.settings.dnssec.sha1 || self.settings.dnssec.assume_sha1_and_dsa_good,
            3 | 6 => self.settings.dnssec.assume_sha1_and_dsa_good,
            _ => false,
        }
    }

    /// The date that validity periods are held against; none when they do not matter.
    fn date(&self) -> Option<UnixTime> {
        match self.settings.dnssec.date_override {
            None => Some(self.now.unix),
            Some(DateOverride::Fixed(date)) => Some(date),
            Some(DateOverride::Ignore) => None,
        }
    }

    /// Holds the validity period against the date (RFC 4034, 3.1.5) and gives the seconds left.
    fn check_dates(&self, rrsig: &Rrsig<'_>) -> Result<u32, Fault> {
        let Some(UnixTime(date)) = self.date() else {
            return Ok(u32::MAX);
        };
        // RFC 4034, 3.1.5: the fields are numbers of RFC 1982, so differences are taken modulo 2^32.
        let after = |end: u32, start: u32| i64::from(end.wrapping_sub(start).cast_signed());
        #[allow(
            clippy::cast_possible_truncation,
            reason = "RFC 1982 arithmetic is modulo 2^32"
        )]
        let date = date as u32;
        let length = after(rrsig.expiration, rrsig.inception);
        if length < 0 {
            return Err(Fault::ExpiredBeforeValid);
        }
        let (least, most) = self.settings.dnssec.signature_skew;
        let seconds =
            |each: core::time::Duration| i64::try_from(each.as_secs()).unwrap_or(i64::MAX);
        let skew = (length / 10).min(seconds(most)).max(seconds(least));
        if after(rrsig.inception, date) > skew {
            return Err(Fault::NotYetValid);
        }
        let left = after(rrsig.expiration, date);
        if left < -skew {
            return Err(Fault::Expired);
        }
        // Within the skew a signature that is over still counts, for a minute at a time.
        Ok(u32::try_from(left.max(60)).unwrap_or(u32::MAX))
    }
}

/// Verifies `rrset` with the keys of its zone.
///
/// # Errors
/// The most telling reason when no signature is good, or when one of `ZoneKeys::algorithms` lacks a
/// good one.
pub fn verify(
    rrset: &Rrset,
    zone: &ZoneKeys,
    policy: &Policy<'_>,
    budget: &mut Budget,
) -> Result<Verified, Fault> {
    let mut fault = Fault::NoSignature;
    let mut good: Option<Verified> = None;
    let mut missing = zone.algorithms.clone();
    let mut work = policy.settings.limits.verifications_per_rrset_max;
    for signature in rrset
        .signatures
        .iter()
        .take(policy.settings.limits.signatures_per_rrset_max)
    {
        match verify_one(rrset, signature, zone, policy, &mut work, budget) {
            Ok((algorithm, verified)) => {
                missing.retain(|each| *each != algorithm);
                let better = good.as_ref().is_none_or(|best| best.ttl < verified.ttl);
                if better {
                    good = Some(verified);
                }
                if missing.is_empty() {
                    break;
                }
            }
            Err(found) => fault = fault.max(found),
        }
        if fault == Fault::TooMuchWork {
            break;
        }
    }
    match good {
        Some(verified) if missing.is_empty() => Ok(verified),
        Some(_) => Err(Fault::BadSignature),
        None => Err(fault),
    }
}

/// One signature with every key that it may be by.
fn verify_one(
    rrset: &Rrset,
    signature: &[u8],
    zone: &ZoneKeys,
    policy: &Policy<'_>,
    work: &mut u16,
    budget: &mut Budget,
) -> Result<(u8, Verified), Fault> {
    let rrsig = Rrsig::parse(signature).ok_or(Fault::WrongSignature)?;
    let closest_encloser = check_fields(rrset, &rrsig, zone, policy)?;
    let mut keys = zone
        .keys
        .iter()
        .filter(|key| key.tag == rrsig.key_tag && key.algorithm == rrsig.algorithm)
        .peekable();
    if keys.peek().is_none() {
        return Err(Fault::NoKey);
    }
    let left = policy.check_dates(&rrsig)?;
    let signed = signed_octets(rrset, &rrsig, closest_encloser.as_ref());
    for key in keys {
        *work = work.checked_sub(1).ok_or(Fault::TooMuchWork)?;
        let tried = Tried {
            algorithm: rrsig.algorithm,
            public_key: &key.public_key,
            signed: &signed,
            signature: rrsig.signature,
        };
        if tried.is_good(policy, budget)? {
            let verified = Verified {
                ttl: rrset.ttl.min(rrsig.original_ttl).min(left),
                closest_encloser,
            };
            return Ok((rrsig.algorithm, verified));
        }
    }
    Err(Fault::BadSignature)
}

/// The checks of RFC 4035, 5.3.1 that need no key. Gives the closest encloser when a wildcard was expanded.
fn check_fields(
    rrset: &Rrset,
    rrsig: &Rrsig<'_>,
    zone: &ZoneKeys,
    policy: &Policy<'_>,
) -> Result<Option<Name>, Fault> {
    let mut labels = rrset.owner.label_count();
    if rrset.owner.is_wildcard() {
        labels -= 1;
    }
    let signed_labels = usize::from(rrsig.labels);
    let fits = rrsig.type_covered == rrset.record_type
        && rrsig.signer == zone.zone
        && rrset.owner.is_within(&zone.zone)
        && signed_labels <= labels
        && signed_labels >= zone.zone.label_count()
        && policy.supports(rrsig.algorithm)
        && !rrset.rdata.is_empty();
    if !fits {
        return Err(Fault::WrongSignature);
    }
    match rrset.record_type {
        // Denials name what they deny by their owner: one that was expanded denies nothing.
        RecordType::NSEC if signed_labels < labels || !next_names_within(rrset, &zone.zone) => {
            return Err(Fault::WrongSignature);
        }
        RecordType::NSEC3
            if signed_labels < labels || rrset.owner.parent().as_ref() != Some(&zone.zone) =>
        {
            return Err(Fault::WrongSignature);
        }
        _ => {}
    }
    Ok((signed_labels < labels).then(|| rrset.owner.suffix(signed_labels)))
}

fn next_names_within(rrset: &Rrset, zone: &Name) -> bool {
    let mut records = rrset.rdata.iter();
    records.all(|record| Nsec::parse(record).is_some_and(|nsec| nsec.next.is_within(zone)))
}

/// The octets that are signed (RFC 4034, 3.1.8.1; RFC 4035, 5.3.2).
fn signed_octets(rrset: &Rrset, rrsig: &Rrsig<'_>, closest_encloser: Option<&Name>) -> Vec<u8> {
    let mut head = Vec::new();
    if let Some(above) = closest_encloser {
        head.extend_from_slice(b"\x01*");
        head.extend_from_slice(above.as_wire());
    } else {
        head.extend_from_slice(rrset.owner.as_wire());
    }
    head.extend_from_slice(&rrset.record_type.0.to_be_bytes());
    head.extend_from_slice(&rrset.class.0.to_be_bytes());
    head.extend_from_slice(&rrsig.original_ttl.to_be_bytes());
    let mut records: Vec<Vec<u8>> = rrset
        .rdata
        .iter()
        .map(|record| rdata::canonical(rrset.record_type, record))
        .collect();
    // RFC 4034, 6.3: sorted as octet strings, each record once.
    records.sort_unstable();
    records.dedup();
    let octets: usize = records
        .iter()
        .map(|record| record.len() + head.len() + 2)
        .sum();
    let mut signed = Vec::with_capacity(rrsig.fixed.len() + NAME_OCTETS + octets);
    signed.extend_from_slice(rrsig.fixed);
    signed.extend_from_slice(rrsig.signer.as_wire());
    for record in records {
        if let Ok(length) = u16::try_from(record.len()) {
            signed.extend_from_slice(&head);
            signed.extend_from_slice(&length.to_be_bytes());
            signed.extend_from_slice(&record);
        }
    }
    signed
}

/// Octets of the longest name.
const NAME_OCTETS: usize = crate::name::NAME_MAX;

/// A signature and what it may be of.
#[derive(Clone, Copy)]
struct Tried<'a> {
    algorithm: u8,
    public_key: &'a [u8],
    signed: &'a [u8],
    signature: &'a [u8],
}

impl Tried<'_> {
    /// Whether the signature is good, which is computed once.
    fn is_good(self, policy: &Policy<'_>, budget: &mut Budget) -> Result<bool, Fault> {
        let remembered = policy.good.zip(self.digest());
        if let Some((good, digest)) = &remembered
            && good.holds(digest)
        {
            return Ok(true);
        }
        budget.spend_signature().map_err(|_| Fault::TooMuchWork)?;
        if policy.settings.dnssec.assume_sha1_and_dsa_good
            && matches!(self.algorithm, 3 | 5 | 6 | 7)
        {
            return Ok(!self.signature.is_empty());
        }
        let is_good = self.verify();
        if let Some((good, digest)) = remembered
            && is_good
        {
            good.add(digest);
        }
        Ok(is_good)
    }

    fn digest(self) -> Option<SignatureDigest> {
        let lengths = [self.public_key.len(), self.signed.len()].map(usize::to_be_bytes);
        let parts = [
            &[self.algorithm][..],
            lengths.as_flattened(),
            self.public_key,
            self.signed,
            self.signature,
        ];
        let digest = Digest::from_iter(parts, DigestType::SHA256).ok()?;
        digest.as_ref().try_into().ok()
    }

    /// The cryptographic check.
    fn verify(self) -> bool {
        if self.signature.is_empty() {
            return false;
        }
        if let Some(good) =
            short_rsa::verify(self.algorithm, self.public_key, self.signed, self.signature)
        {
            return good;
        }
        let algorithm = Algorithm::from_u8(self.algorithm);
        algorithm.is_supported()
            && PublicKeyBuf::new(self.public_key.to_vec(), algorithm)
                .verify(self.signed, self.signature)
                .is_ok()
    }
}
