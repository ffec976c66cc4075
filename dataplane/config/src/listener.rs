//! Listeners: where clients connect, with which protocol, certificate and bounds.
//!
//! Owns the fields and their bounds; never opens a socket or a file.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::problem::Problems;
use crate::unit::cidr::Cidr;
use crate::unit::{duration, size};

/// One address that clients connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Listener {
    /// The name that metrics and logs call it by; unique. Default `doh`.
    pub name: String,
    /// What is spoken. Default `DoH`.
    pub protocol: ListenerProtocol,
    /// Address and port. Default `127.0.0.1:8443`.
    pub address: SocketAddr,
    /// Paths that take queries (RFC 8484 4.1). Default `/dns-query` alone.
    pub paths: Vec<String>,
    /// Host names that requests may be for; a request for another one gets status 421. Empty, the
    /// default, means any.
    pub hostnames: Vec<String>,
    /// Where the certificate lies. Without it a `DoH` listener makes a self-signed one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
    /// Bounds of HTTP/2.
    pub http2: Http2,
    /// Where the address of the client is taken from, if not from the connection.
    pub client_address: ClientAddress,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            name: "doh".to_owned(),
            protocol: ListenerProtocol::default(),
            address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 8443),
            paths: vec!["/dns-query".to_owned()],
            hostnames: Vec::new(),
            tls: None,
            http2: Http2::default(),
            client_address: ClientAddress::default(),
        }
    }
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ListenerProtocol {
    /// DNS over HTTP/2 over TLS (RFC 8484).
    #[default]
    DoH,
    /// The same without TLS, for use behind a proxy that ends TLS.
    DoHPlaintext,
}

/// The files of a listener's certificate, in PEM. They are watched and read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ListenerTls {
    /// The chain, with the certificate of the server first.
    pub certificate_file: String,
    /// The private key of the first certificate.
    pub key_file: String,
    /// When given, clients must show a certificate that one of these authorities signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<String>,
}

/// Bounds of HTTP/2 on one listener (RFC 9113).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Http2 {
    /// Streams that one connection may have open; more are refused. 1 to 10000, default 100.
    pub max_concurrent_streams: u32,
    /// Connections of the listener; more wait in the kernel. 1 to 1000000, default 4096.
    pub max_connections: u32,
    /// Bytes of the header list of one request. 1Ki to 1Mi, default 16Ki.
    #[serde(with = "size")]
    pub max_header_list_size: u64,
    /// Time without a stream after which a connection is closed. 1s to 1h, default 60s.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// Age at which a connection is asked to end, so that load spreads over new pods.
    /// 10s to 24h, default 10m.
    #[serde(with = "duration")]
    pub max_connection_age: Duration,
    /// Bytes of queries that are being received at once, over all connections. 64Ki to 1Gi,
    /// default 4Mi.
    #[serde(with = "size")]
    pub query_buffer_limit: u64,
    /// Bytes of answers that wait for their clients at once, over all connections. 64Ki to 1Gi,
    /// default 4Mi.
    #[serde(with = "size")]
    pub response_buffer_limit: u64,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            max_concurrent_streams: 100,
            max_connections: 4096,
            max_header_list_size: 16 << 10,
            idle_timeout: Duration::from_secs(60),
            max_connection_age: Duration::from_secs(600),
            query_buffer_limit: 4 << 20,
            response_buffer_limit: 4 << 20,
        }
    }
}

/// Where the address of a client is taken from behind a proxy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ClientAddress {
    /// The PROXY protocol header, versions 1 and 2, before TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// A request header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_header: Option<ForwardedHeader>,
}

/// The PROXY protocol of one listener.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ProxyProtocol {
    /// Peers that must send the header; from any other peer it is not read.
    pub trusted_cidrs: Vec<Cidr>,
}

/// The request header that names the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ForwardedHeader {
    /// The header; its last address counts. Default `X-Forwarded-For`.
    pub name: String,
    /// Peers that it is believed from; from any other peer it is ignored.
    pub trusted_cidrs: Vec<Cidr>,
}

impl Default for ForwardedHeader {
    fn default() -> Self {
        Self {
            name: "X-Forwarded-For".to_owned(),
            trusted_cidrs: Vec::new(),
        }
    }
}

impl Listener {
    pub(crate) fn check(&self, problems: &mut Problems) {
        if self.name.is_empty() || self.name.len() > 63 {
            problems.add("name", "give it a name of 1 to 63 characters");
        }
        if self.paths.is_empty() {
            problems.add(
                "paths",
                "is empty: give at least one path, such as /dns-query",
            );
        }
        problems.items("paths", &self.paths, |problems, path| {
            if let Some(fault) = crate::url_path::fault(path) {
                problems.here(fault);
            }
        });
        problems.items("hostnames", &self.hostnames, |problems, name| {
            if let Some(fault) = crate::name::fault(name) {
                problems.here(format!("'{name}' {fault}"));
            }
        });
        if let Some(tls) = &self.tls {
            problems.field("tls", |problems| tls.check(self.protocol, problems));
        }
        problems.field("http2", |problems| self.http2.check(problems));
        problems.field("clientAddress", |problems| {
            self.client_address.check(problems)
        });
    }
}

impl ListenerTls {
    fn check(&self, protocol: ListenerProtocol, problems: &mut Problems) {
        if protocol == ListenerProtocol::DoHPlaintext {
            problems.here("remove it, or use protocol DoH: DoHPlaintext speaks no TLS");
        }
        for (field, path) in [
            ("certificateFile", &self.certificate_file),
            ("keyFile", &self.key_file),
        ] {
            if path.is_empty() {
                problems.add(field, "is empty: give the path of a PEM file");
            }
        }
    }
}

impl Http2 {
    fn check(&self, problems: &mut Problems) {
        problems.within(
            "maxConcurrentStreams",
            self.max_concurrent_streams,
            1,
            10_000,
        );
        problems.within("maxConnections", self.max_connections, 1, 1_000_000);
        problems.size(
            "maxHeaderListSize",
            self.max_header_list_size,
            1 << 10,
            1 << 20,
        );
        problems.duration("idleTimeout", self.idle_timeout, 1_000, 3_600_000);
        problems.duration(
            "maxConnectionAge",
            self.max_connection_age,
            10_000,
            86_400_000,
        );
        problems.size(
            "queryBufferLimit",
            self.query_buffer_limit,
            64 << 10,
            1 << 30,
        );
        problems.size(
            "responseBufferLimit",
            self.response_buffer_limit,
            64 << 10,
            1 << 30,
        );
    }
}

impl ClientAddress {
    fn check(&self, problems: &mut Problems) {
        let nobody = "is empty: name the networks of the proxies, or remove the section";
        if let Some(proxy) = &self.proxy_protocol
            && proxy.trusted_cidrs.is_empty()
        {
            problems.field("proxyProtocol", |problems| {
                problems.add("trustedCidrs", nobody)
            });
        }
        if let Some(header) = &self.forwarded_header {
            problems.field("forwardedHeader", |problems| {
                let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
                if header.name.is_empty() || !header.name.bytes().all(token) {
                    problems.add("name", "is not a header name: use letters, digits and '-'");
                }
                if header.trusted_cidrs.is_empty() {
                    problems.add("trustedCidrs", nobody);
                }
            });
        }
    }
}
