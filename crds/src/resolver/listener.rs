//! `spec.listeners`: where clients connect.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule::{duration_within, one_of, size_within};
use crate::unit::{CidrText, DurationText, Empty, HostnameText, NameReference, SizeText};

/// One port that clients connect to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.tls) || !has(self.protocol) || self.protocol == 'DoH'")
    .message("tls is for protocol DoH: remove tls, or use protocol DoH"))]
pub struct ListenerSpec {
    /// The name of the listener, unique in the list; also the name of the port of the Service.
    /// Change: **rollout**.
    #[schemars(
        length(min = 1, max = 15),
        regex(pattern = r"^[a-z]([a-z0-9-]*[a-z0-9])?$")
    )]
    pub name: String,
    /// What is spoken. Default `DoH`. Change: **rollout**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ListenerProtocol")]
    pub protocol: Option<ListenerProtocol>,
    /// The port of the Service; pods listen on unprivileged ports of their own. 1 to 65535,
    /// default 443 for `DoH` and 80 for `DoHPlaintext`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// The paths that take queries. Default one, `/dns-query`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub endpoints: Option<Vec<EndpointSpec>>,
    /// The certificate of the listener. Default one that the operator signs itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTlsSpec>,
    /// Bounds of HTTP/2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http2: Option<Http2Spec>,
    /// Where the address of a client is taken from behind a proxy. Default from the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_address: Option<ClientAddressSpec>,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ListenerProtocol {
    /// DNS over HTTP/2 over TLS (RFC 8484).
    #[default]
    DoH,
    /// The same without TLS, behind a proxy that ends TLS.
    DoHPlaintext,
}

/// One path that takes queries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSpec {
    /// The path, without query and template. Change: **live**.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^/[A-Za-z0-9/_.~-]*$"))]
    pub path: String,
}

/// The certificate of a listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTlsSpec {
    /// Where it comes from. Default `selfSigned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateSpec>,
    /// The host names that clients ask for, beside those of the Service inside the cluster. The
    /// certificate must be valid for each. Default none. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub hostnames: Option<Vec<HostnameText>>,
}

/// Where a certificate comes from: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = one_of("secretRef", "selfSigned"))]
pub struct CertificateSpec {
    /// A Secret of type `kubernetes.io/tls` in the same namespace. It is watched, and a new
    /// certificate in it is served to new handshakes. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameReference>,
    /// The operator signs one itself and renews it; the certificate of its authority is in the
    /// ConfigMap `NAME-ca`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_signed: Option<Empty>,
}

/// Bounds of HTTP/2 (RFC 9113).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Http2Spec {
    /// Streams that one connection may have open; more are refused. 1 to 10000, default 100.
    /// Change: **live**, for new connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_concurrent_streams: Option<u32>,
    /// Connections of one pod; more wait. 1 to 1000000, default 4096. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: Option<u32>,
    /// Bytes of the header list of one request. 1Ki to 1Mi, default `16Ki`. Change: **live**, for
    /// new connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = size_within("1Ki", "1Mi"))]
    pub max_header_list_size: Option<SizeText>,
    /// Time without a stream after which a connection is closed. 1s to 1h, default `60s`.
    /// Change: **live**, for new connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration_within("1s", "1h"))]
    pub idle_timeout: Option<DurationText>,
    /// Age at which a connection is asked to end, so that load spreads over new pods. 10s to 24h,
    /// default `10m`. Change: **live**, for new connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration_within("10s", "24h"))]
    pub max_connection_age: Option<DurationText>,
    /// Bytes of queries that one pod receives at once. 64Ki to 1Gi, default `4Mi`.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = size_within("64Ki", "1Gi"))]
    pub query_buffer_limit: Option<SizeText>,
    /// Bytes of answers that wait in one pod for their clients. 64Ki to 1Gi, default `4Mi`.
    /// Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = size_within("64Ki", "1Gi"))]
    pub response_buffer_limit: Option<SizeText>,
}

/// Where the address of a client is taken from behind a proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientAddressSpec {
    /// The PROXY protocol header, versions 1 and 2, before TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocolSpec>,
    /// A request header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_header: Option<ForwardedHeaderSpec>,
}

/// The PROXY protocol of one listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyProtocolSpec {
    /// The proxies, which must send the header; of any other peer it is not read.
    /// Change: **live**, for new connections.
    #[schemars(length(min = 1, max = 64))]
    pub trusted_cidrs: Vec<CidrText>,
}

/// The request header that names the client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForwardedHeaderSpec {
    /// The header; its last address counts. Default `X-Forwarded-For`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_-]+$"))]
    pub name: Option<String>,
    /// The proxies, which are believed; of any other peer the header is ignored.
    /// Change: **live**.
    #[schemars(length(min = 1, max = 64))]
    pub trusted_cidrs: Vec<CidrText>,
}
