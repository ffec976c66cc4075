//! `Authority`: a certificate authority of the operator's own.
//!
//! There is one for the admin ports of all pods, and one for each `Resolver` whose certificate the
//! operator signs. Owns how its certificates look; never stores one.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::OffsetDateTime;
use weir_config::unit::instant::UnixSeconds;

/// Seconds of a day.
const DAY: u64 = 86_400;
/// How long an authority is valid.
const AUTHORITY_DAYS: u64 = 3_650;
/// How long before now a certificate begins, so that a clock that is slow takes it too.
const BACKDATE: u64 = 3_600;

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// To answer with.
    Server,
    /// To ask with.
    Client,
}

/// What to issue.
#[derive(Debug, Clone)]
pub struct Request {
    /// The common name, at most 64 characters; longer ones are cut.
    pub common_name: String,
    /// DNS names and addresses that it is valid for.
    pub names: Vec<String>,
    /// What it is for.
    pub usage: Usage,
    /// How long it is valid, in days.
    pub days: u64,
}

/// A certificate with its key, both in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPairPem {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl std::fmt::Debug for KeyPairPem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("KeyPairPem")
            .field("certificate", &self.certificate)
            .finish()
    }
}

/// Why an authority cannot be made, read, or used.
#[derive(Debug, thiserror::Error)]
#[error("the authority cannot make a certificate")]
pub struct AuthorityFault(#[from] rcgen::Error);

/// A certificate authority.
#[derive(Debug, Clone)]
pub struct Authority {
    pem: KeyPairPem,
}

impl Authority {
    /// Makes a new one, valid for ten years.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn generate(common_name: &str, now: UnixSeconds) -> Result<Self, AuthorityFault> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, cut(common_name));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date(now.0.saturating_sub(BACKDATE));
        params.not_after = date(now.0 + AUTHORITY_DAYS * DAY);
        let certificate = params.self_signed(&key)?;
        let pem = KeyPairPem {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        };
        Ok(Self { pem })
    }

    /// Takes one that was made before.
    ///
    /// # Errors
    /// When certificate or key cannot be read.
    pub fn from_pem(pem: KeyPairPem) -> Result<Self, AuthorityFault> {
        Issuer::from_ca_cert_pem(&pem.certificate, KeyPair::from_pem(&pem.key)?)?;
        Ok(Self { pem })
    }

    /// Its certificate and key.
    #[must_use]
    pub const fn pem(&self) -> &KeyPairPem {
        &self.pem
    }

    /// Signs a new certificate with a new key.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate, or no key can be made.
    pub fn issue(&self, request: &Request, now: UnixSeconds) -> Result<KeyPairPem, AuthorityFault> {
        let issuer =
            Issuer::from_ca_cert_pem(&self.pem.certificate, KeyPair::from_pem(&self.pem.key)?)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(request.names.clone())?;
        params
            .distinguished_name
            .push(DnType::CommonName, cut(&request.common_name));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match request.usage {
            Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        params.not_before = date(now.0.saturating_sub(BACKDATE));
        params.not_after = date(now.0 + request.days * DAY);
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(KeyPairPem {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// A common name is at most 64 characters (RFC 5280, upper bound ub-common-name).
fn cut(name: &str) -> String {
    name.chars().take(64).collect()
}

fn date(seconds: u64) -> OffsetDateTime {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
