//! What is asked, and what makes two questions one.
//!
//! Owns `Question`, `Query` (a question with its client's own wishes) and `QuestionKey`.

use std::net::IpAddr;

use crate::name::Name;
use crate::rrset::{Class, RecordType};

/// A question (RFC 1035, 4.1.2), its name in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// The name asked for (QNAME).
    pub name: Name,
    /// The type asked for (QTYPE).
    pub record_type: RecordType,
    /// The class asked for (QCLASS).
    pub class: Class,
}

/// Why a mesh state exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateKind {
    /// A client asked.
    Client,
    /// Another state needs the answer to go on, not validated: an address of a name server, a zone cut.
    Sub,
    /// Another state needs a DS or DNSKEY RRset, which it validates itself.
    Validation,
    /// The same once more, past the cache, because the RRset that came was bogus.
    Revalidation,
    /// The name servers of the root are being asked for (RFC 9609).
    Prime,
    /// A popular answer is renewed before it expires.
    Prefetch,
    /// A stale answer was served and is renewed behind (RFC 8767).
    Refresh,
    /// A server's agent is told of a failure (RFC 9567); the answer does not matter, but for the cache.
    Report,
    /// The keys of a trust anchor's zone are looked at (RFC 5011, 2.3). Who tracks them validates.
    Probe,
}

impl StateKind {
    /// Whether the answer is validated within the state itself.
    #[must_use]
    pub const fn validates(self) -> bool {
        matches!(self, Self::Client | Self::Prefetch | Self::Refresh)
    }
}

/// What makes two queries one mesh state.
///
/// Client lookups, sub-lookups and priming of one name are distinct, so that none can wait for itself.
/// `epoch` counts replaced settings: new clients never join a state that runs under old ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuestionKey {
    /// The question.
    pub question: Question,
    /// RD: whether recursion is desired.
    pub recursion_desired: bool,
    /// CD: whether the client validates itself (RFC 4035, 3.2.2).
    pub checking_disabled: bool,
    /// Priming lookups stand apart.
    pub priming: bool,
    /// Lookups on behalf of another state stand apart.
    pub sub: bool,
    /// The settings under which the state was made.
    pub epoch: u32,
}

/// The part of EDNS that a client's query can say (RFC 6891).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientEdns {
    /// The EDNS version; anything but 0 is answered BADVERS.
    pub version: u8,
    /// The largest UDP payload that the client takes, as sent.
    pub udp_payload_size: u16,
    /// DO: DNSSEC records are wanted (RFC 3225).
    pub dnssec_ok: bool,
    /// The query carried the padding option (RFC 7830), so the answer is padded (RFC 8467).
    pub padding: bool,
}

/// One client's query: the question as it spelled it, and what it wants of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The message identifier, echoed.
    pub id: u16,
    /// The question, its name in canonical form.
    pub question: Question,
    /// QNAME in wire form as this client spelled it; the answer repeats it.
    pub spelling: Box<[u8]>,
    /// RD.
    pub recursion_desired: bool,
    /// CD.
    pub checking_disabled: bool,
    /// AD in a query: the client understands the AD bit (RFC 6840, 5.7).
    pub authentic_data: bool,
    /// The OPT record, if there was one.
    pub edns: Option<ClientEdns>,
    /// The largest answer that the transport can carry, in octets; 65 535 for DoH.
    pub size_limit: u16,
    /// The address of the client, for access control; none for queries of the process itself.
    pub client: Option<IpAddr>,
}

impl Query {
    /// A query that asks for nothing but the answer: RD set, no EDNS, over a transport that carries every answer, in
    /// the spelling of its question.
    #[must_use]
    pub fn plain(id: u16, question: Question) -> Self {
        Self {
            id,
            spelling: question.name.as_wire().into(),
            question,
            recursion_desired: true,
            checking_disabled: false,
            authentic_data: false,
            edns: None,
            size_limit: u16::MAX,
            client: None,
        }
    }

    /// Whether the client wants DNSSEC records.
    #[must_use]
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }
}
