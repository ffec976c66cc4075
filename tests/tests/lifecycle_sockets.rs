//! The lifecycle matrix through real TLS and HTTP/2 on loopback, against the real binary: how a stream ends (7) x
//! when (9) x who else waits (4), 252 cases. `stream_lifecycle.rs` has the same on the core.
//!
//! One test for each moment, one data plane for its 24 cases and one for the four that end by its drain. All cases
//! are brought to the moment, then all end, then the upstream answers. Every companion whose connection lives gets
//! its answer, and at the end nobody streams, waits or is asked any more.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fmt;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;
use weir_config::DataplaneConfig;
use weir_operator::pod_client::Answer;
use weir_tests::admin_port::AdminPort;
use weir_tests::bench::load::query;
use weir_tests::edge::Edge;
use weir_tests::held_upstream::{HeldUpstream, Hold, ZONE};
use weir_tests::raw_h2::{
    END_HEADERS, END_STREAM, End, RawConnection, Response, frame, frame_type, get_headers,
    post_headers,
};
use weir_tests::stream_ends::{How, When, Who};

const HOW: [How; 6] = [
    How::Reset,
    How::EndThenClose,
    How::GoAway,
    How::TlsClose,
    How::TcpReset,
    How::IdleTimeout,
];
const WHO: [Who; 4] = [
    Who::Nobody,
    Who::SameQuestionSameConnection,
    Who::SameQuestionOtherConnection,
    Who::OtherQuestionSameConnection,
];

/// Cases of a moment beside those of the drain.
const CASES: usize = HOW.len() * WHO.len();
/// The stream that ends, and the one beside it on the same connection.
const SUBJECT: u32 = 1;
const COMPANION: u32 = 3;
/// RFC 9113, 7.
const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// SETTINGS_INITIAL_WINDOW_SIZE.
const INITIAL_WINDOW: u16 = 4;
/// More than `idleTimeout`, and the look at the clocks after it.
const IDLE: Duration = Duration::from_millis(2300);
/// When a stale answer is given.
const STALE: Duration = Duration::from_millis(600);
/// States of the mesh that is to be full; the first half of them runs to its end, so that the other half yields.
const STATES: usize = 64;
/// Everything ends within this, SEND_TIMEOUT of the data plane (10 s) included.
const PATIENCE: Duration = Duration::from_secs(25);

/// One data plane with its upstream, at one moment.
struct World {
    when: When,
    edge: Edge,
    upstream: HeldUpstream,
    admin: Option<AdminPort>,
}

struct Case {
    how: How,
    when: When,
    who: Who,
    name: String,
    other_name: String,
    /// Gone once its client has left.
    subject: Option<RawConnection>,
    other: Option<RawConnection>,
    asked: Instant,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} {:?} {:?}", self.how, self.when, self.who)
    }
}

fn get(stream: u32, name: &str) -> Vec<u8> {
    let flags = END_STREAM | END_HEADERS;
    frame(frame_type::HEADERS, flags, stream, &get_headers(name))
}

fn window_update(stream: u32) -> Vec<u8> {
    frame(frame_type::WINDOW_UPDATE, 0, stream, &[0, 0, 0xff, 0xff])
}

impl World {
    async fn start(when: When) -> Self {
        let (ttl, signed) = match when {
            When::StaleFires => (1, false),
            _ => (3600, when == When::AwaitingDnskey),
        };
        let upstream = HeldUpstream::start(ttl, signed).await.unwrap();
        let (mut config, anchor) = (document(&upstream), upstream.trust_anchor());
        match when {
            When::WhileJostled => {
                config["workers"] = json!(1);
                config["mesh"] = json!({ "maxStates": STATES, "jostleTimeout": "10ms" });
            }
            When::StaleFires => {
                config["cache"]["serveStale"] =
                    json!({ "clientTimeout": format!("{}ms", STALE.as_millis()) });
            }
            When::AwaitingDnskey => {
                config["workers"] = json!(1);
                // A probe of the anchor would ask for the same key, and be held with the rest.
                config["dnssec"] = json!({
                    "trustAnchors": { "records": [anchor.unwrap()] },
                    "trackTrustAnchors": false,
                });
                config["resolution"]["forwardZones"][0]["validate"] = json!(true);
            }
            _ => {}
        }
        let admin = (when == When::DuringReplace).then(|| AdminPort::prepare(&mut config).unwrap());
        let world = Self {
            when,
            edge: Edge::launch(config).unwrap(),
            upstream,
            admin,
        };
        if let Some(admin) = &world.admin {
            until("the admin port is open", async || admin.is_open().await).await;
        }
        world.upstream.hold(match when {
            When::AnswerQueued | When::StaleFires => Hold::Nothing,
            When::AwaitingDnskey => Hold::Dnskeys,
            _ => Hold::Everything,
        });
        world
    }

    /// Brings every case to its moment, ends it there, and sees that all the others are answered.
    async fn play(mut self, mut cases: Vec<Case>) {
        let full = self.fill().await;
        join_all(cases.iter_mut().map(Case::ask)).await;
        self.all_are_there(&cases).await;
        let flood = self.act(&mut cases).await;
        self.upstream.release_all().await;
        let drains = cases.iter().any(|case| case.how == How::Drain);
        join_all(cases.iter_mut().map(Case::settle)).await;
        self.rests(full, flood).await;
        drop(cases);
        if drains {
            let by = Instant::now() + PATIENCE;
            while self.edge.server.ended().unwrap().is_none() && Instant::now() < by {
                sleep(Duration::from_millis(50)).await;
            }
            let status = self.edge.server.ended().unwrap();
            assert!(status.is_some_and(|status| status.success()), "{status:?}");
        }
    }

    /// Fills the half of a small mesh that never yields, so that what comes next does.
    async fn fill(&self) -> Option<RawConnection> {
        if self.when != When::WhileJostled {
            return None;
        }
        let filled = self.crowd("filler", STATES / 2).await;
        until("the mesh is half full", async || {
            self.metric("weir_mesh_states").await >= (STATES / 2) as f64
        })
        .await;
        Some(filled)
    }

    /// Many questions on one connection.
    async fn crowd(&self, name: &str, count: usize) -> RawConnection {
        let mut connection = RawConnection::open(self.edge.address(), &[]).await.unwrap();
        let streams = (0..count).zip((1..).step_by(2));
        let questions = streams.flat_map(|(n, stream)| get(stream, &format!("{name}{n}.{ZONE}")));
        connection
            .send(&questions.collect::<Vec<_>>())
            .await
            .unwrap();
        connection
    }

    /// Asks for the names of all cases once, and lets the answers expire.
    async fn grow_stale(&self) {
        if self.when != When::StaleFires {
            return;
        }
        for name in ["case", "other"] {
            let mut first = self.crowd(name, CASES).await;
            for stream in (1..).step_by(2).take(CASES) {
                let answer = first.response(stream, PATIENCE, is_over).await;
                assert_answered(&answer.unwrap(), Code::Noerror, "the first answer");
            }
        }
        sleep(Duration::from_millis(2100)).await;
        self.upstream.hold(Hold::Everything);
    }

    async fn all_are_there(&self, cases: &[Case]) {
        match self.when {
            When::BeforeTheFirstFetch | When::AnswerQueued | When::StaleFires => {}
            // One query for the key of the zone, which all of them wait for.
            When::AwaitingDnskey => {
                until("all wait for the key", async || {
                    self.upstream.held(ZONE) > 0 && self.metric("weir_mesh_fetches").await < 1.5
                })
                .await;
            }
            _ => {
                until("all are asked of the upstream", async || {
                    cases.iter().all(|case| case.is_held(&self.upstream))
                })
                .await;
            }
        }
    }

    /// Ends every case while the moment lasts.
    async fn act(&self, cases: &mut [Case]) -> Option<RawConnection> {
        let mut flood = None;
        if self.when == When::WhileJostled {
            sleep(Duration::from_millis(30)).await;
            flood = Some(self.crowd("flood", STATES / 2 + 2).await);
        }
        if cases.iter().any(|case| case.how == How::Drain) {
            self.stale_moment(cases).await;
            self.edge.server.terminate().unwrap();
        }
        let replace = async {
            if let Some(admin) = &self.admin {
                replace(admin, &self.edge).await;
            }
        };
        let ends = join_all(cases.iter_mut().map(|case| case.end(self)));
        futures_util::future::join(replace, ends).await;
        flood
    }

    /// Where stale answers are the moment, waits until it has come.
    async fn stale_moment(&self, cases: &[Case]) {
        if self.when == When::StaleFires
            && let Some(last) = cases.iter().map(|case| case.asked).max()
        {
            tokio::time::sleep_until((last + STALE).into()).await;
        }
    }

    async fn metric(&self, name: &str) -> f64 {
        self.edge.metric(name).await.unwrap()
    }

    /// Nobody streams, waits or is asked any more, each stream had one end, and no rule was broken.
    async fn rests(&self, full: Option<RawConnection>, flood: Option<RawConnection>) {
        for gauge in [
            "weir_streams_active",
            "weir_mesh_states",
            "weir_mesh_waiters",
            "weir_mesh_fetches",
        ] {
            until(gauge, async || self.metric(gauge).await.abs() < 0.5).await;
        }
        let streams = self.metric("weir_streams_total").await;
        let ends = self.metric("weir_stream_dispositions_total").await;
        assert!(
            (streams - ends).abs() < 0.5,
            "{streams} streams, {ends} ends"
        );
        for count in ["weir_invariant_violations_total", "weir_panics_total"] {
            assert!(self.metric(count).await.abs() < 0.5, "{count}");
        }
        drop((full, flood));
    }
}

fn document(upstream: &HeldUpstream) -> Value {
    let addresses = upstream.addresses.iter();
    let upstreams = addresses.map(|each| json!({ "address": each.ip(), "port": each.port() }));
    json!({
        "workers": 2,
        "listeners": [{ "name": "doh", "http2": { "idleTimeout": "1s" } }],
        "resolution": { "forwardZones": [{ "name": ".", "validate": false, "upstreams": upstreams.collect::<Vec<_>>() }] },
        "dnssec": { "mode": "Off" },
        "cache": {},
        "drain": { "notice": "0s", "timeout": "20s" },
    })
}

async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let by = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < by, "not in time: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Makes another document live; what waits goes on by the old one.
async fn replace(admin: &AdminPort, edge: &Edge) {
    let mut config = DataplaneConfig::read(&edge.document().unwrap()).unwrap();
    config.cache.ttl.max = Duration::from_secs(77);
    let answer = admin.push(config, None).await;
    assert!(matches!(answer, Ok(Answer::Applied(_))), "{answer:?}");
}

impl Case {
    async fn open(world: &World, number: usize, how: How, who: Who) -> Self {
        // A window of nothing: the head of an answer comes, its body stays in the server.
        let settings: &[(u16, u32)] = match world.when {
            When::AnswerQueued => &[(INITIAL_WINDOW, 0)],
            _ => &[],
        };
        let address = world.edge.address();
        let name = format!("case{number}.{ZONE}");
        let other_name = match who {
            Who::OtherQuestionSameConnection => format!("other{number}.{ZONE}"),
            _ => name.clone(),
        };
        let other = match who {
            Who::SameQuestionOtherConnection => {
                Some(RawConnection::open(address, &[]).await.unwrap())
            }
            _ => None,
        };
        Self {
            how,
            when: world.when,
            who,
            name,
            other_name,
            subject: Some(RawConnection::open(address, settings).await.unwrap()),
            other,
            asked: Instant::now(),
        }
    }

    /// Asks, and waits for what shows that the moment has come, unless the upstream shows it.
    async fn ask(&mut self) {
        // There, question and end go out together.
        if self.when == When::BeforeTheFirstFetch {
            return;
        }
        self.asked = Instant::now();
        self.send_questions().await;
        if self.when == When::AnswerQueued {
            let subject = self.subject.as_mut().unwrap();
            let headed = |response: &Response| response.ok.is_some();
            subject.response(SUBJECT, PATIENCE, headed).await.unwrap();
        }
    }

    async fn send_questions(&mut self) {
        let mut first = if self.when == When::BeforeTheQueryIsWhole {
            let (half, _) = self.halves();
            let head = post_headers();
            let mut octets = frame(frame_type::HEADERS, END_HEADERS, SUBJECT, &head);
            octets.extend(frame(frame_type::DATA, 0, SUBJECT, &half));
            octets
        } else {
            get(SUBJECT, &self.name)
        };
        if self.companion_beside() {
            first.extend(get(COMPANION, &self.other_name));
            if self.when == When::AnswerQueued {
                first.extend(window_update(COMPANION));
            }
        }
        self.subject.as_mut().unwrap().send(&first).await.unwrap();
        if let Some(other) = &mut self.other {
            other.send(&get(1, &self.other_name)).await.unwrap();
        }
    }

    fn companion_beside(&self) -> bool {
        let who = self.who;
        who == Who::SameQuestionSameConnection || who == Who::OtherQuestionSameConnection
    }

    /// The query in two halves.
    fn halves(&self) -> (Vec<u8>, Vec<u8>) {
        let mut half = query(&self.name);
        let rest = half.split_off(half.len() / 2);
        (half, rest)
    }

    fn rest(&self) -> Vec<u8> {
        let (_, rest) = self.halves();
        frame(frame_type::DATA, END_STREAM, SUBJECT, &rest)
    }

    /// Whether all of this case that is whole waits for the upstream.
    fn is_held(&self, upstream: &HeldUpstream) -> bool {
        let subject = self.when == When::BeforeTheQueryIsWhole || upstream.held(&self.name) > 0;
        let companion = self.who == Who::Nobody || upstream.held(&self.other_name) > 0;
        subject && companion
    }

    /// Ends the stream, in its way, at its moment.
    async fn end(&mut self, world: &World) {
        match self.when {
            When::BeforeTheFirstFetch => self.send_questions().await,
            When::InTheTurnThatAnswers => world.upstream.release(&self.name).await,
            When::StaleFires => {
                sleep((self.asked + STALE).saturating_duration_since(Instant::now())).await
            }
            _ => {}
        }
        let mut subject = self.subject.take().unwrap();
        match self.how {
            How::Reset => {
                let reset = frame(frame_type::RST_STREAM, 0, SUBJECT, &CANCEL);
                subject.send(&reset).await.unwrap();
            }
            How::EndThenClose => {
                if self.when == When::BeforeTheQueryIsWhole {
                    subject.send(&self.rest()).await.unwrap();
                }
                return drop(subject);
            }
            How::GoAway => {
                let goaway = frame(frame_type::GOAWAY, 0, 0, &[0; 8]);
                subject.send(&goaway).await.unwrap();
            }
            How::TlsClose => return subject.close_notify().await.unwrap(),
            How::TcpReset => return subject.abort().unwrap(),
            How::IdleTimeout => sleep(IDLE).await,
            How::Drain => {}
        }
        self.subject = Some(subject);
    }

    /// Who still can be answered is.
    async fn settle(&mut self) {
        let text = self.to_string();
        // A mesh that drains takes no new question; whoever waits in a full one may have to yield.
        let drains = self.how == How::Drain;
        let late = drains && self.when == When::BeforeTheFirstFetch;
        let expected = match self.when {
            When::WhileJostled if drains => Code::Any,
            When::WhileJostled => Code::Servfail,
            _ if late => Code::Any,
            _ => Code::Noerror,
        };
        if let Some(other) = &mut self.other {
            let answer = other.response(1, PATIENCE, is_over).await;
            assert_answered(&answer.unwrap(), expected, &text);
        }
        let beside = self.companion_beside();
        let rest = self.rest();
        let Some(subject) = &mut self.subject else {
            return;
        };
        if beside {
            let answer = subject.response(COMPANION, PATIENCE, is_over).await;
            let answer = answer.unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_answered(&answer, expected, &text);
        }
        match (self.how, self.when) {
            (How::Reset, _) => return,
            (How::IdleTimeout, When::BeforeTheQueryIsWhole | When::AnswerQueued) => {
                let seen = subject.response(SUBJECT, PATIENCE, is_over).await.unwrap();
                let cut = seen.reset.is_some() || seen.ok == Some(false);
                assert!(cut, "{text}: {seen:?}");
            }
            (_, when) => {
                let mut expected = expected;
                match when {
                    When::BeforeTheQueryIsWhole => {
                        subject.send(&rest).await.unwrap();
                        if drains {
                            expected = Code::Any;
                        }
                    }
                    When::AnswerQueued => subject.send(&window_update(SUBJECT)).await.unwrap(),
                    _ => {}
                }
                let answer = subject.response(SUBJECT, PATIENCE, is_over).await;
                let answer = answer.unwrap_or_else(|error| panic!("{text}: {error}"));
                assert_answered(&answer, expected, &text);
            }
        }
        if self.how == How::IdleTimeout {
            let end = subject.end(PATIENCE).await;
            assert!(
                matches!(end, End::Goaway(0) | End::Closed),
                "{text}: {end:?}"
            );
        }
    }
}

fn is_over(response: &Response) -> bool {
    response.ended || response.reset.is_some()
}

/// The response code that a case is to end with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Code {
    /// NOERROR, with an address.
    Noerror,
    /// SERVFAIL.
    Servfail,
    /// Whichever, or status 503.
    Any,
}

/// A whole answer: status 200 and a message with this code.
fn assert_answered(response: &Response, expected: Code, case: &str) {
    assert!(response.ended, "{case}: {response:?}");
    if expected == Code::Any {
        return;
    }
    assert_eq!(response.ok, Some(true), "{case}: {response:?}");
    let head = response.body.get(..12);
    let head = head.unwrap_or_else(|| panic!("{case}: no message in {response:?}"));
    let fits = match expected {
        Code::Noerror => head[3] & 15 == 0 && head[7] > 0,
        Code::Servfail => head[3] & 15 == 2,
        Code::Any => true,
    };
    assert!(fits, "{case}: {expected:?} and not {response:?}");
}

/// The 28 cases of a moment.
fn moment(when: When) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let world = World::start(when).await;
        world.grow_stale().await;
        let mut cases = Vec::new();
        for how in HOW {
            for who in WHO {
                cases.push(Case::open(&world, cases.len(), how, who).await);
            }
        }
        assert_eq!(cases.len(), CASES);
        world.play(cases).await;
        let world = World::start(when).await;
        world.grow_stale().await;
        let mut cases = Vec::new();
        for who in WHO {
            cases.push(Case::open(&world, cases.len(), How::Drain, who).await);
        }
        world.play(cases).await;
    });
}

#[test]
fn before_the_query_is_whole() {
    moment(When::BeforeTheQueryIsWhole);
}

#[test]
fn before_the_first_fetch() {
    moment(When::BeforeTheFirstFetch);
}

#[test]
fn awaiting_a_fetch() {
    moment(When::AwaitingFetch);
}

#[test]
fn awaiting_a_dnskey() {
    moment(When::AwaitingDnskey);
}

#[test]
fn in_the_turn_that_answers() {
    moment(When::InTheTurnThatAnswers);
}

#[test]
fn with_the_answer_queued() {
    moment(When::AnswerQueued);
}

#[test]
fn while_jostled() {
    moment(When::WhileJostled);
}

#[test]
fn as_a_stale_answer_is_given() {
    moment(When::StaleFires);
}

#[test]
fn during_a_replacement() {
    moment(When::DuringReplace);
}
