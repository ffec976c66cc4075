//! What the tasks of one worker share: its identity, its clock, its counters, the caches, the
//! settings in force, and the buffers that one turn uses and leaves empty. Lives on one thread.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use weir_resolver::cache::Cache;
use weir_resolver::key::ConnectionId;
use weir_resolver::settings::Settings;

use crate::clock::Clock;
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
    pub settings: RefCell<Arc<Settings>>,
    /// Names that the cache has no say over.
    pub policy: RefCell<LocalNames>,
    /// Which streams are traced.
    pub sampler: RefCell<Sampler>,
    /// Where answers are written.
    pub scratch: RefCell<Scratch>,
    /// Where the query of a GET is decoded into; taken while it is used.
    pub query_buffer: Cell<Option<Box<QueryBuffer>>>,
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
        settings: Arc<Settings>,
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
            policy: RefCell::new(LocalNames::new(&settings)),
            settings: RefCell::new(settings),
            sampler: RefCell::new(sampler),
            scratch: RefCell::new(scratch),
            query_buffer: Cell::new(None),
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

    /// A number for a new connection, never used before in this process.
    pub fn next_connection(&self) -> ConnectionId {
        let counter = self.next_connection.get();
        self.next_connection.set(counter + 1);
        ConnectionId(u64::from(self.index) << COUNTER_BITS | counter)
    }
}

/// The apexes of the configured local zones: what is at or below one is for the mesh to answer.
#[derive(Debug, Default)]
pub struct LocalNames(HashSet<Box<[u8]>>);

impl LocalNames {
    /// The local zones of these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let zones = settings.resolution.local_zones.iter();
        Self(zones.map(|zone| zone.name.as_wire().into()).collect())
    }

    /// Whether a name in lower-case wire form is at or below one of them.
    #[must_use]
    pub fn concerns(&self, mut name: &[u8]) -> bool {
        if self.0.is_empty() {
            return false;
        }
        loop {
            if self.0.contains(name) {
                return true;
            }
            let Some((length, rest)) = name.split_first() else {
                return false;
            };
            let Some(parent) = rest.get(usize::from(*length)..) else {
                return false;
            };
            name = parent;
        }
    }
}

/// The worker that accepted a connection.
#[must_use]
pub fn worker_of(connection: ConnectionId) -> u16 {
    u16::try_from(connection.0 >> COUNTER_BITS).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use weir_resolver::name::Name;
    use weir_resolver::settings::{LocalZone, LocalZoneKind};

    use super::*;

    #[test]
    fn names_below_a_local_zone_are_found() {
        let mut settings = Settings::default();
        let name = |text: &str| Name::from_text(text).unwrap();
        assert!(!LocalNames::new(&settings).concerns(name("nas.home.arpa").as_wire()));
        let zone = LocalZone {
            name: name("home.arpa"),
            kind: LocalZoneKind::Static,
            records: Vec::new(),
        };
        settings.resolution.local_zones.push(zone);
        let names = LocalNames::new(&settings);
        for (text, expected) in [
            ("home.arpa", true),
            ("a.nas.home.arpa", true),
            ("arpa", false),
            ("xhome.arpa", false),
        ] {
            assert_eq!(names.concerns(name(text).as_wire()), expected, "{text}");
        }
    }
}
