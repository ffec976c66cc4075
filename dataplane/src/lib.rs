//! The data plane of Weir: sockets, TLS, HTTP/2 and telemetry around `weir-resolver`, which decides
//! everything about the DNS and knows nothing of these.

pub mod certificate;
pub mod clock;
pub mod doh;
pub mod entropy;
pub mod mailbox;
pub mod telemetry;
pub mod upstream;
