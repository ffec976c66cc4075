//! Who may ask, and what answers carry.
//!
//! Owns the fields and their bounds.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::problem::Problems;
use crate::unit::cidr::Cidr;

/// What happens to queries of some networks. The longest prefix that holds the client counts; a
/// client that no rule holds is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AccessRule {
    /// The networks; at least one.
    pub cidrs: Vec<Cidr>,
    /// What happens.
    pub action: AccessAction,
}

/// What happens to queries of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessAction {
    /// They are answered.
    Allow,
    /// They are answered REFUSED with the extended error Prohibited (RFC 8914 4.19).
    Refuse,
    /// Their streams are reset without an answer.
    Deny,
}

/// The rules of a document that gives none: everyone may ask.
pub(crate) fn everyone() -> Vec<AccessRule> {
    let cidrs = vec![
        Cidr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        Cidr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
    ];
    vec![AccessRule {
        cidrs,
        action: AccessAction::Allow,
    }]
}

/// What answers carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Responses {
    /// Whether answers carry extended errors (RFC 8914). Default true.
    pub extended_errors: bool,
    /// Octets that the size of an answer is padded to a multiple of when the query was padded
    /// (RFC 8467); 0 means not at all. 0 to 4096, default 468.
    pub padding_block_size: u32,
    /// Whether authority and additional sections hold only what a client needs. Default true.
    pub minimal: bool,
    /// Whether queries of type ANY are answered with one RRset (RFC 8482). Default true.
    pub minimal_any: bool,
    /// The text for `id.server` and `hostname.bind` (class CH); refused without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The text for `version.server` and `version.bind` (class CH); refused without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Default for Responses {
    fn default() -> Self {
        Self {
            extended_errors: true,
            padding_block_size: 468,
            minimal: true,
            minimal_any: true,
            identity: None,
            version: None,
        }
    }
}

impl AccessRule {
    pub(crate) fn check(&self, problems: &mut Problems) {
        if self.cidrs.is_empty() {
            problems.add(
                "cidrs",
                "is empty: give at least one network, or remove the rule",
            );
        }
    }
}

impl Responses {
    pub(crate) fn check(&self, problems: &mut Problems) {
        problems.within("paddingBlockSize", self.padding_block_size, 0, 4096);
        let texts = [("identity", &self.identity), ("version", &self.version)];
        for (field, text) in texts {
            let length = text.as_ref().map_or(1, String::len);
            if length == 0 || length > 255 {
                problems.add(
                    field,
                    "has no or more than 255 octets: shorten it, or leave it out",
                );
            }
        }
    }
}
