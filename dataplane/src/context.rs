//! What the tasks of one worker share: its identity, its clock, its counters, the caches, the
//! settings in force, and the buffers that one turn uses and leaves empty. Lives on one thread.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use weir_resolver::access;
use weir_resolver::cache::Cache;
use weir_resolver::key::ConnectionId;
use weir_resolver::rules::Rules;
use weir_resolver::settings::AccessAction;
use weir_resolver::time::Now;

use crate::clock::Clock;
use crate::doh::pace::Pace;
use crate::doh::request::{QUERY_MAX, QueryBuffer};
use crate::doh::response::Freshness;
use crate::mailbox::Inbox;
use crate::route::Routes;
use crate::telemetry::metric::WorkerMetrics;
use crate::telemetry::record::Recorder;
use crate::telemetry::sample::Sampler;

/// How much room for answers a worker makes at once.
const ANSWERS_ROOM: usize = 64 * 1024;
/// Bits of a connection's number that count connections; those above name the worker.
const COUNTER_BITS: u32 = 48;

/// What the tasks of one worker share.
pub struct WorkerContext {
    /// Which worker this is, from 0.
    pub index: u16,
    /// The clock of the process.
    pub clock: Clock,
    /// The driver's inbox.
    pub inbox: Rc<Inbox>,
    /// The ways to the other workers.
    pub routes: Arc<Routes>,
    /// The counters of this worker.
    pub metrics: Arc<WorkerMetrics>,
    /// The caches of the process.
    pub cache: Arc<Cache>,
    /// The settings in force.
    pub settings: RefCell<Arc<Rules>>,
    /// Which streams are traced.
    pub sampler: RefCell<Sampler>,
    /// Where answers are written.
    pub scratch: RefCell<Scratch>,
    /// Where the query of a GET is decoded into; taken while it is used.
    pub query_buffer: Cell<Option<Box<QueryBuffer>>>,
    /// When the turn that runs began: a turn is short, so its lookups need no clock of their own.
    pub turn: Cell<Now>,
    /// The client that was last looked up in the access rules: a turn asks for one over and over.
    access: Cell<Option<(IpAddr, AccessAction)>>,
    /// How many answers that were waited for each client got just now.
    pub pace: RefCell<Pace>,
    /// The way to the trace book.
    pub recorder: Recorder,
    /// Octets of queries being received.
    pub query_bytes: Cell<u64>,
    /// Octets of answers that their clients have not made room for.
    pub response_bytes: Cell<u64>,
    next_connection: Cell<u64>,
}

/// What answers are written with.
pub struct Scratch {
    /// Where answers are written, and split off as they are whole.
    pub answers: BytesMut,
    /// `cache-control` values in use.
    pub freshness: Freshness,
}

impl Scratch {
    /// Makes sure that one more answer has room without growing.
    pub fn make_room(&mut self) {
        if self.answers.capacity() < ANSWERS_ROOM / 16 {
            self.answers = BytesMut::with_capacity(ANSWERS_ROOM);
        }
    }
}

impl WorkerContext {
    /// The shared part of a worker that begins with `settings`.
    #[must_use]
    #[allow(
        clippy::too_many_arguments,
        reason = "called once; each part has its own type"
    )]
    pub fn new(
        index: u16,
        clock: Clock,
        routes: Arc<Routes>,
        metrics: Arc<WorkerMetrics>,
        cache: Arc<Cache>,
        settings: Arc<Rules>,
        sampler: Sampler,
        recorder: Recorder,
    ) -> Rc<Self> {
        let scratch = Scratch {
            answers: BytesMut::with_capacity(ANSWERS_ROOM),
            freshness: Freshness::default(),
        };
        Rc::new(Self {
            index,
            clock,
            inbox: Rc::default(),
            routes,
            metrics,
            cache,
            settings: RefCell::new(settings),
            sampler: RefCell::new(sampler),
            scratch: RefCell::new(scratch),
            query_buffer: Cell::new(None),
            turn: Cell::new(clock.now()),
            access: Cell::new(None),
            pace: RefCell::new(Pace::new(Instant::now())),
            recorder,
            query_bytes: Cell::new(0),
            response_bytes: Cell::new(0),
            next_connection: Cell::new(0),
        })
    }

    /// The buffer that queries are decoded into; give it back with `query_buffer.set`.
    pub fn take_query_buffer(&self) -> Box<QueryBuffer> {
        self.query_buffer
            .take()
            .unwrap_or_else(|| Box::new([0; QUERY_MAX]))
    }

    /// Goes by other settings from now on.
    pub fn replace_settings(&self, settings: Arc<Rules>) {
        *self.settings.borrow_mut() = settings;
        self.access.set(None);
    }

    /// What the access rules in force say of a client.
    pub fn access(&self, client: IpAddr) -> AccessAction {
        if let Some((known, action)) = self.access.get()
            && known == client
        {
            return action;
        }
        let action = access::action(&self.settings.borrow().access_control, client);
        self.access.set(Some((client, action)));
        action
    }

    /// A number for a new connection, never used before in this process.
    pub fn next_connection(&self) -> ConnectionId {
        let counter = self.next_connection.get();
        self.next_connection.set(counter + 1);
        ConnectionId(u64::from(self.index) << COUNTER_BITS | counter)
    }
}

/// The worker that accepted a connection.
#[must_use]
pub fn worker_of(connection: ConnectionId) -> u16 {
    u16::try_from(connection.0 >> COUNTER_BITS).unwrap_or(u16::MAX)
}
