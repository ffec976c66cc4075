//! Why the process does not start.
//!
//! Owns [`AppFault`], which says what to change. Ends no process.

use std::io;
use std::net::SocketAddr;

use weir_config::Problem;

use crate::certificate::CertificateFault;
use crate::tls::TlsFault;

/// Why the process does not start.
#[derive(Debug, thiserror::Error)]
pub enum AppFault {
    /// The configuration cannot be used.
    #[error("the configuration cannot be used")]
    Config(Vec<Problem>),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({what}): {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Its field in the configuration.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// A key pair cannot be served.
    #[error("{0}")]
    Certificate(#[from] CertificateFault),
    /// TLS cannot be set up.
    #[error("{0}")]
    Tls(#[from] TlsFault),
    /// The system gives no thread, runtime or signal handler.
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
}
