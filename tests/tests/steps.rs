//! How long the core takes for one event while it is as full as it may be (invariant D4): resolving by a forwarder, its
//! queries and replies real messages, no sockets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was measured is for --nocapture")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use bytes::Bytes;
use weir_resolver::action::Action;
use weir_resolver::cache::Cache;
use weir_resolver::event::{CloseCause, Event};
use weir_resolver::fetch::FetchFailure;
use weir_resolver::infra::Infra;
use weir_resolver::key::{ConnectionId, FetchId, Identity, StreamKey};
use weir_resolver::mesh::Mesh;
use weir_resolver::name::Name;
use weir_resolver::question::{Query, Question};
use weir_resolver::random::Random;
use weir_resolver::rrset::{Class, RecordType};
use weir_resolver::rules::Rules;
use weir_resolver::settings::{Settings, Upstream, UpstreamZone};
use weir_resolver::time::{Instant, Now, UnixTime};
use weir_tests::edge::reply;
use weir_tests::simulate::seed::Draw;

/// Clients, each on a connection of its own.
const CLIENTS: u64 = 200;
/// Who waits for one question.
const WAITERS: u64 = 15;
/// Questions that are being resolved all the time: as many as are never jostled.
const HELD: usize = 2000;
/// Events that are timed.
const EVENTS: usize = 300_000;
/// The same events again and again: what a step takes is the least, so that other work on the machine does not count.
const REPEATS: usize = 3;
/// What D4 asks for.
const RARELY_ABOVE: Duration = Duration::from_millis(1);
const NEVER_ABOVE: Duration = Duration::from_millis(10);

struct Load {
    mesh: Mesh,
    draw: Draw,
    now: Instant,
    open: VecDeque<(FetchId, Bytes)>,
    waiting: VecDeque<StreamKey>,
    next: [u32; CLIENTS as usize],
    names: u64,
    joins: u64,
    took: Vec<Duration>,
    answered: u64,
    most: (usize, usize),
}

impl Load {
    fn new() -> Self {
        let mut settings = Settings::default();
        settings.resolution.forward_zones = vec![UpstreamZone::new(
            Name::root(),
            vec![Upstream::udp(([192, 0, 2, 1], 53).into())],
            false,
        )];
        let cache = Arc::new(Cache::new(64 << 20, [1, 2]));
        let infra = Arc::new(Infra::default());
        let random = Random::from_seed([3, 4]);
        let mut load = Self {
            mesh: Mesh::new(Arc::new(Rules::new(settings)), cache, infra, random),
            draw: Draw::new(5),
            now: Instant::from_nanoseconds(1),
            open: VecDeque::new(),
            waiting: VecDeque::new(),
            next: [1; CLIENTS as usize],
            names: 0,
            joins: 0,
            took: Vec::new(),
            answered: 0,
            most: (0, 0),
        };
        for client in 0..CLIENTS {
            load.handle(Event::ConnectionOpened {
                connection: ConnectionId(client),
                identity: Identity(u128::from(client)),
            });
        }
        load
    }

    fn handle(&mut self, event: Event) {
        self.now = self.now.after(Duration::from_micros(2));
        let now = Now {
            instant: self.now,
            unix: UnixTime(1_800_000_000),
        };
        let start = Clock::now();
        self.mesh.handle(now, event);
        let took = start.elapsed();
        self.took.push(took);
        let mut written = Vec::new();
        while let Some(action) = self.mesh.poll_action() {
            match action {
                Action::Fetch(fetch) => self.open.push_back((fetch.fetch, fetch.message)),
                Action::Cancel(gone) => self.open.retain(|(fetch, _)| *fetch != gone),
                Action::Answer { stream, .. } => written.push(stream),
                _ => {}
            }
        }
        for stream in written {
            self.answered += 1;
            self.handle(Event::AnswerWritten { stream });
        }
    }

    fn ask(&mut self, name: u64) {
        let client = self.draw.below(CLIENTS);
        let number = &mut self.next[client as usize];
        *number += 2;
        let stream = StreamKey {
            connection: ConnectionId(client),
            stream: *number,
        };
        let question = Question {
            name: Name::from_text(&format!("n{name}.example")).unwrap(),
            record_type: RecordType::A,
            class: Class::IN,
        };
        self.waiting.push_back(stream);
        self.handle(Event::Query {
            stream,
            query: Query::plain(7, question),
            traced: false,
        });
    }

    /// A question that nobody asked yet, or one more who asks the last one.
    fn fill(&mut self) {
        if self.joins == 0 {
            self.names += 1;
            self.joins = WAITERS;
        }
        self.joins -= 1;
        self.ask(self.names);
    }

    fn step(&mut self) {
        let gauges = self.mesh.gauges();
        self.most = (
            self.most.0.max(gauges.states),
            self.most.1.max(gauges.waiters),
        );
        match self.draw.below(100) {
            0 => self.handle(Event::Timeout),
            1..=5 => {
                let at = self.draw.below(self.waiting.len() as u64 + 1) as usize;
                if let Some(stream) = self.waiting.swap_remove_back(at) {
                    let cause = CloseCause::Reset(8);
                    self.handle(Event::StreamClosed { stream, cause });
                }
            }
            _ if self.open.len() < HELD => self.fill(),
            6 => {
                if let Some((fetch, _)) = self.open.pop_front() {
                    let failure = FetchFailure::Unreachable;
                    self.handle(Event::FetchFailed { fetch, failure });
                }
            }
            _ => {
                if let Some((fetch, message)) = self.open.pop_front() {
                    let message = Bytes::from(reply(&message).unwrap());
                    self.handle(Event::Reply { fetch, message });
                }
            }
        }
        while self.waiting.len() > 40_000 {
            self.waiting.pop_front();
        }
    }
}

#[test]
fn steps_are_short_at_held_load() {
    let mut least: Vec<Duration> = Vec::new();
    for repeat in 0..REPEATS {
        let mut load = Load::new();
        while load.took.len() < EVENTS {
            load.step();
        }
        println!(
            "{:?} states and waiters at most, {} answers",
            load.most, load.answered
        );
        assert!(
            load.most.0 >= HELD && load.most.1 >= 15_000,
            "{:?}",
            load.most
        );
        assert!(load.answered > 50_000, "{} answers", load.answered);
        if repeat == 0 {
            least = load.took;
            continue;
        }
        assert_eq!(least.len(), load.took.len(), "the same events again");
        for (least, took) in least.iter_mut().zip(load.took) {
            *least = took.min(*least);
        }
    }
    least.sort_unstable();
    let of = |share: f64| least[((least.len() - 1) as f64 * share) as usize];
    let (rare, worst) = (of(0.9999), of(1.0));
    println!(
        "p50 {:?}, p99 {:?}, p99.99 {rare:?}, most {worst:?}",
        of(0.5),
        of(0.99)
    );
    assert!(rare <= RARELY_ABOVE, "p99.99 is {rare:?}");
    assert!(worst <= NEVER_ABOVE, "a step took {worst:?}");
}
