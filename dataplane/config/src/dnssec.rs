//! DNSSEC: whether answers are validated, from which anchors, at what cost (RFC 4033 to 4035).
//!
//! Owns the fields and their bounds; trust anchor records are read by the data plane.

use serde::{Deserialize, Serialize};

use crate::name;
use crate::problem::Problems;
use crate::unit::instant::UnixSeconds;
use crate::zone::Empty;

/// Validation of answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Dnssec {
    /// Whether answers are validated. Default `Validate`.
    pub mode: DnssecMode,
    /// The keys that validation starts from.
    pub trust_anchors: TrustAnchors,
    /// Whether trust anchors follow the keys of their zones (RFC 5011). Default true.
    pub track_trust_anchors: bool,
    /// Zones whose answers are taken as insecure, whatever their signatures (RFC 7646).
    pub negative_trust_anchors: Vec<NegativeTrustAnchor>,
    /// Whether cached NSEC and NSEC3 records answer for other names (RFC 8198). Default true.
    pub aggressive_nsec: bool,
    /// What validating one question may cost.
    pub limits: DnssecLimits,
}

impl Default for Dnssec {
    fn default() -> Self {
        Self {
            mode: DnssecMode::default(),
            trust_anchors: TrustAnchors::default(),
            track_trust_anchors: true,
            negative_trust_anchors: Vec::new(),
            aggressive_nsec: true,
            limits: DnssecLimits::default(),
        }
    }
}

/// Whether answers are validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DnssecMode {
    /// Bogus answers become SERVFAIL, secure ones carry AD.
    #[default]
    Validate,
    /// Nothing is validated.
    Off,
}

/// The keys that validation starts from: one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TrustAnchors {
    /// The keys of the root that IANA publishes.
    BuiltIn(Empty),
    /// DS or DNSKEY records in presentation format: `. DS 20326 8 2 E06D44B8...`.
    Records(Vec<String>),
}

impl Default for TrustAnchors {
    fn default() -> Self {
        Self::BuiltIn(Empty {})
    }
}

/// A zone that is taken as insecure (RFC 7646).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NegativeTrustAnchor {
    /// The apex.
    pub name: String,
    /// When it ends. Without it, it stays until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<UnixSeconds>,
}

/// What validating one question may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct DnssecLimits {
    /// Signatures that are checked for one question. 8 to 10000, default 256.
    pub signatures_per_query: u32,
    /// Iterations of NSEC3 up to which a zone is validated; above, it is insecure (RFC 9276 3.2).
    /// 0 to 500, default 150.
    pub nsec3_iterations: u32,
}

impl Default for DnssecLimits {
    fn default() -> Self {
        Self {
            signatures_per_query: 256,
            nsec3_iterations: 150,
        }
    }
}

impl Dnssec {
    pub(crate) fn check(&self, problems: &mut Problems) {
        if let TrustAnchors::Records(records) = &self.trust_anchors {
            problems.field("trustAnchors", |problems| check_anchors(records, problems));
        }
        problems.items(
            "negativeTrustAnchors",
            &self.negative_trust_anchors,
            |problems, anchor| name::check(problems, "name", &anchor.name),
        );
        problems.field("limits", |problems| {
            problems.within(
                "signaturesPerQuery",
                self.limits.signatures_per_query,
                8,
                10_000,
            );
            problems.within("nsec3Iterations", self.limits.nsec3_iterations, 0, 500);
        });
    }
}

fn check_anchors(records: &[String], problems: &mut Problems) {
    if records.is_empty() {
        problems.add(
            "records",
            "is empty: give at least one, use builtIn, or set mode to Off",
        );
    }
    problems.items("records", records, |problems, record| {
        let kind = record
            .split_ascii_whitespace()
            .find(|word| ["DS", "DNSKEY"].iter().any(|kind| word.eq_ignore_ascii_case(kind)));
        if kind.is_none() {
            problems.here(format!("'{record}' is not a trust anchor: write a DS or DNSKEY record, such as . DS 20326 8 2 E06D..."));
        }
    });
}
