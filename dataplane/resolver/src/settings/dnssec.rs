//! Whether and how answers are validated.
//!
//! Owns the choices as data, trust anchors among them; `validate.rs` of the crate goes by them.

use std::time::Duration;

use crate::name::Name;
use crate::rrset::RdataList;
use crate::time::UnixTime;

/// DNSSEC.
#[derive(Clone, Debug)]
pub struct DnssecSettings {
    /// Whether answers are validated.
    pub mode: DnssecMode,
    /// Where chains of trust start.
    pub trust_anchors: Vec<TrustAnchor>,
    /// Where validation stops.
    pub negative_trust_anchors: Vec<NegativeTrustAnchor>,
    /// Whether cached denials answer other questions (RFC 8198).
    pub aggressive_nsec: bool,
    /// RRSIG verifications of one question and all that it needs.
    pub signatures_per_query: u16,
    /// More iterations make a zone insecure (RFC 9276, 3.2).
    pub nsec3_iterations: u16,
    /// How long a bogus verdict is kept; less when the data that it is about lives less long.
    pub bogus_ttl: Duration,
    /// Signature dates are accepted this far outside their window at least, and at most.
    pub signature_skew: (Duration, Duration),
    /// Whether `root-key-sentinel-…` names are honoured (RFC 8509).
    pub key_sentinel: bool,
    /// Whether every algorithm of the DS RRset must have a good signature.
    pub harden_algorithm_downgrade: bool,
    /// Whether DS records with SHA-1 digests are left aside where stronger ones are (RFC 4509, 3).
    pub ignore_sha1_digests: bool,
    /// Whether algorithms 5 and 7 count as supported (RFC 9905 says no to signers, validators may go on).
    pub sha1: bool,
    /// Tests only: a fixed date for signature windows; the scenario clock else.
    pub date_override: Option<DateOverride>,
    /// Tests only: signatures of algorithms 3, 5, 6 and 7 are supported and count as good.
    pub assume_sha1_and_dsa_good: bool,
}

impl Default for DnssecSettings {
    fn default() -> Self {
        Self {
            mode: DnssecMode::Validate,
            trust_anchors: Vec::new(),
            negative_trust_anchors: Vec::new(),
            aggressive_nsec: true,
            signatures_per_query: 256,
            nsec3_iterations: 150,
            bogus_ttl: Duration::from_secs(60),
            signature_skew: (Duration::from_secs(3600), Duration::from_secs(86_400)),
            key_sentinel: true,
            harden_algorithm_downgrade: false,
            ignore_sha1_digests: true,
            sha1: true,
            date_override: None,
            assume_sha1_and_dsa_good: false,
        }
    }
}

/// Whether answers are validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnssecMode {
    /// Not at all.
    Off,
    /// Validated; bogus answers are SERVFAIL.
    Validate,
    /// Validated, counted and traced; bogus answers are given without AD.
    Permissive,
}

/// A trust anchor: DS or DNSKEY record data of one zone (RFC 4035, 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchor {
    /// The zone.
    pub zone: Name,
    /// DS record data.
    pub ds: RdataList,
    /// DNSKEY record data.
    pub dnskey: RdataList,
}

/// A name below which nothing is validated (RFC 7646).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegativeTrustAnchor {
    /// The name.
    pub name: Name,
    /// From when on it has no effect.
    pub expires_at: Option<UnixTime>,
}

/// Tests only: what date signatures are checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateOverride {
    /// This date, always.
    Fixed(UnixTime),
    /// None: dates do not matter.
    Ignore,
}
