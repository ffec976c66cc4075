//! `spec.dnssec`: whether answers are validated, from which anchors, at what cost.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule::one_of;
use crate::unit::{DomainText, Empty};

/// Validation of answers (RFC 4033 to 4035).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DnssecSpec {
    /// Whether answers are validated. Default `Validate`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DnssecMode")]
    pub mode: Option<DnssecMode>,
    /// The keys that validation starts from. Default `builtIn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_anchors: Option<TrustAnchorsSpec>,
    /// Whether trust anchors follow the keys of their zones (RFC 5011). Default true.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track_trust_anchors: Option<bool>,
    /// Zones whose answers are taken as insecure, whatever their signatures (RFC 7646). Default
    /// none. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub negative_trust_anchors: Option<Vec<NegativeTrustAnchorSpec>>,
    /// Whether cached NSEC and NSEC3 records answer for other names (RFC 8198). Default true.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggressive_nsec: Option<bool>,
    /// What validating one question may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<DnssecLimitsSpec>,
}

/// Whether answers are validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DnssecMode {
    /// Bogus answers become SERVFAIL, secure ones carry AD.
    Validate,
    /// Nothing is validated.
    Off,
}

/// The keys that validation starts from: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = one_of("builtIn", "records"))]
pub struct TrustAnchorsSpec {
    /// The keys of the root that IANA publishes. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_in: Option<Empty>,
    /// DS or DNSKEY records in presentation format: `. DS 20326 8 2 E06D44B8...`.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 4096)))]
    pub records: Option<Vec<String>>,
}

/// A zone that is taken as insecure (RFC 7646).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NegativeTrustAnchorSpec {
    /// The apex. Change: **live**.
    pub name: DomainText,
    /// When it ends, in UTC as RFC 3339 writes it. Without it, it stays until it is removed.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    #[x_kube(validation = Rule::new(
            "self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$')")
        .message("must be a time in UTC such as 2027-01-01T00:00:00Z"))]
    pub expires_at: Option<String>,
}

/// What validating one question may cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DnssecLimitsSpec {
    /// Signatures that are checked for one question. 8 to 10000, default 256. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8, max = 10_000))]
    pub signatures_per_query: Option<u32>,
    /// Iterations of NSEC3 up to which a zone is validated; above, it is insecure (RFC 9276).
    /// 0 to 500, default 150. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 500))]
    pub nsec3_iterations: Option<u32>,
}
