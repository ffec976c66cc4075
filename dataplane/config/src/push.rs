//! The documents of a push: what the operator sends to a pod's admin port, and what the pod says.
//!
//! `PUT /config` takes a [`Push`] and gives 200 with [`Applied`] once it is live, or 422 with
//! [`Rejected`] and nothing changed. `GET /state` gives 200 with a JSON object that holds the [`Applied`] of what
//! is live as `live`, the document as `config`, and counts of what is going on.
//! All are JSON over HTTP/2 with certificates of the operator's own authority on both sides.
//! Owns the form of the documents; never sends one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::document::DataplaneConfig;
use crate::unit::instant::UnixSeconds;

/// What is to become live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Push {
    /// The whole document.
    pub config: DataplaneConfig,
    /// The certificate of the listeners that speak TLS, for handshakes from now on. Without it
    /// the certificate that is live stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PushCertificate>,
}

/// A certificate with its key; the key is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PushCertificate {
    /// The chain in PEM, with the certificate of the server first.
    pub chain_pem: String,
    /// The private key of the first certificate in PEM.
    pub key_pem: String,
}

impl fmt::Debug for PushCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PushCertificate")
            .field("chain_pem", &self.chain_pem)
            .field("key_pem", &"(not shown)")
            .finish()
    }
}

/// What is live in a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// [`DataplaneConfig::revision`] of the document that is live.
    pub revision: String,
    /// `sha256:` and the hexadecimal digest of the server's certificate (DER) that new
    /// handshakes get; absent when no listener speaks TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// When that certificate expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_not_after: Option<UnixSeconds>,
}

/// Why a pod keeps what it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    /// [`DataplaneConfig::revision`] of the document that was sent; empty when it could not be
    /// read.
    pub revision: String,
    /// The path of the field that is wrong, such as `resolution.localZones[0].records[2]`, or
    /// `certificate`; empty for the whole document.
    pub field: String,
    /// A sentence that says what to change.
    pub message: String,
}
