//! `spec.telemetry`: what is told of the work.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule::duration_within;
use crate::unit::{CidrText, DurationText, RatioText};

/// What is told of the work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TelemetrySpec {
    /// Traces by OTLP. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traces: Option<TracesSpec>,
    /// Logs on standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<LogsSpec>,
}

/// Where traces go, and of which streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TracesSpec {
    /// The collector, such as `http://otel-collector:4317`. Change: **rollout**.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("isURL(self) && self.matches('^https?://')")
        .message("must be a URL such as http://otel-collector:4317"))]
    pub endpoint: String,
    /// How it is spoken to. Default `Grpc`. Change: **rollout**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TracesProtocol")]
    pub protocol: Option<TracesProtocol>,
    /// Share of streams that is traced. `0` to `1`, default `0.01`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_ratio: Option<RatioText>,
    /// Streams that are traced whatever the share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub always: Option<TracesAlwaysSpec>,
    /// Networks whose `traceparent` is followed; from others it becomes a link. Default none.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub trust_incoming_from: Option<Vec<CidrText>>,
    /// Whether spans carry the names that are asked for, which are personal data. Default true.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_names: Option<bool>,
}

/// How a collector is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TracesProtocol {
    /// OTLP over gRPC.
    Grpc,
}

/// Streams that are traced whatever the share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TracesAlwaysSpec {
    /// Those answered with one of these codes. Default SERVFAIL. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub rcodes: Option<Vec<Rcode>>,
    /// Those that took longer. 1ms to 60s, default `500ms`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration_within("1ms", "60s"))]
    pub slower_than: Option<DurationText>,
    /// Those that the client reset. Default false. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_resets: Option<bool>,
}

/// A response code (RFC 1035).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogsSpec {
    /// The least severe that is written. Default `info`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LogLevel")]
    pub level: Option<LogLevel>,
}

/// How severe a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what stops the work.
    Error,
    /// And what may stop it.
    Warn,
    /// And what an operator wants to know of.
    Info,
    /// And what helps to understand a fault.
    Debug,
    /// Everything.
    Trace,
}
