//! How the tasks of one worker talk: connections and upstream exchanges put events into the
//! driver's `Inbox`, the driver puts completions into the `Outbox` of a connection. Both live on
//! one thread; putting wakes the reader once for however many are put before it runs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use weir_resolver::action::Refusal;
use weir_resolver::answer::Shaped;
use weir_resolver::event::{CloseCause, Event};
use weir_resolver::key::{ConnectionId, Identity, StreamKey};
use weir_resolver::question::Query;

/// What the driver is told.
#[derive(Debug)]
pub enum Note {
    /// A connection opened; completions for it go here.
    Opened {
        /// The connection.
        connection: ConnectionId,
        /// Whose limits it counts against.
        identity: Identity,
        /// Where its completions go.
        outbox: Rc<Outbox>,
    },
    /// A connection ended.
    Closed {
        /// The connection.
        connection: ConnectionId,
    },
    /// A stream asks what the cache does not know.
    Ask {
        /// The stream.
        stream: StreamKey,
        /// The client of this stream.
        identity: Identity,
        /// What it asks.
        query: Box<Query>,
        /// Whether the stream is traced.
        traced: bool,
    },
    /// A stream ended before its answer was written.
    StreamClosed {
        /// The stream.
        stream: StreamKey,
        /// Why.
        cause: CloseCause,
    },
    /// All of an answer was handed to the connection.
    Written {
        /// The stream.
        stream: StreamKey,
    },
    /// Something for the mesh as it is: a reply, a failure, new settings, a prefetch.
    Event(Event),
}

/// A queue with one reader.
#[derive(Debug, Default)]
pub struct Inbox {
    notes: RefCell<Vec<Note>>,
    waker: RefCell<Option<Waker>>,
}

impl Inbox {
    /// Puts a note and wakes the driver if it is the first since it looked.
    pub fn put(&self, note: Note) {
        let first = {
            let mut notes = self.notes.borrow_mut();
            notes.push(note);
            notes.len() == 1
        };
        if first {
            self.wake();
        }
    }

    /// Wakes the driver.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Takes everything into `batch`, which must be empty, and remembers whom to wake.
    pub fn take(&self, context: &Context<'_>, batch: &mut Vec<Note>) {
        remember(&self.waker, context);
        std::mem::swap(&mut *self.notes.borrow_mut(), batch);
    }
}

/// What a connection is told.
#[derive(Debug)]
pub enum Completion {
    /// Answer this stream.
    Answer {
        /// The stream's number within the connection.
        stream: u32,
        /// The answer.
        answer: Shaped,
        /// The worker that resolved it.
        owner: u16,
    },
    /// Refuse this stream at the level of HTTP.
    Refuse {
        /// The stream's number within the connection.
        stream: u32,
        /// Why.
        refusal: Refusal,
    },
    /// The mesh of this worker was lost: what waits for it is to be answered SERVFAIL.
    Lost {
        /// Which worker.
        owner: u16,
    },
}

/// How far a connection is to end.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Ending {
    /// It goes on.
    #[default]
    None,
    /// GOAWAY in two steps: open streams finish (RFC 9113, 6.8).
    Graceful,
    /// Now, whatever is open.
    Abrupt,
}

/// The completions of one connection.
#[derive(Debug, Default)]
pub struct Outbox {
    completions: RefCell<Vec<Completion>>,
    ending: Cell<Ending>,
    waker: RefCell<Option<Waker>>,
}

impl Outbox {
    /// Puts a completion and wakes the connection if it is the first since it looked.
    pub fn put(&self, completion: Completion) {
        let first = {
            let mut completions = self.completions.borrow_mut();
            completions.push(completion);
            completions.len() == 1
        };
        if first {
            self.wake();
        }
    }

    /// Asks the connection to end; a stronger wish replaces a weaker one.
    pub fn end(&self, ending: Ending) {
        if ending > self.ending.get() {
            self.ending.set(ending);
            self.wake();
        }
    }

    /// How far the connection is to end.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.ending.get()
    }

    /// Takes everything into `batch`, which must be empty, and remembers whom to wake.
    pub fn take(&self, context: &Context<'_>, batch: &mut Vec<Completion>) {
        remember(&self.waker, context);
        let mut completions = self.completions.borrow_mut();
        if !completions.is_empty() {
            std::mem::swap(&mut *completions, batch);
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

fn remember(place: &RefCell<Option<Waker>>, context: &Context<'_>) {
    let mut place = place.borrow_mut();
    match place.as_mut() {
        // Clones only when the task moved.
        Some(known) => known.clone_from(context.waker()),
        None => *place = Some(context.waker().clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use super::*;

    struct Counter(AtomicU32);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn many_notes_wake_once() {
        let counter = Arc::new(Counter(AtomicU32::new(0)));
        let waker = Waker::from(Arc::clone(&counter));
        let context = Context::from_waker(&waker);
        let (inbox, mut batch) = (Inbox::default(), Vec::new());
        inbox.take(&context, &mut batch);
        for _ in 0..10 {
            inbox.put(Note::Event(Event::Timeout));
        }
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        inbox.take(&context, &mut batch);
        assert_eq!(batch.len(), 10);
        batch.clear();
        inbox.put(Note::Event(Event::Timeout));
        assert_eq!(counter.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn an_ending_only_grows() {
        let outbox = Outbox::default();
        outbox.end(Ending::Abrupt);
        outbox.end(Ending::Graceful);
        assert_eq!(outbox.ending(), Ending::Abrupt);
    }
}
