//! Zones of `spec.resolution` that are not resolved by following delegations from the root.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule::one_of;
use crate::unit::{AddressText, DomainText, Empty};

/// The servers of the root that priming starts from: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = one_of("builtIn", "servers"))]
pub struct RootHintsSpec {
    /// The thirteen servers that IANA publishes. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_in: Option<Empty>,
    /// Other servers, for a network of its own. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub servers: Option<Vec<RootServerSpec>>,
}

/// One server of the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RootServerSpec {
    /// Its host name. Change: **live**.
    pub name: DomainText,
    /// Its addresses. Change: **live**.
    #[schemars(length(min = 1, max = 16))]
    pub addresses: Vec<AddressText>,
}

/// A zone whose names are asked of other resolvers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForwardZoneSpec {
    /// The apex; `.` forwards everything. Change: **live**.
    pub name: DomainText,
    /// The resolvers. Change: **live**.
    #[schemars(length(min = 1, max = 16))]
    pub upstreams: Vec<UpstreamSpec>,
    /// Whether answers are validated. Default true. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<bool>,
}

/// A zone whose authoritative servers are named here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StubZoneSpec {
    /// The apex. Change: **live**.
    pub name: DomainText,
    /// The servers. Change: **live**.
    #[schemars(length(min = 1, max = 16))]
    pub upstreams: Vec<StubUpstreamSpec>,
    /// Whether answers are validated. Default true. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<bool>,
}

/// One resolver that a zone is forwarded to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
        "(has(self.protocol) && self.protocol != 'Do53') == has(self.serverName)")
    .message("serverName is needed for protocols DoT and DoH, and for no other"))]
#[x_kube(validation = Rule::new(
        "!has(self.path) || (has(self.protocol) && self.protocol == 'DoH')")
    .message("path is for protocol DoH: remove path, or use protocol DoH"))]
pub struct UpstreamSpec {
    /// Its address. Change: **live**.
    pub address: AddressText,
    /// Its port. 1 to 65535, default 53 for `Do53`, 853 for `DoT`, 443 for `DoH`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// How it is asked. Default `Do53`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "UpstreamProtocol")]
    pub protocol: Option<UpstreamProtocol>,
    /// The name that its certificate must carry, and that `DoH` names as authority; needed for `DoT`
    /// and `DoH`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<DomainText>,
    /// The path that queries are posted to, for `DoH`. Default `/dns-query`. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^/[A-Za-z0-9/_.~-]*$"))]
    pub path: Option<String>,
}

/// How an upstream resolver is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpstreamProtocol {
    /// UDP, and TCP on truncation.
    Do53,
    /// DNS over TLS (RFC 7858).
    DoT,
    /// DNS over HTTPS (RFC 8484), by POST over HTTP/2.
    DoH,
}

/// One authoritative server of a stub zone, asked by UDP and TCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StubUpstreamSpec {
    /// Its address. Change: **live**.
    pub address: AddressText,
    /// Its port. 1 to 65535, default 53. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
}

/// A zone that is answered from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalZoneSpec {
    /// The apex. Change: **live**.
    pub name: DomainText,
    /// What is answered for names in it. Default `Static`. Change: **live**.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LocalZoneType")]
    pub kind: Option<LocalZoneType>,
    /// Records in the form `name [ttl] type data`, with names relative to the apex and `@` for
    /// it. Default none. Change: **live**.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), inner(length(min = 1, max = 4096)))]
    pub records: Option<Vec<String>>,
}

/// What is answered for names of a local zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LocalZoneType {
    /// Its records; NODATA or NXDOMAIN for all else.
    Static,
    /// Its records; names without any are resolved as usual.
    Transparent,
    /// As `Transparent`, and so are types that a name here has no records of.
    TypeTransparent,
    /// The records of the apex for every name in it.
    Redirect,
    /// Its records; REFUSED for all else.
    Refuse,
    /// Its records; no answer for all else: the stream is reset.
    Deny,
    /// REFUSED, even where there are records.
    AlwaysRefuse,
    /// NXDOMAIN, even where there are records.
    AlwaysNxdomain,
    /// NODATA, even where there are records.
    AlwaysNodata,
    /// Resolved as usual, even where there are records: an exception within a larger zone.
    AlwaysTransparent,
    /// Resolved as usual, and logged with the client.
    Inform,
    /// The null address `0.0.0.0` or `::` for A and AAAA, NODATA else, even where there are records.
    AlwaysNull,
    /// No answer, even where there are records: the stream is reset, and the query is counted.
    InformDeny,
    /// NODATA for A, even where there are records; the rest is resolved as usual.
    BlockA,
    /// NODATA for AAAA, even where there are records; the rest is resolved as usual.
    BlockAaaa,
    /// Its records; NODATA for A of all other names, whose other types are resolved as usual.
    BlockAWithData,
    /// Its records; NODATA for AAAA of all other names, whose other types are resolved as usual.
    BlockAaaaWithData,
    /// Resolved as usual, as if no special-use zone had this name.
    NoDefault,
}
