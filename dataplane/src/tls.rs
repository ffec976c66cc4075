//! The TLS of listeners, of the admin port and of upstream connections: `rustls` on `aws-lc-rs`,
//! TLS 1.3, ALPN where one protocol is spoken. Never touches a socket.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::certificate::CertificateStore;

/// Resumption saves a round trip; one ticket is enough for the one connection that comes next.
const TICKETS: usize = 1;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// The authority of clients cannot be read.
    #[error("cannot read {path}: {fault}; give a PEM file of CERTIFICATE blocks")]
    Authority {
        /// Which file.
        path: String,
        /// Why.
        fault: String,
    },
    /// The library refused.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
    /// The certificates of clients cannot be verified.
    #[error("TLS cannot be set up: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// The TLS of a port that speaks HTTP/2 with the certificates of `store`. With an authority,
/// clients must show a certificate that it signed.
///
/// # Errors
/// The authority cannot be read or used.
pub fn server(
    store: Arc<CertificateStore>,
    authority: Option<&Path>,
) -> Result<ServerConfig, TlsFault> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = match authority {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(read_roots(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(store);
    // RFC 8484, 5.2: HTTP/2 is the minimum; there is nothing else to choose.
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Tickets hold the session themselves, so that nothing is kept for clients that never return.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = TICKETS;
    // RFC 8446, 8: early data could be replayed.
    config.max_early_data_size = 0;
    Ok(config)
}

/// The TLS of connections to forwarders: the authorities of the system, and of `SSL_CERT_FILE`.
///
/// # Errors
/// The library refused.
pub fn upstream() -> Result<ClientConfig, TlsFault> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    client(roots)
}

/// A client that trusts `roots` alone.
///
/// # Errors
/// The library refused.
pub fn client(roots: RootCertStore) -> Result<ClientConfig, TlsFault> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// Reads the authorities of a PEM file.
///
/// # Errors
/// The file cannot be read, or holds no certificate.
pub fn read_roots(path: &Path) -> Result<RootCertStore, TlsFault> {
    let fault = |fault: String| TlsFault::Authority {
        path: path.display().to_string(),
        fault,
    };
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| fault(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| fault(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(fault("it holds no certificate".to_owned()));
    }
    Ok(roots)
}
