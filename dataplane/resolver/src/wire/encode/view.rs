//! What is encoded, as borrowed views.
//!
//! Owns the forms in which one writer takes a query ([`Head`]), an RRset ([`RrsetView`]) and an answer ([`Body`]),
//! whether they lie in an answer of the mesh or in octets of the cache. Copies nothing and writes nothing.

use crate::answer::{ExtendedError, ResponseCode, Security};
use crate::question::{ClientEdns, Query};
use crate::rrset::{Class, RecordType, Rrset};

/// What of a query shapes its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) id: u16,
    /// QNAME as the client spelled it.
    pub(crate) spelling: &'a [u8],
    /// QNAME in lower case.
    pub(crate) name: &'a [u8],
    pub(crate) record_type: RecordType,
    pub(crate) class: Class,
    pub(crate) recursion_desired: bool,
    pub(crate) checking_disabled: bool,
    pub(crate) authentic_data: bool,
    pub(crate) edns: Option<ClientEdns>,
    pub(crate) size_limit: u16,
}

impl<'a> Head<'a> {
    /// A query of the mesh.
    pub(crate) fn of(query: &'a Query) -> Self {
        Self {
            id: query.id,
            spelling: &query.spelling,
            name: query.question.name.as_wire(),
            record_type: query.question.record_type,
            class: query.question.class,
            recursion_desired: query.recursion_desired,
            checking_disabled: query.checking_disabled,
            authentic_data: query.authentic_data,
            edns: query.edns,
            size_limit: query.size_limit,
        }
    }

    /// DO (RFC 3225).
    pub(crate) fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }
}

/// One RRset, wherever its octets are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RrsetView<'a> {
    pub(crate) owner: &'a [u8],
    pub(crate) record_type: RecordType,
    pub(crate) class: Class,
    pub(crate) ttl: u32,
    /// Record data in packed form.
    pub(crate) rdata: &'a [u8],
    /// Signatures in packed form.
    pub(crate) signatures: &'a [u8],
}

impl<'a> RrsetView<'a> {
    /// An RRset of the mesh.
    pub(crate) fn of(set: &'a Rrset) -> Self {
        Self {
            owner: set.owner.as_wire(),
            record_type: set.record_type,
            class: set.class,
            ttl: set.ttl,
            rdata: set.rdata.as_packed(),
            signatures: set.signatures.as_packed(),
        }
    }
}

/// What is answered, its sections as iterators.
pub(crate) struct Body<I> {
    pub(crate) rcode: ResponseCode,
    pub(crate) authoritative: bool,
    pub(crate) security: Security,
    pub(crate) extended_error: Option<ExtendedError>,
    /// Seconds for which the answer may be kept.
    pub(crate) ttl: u32,
    pub(crate) answer: I,
    pub(crate) authority: I,
    pub(crate) additional: I,
}
