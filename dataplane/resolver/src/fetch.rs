//! One query to one server, as data that owns all it needs.
//!
//! Owns `Fetch` (what the shell sends) and `FetchPlan` (what a stage asks for). Never names the state
//! that waits: a reply finds it by `FetchId`, or finds nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::cookie::Cookie;
use crate::key::FetchId;
use crate::name::Name;
use crate::question::Question;

/// How a query travels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// UDP (RFC 1035, 4.2.1), from random source ports that few queries share (RFC 5452, 9.2).
    Udp,
    /// TCP (RFC 7766).
    Tcp,
    /// DNS over TLS (RFC 7858), the name that its certificate must carry.
    Tls(Arc<str>),
    /// DNS over HTTPS (RFC 8484) at this URL path, the name that its certificate must carry.
    Https {
        /// Authority and TLS server name.
        host: Arc<str>,
        /// Path without a query part.
        path: Arc<str>,
    },
}

/// What a stage wants asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPlan {
    /// Which server.
    pub server: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// The zone that the server is asked as an authority for, or the forward zone.
    pub zone: Name,
    /// What is asked, which with QNAME minimisation is not what the state is for (RFC 9156).
    pub question: Question,
    /// RD: set toward forwarders only.
    pub recursion_desired: bool,
    /// CD: set when the state validates itself.
    pub checking_disabled: bool,
    /// Whether an OPT record with DO goes along; off after a server showed that it knows no EDNS.
    pub edns: bool,
    /// The cookie that goes along in the OPT record (RFC 7873), if any.
    pub cookie: Option<Cookie>,
    /// Whether the name's case is randomised (0x20); off after a server showed that it does not keep it.
    pub randomise_case: bool,
    /// How long to wait for the reply.
    pub timeout: Duration,
}

/// A query for the shell to send.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Names this exchange; a reply or failure carries it back.
    pub fetch: FetchId,
    /// Which server.
    pub server: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// The message. A reply counts only when identifier and question, octet by octet, are the same.
    pub message: Bytes,
    /// How long the shell waits before it reports `FetchFailure::Timeout`.
    pub timeout: Duration,
}

/// Why a fetch ended without a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FetchFailure {
    /// No acceptable reply within the time given.
    Timeout,
    /// The same, but one came that differs from the query in the case of the name alone: the server does not
    /// keep it, or somebody guessed everything else.
    CaseLost,
    /// The address cannot be reached, or the connection was refused or broken.
    Unreachable,
    /// The TLS handshake with a forwarder failed.
    TlsFailed,
    /// A forwarder asked over HTTPS answered with something other than a DNS message to the query: another status,
    /// another media type, or a broken stream.
    HttpFailed,
    /// The shell had no socket, port or buffer left.
    Exhausted,
}
