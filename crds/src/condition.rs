//! The types and reasons of the conditions of a `Resolver`.
//!
//! `Ready`, `Reconciling` and `Stalled` follow kstatus: the two latter are present only while they
//! are true. Owns the words; the operator decides when each holds.

/// Everything that the spec asks for is there and in use.
pub const READY: &str = "Ready";
/// The operator is still working toward the spec.
pub const RECONCILING: &str = "Reconciling";
/// The operator cannot go on before the user changes something.
pub const STALLED: &str = "Stalled";
/// The pods have taken the configuration.
pub const CONFIG_ACCEPTED: &str = "ConfigAccepted";
/// There is a certificate to serve with.
pub const CERTIFICATE_READY: &str = "CertificateReady";
/// At least one pod answers.
pub const AVAILABLE: &str = "Available";

/// Why a condition is as it is: the values of `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// All is as the spec asks.
    AsSpecified,
    /// A field of the spec has a value that cannot be used.
    InvalidSpec,
    /// A Secret that the spec names is not there.
    SecretNotFound,
    /// A Secret that the spec names lacks `tls.crt` or `tls.key`.
    SecretIncomplete,
    /// The certificate or key cannot be read.
    CertificateUnreadable,
    /// The key is not the one of the certificate.
    KeyMismatch,
    /// The certificate has expired or is not valid yet.
    CertificateOutOfDate,
    /// The certificate is not valid for a host name of the spec.
    HostnameNotCovered,
    /// No listener speaks TLS.
    NotNeeded,
    /// A pod refused the configuration.
    Rejected,
    /// A pod could not be reached.
    PodUnreachable,
    /// Pods have not taken the configuration yet.
    Pushing,
    /// The first pods have it and are being watched.
    CanaryWindow,
    /// A pod that took the configuration no longer serves.
    CanaryFailed,
    /// Pods are not there or not ready yet.
    PodsNotReady,
    /// No pods are wanted.
    ScaledToZero,
    /// The API server refused an object.
    ApplyFailed,
}

impl Reason {
    /// The word that stands in a condition or an event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AsSpecified => "AsSpecified",
            Self::InvalidSpec => "InvalidSpec",
            Self::SecretNotFound => "SecretNotFound",
            Self::SecretIncomplete => "SecretIncomplete",
            Self::CertificateUnreadable => "CertificateUnreadable",
            Self::KeyMismatch => "KeyMismatch",
            Self::CertificateOutOfDate => "CertificateOutOfDate",
            Self::HostnameNotCovered => "HostnameNotCovered",
            Self::NotNeeded => "NotNeeded",
            Self::Rejected => "Rejected",
            Self::PodUnreachable => "PodUnreachable",
            Self::Pushing => "Pushing",
            Self::CanaryWindow => "CanaryWindow",
            Self::CanaryFailed => "CanaryFailed",
            Self::PodsNotReady => "PodsNotReady",
            Self::ScaledToZero => "ScaledToZero",
            Self::ApplyFailed => "ApplyFailed",
        }
    }
}
