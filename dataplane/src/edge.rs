//! What a listener's connections go by: endpoints, names and bounds, replaced as one value while
//! connections go on. Every bound of the edge that no operator changes is here, with its reason.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use weir_config::listener::{ForwardedHeader, Http2, Listener};
use weir_config::unit::cidr::Cidr;

/// A TLS handshake takes two round trips; slower clients hold memory for nothing.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// From the end of the handshake to the client's preface and SETTINGS (RFC 9113, 3.4).
pub const PREFACE_TIMEOUT: Duration = Duration::from_secs(5);
/// From the first octet of a header block to its last.
pub const HEADERS_TIMEOUT: Duration = Duration::from_secs(5);
/// From the head of a request to the end of its body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// From an answer to the client's making room for all of it.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Octets that the kernel takes no more of because the client does not read.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// From a GOAWAY in two steps to the end of its connection.
pub const GRACE: Duration = Duration::from_secs(30);
/// From the last GOAWAY to the end of its connection.
pub const ABRUPT_GRACE: Duration = Duration::from_secs(2);
/// How often a connection with open streams looks at its clocks.
pub const TICK: Duration = Duration::from_secs(1);

/// RFC 9113, 6.5.2: a stream's window holds the longest query that is taken.
const STREAM_WINDOW: u32 = 16 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// Streams that we reset and remember, so that late frames on them are no connection error.
const RESET_STREAMS_REMEMBERED: usize = 256;
const RESET_STREAMS_FOR: Duration = Duration::from_secs(30);
/// Errors of single streams in the life of a connection; the frame meter bounds their rate.
const STREAM_ERRORS_MAX: usize = 4096;
/// Streams that were reset before they were taken: all that one client may have open, and those that it opened in
/// their place meanwhile. `h2` ends the connection beyond it; the frame meter bounds the rate long before.
const RESET_BEFORE_TAKEN_MAX: usize = 256;
/// Octets of a header list that no smaller setting makes a connection's budget smaller than.
const HEADER_LIST_LEAST: u64 = 16 << 10;
/// Octets of answers that one stream may hold within `h2`.
const SEND_BUFFER: usize = 128 * 1024;

/// What the connections of one listener go by.
#[derive(Debug)]
pub struct Edge {
    /// Paths that take queries.
    pub paths: Vec<Box<str>>,
    /// The same, as traces carry them.
    pub routes: Vec<Arc<str>>,
    /// Host names that requests may be for, in lower case; none means any.
    pub hostnames: Vec<Box<str>>,
    /// Bounds that the operator chose.
    pub http2: Http2,
    /// The header that names the client, and whom it is believed from.
    pub forwarded: Option<(HeaderName, Vec<Cidr>)>,
}

impl From<&Listener> for Edge {
    fn from(listener: &Listener) -> Self {
        let forwarded = listener
            .client_address
            .forwarded_header
            .as_ref()
            .and_then(forwarded);
        Self {
            paths: listener
                .paths
                .iter()
                .map(|path| path.as_str().into())
                .collect(),
            routes: listener
                .paths
                .iter()
                .map(|path| path.as_str().into())
                .collect(),
            hostnames: listener
                .hostnames
                .iter()
                .map(|name| canonical_host(name))
                .collect(),
            http2: listener.http2.clone(),
            forwarded,
        }
    }
}

fn forwarded(header: &ForwardedHeader) -> Option<(HeaderName, Vec<Cidr>)> {
    let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
    Some((name, header.trusted_cidrs.clone()))
}

fn canonical_host(name: &str) -> Box<str> {
    name.strip_suffix('.')
        .unwrap_or(name)
        .to_ascii_lowercase()
        .into_boxed_str()
}

impl Edge {
    /// Whether a request for this host is for this listener (RFC 9110, 7.4).
    #[must_use]
    pub fn serves(&self, host: Option<&str>) -> bool {
        if self.hostnames.is_empty() {
            return true;
        }
        let host = host.map(|host| host.strip_suffix('.').unwrap_or(host));
        host.is_some_and(|host| {
            self.hostnames
                .iter()
                .any(|name| name.eq_ignore_ascii_case(host))
        })
    }

    /// The client that a trusted proxy names: the last address of the header.
    #[must_use]
    pub fn client(&self, headers: &http::HeaderMap, peer: IpAddr) -> IpAddr {
        let Some((name, trusted)) = &self.forwarded else {
            return peer;
        };
        if !trusted.iter().any(|network| network.contains(peer)) {
            return peer;
        }
        let last = headers
            .get_all(name)
            .iter()
            .next_back()
            .and_then(|value| value.to_str().ok());
        let address = last.and_then(|list| list.rsplit(',').next()).map(str::trim);
        address
            .and_then(|address| address.parse().ok())
            .unwrap_or(peer)
    }

    /// What the budget for header blocks is counted in: the longest header list, or its default where less is set,
    /// since one turn of a connection reads that much whatever is set.
    #[must_use]
    pub fn header_list(&self) -> u32 {
        bound(self.http2.max_header_list_size.max(HEADER_LIST_LEAST))
    }

    /// The `h2` server of one connection.
    #[must_use]
    pub fn h2(&self) -> h2::server::Builder {
        let mut builder = h2::server::Builder::new();
        builder
            .max_concurrent_streams(self.http2.max_concurrent_streams)
            .max_header_list_size(bound(self.http2.max_header_list_size))
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_pending_accept_reset_streams(RESET_BEFORE_TAKEN_MAX)
            .max_concurrent_reset_streams(RESET_STREAMS_REMEMBERED)
            .reset_stream_duration(RESET_STREAMS_FOR)
            .max_local_error_reset_streams(Some(STREAM_ERRORS_MAX))
            .max_send_buffer_size(SEND_BUFFER);
        builder
    }
}

fn bound(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn edge(text: &str) -> Edge {
        Edge::from(&weir_config::DataplaneConfig::read(text).unwrap().listeners[0])
    }

    #[test]
    fn hosts() {
        let any = edge("{}");
        assert!(any.serves(None) && any.serves(Some("x")));
        let some = edge("listeners: [{hostnames: [dns.example.org.]}]");
        assert!(some.serves(Some("DNS.example.org")) && some.serves(Some("dns.example.org.")));
        assert!(!some.serves(Some("example.org")) && !some.serves(None));
    }

    #[test]
    fn a_client_is_named_by_trusted_proxies_only() {
        let edge =
            edge("listeners: [{clientAddress: {forwardedHeader: {trustedCidrs: [10.0.0.0/8]}}}]");
        let mut headers = HeaderMap::new();
        headers.insert(
            "x-forwarded-for",
            HeaderValue::from_static("198.51.100.1, 192.0.2.7"),
        );
        let (proxy, stranger) = ("10.0.0.1".parse().unwrap(), "11.0.0.1".parse().unwrap());
        assert_eq!(
            edge.client(&headers, proxy),
            "192.0.2.7".parse::<IpAddr>().unwrap()
        );
        assert_eq!(edge.client(&headers, stranger), stranger);
        assert_eq!(edge.client(&HeaderMap::new(), proxy), proxy);
    }
}
