//! What fuzzing runs: the readers of foreign octets, and the mesh under any order of events.
//!
//! `tests/fuzz` feeds these with libFuzzer, `tests/tests/in_memory/fuzz_corpus.rs` with the committed corpus and
//! mutations of it. A finding is a panic. Depends on nothing but the core and its oracle, so that it builds in both places.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hickory_proto::op::Message;
use hickory_proto::serialize::binary::BinEncodable as _;
use weir_resolver::action::Action;
use weir_resolver::cache::Cache;
use weir_resolver::event::{CloseCause, Event, Level};
use weir_resolver::fetch::FetchFailure;
use weir_resolver::infra::Infra;
use weir_resolver::key::{ConnectionId, FetchId, Identity, StreamKey};
use weir_resolver::limits::Limits;
use weir_resolver::mesh::Mesh;
use weir_resolver::name::{NAME_MAX, Name};
use weir_resolver::question::{ClientEdns, Query, Question};
use weir_resolver::random::Random;
use weir_resolver::resolution::Resolution;
use weir_resolver::rrset::{Class, RecordType};
use weir_resolver::rules::Rules;
use weir_resolver::settings::{Hint, Settings};
use weir_resolver::time::{Instant, Now, UnixTime};
use weir_resolver::wire::{parse_query, parse_reply};

/// Reads octets as a reply, and holds what it reads against `hickory-proto`.
///
/// # Panics
/// When the two disagree on what the message says.
pub fn upstream_reply(input: &[u8]) {
    let Ok(reply) = parse_reply(input, &Limits::DEFAULT) else {
        return;
    };
    let Ok(oracle) = Message::from_vec(input) else {
        return;
    };
    assert_eq!(reply.id, oracle.metadata.id);
    assert_eq!(reply.truncated, oracle.metadata.truncation);
    if let (Some(question), [asked]) = (&reply.question, oracle.queries.as_slice()) {
        assert_eq!(question.record_type.0, u16::from(asked.query_type()));
        let name = asked.name().to_lowercase().to_bytes().unwrap_or_default();
        assert_eq!(question.name.as_wire(), name);
    }
    let records: usize = reply
        .answer
        .iter()
        .map(|set| set.rdata.len() + set.signatures.len())
        .sum();
    assert!(
        records <= oracle.answers.len(),
        "{records} records of {}",
        oracle.answers.len()
    );
}

/// Reads octets as a client's query, and holds what it reads against `hickory-proto`.
///
/// # Panics
/// When the two disagree on what is asked.
pub fn doh_query(input: &[u8]) {
    let mut name = [0; NAME_MAX];
    let Ok(view) = parse_query(input, &mut name) else {
        return;
    };
    assert!(view.name.eq_ignore_ascii_case(view.spelling));
    let query = view.to_query(None, u16::MAX);
    assert_eq!(query.question.name.as_wire(), view.name);
    let Ok(oracle) = Message::from_vec(input) else {
        return;
    };
    let [asked] = oracle.queries.as_slice() else {
        panic!("one question was read of {}", oracle.queries.len())
    };
    assert_eq!(query.question.record_type.0, u16::from(asked.query_type()));
    assert_eq!(
        query.dnssec_ok(),
        oracle
            .edns
            .as_ref()
            .is_some_and(|edns| edns.flags().dnssec_ok)
    );
}

/// Plays octets as events to a mesh, checks every invariant after each, and then ends everything.
///
/// # Panics
/// When an invariant does not hold, or something is left in the end.
pub fn mesh_events(input: &[u8]) {
    let mut play = Play::new();
    let mut octets = input.iter().copied();
    let mut steps = 0;
    while let Some(kind) = octets.next() {
        steps += 1;
        if steps > 400 {
            break;
        }
        play.step(kind, &mut octets);
    }
    play.end();
}

struct Play {
    mesh: Mesh<Resolution>,
    now: Now,
    fetches: Vec<(FetchId, Bytes)>,
    next_stream: u32,
    answered: Vec<StreamKey>,
}

const NAMES: [&str; 5] = [
    "a.example",
    "b.example",
    "www.a.example",
    "example",
    "x.y.z.test",
];
const TYPES: [RecordType; 4] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::NS,
    RecordType::DS,
];

impl Play {
    fn new() -> Self {
        let mut settings = Settings::default();
        settings.mesh.states_max = 8;
        settings.mesh.waiting_replies_max = 32;
        settings.mesh.client_waiting_max = 12;
        let address: SocketAddr = ([192, 0, 2, 1], 53).into();
        settings.resolution.root_hints = vec![Hint {
            name: Name::from_text("ns.test").unwrap_or_else(|_| Name::root()),
            addresses: vec![address],
        }];
        let mesh = Mesh::<Resolution>::with_program(
            Arc::new(Rules::new(settings)),
            Arc::new(Cache::new(1 << 20, [1, 2])),
            Arc::new(Infra::bounded(100)),
            Random::from_seed([3, 4]),
        );
        let now = Now {
            instant: Instant::ORIGIN,
            unix: UnixTime(1_800_000_000),
        };
        Self {
            mesh,
            now,
            fetches: Vec::new(),
            next_stream: 1,
            answered: Vec::new(),
        }
    }

    fn step(&mut self, kind: u8, octets: &mut impl Iterator<Item = u8>) {
        let mut octet = || octets.next().unwrap_or(0);
        let connection = ConnectionId(u64::from(kind >> 6));
        let event = match kind & 0x0f {
            0 => Event::ConnectionOpened {
                connection,
                identity: Identity(u128::from(octet() & 1)),
            },
            1 => Event::ConnectionClosed { connection },
            2..=5 => {
                let stream = StreamKey {
                    connection,
                    stream: self.next_stream,
                };
                self.next_stream += 2;
                Event::Query {
                    stream,
                    query: query(octet()),
                    traced: kind & 0x10 != 0,
                }
            }
            6 => {
                let stream = StreamKey {
                    connection,
                    stream: u32::from(octet()),
                };
                Event::StreamClosed {
                    stream,
                    cause: CloseCause::Reset(8),
                }
            }
            7 => match self.answered.pop() {
                Some(stream) => Event::AnswerWritten { stream },
                None => Event::Resume,
            },
            8..=10 => {
                let Some((fetch, sent)) = self.take_fetch(octet()) else {
                    return;
                };
                let length = usize::from(octet());
                let body: Vec<u8> = (0..length).map(|_| octet()).collect();
                Event::Reply {
                    fetch,
                    message: reply_to(&sent, &body),
                }
            }
            11 => {
                let Some((fetch, _)) = self.take_fetch(octet()) else {
                    return;
                };
                Event::FetchFailed {
                    fetch,
                    failure: FetchFailure::Timeout,
                }
            }
            12 => {
                self.now.instant = self
                    .now
                    .instant
                    .after(Duration::from_millis(u64::from(octet()) * 20));
                Event::Timeout
            }
            13 => Event::Pressure(if kind & 0x10 == 0 {
                Level::Normal
            } else {
                Level::High
            }),
            14 => Event::Prefetch {
                query: query(octet()),
            },
            _ if kind & 0x10 != 0 => Event::Probe {
                zone: query(octet()).question.name,
            },
            _ => Event::Resume,
        };
        self.handle(event);
    }

    fn take_fetch(&mut self, which: u8) -> Option<(FetchId, Bytes)> {
        if self.fetches.is_empty() {
            return None;
        }
        let at = usize::from(which) % self.fetches.len();
        Some(self.fetches.swap_remove(at))
    }

    fn handle(&mut self, event: Event) {
        self.mesh.handle(self.now, event);
        let mut resumes = 0;
        loop {
            let mut yielded = false;
            while let Some(action) = self.mesh.poll_action() {
                match action {
                    Action::Answer { stream, .. } => self.answered.push(stream),
                    Action::Fetch(fetch) => self.fetches.push((fetch.fetch, fetch.message)),
                    Action::Cancel(fetch) => self.fetches.retain(|(open, _)| *open != fetch),
                    Action::Yield => yielded = true,
                    Action::Refuse { .. } | Action::Probed { .. } | Action::Trace(_) => {}
                }
            }
            if let Err(violation) = self.mesh.check() {
                panic!("{violation:?}");
            }
            resumes += 1;
            if !yielded || resumes > 1000 {
                return;
            }
            self.mesh.handle(self.now, Event::Resume);
        }
    }

    /// Every connection ends and time passes: nothing may be left.
    fn end(&mut self) {
        for connection in 0..4 {
            self.handle(Event::ConnectionClosed {
                connection: ConnectionId(connection),
            });
        }
        for _ in 0..2000 {
            let Some((at, _)) = self.mesh.poll_timeout() else {
                break;
            };
            self.now.instant = self.now.instant.max(at);
            self.handle(Event::Timeout);
        }
        assert!(self.mesh.is_quiescent(), "{:?}", self.mesh.gauges());
    }
}

fn query(which: u8) -> Query {
    let text = NAMES
        .get(usize::from(which & 7) % NAMES.len())
        .copied()
        .unwrap_or(".");
    let name = Name::from_text(text).unwrap_or_else(|_| Name::root());
    let record_type = TYPES
        .get(usize::from(which >> 3) % TYPES.len())
        .copied()
        .unwrap_or(RecordType::A);
    let question = Question {
        name,
        record_type,
        class: Class::IN,
    };
    Query {
        recursion_desired: which & 0x40 == 0,
        checking_disabled: which & 0x80 != 0,
        edns: Some(ClientEdns {
            dnssec_ok: which & 0x20 != 0,
            udp_payload_size: 1232,
            ..ClientEdns::default()
        }),
        ..Query::plain(u16::from(which), question)
    }
}

/// The sent message with QR set, and `body` after its question in place of what followed.
fn reply_to(sent: &[u8], body: &[u8]) -> Bytes {
    let mut end = 12;
    while let Some(&length @ 1..) = sent.get(end) {
        end += usize::from(length) + 1;
    }
    let mut message = sent
        .get(..(end + 5).min(sent.len()))
        .unwrap_or_default()
        .to_vec();
    let counts = body.first().copied().unwrap_or(0);
    for (at, octet) in [
        (2, 0x84),
        (3, body.get(1).copied().unwrap_or(0) & 0x0f),
        (7, counts & 3),
        (9, (counts >> 2) & 3),
        (11, (counts >> 4) & 3),
    ] {
        if let Some(place) = message.get_mut(at) {
            *place = octet;
        }
    }
    message.extend_from_slice(body.get(2..).unwrap_or_default());
    message.into()
}
