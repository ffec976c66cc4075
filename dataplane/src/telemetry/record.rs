//! What a worker hands to the trace book: finished streams and changes of mesh states, as data.
//! A worker builds no span and waits for nothing: when the way is full, records are dropped and
//! counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use weir_resolver::answer::{ExtendedError, Origin, ResponseCode};
use weir_resolver::key::StreamKey;
use weir_resolver::name::Name;
use weir_resolver::time::Instant;
use weir_resolver::trace::StateChange;

use super::metric::Metrics;
use super::sample::TraceParent;

/// How a stream ended; each has exactly one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disposition {
    /// Its response was handed to the connection whole.
    Answered,
    /// Weir reset it, with this HTTP/2 error code.
    Reset(u32),
    /// Its client reset it, with this HTTP/2 error code.
    PeerCancelled(u32),
    /// Its connection ended.
    ConnectionLost,
}

impl Disposition {
    /// Its place in `metric::DISPOSITIONS`.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Answered => 0,
            Self::Reset(_) => 1,
            Self::PeerCancelled(_) => 2,
            Self::ConnectionLost => 3,
        }
    }
}

/// One stream that ended.
#[derive(Clone, Debug)]
pub struct StreamRecord {
    /// The stream.
    pub stream: StreamKey,
    /// When its head arrived.
    pub started: Instant,
    /// When it ended.
    pub ended: Instant,
    /// The place of its method in `metric::METHODS`.
    pub method: usize,
    /// The path of its endpoint.
    pub path: Arc<str>,
    /// The peer of its connection.
    pub peer: SocketAddr,
    /// The HTTP status, if it was answered.
    pub status: Option<u16>,
    /// The question, if it was read.
    pub question: Option<(Name, u16)>,
    /// The response code, if it got a DNS answer.
    pub rcode: Option<ResponseCode>,
    /// The extended error of the answer.
    pub extended_error: Option<ExtendedError>,
    /// Where the answer came from.
    pub origin: Option<Origin>,
    /// How it ended.
    pub disposition: Disposition,
    /// The trace that it came with.
    pub parent: Option<TraceParent>,
    /// Whether a mesh was asked, so that a state may have known it.
    pub resolved: bool,
    /// Whether it is kept; the states that it waited for are kept with it.
    pub keep: bool,
}

/// One push that was taken or refused, when the operator traces it.
#[derive(Clone, Debug)]
pub struct ApplyRecord {
    /// The span of the operator that it continues.
    pub parent: TraceParent,
    /// When it came.
    pub started: Instant,
    /// When it was live, or refused.
    pub ended: Instant,
    /// The revision of the document.
    pub revision: String,
    /// The wrong field and what to change, when it was refused.
    pub refused: Option<(String, String)>,
}

/// One record.
#[derive(Debug)]
pub enum Record {
    /// A push came to an end.
    Apply(Box<ApplyRecord>),
    /// A stream ended.
    Stream(Box<StreamRecord>),
    /// A mesh state of this worker changed.
    State {
        /// The worker whose mesh it is in.
        worker: u16,
        /// What changed.
        change: StateChange,
    },
}

/// Records on their way to the book.
pub const RECORDS_MAX: usize = 65_536;

/// A worker's way to the trace book; to nowhere when traces are off.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    way: Option<(mpsc::Sender<Record>, Arc<Metrics>)>,
}

/// The way of those who must not keep the book open: it is gone when the workers are.
#[derive(Clone, Debug)]
pub struct LateRecorder {
    way: mpsc::WeakSender<Record>,
    metrics: Arc<Metrics>,
}

impl LateRecorder {
    /// A way beside that of the workers.
    #[must_use]
    pub fn new(sender: &mpsc::Sender<Record>, metrics: Arc<Metrics>) -> Self {
        Self {
            way: sender.downgrade(),
            metrics,
        }
    }

    /// Hands a record over, or drops and counts it.
    pub fn record(&self, record: Record) {
        if let Some(sender) = self.way.upgrade() {
            Recorder::new(sender, Arc::clone(&self.metrics)).record(record);
        }
    }
}

impl Recorder {
    /// A way to a book that reads from `sender`'s channel.
    #[must_use]
    pub fn new(sender: mpsc::Sender<Record>, metrics: Arc<Metrics>) -> Self {
        Self {
            way: Some((sender, metrics)),
        }
    }

    /// Hands a record over, or drops and counts it.
    pub fn record(&self, record: Record) {
        if let Some((sender, metrics)) = &self.way
            && sender.try_send(record).is_err()
        {
            metrics.spans_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
