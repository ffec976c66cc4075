//! Scripts against the mesh alone: programs that do what the name of their question says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use weir_resolver::action::{Action, Refusal};
use weir_resolver::answer::{Answer, Origin, ResponseCode, Security, Shaped};
use weir_resolver::cache::Cache;
use weir_resolver::context::Context;
use weir_resolver::event::{CloseCause, Event, Level};
use weir_resolver::fetch::{Fetch, FetchFailure, FetchPlan, Transport};
use weir_resolver::infra::Infra;
use weir_resolver::key::{ConnectionId, FetchId, Identity, StreamKey};
use weir_resolver::mesh::stage::Stage;
use weir_resolver::mesh::{Deadline, Mesh};
use weir_resolver::name::Name;
use weir_resolver::outcome::{Input, Outcome, Request};
use weir_resolver::program::Program;
use weir_resolver::question::{Query, Question, QuestionKey, StateKind};
use weir_resolver::random::Random;
use weir_resolver::rrset::{Class, RdataList, RecordType, Rrset};
use weir_resolver::settings::{
    AccessAction, AccessRule, LocalZone, LocalZoneKind, Prefix, Settings,
};
use weir_resolver::time::{Instant, Now, UnixTime};

fn question(name: &str) -> Question {
    Question {
        name: Name::from_text(name).unwrap(),
        record_type: RecordType::A,
        class: Class::IN,
    }
}

/// `ask.*` asks one server and answers with its reply; `a-b.need.*` needs the states of `b.need.*`
/// and so on; `circle.need` needs itself; `many.need` needs twenty others; `now.*` answers at once.
#[derive(Debug)]
struct Script {
    text: String,
    waits: usize,
    stage: Stage,
}

impl Script {
    fn plan(&self) -> FetchPlan {
        FetchPlan {
            server: SocketAddr::from(([192, 0, 2, 1], 53)),
            transport: Transport::Udp,
            zone: Name::root(),
            question: question(&self.text),
            recursion_desired: false,
            checking_disabled: true,
            edns: true,
            cookie: None,
            randomise_case: false,
            timeout: Duration::from_secs(if self.text.starts_with("ask.slow") {
                60
            } else {
                3
            }),
        }
    }

    fn needs(&self) -> Vec<String> {
        let text = self.text.trim_end_matches('.');
        let Some(chain) = text.strip_suffix(".need") else {
            return Vec::new();
        };
        match chain.split_once('-') {
            Some((_, rest)) => vec![format!("{rest}.need")],
            None if chain == "circle" => vec!["one-circle.need".to_owned()],
            None if chain == "many" => (0..20).map(|i| format!("ask.{i}")).collect(),
            None => vec![format!("ask.{chain}")],
        }
    }
}

impl Program for Script {
    fn begin(question: &Question, _: StateKind, _: bool, _: bool) -> Self {
        Self {
            text: question.name.to_string(),
            waits: 0,
            stage: Stage::Iterating,
        }
    }

    fn step(&mut self, context: &mut Context<'_>, input: Input<'_>) -> Outcome {
        let done = |rcode| Outcome::Finish(Answer::empty(rcode, None));
        match input {
            Input::Start if self.text.starts_with("now.") => done(ResponseCode::NXDOMAIN),
            Input::Start if self.text.starts_with("ask.") => {
                context.requests.push(Request::Fetch(self.plan()));
                Outcome::Wait
            }
            Input::Start if self.text.starts_with("stuck.") => Outcome::Wait,
            Input::Start => {
                for name in self.needs() {
                    self.waits += 1;
                    context.requests.push(Request::Need {
                        question: question(&name),
                        kind: StateKind::Sub,
                    });
                }
                Outcome::Wait
            }
            Input::Reply { .. } => {
                self.stage = Stage::Answered;
                done(ResponseCode::NXDOMAIN)
            }
            Input::FetchFailed { .. } if self.text.starts_with("ask.ever") => {
                context.requests.push(Request::Fetch(self.plan()));
                Outcome::Wait
            }
            Input::FetchFailed { .. } => done(ResponseCode::SERVFAIL),
            Input::Answered { .. } | Input::NeedRefused { .. } => {
                self.waits -= 1;
                if self.waits > 0 {
                    return Outcome::Wait;
                }
                done(ResponseCode::NXDOMAIN)
            }
        }
    }

    fn stage(&self) -> Stage {
        self.stage
    }
}

/// A mesh with everything that came out of it; checks every invariant after every event.
struct Bench {
    cache: Arc<Cache>,
    mesh: Mesh<Script>,
    now: Now,
    answers: BTreeMap<StreamKey, Vec<Shaped>>,
    refusals: BTreeMap<StreamKey, Refusal>,
    open: BTreeMap<FetchId, Fetch>,
    cancelled: usize,
    yields: usize,
}

impl Bench {
    fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        settings.mesh.states_max = 8;
        settings.mesh.waiting_replies_max = 64;
        change(&mut settings);
        let cache = Arc::new(Cache::default());
        Self {
            mesh: Mesh::with_program(
                Arc::new(settings),
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

    fn handle(&mut self, event: Event) {
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

    fn open(&mut self, connection: u64) {
        self.handle(Event::ConnectionOpened {
            connection: ConnectionId(connection),
            identity: Identity(u128::from(connection)),
        });
    }

    fn ask(&mut self, connection: u64, stream: u32, name: &str) -> StreamKey {
        let key = StreamKey {
            connection: ConnectionId(connection),
            stream,
        };
        let query = Query {
            id: (connection as u16) << 8 | stream as u16,
            question: question(name),
            spelling: Name::from_text(name).unwrap().as_wire().into(),
            recursion_desired: true,
            checking_disabled: false,
            authentic_data: false,
            edns: None,
            size_limit: 65_535,
            client: None,
        };
        self.handle(Event::Query {
            stream: key,
            query,
            traced: true,
        });
        key
    }

    /// Puts an answer with one address into the cache that expires in a second, and lets it expire.
    fn keep_and_expire(&mut self, name: &str) {
        let key = QuestionKey {
            question: question(name),
            recursion_desired: true,
            checking_disabled: false,
            priming: false,
            sub: false,
            epoch: 0,
        };
        let mut answer = Answer::empty(ResponseCode::NOERROR, None);
        answer.security = Security::Insecure;
        answer.ttl = 1;
        answer.answer.push(Arc::new(Rrset {
            owner: key.question.name.clone(),
            record_type: RecordType::A,
            class: Class::IN,
            ttl: 1,
            rdata: RdataList::new([&[192, 0, 2, 1][..]]),
            signatures: RdataList::default(),
        }));
        let settings = Arc::clone(self.mesh.settings());
        self.cache.store(self.now, &settings, &key, &answer);
        self.later(5000);
    }

    fn reset(&mut self, stream: StreamKey) {
        self.handle(Event::StreamClosed {
            stream,
            cause: CloseCause::Reset(8),
        });
    }

    fn close(&mut self, connection: u64) {
        self.handle(Event::ConnectionClosed {
            connection: ConnectionId(connection),
        });
    }

    fn reply(&mut self) -> FetchId {
        let (&fetch, open) = self.open.iter().next().unwrap();
        let message = open.message.clone();
        self.open.remove(&fetch);
        self.handle(Event::Reply { fetch, message });
        fetch
    }

    fn written(&mut self, stream: StreamKey) {
        self.handle(Event::AnswerWritten { stream });
    }

    fn later(&mut self, milliseconds: u64) {
        self.now.instant = self.now.instant.after(Duration::from_millis(milliseconds));
        for _ in 0..64 {
            match self.mesh.poll_timeout() {
                Some((at, _)) if at <= self.now.instant => self.handle(Event::Timeout),
                _ => return,
            }
        }
        panic!("the mesh wants to be woken for ever");
    }

    fn answered(&self, stream: StreamKey) -> ResponseCode {
        let answers = self.answers.get(&stream).map_or(&[][..], |answers| answers);
        assert_eq!(answers.len(), 1, "{stream:?} got {answers:?}");
        let id = (stream.connection.0 as u16) << 8 | stream.stream as u16;
        assert_eq!(answers[0].message[..2], id.to_be_bytes());
        answers[0].rcode
    }

    /// Ends the test: all connections close, and nothing may be left.
    fn end(mut self) {
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

#[test]
fn one_question_of_two_streams_makes_one_fetch_and_two_answers() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    bench.open(2);
    let one = bench.ask(1, 1, "ask.a");
    let two = bench.ask(2, 1, "ask.a");
    assert_eq!(bench.open.len(), 1);
    bench.reply();
    assert_eq!(bench.answered(one), ResponseCode::NXDOMAIN);
    assert_eq!(bench.answered(two), ResponseCode::NXDOMAIN);
    assert_eq!(bench.answers[&one][0].origin, Origin::Resolved);
    assert_eq!(bench.answers[&two][0].origin, Origin::Joined);
    bench.written(one);
    bench.end();
}

/// Fills the mesh with slow questions of connection 7: four that run to their end, four that may yield.
fn fill(bench: &mut Bench) -> Vec<StreamKey> {
    bench.open(7);
    (0..8)
        .map(|i| bench.ask(7, 2 * i + 1, &format!("ask.fill{i}")))
        .collect()
}

#[test]
fn o1_a_cached_hit_of_a_sibling_does_not_hide_the_end_of_a_slow_question() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    let slow = bench.ask(1, 1, "ask.slow");
    let quick = bench.ask(1, 3, "now.hit");
    assert_eq!(bench.answered(quick), ResponseCode::NXDOMAIN);
    bench.written(quick);
    bench.later(10_000);
    assert_eq!(bench.answered(slow), ResponseCode::SERVFAIL);
    bench.reset(slow);
    assert_eq!(bench.mesh.counters().answers_unwritten, 1);
    bench.end();
}

#[test]
fn o2_a_state_that_ends_touches_the_streams_that_wait_for_it_and_no_other() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    let one = bench.ask(1, 1, "ask.q1");
    let three = bench.ask(1, 3, "ask.q2");
    bench.reset(one);
    assert_eq!(bench.mesh.gauges().waiters, 1);
    while !bench.open.is_empty() {
        bench.reply();
    }
    assert_eq!(bench.answered(three), ResponseCode::NXDOMAIN);
    assert!(!bench.answers.contains_key(&one));
    bench.end();
}

#[test]
fn o3_a_jostled_state_answers_its_streams_which_may_close_later() {
    let mut bench = Bench::new(|_| {});
    let waiting = fill(&mut bench);
    bench.later(201);
    bench.open(1);
    let new = bench.ask(1, 1, "ask.new");
    let jostled = waiting[4];
    assert_eq!(bench.answered(jostled), ResponseCode::SERVFAIL);
    assert_eq!(
        bench.answers[&jostled][0].origin,
        Origin::Resolved,
        "the oldest state of the second half yields"
    );
    bench.reset(jostled);
    bench.reset(new);
    assert_eq!(bench.mesh.counters().states_jostled, 1);
    bench.end();
}

#[test]
fn o3_a_young_state_does_not_yield() {
    let mut bench = Bench::new(|_| {});
    let waiting = fill(&mut bench);
    bench.later(200);
    bench.open(1);
    let new = bench.ask(1, 1, "ask.new");
    assert_eq!(bench.refusals.get(&new), Some(&Refusal::Full));
    assert_eq!(bench.mesh.gauges().waiters, waiting.len());
    bench.end();
}

#[test]
fn o4_jostling_a_state_of_two_streams_answers_both_and_closes_nothing() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    for i in 0..4 {
        bench.ask(1, 2 * i + 1, &format!("ask.fill{i}"));
    }
    let one = bench.ask(1, 101, "ask.same");
    let three = bench.ask(1, 103, "ask.same");
    for i in 5..8 {
        bench.ask(1, 2 * i + 1, &format!("ask.fill{i}"));
    }
    bench.later(201);
    bench.ask(1, 201, "ask.new");
    assert_eq!(bench.answered(one), ResponseCode::SERVFAIL);
    assert_eq!(bench.answered(three), ResponseCode::SERVFAIL);
    assert_eq!(bench.mesh.gauges().waiters, 8);
    bench.end();
}

#[test]
fn o5_a_reset_leaves_the_sibling_that_asked_the_same() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    let one = bench.ask(1, 1, "ask.same");
    let three = bench.ask(1, 3, "ask.same");
    bench.reset(one);
    bench.reply();
    assert_eq!(bench.answered(three), ResponseCode::NXDOMAIN);
    assert!(!bench.answers.contains_key(&one));
    bench.reset(three);
    bench.end();
}

#[test]
fn o6_a_failed_write_is_an_event_and_the_other_waiters_have_their_answers() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    let streams: Vec<_> = (0..3)
        .map(|i| bench.ask(1, 2 * i + 1, "ask.same"))
        .collect();
    bench.reply();
    bench.handle(Event::StreamClosed {
        stream: streams[1],
        cause: CloseCause::WriteFailed,
    });
    for &stream in &streams {
        assert_eq!(bench.answered(stream), ResponseCode::NXDOMAIN);
    }
    assert_eq!(bench.mesh.gauges().streams, 2);
    bench.end();
}

#[test]
fn o7_a_waiter_that_is_too_old_is_answered() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    let old = bench.ask(1, 1, "ask.slow");
    bench.later(5000);
    let young = bench.ask(1, 3, "ask.slow");
    bench.later(5000);
    assert_eq!(bench.answered(old), ResponseCode::SERVFAIL);
    assert_eq!(
        bench.answers[&old][0].extended_error, None,
        "a client without EDNS gets no extended error"
    );
    assert!(!bench.answers.contains_key(&young));
    assert_eq!(bench.mesh.counters().waiters_expired, 1);
    bench.reset(old);
    bench.end();
}

#[test]
fn a_client_over_its_rate_is_refused_alone() {
    let mut bench = Bench::new(|settings| settings.resolution.rate_limits.client = 1);
    bench.open(1);
    let one = bench.ask(1, 1, "ask.a");
    let two = bench.ask(1, 3, "ask.b");
    assert_eq!(bench.refusals.get(&two), Some(&Refusal::ClientLimit));
    bench.reply();
    assert_eq!(bench.answered(one), ResponseCode::NXDOMAIN);
    bench.later(1000);
    let three = bench.ask(1, 5, "ask.c");
    assert_eq!(bench.refusals.get(&three), None);
    bench.reply();
    assert_eq!(bench.answered(three), ResponseCode::NXDOMAIN);
    bench.end();
}

#[test]
fn o9_o10_o13_a_refusal_changes_nothing_else() {
    let mut bench = Bench::new(|settings| settings.mesh.client_waiting_max = 2);
    bench.open(1);
    let one = bench.ask(1, 1, "ask.a");
    let two = bench.ask(1, 3, "ask.b");
    let before = bench.mesh.gauges();
    let three = bench.ask(1, 5, "ask.c");
    assert_eq!(bench.refusals.get(&three), Some(&Refusal::ClientLimit));
    assert_eq!(bench.mesh.gauges(), before);
    bench.reset(three);
    bench.reply();
    bench.reply();
    assert_eq!(bench.answered(one), ResponseCode::NXDOMAIN);
    assert_eq!(bench.answered(two), ResponseCode::NXDOMAIN);
    bench.end();
}

#[test]
fn o11_a_refusal_postpones_nothing() {
    let mut bench = Bench::new(|settings| {
        settings.mesh.client_waiting_max = 2;
        settings.limits.settle_per_step = 1;
    });
    bench.open(1);
    bench.open(2);
    let one = bench.ask(1, 1, "ask.a");
    let two = bench.ask(1, 3, "ask.a");
    let refused = bench.ask(1, 5, "ask.a");
    assert!(bench.refusals.contains_key(&refused));
    bench.reply();
    assert_eq!(bench.answered(one), ResponseCode::NXDOMAIN);
    assert_eq!(bench.mesh.gauges().deliveries, 1);
    assert_eq!(bench.yields, 1);
    let due = bench.mesh.poll_timeout();
    assert_eq!(due, Some((bench.now.instant, Deadline::Resume)));
    bench.handle(Event::Resume);
    assert_eq!(bench.answered(two), ResponseCode::NXDOMAIN);
    bench.end();
}

#[test]
fn o14_a_connection_that_never_asks_leaves_nothing() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    bench.close(1);
    assert!(bench.mesh.is_quiescent());
    bench.close(1);
    assert_eq!(bench.mesh.counters().late_connections, 1);
    bench.end();
}

#[test]
fn o15_what_a_closing_stream_costs_does_not_depend_on_who_else_waits() {
    let mut bench = Bench::new(|settings| {
        settings.mesh.waiting_replies_max = 1000;
        settings.limits.waiting_per_connection_max = 1000;
    });
    bench.open(1);
    let mut costs = Vec::new();
    for count in [10, 900] {
        let streams: Vec<_> = (0..count)
            .map(|i| bench.ask(1, count * 10 + 2 * i + 1, "ask.same"))
            .collect();
        bench.reset(streams[streams.len() / 2]);
        costs.push(bench.mesh.work_of_last_step());
        for stream in streams {
            bench.reset(stream);
        }
    }
    assert_eq!(costs[0], costs[1]);
    bench.end();
}

#[test]
fn o16_a_connection_that_ends_takes_the_answers_that_it_never_took() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    let queued = bench.ask(1, 1, "now.hit");
    let waiting = bench.ask(1, 3, "ask.slow");
    assert_eq!(bench.mesh.gauges().streams, 2);
    bench.close(1);
    assert_eq!(bench.mesh.gauges().streams, 0);
    bench.written(queued);
    bench.reset(waiting);
    assert_eq!(bench.mesh.counters().late_streams, 2);
    assert_eq!(bench.mesh.counters().answers_unwritten, 1);
    assert_eq!(bench.mesh.counters().connection_lost, 1);
    bench.end();
}

#[test]
fn a_fetch_ends_once() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    let stream = bench.ask(1, 1, "ask.a");
    let fetch = bench.reply();
    for _ in 0..2 {
        bench.handle(Event::FetchFailed {
            fetch,
            failure: FetchFailure::Timeout,
        });
    }
    assert_eq!(bench.mesh.counters().late_fetches, 2);
    assert_eq!(bench.answered(stream), ResponseCode::NXDOMAIN);
    bench.end();
}

#[test]
fn a_fetch_that_the_driver_never_reports_fails_by_itself() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    let stream = bench.ask(1, 1, "ask.a");
    bench.open.clear();
    bench.later(5001);
    assert_eq!(bench.answered(stream), ResponseCode::SERVFAIL);
    assert_eq!(bench.mesh.counters().fetches_unreported, 1);
    bench.end();
}

#[test]
fn a_circle_of_needs_is_refused_and_every_state_answers() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    let stream = bench.ask(1, 1, "circle.need");
    assert_eq!(bench.answered(stream), ResponseCode::NXDOMAIN);
    assert_eq!(bench.mesh.counters().needs_refused, 1);
    assert_eq!(bench.mesh.gauges().states, 0);
    bench.end();
}

#[test]
fn needs_are_as_deep_as_the_limits_allow_and_no_deeper() {
    let mut bench = Bench::new(|settings| settings.mesh.states_max = 64);
    bench.open(1);
    let stream = bench.ask(1, 1, "a-b-c-d-e-f-g-h-i.need");
    assert_eq!(bench.answered(stream), ResponseCode::NXDOMAIN);
    assert_eq!(bench.mesh.counters().needs_refused, 1);
    assert_eq!(bench.mesh.counters().states_made, 7);
    bench.end();
}

#[test]
fn a_state_needs_so_many_others_at_once_and_no_more() {
    let mut bench = Bench::new(|settings| settings.mesh.states_max = 64);
    bench.open(1);
    let stream = bench.ask(1, 1, "many.need");
    assert_eq!(bench.mesh.gauges().dependencies, 16);
    assert_eq!(bench.mesh.counters().needs_refused, 4);
    while !bench.open.is_empty() {
        bench.reply();
    }
    assert_eq!(bench.answered(stream), ResponseCode::NXDOMAIN);
    bench.end();
}

#[test]
fn a_budget_is_shared_by_all_that_one_question_needs() {
    let mut bench = Bench::new(|settings| {
        settings.mesh.states_max = 64;
        settings.resolution.budget.upstream_queries = 5;
    });
    bench.open(1);
    let stream = bench.ask(1, 1, "many.need");
    assert_eq!(bench.mesh.counters().fetches_sent, 5);
    while !bench.open.is_empty() {
        bench.reply();
    }
    assert_eq!(bench.answered(stream), ResponseCode::NXDOMAIN);
    bench.end();
}

#[test]
fn a_state_that_waits_for_nothing_ends() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    let stream = bench.ask(1, 1, "stuck.a");
    assert_eq!(bench.answered(stream), ResponseCode::SERVFAIL);
    bench.end();
}

#[test]
fn a_question_whose_server_never_answers_ends_by_its_own_budget() {
    let mut bench = Bench::new(|settings| {
        settings.resolution.budget.queries_per_state = 3;
        settings.limits.activations_per_state_max = 20;
    });
    bench.open(1);
    let stream = bench.ask(1, 1, "ask.ever");
    for _ in 0..3 {
        let fetch = *bench.open.keys().next().unwrap();
        bench.open.remove(&fetch);
        bench.handle(Event::FetchFailed {
            fetch,
            failure: FetchFailure::Timeout,
        });
    }
    assert_eq!(bench.mesh.counters().fetches_sent, 3);
    assert_eq!(bench.answered(stream), ResponseCode::SERVFAIL);
    bench.end();
}

#[test]
fn the_last_waiter_that_resets_leaves_an_orphan_that_counts_against_it() {
    let mut bench = Bench::new(|settings| settings.mesh.client_waiting_max = 2);
    bench.open(1);
    let one = bench.ask(1, 1, "ask.a");
    bench.reset(one);
    assert_eq!(bench.mesh.gauges().orphans, 1);
    let two = bench.ask(1, 3, "ask.b");
    let three = bench.ask(1, 5, "ask.c");
    assert!(!bench.refusals.contains_key(&two));
    assert_eq!(bench.refusals.get(&three), Some(&Refusal::ClientLimit));
    bench.reply();
    assert_eq!(bench.mesh.gauges().orphans, 0);
    let four = bench.ask(1, 7, "ask.d");
    assert!(!bench.refusals.contains_key(&four));
    bench.end();
}

#[test]
fn an_orphan_that_is_asked_for_again_is_adopted() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    bench.open(2);
    let one = bench.ask(1, 1, "ask.a");
    bench.reset(one);
    bench.close(1);
    assert_eq!(
        bench.mesh.gauges().identities,
        2,
        "a debt outlives its connection"
    );
    let two = bench.ask(2, 1, "ask.a");
    let gauges = bench.mesh.gauges();
    assert_eq!((gauges.orphans, gauges.identities), (0, 1));
    bench.reply();
    assert_eq!(bench.answered(two), ResponseCode::NXDOMAIN);
    bench.end();
}

#[test]
fn orphans_are_few_and_the_rest_is_cancelled() {
    let mut bench = Bench::new(|settings| settings.mesh.states_max = 20);
    bench.open(1);
    let streams: Vec<_> = (0..6)
        .map(|i| bench.ask(1, 2 * i + 1, &format!("ask.{i}")))
        .collect();
    for stream in streams {
        bench.reset(stream);
    }
    assert_eq!(bench.mesh.gauges().orphans, 2);
    assert_eq!(bench.cancelled, 4);
    bench.end();
}

#[test]
fn new_clients_never_join_a_state_of_replaced_settings() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    let old = bench.ask(1, 1, "ask.a");
    let mut settings = Settings::clone(bench.mesh.settings());
    settings.epoch = 1;
    bench.handle(Event::Replace(Arc::new(settings)));
    let new = bench.ask(1, 3, "ask.a");
    assert_eq!(bench.mesh.gauges().states, 2);
    bench.reply();
    bench.reply();
    assert_eq!(bench.answered(old), ResponseCode::NXDOMAIN);
    assert_eq!(bench.answered(new), ResponseCode::NXDOMAIN);
    bench.end();
}

#[test]
fn a_drain_refuses_what_is_new_and_ends_by_its_time() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    let old = bench.ask(1, 1, "ask.a");
    let orphaned = bench.ask(1, 3, "ask.b");
    bench.reset(orphaned);
    let by = bench.now.instant.after(Duration::from_secs(2));
    bench.handle(Event::Drain { by });
    assert_eq!(
        bench.mesh.gauges().states,
        1,
        "nothing is renewed in a drain"
    );
    let new = bench.ask(1, 5, "ask.c");
    assert_eq!(bench.refusals.get(&new), Some(&Refusal::Full));
    let due = bench.mesh.poll_timeout();
    assert!(matches!(due, Some((_, Deadline::Stale(_)))), "{due:?}");
    bench.later(2000);
    assert_eq!(bench.answered(old), ResponseCode::SERVFAIL);
    assert_eq!(bench.mesh.gauges().states, 0);
    bench.end();
}

#[test]
fn a_prefetch_has_no_waiter_yields_first_and_can_be_joined() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    let query = Query {
        id: 0,
        question: question("ask.popular"),
        spelling: Box::default(),
        recursion_desired: true,
        checking_disabled: false,
        authentic_data: false,
        edns: None,
        size_limit: 0,
        client: None,
    };
    bench.handle(Event::Prefetch {
        query: query.clone(),
    });
    bench.handle(Event::Prefetch {
        query: query.clone(),
    });
    assert_eq!(bench.mesh.gauges().states, 1);
    let joined = bench.ask(1, 1, "ask.popular");
    bench.reset(joined);
    assert_eq!(bench.mesh.gauges().states, 1, "it goes on as before");
    bench.reply();
    assert_eq!(bench.mesh.gauges().states, 0);
    bench.handle(Event::Pressure(Level::High));
    bench.handle(Event::Prefetch { query });
    assert_eq!(bench.mesh.counters().background_refused, 1);
    bench.handle(Event::Pressure(Level::Critical));
    let refused = bench.ask(1, 3, "ask.new");
    assert_eq!(bench.refusals.get(&refused), Some(&Refusal::Full));
    bench.end();
}

#[test]
fn a_violation_is_fenced_off_counted_and_answered() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    let struck = bench.ask(1, 1, "ask.a");
    let spared = bench.ask(1, 3, "ask.b");
    assert_eq!(bench.mesh.look_over(), None);
    assert!(
        bench
            .mesh
            .inject_violation(&Name::from_text("ask.a").unwrap())
    );
    let seen = bench.mesh.look_over();
    assert_eq!(seen.map(|violation| violation.invariant), Some("X"));
    assert_eq!(bench.mesh.look_over(), None);
    bench.mesh.handle(bench.now, Event::Resume);
    let mut answered = Vec::new();
    while let Some(action) = bench.mesh.poll_action() {
        if let Action::Answer { stream, answer } = action {
            answered.push((stream, answer.rcode));
        }
    }
    assert_eq!(answered, [(struck, ResponseCode::SERVFAIL)]);
    assert_eq!(bench.mesh.counters().invariant_violations, 1);
    assert_eq!(bench.mesh.counters().states_fenced, 1);
    assert_eq!(bench.mesh.balance().unwrap_err().invariant, "X");
    let fetch = *bench.open.keys().last().unwrap();
    let message = bench.open[&fetch].message.clone();
    bench
        .mesh
        .handle(bench.now, Event::Reply { fetch, message });
    let next = bench.mesh.poll_action();
    assert!(
        matches!(&next, Some(Action::Trace(_)))
            || matches!(&next, Some(Action::Answer { stream, .. }) if *stream == spared)
    );
    while bench.mesh.poll_action().is_some() {}
    bench.mesh.handle(
        bench.now,
        Event::ConnectionClosed {
            connection: ConnectionId(1),
        },
    );
    assert!(bench.mesh.gauges().are_zero());
}

#[test]
fn every_waiter_that_attaches_detaches_once_and_every_link_resolves() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    let mut attached = BTreeMap::new();
    let mut created = BTreeMap::new();
    let mut run = |bench: &mut Bench, event| {
        bench.mesh.handle(bench.now, event);
        while let Some(action) = bench.mesh.poll_action() {
            let Action::Trace(change) = action else {
                continue;
            };
            match change.what {
                weir_resolver::trace::Change::Created { parent, .. } => {
                    assert!(parent.is_none_or(|parent| created.contains_key(&parent)));
                    assert_eq!(created.insert(change.state, false), None);
                }
                weir_resolver::trace::Change::Attached { stream, .. } => {
                    assert_ne!(stream.stream, 1, "the first came before the trace");
                    assert_eq!(attached.insert(stream, change.state), None);
                }
                weir_resolver::trace::Change::Detached { stream, .. } => {
                    assert_eq!(attached.remove(&stream), Some(change.state));
                }
                weir_resolver::trace::Change::Needs { sub } => {
                    assert_eq!(created.get(&sub), Some(&false))
                }
                weir_resolver::trace::Change::Ended { .. } => {
                    assert_eq!(created.insert(change.state, true), Some(false));
                }
                _ => assert_eq!(created.get(&change.state), Some(&false)),
            }
        }
    };
    for (stream, name) in [
        (1, "a-b.need"),
        (3, "a-b.need"),
        (5, "ask.b"),
        (7, "now.c"),
        (9, "x-y.need"),
    ] {
        let key = StreamKey {
            connection: ConnectionId(1),
            stream,
        };
        let query = Query {
            id: 0,
            question: question(name),
            spelling: Name::from_text(name).unwrap().as_wire().into(),
            recursion_desired: true,
            checking_disabled: false,
            authentic_data: false,
            edns: None,
            size_limit: 65_535,
            client: None,
        };
        run(
            &mut bench,
            Event::Query {
                stream: key,
                query,
                traced: stream != 1,
            },
        );
    }
    run(
        &mut bench,
        Event::StreamClosed {
            stream: StreamKey {
                connection: ConnectionId(1),
                stream: 3,
            },
            cause: CloseCause::Reset(8),
        },
    );
    bench.now.instant = bench.now.instant.after(Duration::from_secs(60));
    for _ in 0..10 {
        run(&mut bench, Event::Timeout);
    }
    run(
        &mut bench,
        Event::ConnectionClosed {
            connection: ConnectionId(1),
        },
    );
    assert!(attached.is_empty() && created.len() == 6, "{created:?}");
    assert!(created.values().all(|&ended| ended));
    bench.end();
}

#[test]
fn o12_a_stale_answer_frees_its_waiters_and_the_state_goes_on_behind() {
    let mut bench = Bench::new(|_| {});
    bench.keep_and_expire("ask.slow");
    bench.open(1);
    let one = bench.ask(1, 1, "ask.slow");
    let two = bench.ask(1, 3, "ask.slow");
    bench.later(1799);
    assert!(bench.answers.is_empty());
    bench.later(1);
    for stream in [one, two] {
        assert_eq!(bench.answered(stream), ResponseCode::NOERROR);
        assert_eq!(bench.answers[&stream][0].origin, Origin::Stale);
    }
    let gauges = bench.mesh.gauges();
    assert_eq!((gauges.waiters, gauges.states, gauges.orphans), (0, 1, 0));
    bench.reset(one);
    let again = bench.ask(1, 5, "ask.slow");
    assert_eq!(bench.mesh.gauges().states, 1, "it is joined");
    bench.reply();
    assert_eq!(bench.answered(again), ResponseCode::NXDOMAIN);
    bench.end();
}

#[test]
fn a_failure_is_answered_stale_if_there_is_something_stale() {
    let mut bench = Bench::new(|_| {});
    bench.keep_and_expire("ask.a");
    bench.open(1);
    let stream = bench.ask(1, 1, "ask.a");
    let fetch = *bench.open.keys().next().unwrap();
    bench.open.remove(&fetch);
    bench.handle(Event::FetchFailed {
        fetch,
        failure: FetchFailure::Unreachable,
    });
    assert_eq!(bench.answered(stream), ResponseCode::NOERROR);
    assert_eq!(bench.mesh.counters().answered_stale, 1);
    bench.end();
}

#[test]
fn with_no_client_timeout_a_stale_answer_goes_out_at_once() {
    let mut bench = Bench::new(|settings| {
        if let Some(stale) = &mut settings.cache.serve_stale {
            stale.client_timeout = Duration::ZERO;
        }
    });
    bench.keep_and_expire("ask.slow");
    bench.open(1);
    let stream = bench.ask(1, 1, "ask.slow");
    assert_eq!(bench.answered(stream), ResponseCode::NOERROR);
    assert_eq!(bench.mesh.gauges().states, 1);
    bench.end();
}

#[test]
fn o8_who_may_not_ask_is_told_so() {
    let mut bench = Bench::new(|settings| {
        settings.access_control = [("10.0.0.0", 8), ("10.1.0.0", 16), ("10.2.0.0", 16)]
            .into_iter()
            .zip([
                AccessAction::Allow,
                AccessAction::Deny,
                AccessAction::Refuse,
            ])
            .map(|((address, length), action)| AccessRule {
                prefix: Prefix {
                    address: address.parse().unwrap(),
                    length,
                },
                action,
            })
            .collect();
    });
    bench.open(1);
    let mut ask = |stream, client: &str, recursion_desired| {
        let key = StreamKey {
            connection: ConnectionId(1),
            stream,
        };
        bench.handle(Event::Query {
            stream: key,
            query: Query {
                id: 1 << 8 | stream as u16,
                question: question("now.a"),
                spelling: Name::from_text("now.a").unwrap().as_wire().into(),
                recursion_desired,
                checking_disabled: false,
                authentic_data: false,
                edns: None,
                size_limit: 65_535,
                client: client.parse().ok(),
            },
            traced: false,
        });
        match bench.refusals.get(&key) {
            Some(refusal) => Err(*refusal),
            None => Ok(bench.answered(key)),
        }
    };
    assert_eq!(ask(1, "10.9.0.1", true), Ok(ResponseCode::NXDOMAIN));
    assert_eq!(ask(3, "::ffff:10.9.0.1", true), Ok(ResponseCode::NXDOMAIN));
    assert_eq!(ask(5, "10.9.0.1", false), Ok(ResponseCode::REFUSED));
    assert_eq!(ask(7, "10.1.0.1", true), Err(Refusal::Denied));
    assert_eq!(ask(9, "10.2.0.1", true), Ok(ResponseCode::REFUSED));
    assert_eq!(ask(11, "192.0.2.1", true), Ok(ResponseCode::REFUSED));
    assert_eq!(bench.mesh.counters().answered_locally, 3);
    bench.end();
}

#[test]
fn local_zones_are_asked_before_anything_else() {
    let set = |owner: &str, record_type, rdata: &[u8]| {
        Arc::new(Rrset {
            owner: Name::from_text(owner).unwrap(),
            record_type,
            class: Class::IN,
            ttl: 60,
            rdata: RdataList::new([rdata]),
            signatures: RdataList::default(),
        })
    };
    let mut bench = Bench::new(|settings| {
        let target = Name::from_text("ask.there").unwrap();
        settings.resolution.local_zones = vec![LocalZone {
            name: Name::from_text("local").unwrap(),
            kind: LocalZoneKind::Static,
            records: vec![
                set("a.local", RecordType::A, &[192, 0, 2, 7]),
                set("alias.local", RecordType::CNAME, target.as_wire()),
            ],
        }];
    });
    bench.open(1);
    let here = bench.ask(1, 1, "a.local");
    assert_eq!(bench.answered(here), ResponseCode::NOERROR);
    assert_eq!(bench.answers[&here][0].origin, Origin::Local);
    let absent = bench.ask(1, 3, "b.local");
    assert_eq!(bench.answered(absent), ResponseCode::NXDOMAIN);
    let alias = bench.ask(1, 5, "alias.local");
    let target = bench.ask(1, 7, "ask.there");
    assert_eq!(bench.open.len(), 1, "both wait for the same question");
    bench.reply();
    assert_eq!(bench.answered(target), ResponseCode::NXDOMAIN);
    assert_eq!(bench.answered(alias), ResponseCode::NXDOMAIN);
    let message = &bench.answers[&alias][0].message;
    assert_eq!(message[6..8], [0, 1], "the alias is in the answer section");
    assert_eq!(message[12..25], *b"\x05alias\x05local\x00");
    bench.end();
}
