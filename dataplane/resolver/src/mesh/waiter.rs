//! Who waits: connections, streams, waiters, deliveries, and what each client has running.
//!
//! Owns the records and `Settled`, the proof that a waiter was taken out of the mesh: only one of
//! those can become an answer, and removal from the arena gives at most one (invariant B1). Never
//! holds anything of HTTP/2 but the key of a stream.

use std::sync::Arc;

use crate::answer::{Answer, Origin};
use crate::event::CloseCause;
use crate::key::{ConnectionId, Id, Identity, StateId, StreamKey};
use crate::mesh::list::{Link, List};
use crate::question::Query;
use crate::rules::Rules;
use crate::time::Instant;

/// Marks handles of streams.
#[derive(Debug)]
pub(crate) enum StreamKind {}
/// Marks handles of waiters.
#[derive(Debug)]
pub(crate) enum WaiterKind {}
/// Marks handles of deliveries.
#[derive(Debug)]
pub(crate) enum DeliveryKind {}

/// One open connection.
#[derive(Debug)]
pub(crate) struct ConnectionRecord {
    pub(crate) identity: Identity,
    pub(crate) streams: List<StreamKind>,
    /// Those of its streams that wait.
    pub(crate) waiting: u32,
}

/// What one client has running.
#[derive(Debug, Default)]
pub(crate) struct IdentityRecord {
    pub(crate) connections: u32,
    pub(crate) waiting: u32,
    /// Orphans that its cancelled streams left behind.
    pub(crate) debts: u32,
}

impl IdentityRecord {
    /// Whether nothing of the client is left.
    pub(crate) const fn is_idle(&self) -> bool {
        self.connections == 0 && self.waiting == 0 && self.debts == 0
    }
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamPhase {
    /// It waits.
    Waiting(Id<WaiterKind>),
    /// Its answer was given to the driver and has not left yet.
    Answering,
}

/// One stream that asked and was admitted.
#[derive(Debug)]
pub(crate) struct StreamRecord {
    pub(crate) key: StreamKey,
    pub(crate) in_connection: Link<StreamKind>,
    pub(crate) phase: StreamPhase,
}

/// What a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// A state.
    State(StateId),
    /// Its turn: the answer is there.
    Delivery(Id<DeliveryKind>),
}

/// The unit of a client's allowance that a waiter holds: taken at admission, given back by `settle`.
#[derive(Debug)]
pub(crate) struct Permit {
    pub(crate) identity: Identity,
    pub(crate) connection: ConnectionId,
}

/// One stream that waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) stream: Id<StreamKind>,
    pub(crate) home: Home,
    pub(crate) in_home: Link<WaiterKind>,
    pub(crate) query: Query,
    /// Aliases of local zones that its answer begins with.
    pub(crate) aliases: Option<Box<Answer>>,
    pub(crate) since: Instant,
    pub(crate) joined: bool,
    /// Whether its coming was recorded, so that its leaving is.
    pub(crate) traced: bool,
    pub(crate) permit: Permit,
}

/// An answer whose waiters are more than one step may settle.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) waiters: List<WaiterKind>,
    pub(crate) answer: Arc<Answer>,
    pub(crate) settings: Arc<Rules>,
    pub(crate) origin: Option<Origin>,
    pub(crate) in_deliveries: Link<DeliveryKind>,
}

/// How the wait of a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// By an answer.
    Answered,
    /// The stream ended first.
    Closed(CloseCause),
}

/// The proof that a waiter is out of the mesh. Not `Clone`, and made by `settle` alone.
#[must_use = "a settled waiter is owed its answer"]
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) stream: StreamKey,
    pub(crate) query: Query,
    pub(crate) aliases: Option<Box<Answer>>,
    pub(crate) joined: bool,
    pub(crate) home: Home,
    pub(crate) identity: Identity,
}
