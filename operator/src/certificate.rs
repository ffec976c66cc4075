//! `ServingCertificate`: a certificate with its key that listeners may use.
//!
//! One exists only after its texts were read, its key was compared, and its dates and names were
//! checked. Owns these checks and their messages; never fetches or stores a certificate.

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsFault, InconsistentKeys};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use weir_config::digest::sha256;
use weir_config::push::PushCertificate;
use weir_config::unit::instant::UnixSeconds;
use weir_crds::condition::Reason;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Why a certificate cannot be used: what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// There is no such Secret.
    #[error("Secret {0} is not there: create it with tls.crt and tls.key")]
    SecretNotFound(String),
    /// The Secret lacks a field.
    #[error("Secret {secret} has no {field}: it must be of type kubernetes.io/tls")]
    SecretIncomplete {
        /// The Secret.
        secret: String,
        /// What it lacks.
        field: &'static str,
    },
    /// The chain is no PEM, or what it holds is no certificate.
    #[error(
        "the certificate cannot be read: tls.crt must hold a PEM chain with the certificate of the server first"
    )]
    UnreadableChain,
    /// The key is no PEM, or of a kind that cannot sign.
    #[error(
        "the private key cannot be read: tls.key must hold one RSA, ECDSA or Ed25519 key in PEM"
    )]
    UnreadableKey,
    /// The key belongs to another certificate.
    #[error(
        "the private key is not the one of the certificate: tls.key must belong to the first certificate of tls.crt"
    )]
    KeyMismatch,
    /// The certificate is no longer valid.
    #[error("the certificate expired at {0}: renew it")]
    Expired(UnixSeconds),
    /// The certificate is not valid yet.
    #[error("the certificate is not valid before {0}")]
    NotYetValid(UnixSeconds),
    /// A host name of the spec is not in the certificate.
    #[error(
        "the certificate is not valid for {hostname}, only for {names}: add the name to it, or remove the name from tls.hostnames"
    )]
    HostnameNotCovered {
        /// The host name of the spec.
        hostname: String,
        /// What the certificate is valid for.
        names: String,
    },
    /// What a Secret holds cannot be used.
    #[error("Secret {secret}: {fault}")]
    InSecret {
        /// The Secret.
        secret: String,
        /// Why not.
        fault: Box<Self>,
    },
    /// The operator could not sign one.
    #[error("the operator could not sign a certificate")]
    NotIssued,
}

impl CertificateFault {
    /// The reason in conditions and events.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::InSecret { fault, .. } => fault.reason(),
            Self::SecretNotFound(_) => Reason::SecretNotFound,
            Self::SecretIncomplete { .. } => Reason::SecretIncomplete,
            Self::UnreadableChain | Self::UnreadableKey | Self::NotIssued => {
                Reason::CertificateUnreadable
            }
            Self::KeyMismatch => Reason::KeyMismatch,
            Self::Expired(_) | Self::NotYetValid(_) => Reason::CertificateOutOfDate,
            Self::HostnameNotCovered { .. } => Reason::HostnameNotCovered,
        }
    }
}

/// A certificate with its key that listeners may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServingCertificate {
    /// Both in PEM, as they are pushed and stored.
    pub pem: PushCertificate,
    /// `sha256:` and the digest of the server's certificate.
    pub fingerprint: String,
    /// From when on it is valid.
    pub not_before: UnixSeconds,
    /// Until when it is valid.
    pub not_after: UnixSeconds,
    /// DNS names and addresses that it is valid for.
    pub names: Vec<String>,
}

impl ServingCertificate {
    /// Reads and checks a certificate and its key.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn parse(
        pem: PushCertificate,
        hostnames: &[String],
        now: UnixSeconds,
    ) -> Result<Self, CertificateFault> {
        let chain = CertificateDer::pem_slice_iter(pem.chain_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| CertificateFault::UnreadableChain)?;
        let first = chain
            .first()
            .ok_or(CertificateFault::UnreadableChain)?
            .clone();
        let key = PrivateKeyDer::from_pem_slice(pem.key_pem.as_bytes())
            .map_err(|_| CertificateFault::UnreadableKey)?;
        let (_, parsed) =
            X509Certificate::from_der(&first).map_err(|_| CertificateFault::UnreadableChain)?;
        check_key(chain, key)?;
        let certificate = Self {
            pem,
            fingerprint: sha256(&first),
            not_before: seconds(parsed.validity().not_before.timestamp()),
            not_after: seconds(parsed.validity().not_after.timestamp()),
            names: names_of(&parsed),
        };
        certificate.check_dates(now)?;
        certificate.check_hostnames(hostnames)?;
        Ok(certificate)
    }

    fn check_dates(&self, now: UnixSeconds) -> Result<(), CertificateFault> {
        if now >= self.not_after {
            return Err(CertificateFault::Expired(self.not_after));
        }
        if now < self.not_before {
            return Err(CertificateFault::NotYetValid(self.not_before));
        }
        Ok(())
    }

    fn check_hostnames(&self, hostnames: &[String]) -> Result<(), CertificateFault> {
        match hostnames.iter().find(|hostname| !self.covers(hostname)) {
            None => Ok(()),
            Some(hostname) => Err(CertificateFault::HostnameNotCovered {
                hostname: hostname.clone(),
                names: self.names.join(", "),
            }),
        }
    }

    /// Whether the certificate is valid for a name (RFC 9525, 6.3): a `*` stands for one label.
    #[must_use]
    pub fn covers(&self, hostname: &str) -> bool {
        let parent = hostname.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|name| {
            name.eq_ignore_ascii_case(hostname)
                || name
                    .strip_prefix("*.")
                    .zip(parent)
                    .is_some_and(|(name, parent)| name.eq_ignore_ascii_case(parent))
        })
    }

    /// The moment at which two thirds of its life are over.
    #[must_use]
    pub const fn renew_at(&self) -> UnixSeconds {
        let life = self.not_after.0.saturating_sub(self.not_before.0);
        UnixSeconds(self.not_before.0 + life / 3 * 2)
    }
}

fn check_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<(), CertificateFault> {
    match CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()) {
        Ok(_) => Ok(()),
        Err(TlsFault::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(CertificateFault::KeyMismatch)
        }
        Err(TlsFault::InvalidCertificate(_)) => Err(CertificateFault::UnreadableChain),
        Err(_) => Err(CertificateFault::UnreadableKey),
    }
}

fn names_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = extension
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(octets) => address(octets),
            _ => None,
        });
    names.collect()
}

fn address(octets: &[u8]) -> Option<String> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Some(std::net::Ipv4Addr::from(octets).to_string());
    }
    <[u8; 16]>::try_from(octets)
        .ok()
        .map(|octets| std::net::Ipv6Addr::from(octets).to_string())
}

fn seconds(timestamp: i64) -> UnixSeconds {
    UnixSeconds(u64::try_from(timestamp).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{Authority, KeyPairPem, Request, Usage};

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn issued(names: &[&str]) -> KeyPairPem {
        let authority = Authority::generate("test", NOW).unwrap();
        let request = Request {
            common_name: "test".to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            usage: Usage::Server,
            days: 90,
        };
        authority.issue(&request, NOW).unwrap()
    }

    fn parse(
        certificate: &str,
        key: &str,
        hostnames: &[&str],
        now: u64,
    ) -> Result<ServingCertificate, CertificateFault> {
        let pem = PushCertificate {
            chain_pem: certificate.to_owned(),
            key_pem: key.to_owned(),
        };
        let hostnames: Vec<_> = hostnames.iter().map(|name| (*name).to_owned()).collect();
        ServingCertificate::parse(pem, &hostnames, UnixSeconds(now))
    }

    #[test]
    fn takes_what_is_right() {
        let pair = issued(&["dns.example.org", "*.example.net", "192.0.2.1"]);
        let hostnames = ["dns.example.org", "a.example.net", "192.0.2.1"];
        let certificate = parse(&pair.certificate, &pair.key, &hostnames, NOW.0).unwrap();
        assert!(certificate.fingerprint.starts_with("sha256:"));
        assert_eq!(certificate.not_after, UnixSeconds(NOW.0 + 90 * 86_400));
        assert!(certificate.renew_at() > NOW && certificate.renew_at() < certificate.not_after);
        assert!(!certificate.covers("b.a.example.net"));
        assert!(!certificate.covers("example.net"));
    }

    #[test]
    fn says_what_is_wrong() {
        let pair = issued(&["dns.example.org"]);
        let other = issued(&["dns.example.org"]);
        let cases = [
            (
                parse("", &pair.key, &[], NOW.0),
                Reason::CertificateUnreadable,
                "tls.crt must hold",
            ),
            (
                parse("x", &pair.key, &[], NOW.0),
                Reason::CertificateUnreadable,
                "tls.crt must hold",
            ),
            (
                parse(&pair.certificate, "x", &[], NOW.0),
                Reason::CertificateUnreadable,
                "tls.key must hold",
            ),
            (
                parse(&pair.certificate, &other.key, &[], NOW.0),
                Reason::KeyMismatch,
                "not the one of the certificate",
            ),
            (
                parse(&pair.certificate, &pair.key, &[], NOW.0 + 91 * 86_400),
                Reason::CertificateOutOfDate,
                "expired at 2027-",
            ),
            (
                parse(&pair.certificate, &pair.key, &[], NOW.0 - 86_400),
                Reason::CertificateOutOfDate,
                "not valid before",
            ),
            (
                parse(&pair.certificate, &pair.key, &["b.example"], NOW.0),
                Reason::HostnameNotCovered,
                "not valid for b.example, only for dns.example.org",
            ),
        ];
        for (result, reason, part) in cases {
            let fault = result.unwrap_err();
            assert_eq!(fault.reason(), reason, "{fault}");
            assert!(fault.to_string().contains(part), "{fault}");
        }
    }
}
