//! Everything that can happen to a mesh.

use std::sync::Arc;

use bytes::Bytes;

use crate::fetch::FetchFailure;
use crate::key::{ConnectionId, FetchId, Identity, StreamKey};
use crate::name::Name;
use crate::question::Query;
use crate::rules::Rules;
use crate::time::Instant;

/// Why a stream ended before its answer was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseCause {
    /// The client reset it (RST_STREAM), with this HTTP/2 error code.
    Reset(u32),
    /// Weir reset it, with this HTTP/2 error code.
    LocalReset(u32),
    /// Its connection ended.
    ConnectionLost,
    /// The answer could not be written in time, or at all.
    WriteFailed,
}

/// How short of memory the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// All is well.
    Normal,
    /// Optional work stops: prefetch, extra target lookups.
    High,
    /// No new states for clients.
    Critical,
}

/// One thing that happened. The only way into a mesh.
#[derive(Clone, Debug)]
pub enum Event {
    /// A connection whose streams may ask here was opened by this client.
    ConnectionOpened {
        /// The connection.
        connection: ConnectionId,
        /// Whose limits it counts against.
        identity: Identity,
    },
    /// A connection ended; every stream of it ends with it.
    ConnectionClosed {
        /// The connection.
        connection: ConnectionId,
    },
    /// A stream asks.
    Query {
        /// The stream.
        stream: StreamKey,
        /// What it asks.
        query: Query,
        /// Whether this stream is traced, and so the state that it makes.
        traced: bool,
    },
    /// A stream ended before its answer was written.
    StreamClosed {
        /// The stream.
        stream: StreamKey,
        /// Why.
        cause: CloseCause,
    },
    /// The answer of a stream has left: all of it was handed to the connection.
    AnswerWritten {
        /// The stream.
        stream: StreamKey,
    },
    /// A cached answer is close to its end and popular: renew it behind (RFC 8767, 6; prefetch).
    Prefetch {
        /// The query that hit it.
        query: Query,
    },
    /// The keys of a tracked trust anchor's zone are to be looked at; `Action::Probed` tells of them.
    Probe {
        /// The zone.
        zone: Name,
    },
    /// A server replied.
    Reply {
        /// Which fetch this ends.
        fetch: FetchId,
        /// The message, its identifier and question already matched.
        message: Bytes,
    },
    /// A fetch ended without a reply.
    FetchFailed {
        /// Which fetch this ends.
        fetch: FetchId,
        /// Why.
        failure: FetchFailure,
    },
    /// The deadline of `poll_timeout` has come.
    Timeout,
    /// The settings were replaced.
    Replace(Arc<Rules>),
    /// No new queries come; everything ends by this time.
    Drain {
        /// When what still waits is answered SERVFAIL.
        by: Instant,
    },
    /// Memory pressure changed.
    Pressure(Level),
    /// Go on after `Action::Yield`.
    Resume,
}
