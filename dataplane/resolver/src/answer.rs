//! What resolving a question came to, and that answer fitted to one client.
//!
//! Owns `Answer` (shared by every waiter), `Shaped` (octets for one of them), `Security` and the
//! codes that go with them.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::name::Name;
use crate::rrset::Rrset;

/// A response code (RFC 1035, 4.1.1; RFC 6895), extended ones included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResponseCode(pub u16);

#[allow(missing_docs, reason = "the names are those of the IANA registry")]
impl ResponseCode {
    pub const NOERROR: Self = Self(0);
    pub const FORMERR: Self = Self(1);
    pub const SERVFAIL: Self = Self(2);
    pub const NXDOMAIN: Self = Self(3);
    pub const NOTIMP: Self = Self(4);
    pub const REFUSED: Self = Self(5);
    pub const YXDOMAIN: Self = Self(6);
    pub const BADVERS: Self = Self(16);
    /// The server wants its cookie with the query (RFC 7873, 8).
    pub const BADCOOKIE: Self = Self(23);
}

/// The security status of an answer (RFC 4035, 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Security {
    /// Not looked at yet.
    #[default]
    Unchecked,
    /// Validation failed.
    Bogus,
    /// There is no trust anchor above, so nothing could be checked.
    Indeterminate,
    /// Proven to lie below an unsigned delegation.
    Insecure,
    /// A chain of trust leads from a trust anchor to every part.
    Secure,
}

/// An extended error code (RFC 8914, 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtendedError(pub u16);

#[allow(
    missing_docs,
    reason = "the names are those of RFC 8914 and its registry"
)]
impl ExtendedError {
    pub const OTHER: Self = Self(0);
    pub const UNSUPPORTED_DNSKEY_ALGORITHM: Self = Self(1);
    pub const UNSUPPORTED_DS_DIGEST_TYPE: Self = Self(2);
    pub const STALE_ANSWER: Self = Self(3);
    pub const FORGED_ANSWER: Self = Self(4);
    pub const DNSSEC_INDETERMINATE: Self = Self(5);
    pub const DNSSEC_BOGUS: Self = Self(6);
    pub const SIGNATURE_EXPIRED: Self = Self(7);
    pub const SIGNATURE_NOT_YET_VALID: Self = Self(8);
    pub const DNSKEY_MISSING: Self = Self(9);
    pub const RRSIGS_MISSING: Self = Self(10);
    pub const NO_ZONE_KEY_BIT_SET: Self = Self(11);
    pub const NSEC_MISSING: Self = Self(12);
    pub const CACHED_ERROR: Self = Self(13);
    pub const NOT_READY: Self = Self(14);
    pub const BLOCKED: Self = Self(15);
    pub const CENSORED: Self = Self(16);
    pub const FILTERED: Self = Self(17);
    pub const PROHIBITED: Self = Self(18);
    pub const STALE_NXDOMAIN_ANSWER: Self = Self(19);
    pub const NOT_AUTHORITATIVE: Self = Self(20);
    pub const NOT_SUPPORTED: Self = Self(21);
    pub const NO_REACHABLE_AUTHORITY: Self = Self(22);
    pub const NETWORK_ERROR: Self = Self(23);
    pub const SIGNATURE_EXPIRED_BEFORE_VALID: Self = Self(25);
    pub const UNSUPPORTED_NSEC3_ITERATIONS: Self = Self(27);
    pub const SYNTHESIZED: Self = Self(29);
}

/// What resolving a question came to. Shared: every waiter's octets are made from one of these.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The response code.
    pub rcode: ResponseCode,
    /// AA: set only for answers of local zones.
    pub authoritative: bool,
    /// The security status of the whole.
    pub security: Security,
    /// The answer section, aliases in the order in which they were followed.
    pub answer: Vec<Arc<Rrset>>,
    /// The authority section: SOA of a negative answer, denial proofs, or an NS RRset.
    pub authority: Vec<Arc<Rrset>>,
    /// The additional section, without OPT.
    pub additional: Vec<Arc<Rrset>>,
    /// Seconds for which the answer may be kept, counted from now.
    pub ttl: u32,
    /// The most telling extended error, if any.
    pub extended_error: Option<ExtendedError>,
    /// The servers whose replies it is made of, and the zones that they spoke for; none when it comes
    /// from the cache.
    pub sources: Vec<(Name, SocketAddr)>,
}

impl Answer {
    /// An answer without records.
    #[must_use]
    pub const fn empty(rcode: ResponseCode, extended_error: Option<ExtendedError>) -> Self {
        Self {
            rcode,
            authoritative: false,
            security: Security::Unchecked,
            answer: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
            ttl: 0,
            extended_error,
            sources: Vec::new(),
        }
    }

    /// An answer of these RRsets, kept as long as the one that ends first; of none, NODATA.
    #[must_use]
    pub fn data(answer: Vec<Arc<Rrset>>, security: Security) -> Self {
        Self {
            security,
            ttl: answer.iter().map(|set| set.ttl).min().unwrap_or(0),
            answer,
            ..Self::empty(ResponseCode::NOERROR, None)
        }
    }
}

/// Where an answer came from, for metrics and traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// From the cache, fresh.
    Cache,
    /// A fresh negative answer from the cache.
    NegativeCache,
    /// From the cache, expired (RFC 8767).
    Stale,
    /// A mesh state was made for it.
    Resolved,
    /// It waited for a state that was there already.
    Joined,
    /// From a local zone, or from the settings.
    Local,
    /// Nothing was looked up: malformed, refused, or over a limit.
    Refused,
}

/// An answer fitted to one client: its identifier, its spelling, its EDNS.
#[derive(Clone, Debug)]
pub struct Shaped {
    /// The whole DNS message.
    pub message: Bytes,
    /// Seconds for `cache-control: max-age` (RFC 8484, 5.1); none means `no-store`.
    pub max_age: Option<u32>,
    /// The response code in `message`.
    pub rcode: ResponseCode,
    /// The extended error in `message`, if any.
    pub extended_error: Option<ExtendedError>,
    /// Where it came from.
    pub origin: Origin,
    /// The security status.
    pub security: Security,
}
