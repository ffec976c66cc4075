//! The data plane of Weir: sockets, TLS, HTTP/2 and telemetry around `weir-resolver`, which decides
//! everything about the DNS and knows nothing of these.

pub mod admin;
pub mod anchors;
pub mod app;
pub mod certificate;
pub mod clock;
pub mod context;
pub mod control;
pub mod doh;
pub mod driver;
pub mod edge;
pub mod entropy;
pub mod listener;
pub mod mailbox;
pub mod overrides;
pub mod probe;
pub mod proxy_protocol;
pub mod route;
pub mod settings;
pub mod sync;
pub mod telemetry;
pub mod tls;
pub mod turn;
pub mod upstream;
pub mod worker;
