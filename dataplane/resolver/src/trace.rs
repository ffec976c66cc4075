//! What a trace records of the mesh, as data. No tracing crate is seen here.

use std::net::SocketAddr;
use std::time::Duration;

use crate::answer::{ResponseCode, Security};
use crate::event::CloseCause;
use crate::fetch::{FetchFailure, Transport};
use crate::key::{FetchId, StateId, StreamKey};
use crate::name::Name;
use crate::question::{Question, StateKind};
use crate::time::Instant;

/// How a fetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchEnd {
    /// A reply with this code; truncated or not.
    Replied {
        /// Its response code, 0 when it could not be read.
        rcode: ResponseCode,
        /// TC.
        truncated: bool,
    },
    /// No reply.
    Failed(FetchFailure),
    /// Nobody waited any more.
    Cancelled,
}

/// How a state ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateEnd {
    /// It came to an answer.
    Answered,
    /// It made room for others when the mesh was full.
    Jostled,
    /// Its last waiter left and the result was not worth waiting for.
    Cancelled,
    /// Its time was up.
    Expired,
    /// The mesh drained.
    Drained,
    /// An invariant did not hold; what waited got SERVFAIL.
    Fenced,
}

/// One change in the life of a state that is traced. `at` is when it happened.
#[derive(Clone, Debug)]
pub struct StateChange {
    /// The state.
    pub state: StateId,
    /// When.
    pub at: Instant,
    /// What.
    pub what: Change,
}

/// What the validation of one state came to and what it cost (RFC 4035, 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validation {
    /// The verdict.
    pub security: Security,
    /// When it began.
    pub since: Instant,
    /// Signatures that were verified.
    pub signatures: u16,
    /// NSEC3 hashes that were made.
    pub hashes: u16,
    /// Who signed the first RRset of the answer that is signed.
    pub signer: Option<Signer>,
}

/// Who signed an RRset, as its RRSIG says (RFC 4034, 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The zone.
    pub zone: Name,
    /// The number of the algorithm.
    pub algorithm: u8,
    /// The key tag.
    pub key_tag: u16,
}

/// What changed.
#[derive(Clone, Debug)]
pub enum Change {
    /// The state was made.
    Created {
        /// What it resolves.
        question: Question,
        /// Why it exists.
        kind: StateKind,
        /// The state that first needed it.
        parent: Option<StateId>,
    },
    /// A stream waits for it.
    Attached {
        /// The stream.
        stream: StreamKey,
        /// Whether it was there before this stream asked.
        joined: bool,
    },
    /// A stream waits no more: answered when there is no cause.
    Detached {
        /// The stream.
        stream: StreamKey,
        /// Why it left early, if it did.
        cause: Option<CloseCause>,
    },
    /// Another state is needed first.
    Needs {
        /// That state.
        sub: StateId,
    },
    /// It went on to another stage, named as in the stage table.
    Stage(&'static str),
    /// A query was sent.
    FetchSent {
        /// Which.
        fetch: FetchId,
        /// To whom.
        server: SocketAddr,
        /// Over what.
        transport: Transport,
        /// As an authority for what.
        zone: Name,
        /// Asking what.
        question: Question,
        /// The how-many-th query of this state, from 1.
        attempt: u16,
    },
    /// A fetch ended.
    FetchEnded {
        /// Which.
        fetch: FetchId,
        /// How.
        end: FetchEnd,
        /// After how long.
        round_trip: Duration,
    },
    /// Validation came to a verdict.
    Validated(Box<Validation>),
    /// Its waiters were answered from expired data and it goes on behind (RFC 8767).
    StaleServed,
    /// Its last waiter left and it goes on for the cache.
    Orphaned,
    /// A limit stopped it, named as in `Limits`.
    LimitReached(&'static str),
    /// It ended.
    Ended {
        /// How.
        end: StateEnd,
        /// With which code.
        rcode: ResponseCode,
        /// The most waiters that it had at once.
        waiters_most: u32,
        /// Queries sent.
        fetches: u16,
    },
}
