//! The queries of one connection to another server, on the way to whoever carries them: a queue with
//! a bound, whose queries each get one outcome. Knows no transport.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use weir_resolver::fetch::FetchFailure;

/// How long a connection without queries is kept (RFC 7766, 6.2.3).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Queries open on one connection; beyond it another connection is opened.
const PIPELINED_MAX: usize = 64;

/// What becomes of a query.
pub type Outcome = Result<Bytes, FetchFailure>;

/// A query that waits for its outcome.
pub struct Pending {
    /// The message.
    pub query: Bytes,
    /// Where its outcome goes; closed when nobody waits any more.
    pub reply: oneshot::Sender<Outcome>,
}

#[derive(Default)]
struct State {
    queued: VecDeque<Pending>,
    /// Taken from the queue, and not ended yet.
    carried: usize,
    closed: bool,
    /// Whether any reply has come, so that a failure means that the server ended an idle connection.
    used: bool,
    waker: Option<Waker>,
}

/// The end of a connection that queries are put into.
#[derive(Clone, Default)]
pub struct Pipeline(Rc<RefCell<State>>);

impl Pipeline {
    /// Whether another query may be put here.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let state = self.0.borrow();
        !state.closed && state.queued.len() + state.carried < PIPELINED_MAX
    }

    /// Whether the connection has carried a reply before: it may then end under a query through no
    /// fault of the server, and the query may be put on a fresh one (RFC 7766, 6.2.4).
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.0.borrow().used
    }

    /// Puts a query; its outcome comes back through the receiver.
    pub fn put(&self, query: Bytes) -> oneshot::Receiver<Outcome> {
        let (reply, outcome) = oneshot::channel();
        let mut state = self.0.borrow_mut();
        state.queued.push_back(Pending { query, reply });
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        outcome
    }

    /// Takes the next query to carry, or has `context` woken when there is one.
    pub fn poll_take(&self, context: &Context<'_>) -> Poll<Pending> {
        let mut state = self.0.borrow_mut();
        if let Some(pending) = state.queued.pop_front() {
            state.carried += 1;
            return Poll::Ready(pending);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Waits for the next query to carry.
    pub async fn take(&self) -> Pending {
        poll_fn(|context| self.poll_take(context)).await
    }

    /// Ends the query that was taken with the reply to it.
    pub fn answer(&self, pending: Pending, reply: Bytes) {
        self.0.borrow_mut().used = true;
        self.end(pending, Ok(reply));
    }

    /// Ends a query that was taken.
    pub fn end(&self, pending: Pending, outcome: Outcome) {
        let mut state = self.0.borrow_mut();
        state.carried = state.carried.saturating_sub(1);
        drop(state);
        // The query may have been given up meanwhile.
        let _ = pending.reply.send(outcome);
    }

    /// Takes no more queries; those that it has go on.
    pub fn close(&self) {
        self.0.borrow_mut().closed = true;
    }

    /// Ends every query that is put here, or will be.
    pub fn fail(&self, failure: FetchFailure) {
        let mut state = self.0.borrow_mut();
        state.closed = true;
        for pending in state.queued.drain(..) {
            let _ = pending.reply.send(Err(failure));
        }
    }

    /// Closes it if nobody waits for a query of it any more; whether it did.
    pub fn close_if_idle(&self) -> bool {
        let mut state = self.0.borrow_mut();
        state.queued.retain(|pending| !pending.reply.is_closed());
        state.closed = state.queued.is_empty() && state.carried == 0;
        state.closed
    }
}
