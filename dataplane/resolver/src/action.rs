//! Everything that a mesh can ask for. Effects are data: performing one cannot re-enter the mesh.

use std::sync::Arc;

use crate::answer::{Answer, Shaped};
use crate::fetch::Fetch;
use crate::key::{FetchId, StreamKey};
use crate::name::Name;
use crate::trace::StateChange;

/// Why a stream gets no DNS answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// This client has too much running already: 429 with `Retry-After`.
    ClientLimit,
    /// The mesh is full, or drains: 503 with `Retry-After`.
    Full,
    /// A local zone or access control says that there is no answer (type `Deny`): 403.
    Denied,
}

impl Refusal {
    /// The label of metrics and traces.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::ClientLimit => "client_limit",
            Self::Full => "full",
            Self::Denied => "denied",
        }
    }
}

/// One thing to do, carrying all that doing it takes.
#[derive(Clone, Debug)]
pub enum Action {
    /// Answer this stream.
    Answer {
        /// The stream; it may be gone by now.
        stream: StreamKey,
        /// The answer, fitted to it.
        answer: Shaped,
    },
    /// Refuse this stream at the level of HTTP.
    Refuse {
        /// The stream.
        stream: StreamKey,
        /// Why.
        refusal: Refusal,
    },
    /// Send a query to a server.
    Fetch(Fetch),
    /// Nobody waits for this fetch any more.
    Cancel(FetchId),
    /// The answer to the DNSKEY question of `Event::Probe`, not validated: for `tracking::Tracking`.
    Probed {
        /// The zone.
        zone: Name,
        /// What its servers said; SERVFAIL when none could be asked.
        answer: Arc<Answer>,
    },
    /// Something that a trace records.
    Trace(StateChange),
    /// There is more to do: perform one turn of input and output, then send `Event::Resume`.
    Yield,
}
