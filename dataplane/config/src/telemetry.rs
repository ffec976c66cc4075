//! What is told of the work: traces, metrics and logs.
//!
//! Owns the fields and their bounds; never exports anything.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::problem::Problems;
use crate::unit::cidr::Cidr;
use crate::unit::duration;
use crate::unit::ratio::Ratio;

/// What is told of the work.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Telemetry {
    /// Traces by OTLP. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<Traces>,
    /// Logs on standard error.
    pub logs: Logs,
}

/// Where traces go, and of which streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Traces {
    /// The collector, such as `http://otel-collector:4317`.
    pub endpoint: String,
    /// How it is spoken to. Default `Grpc`.
    #[serde(default)]
    pub protocol: TracesProtocol,
    /// Share of streams that is traced. `"0"` to `"1"`, default `"0.01"`.
    #[serde(default = "one_percent")]
    pub sample_ratio: Ratio,
    /// Streams that are traced whatever the share.
    #[serde(default)]
    pub always: TracesAlways,
    /// Networks whose `traceparent` is followed; from others it becomes a link. Default none.
    #[serde(default)]
    pub trust_incoming_from: Vec<Cidr>,
    /// Whether spans carry the names that are asked for, which are personal data. Default true.
    #[serde(default = "yes")]
    pub include_names: bool,
}

/// How a collector is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TracesProtocol {
    /// OTLP over gRPC.
    #[default]
    Grpc,
}

/// Streams that are traced whatever the share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct TracesAlways {
    /// Those answered with one of these codes. Default SERVFAIL.
    pub rcodes: Vec<Rcode>,
    /// Those that took longer. 1ms to 60s, default 500ms.
    #[serde(with = "duration")]
    pub slower_than: Duration,
    /// Those that the client reset. Default false.
    pub stream_resets: bool,
}

impl Default for TracesAlways {
    fn default() -> Self {
        Self {
            rcodes: vec![Rcode::Servfail],
            slower_than: Duration::from_millis(500),
            stream_resets: false,
        }
    }
}

/// A response code (RFC 1035 4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Rcode {
    /// The query could not be read.
    Formerr,
    /// No answer was found.
    Servfail,
    /// The name does not exist.
    Nxdomain,
    /// The kind of query is not served.
    Notimp,
    /// Policy forbids an answer.
    Refused,
}

/// Logs on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Logs {
    /// The least severe that is written. Default `info`.
    pub level: LogLevel,
}

/// How severe a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what stops the work.
    Error,
    /// And what may stop it.
    Warn,
    /// And what an operator wants to know of.
    #[default]
    Info,
    /// And what helps to understand a fault.
    Debug,
    /// Everything.
    Trace,
}

/// Where metrics and health are served, over plain HTTP/1.1: `/metrics`, `/livez`, `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Metrics {
    /// Address and port. Default `127.0.0.1:9153`.
    pub address: SocketAddr,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 9153),
        }
    }
}

const fn one_percent() -> Ratio {
    Ratio::from_millionths(10_000)
}

const fn yes() -> bool {
    true
}

impl Telemetry {
    pub(crate) fn check(&self, problems: &mut Problems) {
        let Some(traces) = &self.traces else { return };
        problems.field("traces", |problems| {
            let host = ["http://", "https://"]
                .iter()
                .find_map(|scheme| traces.endpoint.strip_prefix(scheme))
                .filter(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic()));
            if host.is_none() {
                problems.add("endpoint", format!("'{}' is not an address of a collector: write a URL such as http://otel-collector:4317", traces.endpoint));
            }
            problems.field("always", |problems| {
                problems.duration("slowerThan", traces.always.slower_than, 1, 60_000);
            });
        });
    }
}
