//! Zones that are not resolved by following delegations from the root.
//!
//! Owns the fields and their bounds; records of local zones are read by the data plane.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::name;
use crate::problem::Problems;
use crate::url_path;

/// An object without fields, for a choice that needs none: `{}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// The servers of the root that priming starts from (RFC 9609): one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RootHints {
    /// The thirteen servers that IANA publishes.
    BuiltIn(Empty),
    /// Other servers, for a network of its own.
    Servers(Vec<RootServer>),
}

impl Default for RootHints {
    fn default() -> Self {
        Self::BuiltIn(Empty {})
    }
}

/// One server of the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RootServer {
    /// Its host name.
    pub name: String,
    /// Its addresses; at least one.
    pub addresses: Vec<IpAddr>,
}

/// A zone whose names are asked of other resolvers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ForwardZone {
    /// The apex; `.` forwards everything.
    pub name: String,
    /// The resolvers; at least one.
    pub upstreams: Vec<Upstream>,
    /// Whether answers are validated. Default true.
    #[serde(default = "yes")]
    pub validate: bool,
}

/// A zone whose authoritative servers are named here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StubZone {
    /// The apex.
    pub name: String,
    /// The servers; at least one.
    pub upstreams: Vec<StubUpstream>,
    /// Whether answers are validated. Default true.
    #[serde(default = "yes")]
    pub validate: bool,
}

/// One resolver that a zone is forwarded to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Upstream {
    /// Its address.
    pub address: IpAddr,
    /// Its port. Default 53 for `Do53`, 853 for `DoT`, 443 for `DoH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How it is asked. Default `Do53`.
    #[serde(default)]
    pub protocol: UpstreamProtocol,
    /// The name that its certificate must carry, and that `DoH` names as authority; needed for `DoT` and `DoH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The path that queries are posted to, for `DoH`. Default `/dns-query`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl Upstream {
    /// The port, or else the one that its protocol is known by.
    #[must_use]
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(match self.protocol {
            UpstreamProtocol::Do53 => 53,
            UpstreamProtocol::DoT => 853,
            UpstreamProtocol::DoH => 443,
        })
    }

    /// The path, or else the one that most servers have (RFC 8484, 4.1.1).
    #[must_use]
    pub fn path_or_default(&self) -> &str {
        self.path.as_deref().unwrap_or("/dns-query")
    }
}

/// One authoritative server of a stub zone, asked by UDP and TCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StubUpstream {
    /// Its address.
    pub address: IpAddr,
    /// Its port. Default 53.
    #[serde(default = "domain_port")]
    pub port: u16,
}

/// How an upstream resolver is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum UpstreamProtocol {
    /// UDP, and TCP on truncation (RFC 1035, RFC 7766).
    #[default]
    Do53,
    /// DNS over TLS (RFC 7858).
    DoT,
    /// DNS over HTTPS (RFC 8484), by POST over HTTP/2.
    DoH,
}

/// A zone that is answered from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LocalZone {
    /// The apex.
    pub name: String,
    /// What is answered for names in it. Default `Static`.
    #[serde(default, rename = "type")]
    pub kind: LocalZoneType,
    /// Records in the form `name [ttl] type data`, with names relative to the apex and `@` for it.
    #[serde(default)]
    pub records: Vec<String>,
}

/// What is answered for names of a local zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LocalZoneType {
    /// Its records; NODATA or NXDOMAIN for all else.
    #[default]
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

const fn yes() -> bool {
    true
}

const fn domain_port() -> u16 {
    53
}

impl RootHints {
    pub(crate) fn check(&self, problems: &mut Problems) {
        let Self::Servers(servers) = self else { return };
        if servers.is_empty() {
            problems.add(
                "servers",
                "is empty: give at least one server, or use builtIn",
            );
        }
        problems.items("servers", servers, |problems, server| {
            name::check(problems, "name", &server.name);
            if server.addresses.is_empty() {
                problems.add("addresses", "is empty: give at least one address");
            }
        });
    }
}

impl ForwardZone {
    pub(crate) fn check(&self, problems: &mut Problems) {
        name::check(problems, "name", &self.name);
        if self.upstreams.is_empty() {
            problems.add("upstreams", "is empty: give at least one resolver");
        }
        problems.items("upstreams", &self.upstreams, |problems, upstream| {
            if upstream.port == Some(0) {
                problems.add("port", "0 is not a port: use 1 to 65535");
            }
            match (upstream.protocol, &upstream.server_name) {
                (UpstreamProtocol::DoT | UpstreamProtocol::DoH, None) => problems.add(
                    "serverName",
                    "is missing: give the name in the certificate of the server",
                ),
                (UpstreamProtocol::Do53, Some(_)) => problems.add(
                    "serverName",
                    "remove it, or use protocol DoT or DoH: Do53 has no certificate",
                ),
                (UpstreamProtocol::DoT | UpstreamProtocol::DoH, Some(server)) => {
                    name::check(problems, "serverName", server);
                }
                (UpstreamProtocol::Do53, None) => {}
            }
            if let Some(path) = &upstream.path {
                check_path(problems, upstream.protocol, path);
            }
        });
    }
}

fn check_path(problems: &mut Problems, protocol: UpstreamProtocol, path: &str) {
    if protocol != UpstreamProtocol::DoH {
        problems.add(
            "path",
            "remove it, or use protocol DoH: no other has a path",
        );
    }
    if let Some(fault) = url_path::fault(path) {
        problems.add("path", fault);
    }
}

impl StubZone {
    pub(crate) fn check(&self, problems: &mut Problems) {
        name::check(problems, "name", &self.name);
        if self.upstreams.is_empty() {
            problems.add("upstreams", "is empty: give at least one server");
        }
        problems.items("upstreams", &self.upstreams, |problems, upstream| {
            if upstream.port == 0 {
                problems.add("port", "0 is not a port: use 1 to 65535");
            }
        });
    }
}

impl LocalZone {
    pub(crate) fn check(&self, problems: &mut Problems) {
        name::check(problems, "name", &self.name);
        problems.items("records", &self.records, |problems, record| {
            if record.split_ascii_whitespace().count() < 3 {
                problems.here(format!(
                    "'{record}' is not a record: write name, type and data, such as nas A 192.0.2.7"
                ));
            }
        });
    }
}
