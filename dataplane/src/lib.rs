//! The data plane of Weir: sockets, TLS, HTTP/2 and telemetry around `weir-resolver`, which decides
//! everything about the DNS and knows nothing of these.

pub mod certificate;
pub mod doh;
pub mod telemetry;
