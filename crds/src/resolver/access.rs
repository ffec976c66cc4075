//! `spec.accessControl` and `spec.responses`: who may ask, and what answers carry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::unit::CidrText;

/// What happens to queries of some networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessRuleSpec {
    /// The networks. Change: **live**.
    #[schemars(length(min = 1, max = 64))]
    pub cidrs: Vec<CidrText>,
    /// What happens. Change: **live**.
    pub action: AccessAction,
}

/// What happens to queries of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessAction {
    /// They are answered.
    Allow,
    /// They are answered REFUSED with the extended error Prohibited.
    Refuse,
    /// Their streams are reset without an answer.
    Deny,
}

/// What answers carry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResponsesSpec {
    /// Whether answers carry extended errors (RFC 8914). Default true. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_errors: Option<bool>,
    /// Octets that the size of an answer is padded to a multiple of when the query was padded
    /// (RFC 8467); 0 means not at all. 0 to 4096, default 468. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4096))]
    pub padding_block_size: Option<u32>,
    /// Whether authority and additional sections hold only what a client needs. Default true.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimal: Option<bool>,
    /// Whether queries of type ANY are answered with one RRset (RFC 8482). Default true.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimal_any: Option<bool>,
    /// The text for `id.server` and `hostname.bind` (class CH); refused without it. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub identity: Option<String>,
    /// The text for `version.server` and `version.bind` (class CH); refused without it.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub version: Option<String>,
}
