//! How workers share work: a question belongs to one worker, whichever worker's client asked it,
//! so that one question asked everywhere is resolved once. Messages go by value; streams are named
//! by keys that are unique in the process. This file is all that crosses threads.
//!
//! A full way is no reason to wait or to drop: the worker that was asked resolves the question
//! itself, and only the sharing is lost.

use std::hash::Hasher as _;
use std::sync::PoisonError;
use std::task::{Context, Waker};

use siphasher::sip::SipHasher13;
use weir_resolver::action::Refusal;
use weir_resolver::answer::Shaped;
use weir_resolver::event::CloseCause;
use weir_resolver::key::{ConnectionId, Identity, StreamKey};
use weir_resolver::question::{Query, Question};

use crate::sync::Mutex;

/// Questions on their way to one worker; answers and ends always find room, because there are no
/// more of them than there were questions.
pub const ASKS_MAX: usize = 1024;

/// What one worker tells another.
#[derive(Debug)]
pub enum RouteMessage {
    /// A stream of the sender asks a question that belongs to the receiver.
    Ask {
        /// The stream.
        stream: StreamKey,
        /// Its client.
        identity: Identity,
        /// What it asks.
        query: Box<Query>,
        /// Whether the stream is traced.
        traced: bool,
    },
    /// A stream that asked has ended before its answer was written.
    StreamClosed {
        /// The stream.
        stream: StreamKey,
        /// Why.
        cause: CloseCause,
    },
    /// The answer of a stream was handed to its connection.
    Written {
        /// The stream.
        stream: StreamKey,
    },
    /// A connection whose streams asked has ended.
    Closed {
        /// The connection.
        connection: ConnectionId,
    },
    /// The answer for a stream of the receiver.
    Answer {
        /// The stream.
        stream: StreamKey,
        /// The answer.
        answer: Shaped,
        /// The worker that resolved it.
        owner: u16,
    },
    /// A stream of the receiver gets no DNS answer.
    Refuse {
        /// The stream.
        stream: StreamKey,
        /// Why.
        refusal: Refusal,
    },
    /// The mesh of this worker was lost with everything that waited for it.
    Lost {
        /// Which worker.
        owner: u16,
    },
}

#[derive(Default)]
struct Lane {
    messages: Vec<RouteMessage>,
    asks: usize,
    waker: Option<Waker>,
}

/// The ways between all workers.
pub struct Routes {
    lanes: Vec<Mutex<Lane>>,
    key: [u64; 2],
}

impl Routes {
    /// Ways between `workers` workers; `key` is secret, so that nobody can choose the worker that
    /// a name burdens.
    #[must_use]
    pub fn new(workers: u16, key: [u64; 2]) -> Self {
        Self {
            lanes: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            key,
        }
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> u16 {
        u16::try_from(self.lanes.len()).unwrap_or(u16::MAX)
    }

    /// The worker that a question belongs to.
    #[must_use]
    pub fn owner(&self, question: &Question) -> u16 {
        if self.lanes.len() == 1 {
            return 0;
        }
        let mut hasher = SipHasher13::new_with_keys(self.key[0], self.key[1]);
        hasher.write(question.name.as_wire());
        hasher.write_u16(question.record_type.0);
        hasher.write_u16(question.class.0);
        u16::try_from(hasher.finish() % u64::from(self.workers())).unwrap_or_default()
    }

    /// Sends a question to the worker that it belongs to.
    ///
    /// # Errors
    /// Gives the message back when the way is full.
    pub fn ask(&self, to: u16, message: RouteMessage) -> Result<(), RouteMessage> {
        let Some(lane) = self.lanes.get(usize::from(to)) else {
            return Err(message);
        };
        let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
        if lane.asks >= ASKS_MAX {
            return Err(message);
        }
        lane.asks += 1;
        lane.put(message);
        Ok(())
    }

    /// Sends what always finds room.
    pub fn send(&self, to: u16, message: RouteMessage) {
        if let Some(lane) = self.lanes.get(usize::from(to)) {
            lane.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .put(message);
        }
    }

    /// Takes everything that came for `worker` into `batch`, which must be empty, and remembers
    /// whom to wake.
    pub fn take(&self, worker: u16, context: &Context<'_>, batch: &mut Vec<RouteMessage>) {
        if let Some(lane) = self.lanes.get(usize::from(worker)) {
            let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
            match lane.waker.as_mut() {
                Some(known) => known.clone_from(context.waker()),
                None => lane.waker = Some(context.waker().clone()),
            }
            lane.asks = 0;
            std::mem::swap(&mut lane.messages, batch);
        }
    }
}

impl Lane {
    fn put(&mut self, message: RouteMessage) {
        self.messages.push(message);
        if self.messages.len() == 1
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }
}
