//! A mesh on the bench: events go in by hand, and all that comes out is kept.
//!
//! Checks every invariant after every event. Opens no socket and has a clock of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir_resolver::action::{Action, Refusal};
use weir_resolver::answer::{Answer, ResponseCode, Security, Shaped};
use weir_resolver::cache::Cache;
use weir_resolver::event::{CloseCause, Event};
use weir_resolver::fetch::Fetch;
use weir_resolver::infra::Infra;
use weir_resolver::key::{ConnectionId, FetchId, Identity, StreamKey};
use weir_resolver::mesh::Mesh;
use weir_resolver::random::Random;
use weir_resolver::rrset::{RdataList, RecordType, Rrset};
use weir_resolver::rules::Rules;
use weir_resolver::settings::Settings;
use weir_resolver::time::{Instant, Now, UnixTime};

use crate::script::{Script, query, question};

/// A mesh with everything that came out of it; checks every invariant after every event.
pub(crate) struct Bench {
    pub(crate) cache: Arc<Cache>,
    pub(crate) mesh: Mesh<Script>,
    pub(crate) now: Now,
    pub(crate) answers: BTreeMap<StreamKey, Vec<Shaped>>,
    pub(crate) refusals: BTreeMap<StreamKey, Refusal>,
    pub(crate) open: BTreeMap<FetchId, Fetch>,
    pub(crate) cancelled: usize,
    pub(crate) yields: usize,
}

impl Bench {
    pub(crate) fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        settings.mesh.states_max = 8;
        settings.mesh.waiting_replies_max = 64;
        change(&mut settings);
        let cache = Arc::new(Cache::default());
        Self {
            mesh: Mesh::with_program(
                Arc::new(Rules::new(settings)),
                Arc::clone(&cache),
                Arc::new(Infra::default()),
                Random::from_seed([1, 2]),
            ),
            cache,
            now: Now {
                instant: Instant::from_nanoseconds(1),
                unix: UnixTime(1_800_000_000),
            },
            answers: BTreeMap::new(),
            refusals: BTreeMap::new(),
            open: BTreeMap::new(),
            cancelled: 0,
            yields: 0,
        }
    }

    pub(crate) fn handle(&mut self, event: Event) {
        self.mesh.handle(self.now, event);
        while let Some(action) = self.mesh.poll_action() {
            match action {
                Action::Answer { stream, answer } => {
                    self.answers.entry(stream).or_default().push(answer);
                }
                Action::Refuse { stream, refusal } => {
                    assert!(self.refusals.insert(stream, refusal).is_none());
                }
                Action::Fetch(fetch) => {
                    assert!(self.open.insert(fetch.fetch, fetch).is_none());
                }
                Action::Cancel(fetch) => {
                    self.cancelled += 1;
                    self.open.remove(&fetch);
                }
                Action::Probed { .. } | Action::Trace(_) => {}
                Action::Yield => self.yields += 1,
            }
        }
        self.mesh.check().unwrap();
    }

    pub(crate) fn open(&mut self, connection: u64) {
        self.handle(Event::ConnectionOpened {
            connection: ConnectionId(connection),
            identity: Identity(u128::from(connection)),
        });
    }

    pub(crate) fn ask(&mut self, connection: u64, stream: u32, name: &str) -> StreamKey {
        let key = StreamKey {
            connection: ConnectionId(connection),
            stream,
        };
        let query = query((connection as u16) << 8 | stream as u16, name);
        self.handle(Event::Query {
            stream: key,
            query,
            traced: true,
        });
        key
    }

    /// Puts an answer with one address into the cache that expires in a second, and lets it expire.
    pub(crate) fn keep_and_expire(&mut self, name: &str) {
        let question = question(name);
        let rdata = RdataList::new([&[192, 0, 2, 1][..]]);
        let set = Rrset::unsigned(question.name.clone(), RecordType::A, 1, rdata);
        let answer = Answer::data(vec![Arc::new(set)], Security::Insecure);
        let settings = Arc::clone(self.mesh.settings());
        self.cache.store(self.now, &settings, &question, &answer);
        self.later(5000);
    }

    pub(crate) fn reset(&mut self, stream: StreamKey) {
        self.handle(Event::StreamClosed {
            stream,
            cause: CloseCause::Reset(8),
        });
    }

    pub(crate) fn close(&mut self, connection: u64) {
        self.handle(Event::ConnectionClosed {
            connection: ConnectionId(connection),
        });
    }

    pub(crate) fn reply(&mut self) -> FetchId {
        let (&fetch, open) = self.open.iter().next().unwrap();
        let message = open.message.clone();
        self.open.remove(&fetch);
        self.handle(Event::Reply { fetch, message });
        fetch
    }

    pub(crate) fn written(&mut self, stream: StreamKey) {
        self.handle(Event::AnswerWritten { stream });
    }

    pub(crate) fn later(&mut self, milliseconds: u64) {
        self.now.instant = self.now.instant.after(Duration::from_millis(milliseconds));
        for _ in 0..64 {
            match self.mesh.poll_timeout() {
                Some((at, _)) if at <= self.now.instant => self.handle(Event::Timeout),
                _ => return,
            }
        }
        panic!("the mesh wants to be woken for ever");
    }

    pub(crate) fn answered(&self, stream: StreamKey) -> ResponseCode {
        let answers = self.answers.get(&stream).map_or(&[][..], |answers| answers);
        assert_eq!(answers.len(), 1, "{stream:?} got {answers:?}");
        let id = (stream.connection.0 as u16) << 8 | stream.stream as u16;
        assert_eq!(answers[0].message[..2], id.to_be_bytes());
        answers[0].rcode
    }

    /// Ends the test: all connections close, and nothing may be left.
    pub(crate) fn end(mut self) {
        for connection in 0..8 {
            self.close(connection);
        }
        self.handle(Event::Drain {
            by: self.now.instant,
        });
        self.later(0);
        assert!(self.mesh.is_quiescent(), "{:?}", self.mesh.gauges());
        assert!(self.open.is_empty(), "fetches were left open");
    }
}

/// Fills the mesh with slow questions of connection 7: four that run to their end, four that may yield.
pub(crate) fn fill(bench: &mut Bench) -> Vec<StreamKey> {
    bench.open(7);
    (0..8)
        .map(|i| bench.ask(7, 2 * i + 1, &format!("ask.fill{i}")))
        .collect()
}
