//! `CertificateStore`: the key pair that a listener serves, replaced in one store while
//! connections go on. A pair is parsed and checked against itself before it replaces anything, and
//! the next handshake sees it (RFC 8446, 4.4.2). Never touches an open connection.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How long a certificate that Weir signs for itself is valid.
const SELF_SIGNED_LIFETIME: Duration = Duration::from_secs(365 * 86_400);
/// A certificate of our own that ends sooner than this is made anew at start.
const SELF_SIGNED_RENEWAL: Duration = Duration::from_secs(30 * 86_400);

/// What is wrong with a key pair.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFault {
    /// The file is not there, or may not be read.
    #[error("cannot read {path}: {source}; mount a PEM file there or change the path")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate chain is no PEM.
    #[error("the certificate is not PEM: give the chain as CERTIFICATE blocks, the leaf first")]
    CertificateEncoding,
    /// The private key is no PEM.
    #[error("the private key is not PEM: give one PRIVATE KEY block, not encrypted")]
    KeyEncoding,
    /// The leaf is no X.509 certificate.
    #[error("the first certificate of the chain is not X.509")]
    LeafEncoding,
    /// The kind of key is not supported.
    #[error("the private key is of a kind that is not supported: use ECDSA P-256, RSA or Ed25519")]
    KeyUnsupported,
    /// The pair is no pair.
    #[error("the private key does not belong to the certificate: give the key that was certified")]
    KeyMismatch,
    /// The certificate has ended.
    #[error("the certificate has expired: give one that is still valid")]
    Expired,
    /// A self-signed pair could not be made or kept.
    #[error("cannot make a self-signed certificate: {0}")]
    SelfSigned(#[from] rcgen::Error),
}

/// A key pair that passed every check, ready to serve.
#[derive(Debug)]
pub struct ServingKey {
    certified: Arc<CertifiedKey>,
    fingerprint: String,
    not_after: i64,
}

impl ServingKey {
    /// Parses a chain and its key, and checks that they belong together.
    ///
    /// # Errors
    /// What to change about the pair.
    pub fn parse(chain: &[u8], key: &[u8]) -> Result<Self, CertificateFault> {
        let certificates = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| CertificateFault::CertificateEncoding)?;
        let leaf = certificates
            .first()
            .ok_or(CertificateFault::CertificateEncoding)?;
        let (_, parsed) =
            X509Certificate::from_der(leaf).map_err(|_| CertificateFault::LeafEncoding)?;
        let not_after = parsed.validity().not_after.timestamp();
        let fingerprint = fingerprint(leaf);
        if not_after <= unix_now() {
            return Err(CertificateFault::Expired);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateFault::KeyEncoding)?;
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)
            .map_err(|_| CertificateFault::KeyUnsupported)?;
        let certified = CertifiedKey::new(certificates, signer);
        certified
            .keys_match()
            .map_err(|_| CertificateFault::KeyMismatch)?;
        Ok(Self {
            certified: Arc::new(certified),
            fingerprint,
            not_after,
        })
    }

    /// Reads a pair from two PEM files.
    ///
    /// # Errors
    /// Which file, and what to change.
    pub fn read(chain: &Path, key: &Path) -> Result<Self, CertificateFault> {
        Self::parse(&read_file(chain)?, &read_file(key)?)
    }

    /// `sha256:` and the digest of the leaf in lower-case hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// When the leaf ends, in seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// The leaf certificate.
    #[must_use]
    pub fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.certified.cert.first()
    }

    fn ends_within(&self, lifetime: Duration) -> bool {
        self.not_after - unix_now() < i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)
    }
}

/// Reads the pair kept in `folder` as `tls.crt` and `tls.key`, or makes one for `names` and keeps
/// it there.
///
/// # Errors
/// The folder cannot be written, or no certificate can be made for these names.
pub fn self_signed(folder: &Path, names: &[String]) -> Result<ServingKey, CertificateFault> {
    let (chain_path, key_path) = (folder.join("tls.crt"), folder.join("tls.key"));
    match ServingKey::read(&chain_path, &key_path) {
        Ok(kept) if !kept.ends_within(SELF_SIGNED_RENEWAL) => return Ok(kept),
        _ => {}
    }
    let mut params = CertificateParams::new(names.to_vec())?;
    let now = SystemTime::now();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Weir self-signed");
    params.not_before = (now - Duration::from_secs(3600)).into();
    params.not_after = (now + SELF_SIGNED_LIFETIME).into();
    let key = KeyPair::generate()?;
    let chain = params.self_signed(&key)?.pem();
    let key = key.serialize_pem();
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |source| CertificateFault::Unreadable { path, source }
    };
    std::fs::create_dir_all(folder).map_err(unwritable(folder))?;
    std::fs::write(&chain_path, &chain).map_err(unwritable(&chain_path))?;
    write_private(&key_path, key.as_bytes()).map_err(unwritable(&key_path))?;
    ServingKey::parse(chain.as_bytes(), key.as_bytes())
}

/// The pair that is being served.
#[derive(Debug)]
pub struct CertificateStore {
    current: ArcSwap<ServingKey>,
}

impl CertificateStore {
    /// Serves `key` from the start.
    #[must_use]
    pub fn new(key: ServingKey) -> Arc<Self> {
        Arc::new(Self {
            current: ArcSwap::from_pointee(key),
        })
    }

    /// Serves `key` from the next handshake on.
    pub fn replace(&self, key: ServingKey) {
        self.current.store(Arc::new(key));
    }

    /// What is being served.
    #[must_use]
    pub fn current(&self) -> Arc<ServingKey> {
        self.current.load_full()
    }
}

/// The two PEM files of a pair, read again when they change.
#[derive(Debug)]
pub struct CertificateFiles {
    chain: PathBuf,
    key: PathBuf,
    /// What they held when they were last read, whatever became of it: a fault is told once.
    last: Option<(Vec<u8>, Vec<u8>)>,
}

impl CertificateFiles {
    /// Watches these two files.
    #[must_use]
    pub fn new(chain: &Path, key: &Path) -> Self {
        Self {
            chain: chain.to_owned(),
            key: key.to_owned(),
            last: None,
        }
    }

    /// The pair, if the files hold something else than when they were last read. Reading by
    /// content finds every kind of change, the swapped link of a mounted Secret included.
    ///
    /// # Errors
    /// What is wrong with what they hold now.
    pub fn changed(&mut self) -> Result<Option<ServingKey>, CertificateFault> {
        let (chain, key) = (read_file(&self.chain)?, read_file(&self.key)?);
        if self
            .last
            .as_ref()
            .is_some_and(|(old, secret)| *old == chain && *secret == key)
        {
            return Ok(None);
        }
        let parsed = ServingKey::parse(&chain, &key);
        self.last = Some((chain, key));
        parsed.map(Some)
    }
}

impl ResolvesServerCert for CertificateStore {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.load().certified))
    }
}

/// `sha256:` and the digest of `certificate` in lower-case hexadecimal.
#[must_use]
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    format!("sha256:{}", data_encoding::HEXLOWER.encode(digest.as_ref()))
}

fn read_file(path: &Path) -> Result<Vec<u8>, CertificateFault> {
    std::fs::read(path).map_err(|source| CertificateFault::Unreadable {
        path: path.to_owned(),
        source,
    })
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    // The mode above counts only for a file that was not there.
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(bytes)
}

fn unix_now() -> i64 {
    let elapsed = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
