//! Heap allocations of a cached answer: none of our own, and not one more than a constant responder on the same
//! `h2` has. Counted on the one thread that everything runs on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use allocation_counter::measure;
use arc_swap::ArcSwap;
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, Method, Uri};
use tokio::io::DuplexStream;
use tokio::task::LocalSet;
use weir_config::DataplaneConfig;
use weir_dataplane::clock::Clock;
use weir_dataplane::context::WorkerContext;
use weir_dataplane::doh::books::Peer;
use weir_dataplane::doh::connection::Connection;
use weir_dataplane::doh::lookup::{Found, look_up};
use weir_dataplane::doh::request::{self, QUERY_MAX, QueryPlace};
use weir_dataplane::doh::stream::Asked;
use weir_dataplane::edge::Edge;
use weir_dataplane::route::Routes;
use weir_dataplane::telemetry::metric::Metrics;
use weir_dataplane::telemetry::record::Recorder;
use weir_dataplane::telemetry::sample::{Decision, Sampler};
use weir_resolver::action::Action;
use weir_resolver::answer::{Answer, Security};
use weir_resolver::cache::Cache;
use weir_resolver::event::Event;
use weir_resolver::infra::Infra;
use weir_resolver::key::{ConnectionId, Identity, StreamKey};
use weir_resolver::mesh::Mesh;
use weir_resolver::name::Name;
use weir_resolver::question::{Query, Question};
use weir_resolver::random::Random;
use weir_resolver::rrset::{Class, RdataList, RecordType, Rrset};
use weir_resolver::rules::Rules;
use weir_resolver::settings::{Settings, Upstream, UpstreamZone};
use weir_tests::bench::load::query;
use weir_tests::bench::responder;

/// Names in the cache.
const NAMES: usize = 100;
/// Answers in one measurement.
const ANSWERS: usize = 4000;
/// Streams at once.
const STREAMS: usize = 20;
/// Answers are written into buffers of 64 KiB, each shared by those in it: one allocation for the buffer and one
/// for its count of users. An answer here is shorter than 100 octets.
const REFILLS: u64 = 2 * (ANSWERS as u64 * 100 / (60 * 1024) + 1);
/// A `cache-control` value is made when a second passes, and kept: its text, and its count of users.
const FRESHNESS: u64 = 3 * 10;

fn name(number: usize) -> String {
    format!("host{number:03}.cached.example.org")
}

/// A worker without sockets whose cache holds every name.
fn worker() -> (Rc<WorkerContext>, Arc<ArcSwap<Edge>>) {
    let (clock, settings) = (Clock::start(), Arc::<Rules>::default());
    let cache = Arc::new(Cache::new(8 << 20, [3, 4]));
    for number in 0..NAMES {
        let name = Name::from_text(&name(number)).unwrap();
        let rdata = RdataList::new([&[192, 0, 2, 1][..]]);
        let set = Rrset::unsigned(name.clone(), RecordType::A, 86_000, rdata);
        let answer = Answer::data(vec![set.into()], Security::Insecure);
        let question = Question {
            name,
            record_type: RecordType::A,
            class: Class::IN,
        };
        cache.store(clock.now(), &settings, &question, &answer);
    }
    let worker = WorkerContext::new(
        0,
        clock,
        Arc::new(Routes::new(1, [1, 2])),
        Metrics::default().worker(),
        cache,
        settings,
        Sampler::new(None),
        Recorder::default(),
    );
    let edge = Edge::from(&DataplaneConfig::default().listeners[0]);
    (worker, Arc::new(ArcSwap::from_pointee(edge)))
}

fn target(number: usize) -> Uri {
    let encoded = BASE64URL_NOPAD.encode(&query(&name(number)));
    format!("https://localhost/dns-query?dns={encoded}")
        .parse()
        .unwrap()
}

#[test]
fn reading_and_answering_a_cached_question_allocates_nothing() {
    let (worker, edge) = worker();
    let edge = edge.load_full();
    let targets: Vec<Uri> = (0..NAMES).map(target).collect();
    let (headers, mut buffer) = (HeaderMap::new(), Box::new([0; QUERY_MAX]));
    let mut asked = Asked {
        stream: 1,
        started: Instant::now(),
        method: 0,
        endpoint: 0,
        head_only: false,
        client: [127, 0, 0, 1].into(),
        record_type: 0,
        name: None,
        resolved: false,
        decision: Decision::default(),
    };
    let mut octets = 0;
    let mut answer_all = |count: usize| {
        for target in targets.iter().cycle().take(count) {
            let accepted = request::read(&Method::GET, target, &headers, &edge.paths, &mut buffer);
            let Ok(QueryPlace::Parameter(message)) = accepted.map(|accepted| accepted.query) else {
                panic!("a request was not accepted")
            };
            let Found::Answer(answer) = look_up(&worker, &mut asked, message) else {
                panic!("a name was not cached")
            };
            let mut scratch = worker.scratch.borrow_mut();
            let freshness = scratch.freshness.value(answer.max_age);
            assert!(!freshness.is_empty());
            octets += answer.message.len();
        }
    };
    answer_all(NAMES);
    let few = measure(|| answer_all(NAMES)).count_total;
    let many = measure(|| answer_all(ANSWERS)).count_total;
    assert!(octets > ANSWERS * 50 && octets < (ANSWERS + 2 * NAMES) * 100);
    assert!(
        few <= 2,
        "{NAMES} answers fit one buffer, and made {few} allocations"
    );
    assert!(
        many > 0,
        "the buffers of {ANSWERS} answers were not counted"
    );
    assert!(
        many <= REFILLS,
        "{many} allocations for {ANSWERS} answers, {REFILLS} for buffers"
    );
}

/// Asks for every name in turn, so many streams at once, over a connection that is served by `serve`; gives the
/// allocations of both ends.
fn exchange<F: Future<Output = ()> + 'static>(serve: impl FnOnce(DuplexStream) -> F) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let local = LocalSet::new();
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let targets: Vec<Uri> = (0..NAMES).map(target).collect();
    let served = serve(theirs);
    let sender = local.block_on(&runtime, async {
        tokio::task::spawn_local(served);
        let (sender, connection) = h2::client::handshake(ours).await.unwrap();
        tokio::task::spawn_local(async move {
            // Its end shows at the streams.
            let _ = connection.await;
        });
        sender.ready().await.unwrap()
    });
    let ask = |count: usize| {
        let mut sender = sender.clone();
        let targets = &targets;
        local.block_on(&runtime, async move {
            let mut waiting = Vec::with_capacity(STREAMS);
            for target in targets.iter().cycle().take(count) {
                let request = http::Request::get(target.clone()).body(()).unwrap();
                sender = sender.ready().await.unwrap();
                waiting.push(sender.send_request(request, true).unwrap().0);
                if waiting.len() < STREAMS {
                    continue;
                }
                for response in waiting.drain(..) {
                    let response = response.await.unwrap();
                    assert_eq!(response.status(), 200);
                    let mut body = response.into_body();
                    while let Some(piece) = body.data().await {
                        let length = piece.unwrap().len();
                        assert!(length >= 50);
                        body.flow_control().release_capacity(length).unwrap();
                    }
                }
            }
        });
    };
    // Tables, buffers and pools grow to what this load needs.
    ask(10 * NAMES);
    measure(|| ask(ANSWERS)).count_total
}

#[test]
fn a_cached_answer_allocates_no_more_than_a_constant() {
    let constant = exchange(|io| async {
        let connection = h2::server::Builder::new()
            .max_concurrent_streams(200)
            .handshake::<_, Bytes>(io)
            .await
            .unwrap();
        responder::answer(connection).await.unwrap();
    });
    let (worker, edge) = worker();
    let weir = exchange(|io| async {
        let peer = Peer {
            address: ([127, 0, 0, 1], 9).into(),
            trusted: false,
        };
        let connection = Connection::open(io, peer, worker, edge).await.unwrap();
        connection.serve().await;
    });
    assert!(constant > ANSWERS as u64, "h2 allocates for each stream");
    let most = constant + REFILLS + FRESHNESS;
    assert!(
        weir <= most,
        "{weir} allocations for {ANSWERS} answers, a constant responder makes {constant}"
    );
}

#[test]
fn a_refused_question_allocates_nothing() {
    // Invariant E5, of the mesh: the query itself was made before, and goes.
    let zone = UpstreamZone::new(
        Name::root(),
        vec![Upstream::udp(([192, 0, 2, 1], 53).into())],
        false,
    );
    let mut settings = Settings::default();
    settings.mesh.client_waiting_max = 4;
    settings.resolution.forward_zones = vec![zone];
    let cache = Arc::new(Cache::new(8 << 20, [3, 4]));
    let random = Random::from_seed([1, 2]);
    let mut mesh = Mesh::new(
        Arc::new(Rules::new(settings)),
        cache,
        Arc::new(Infra::default()),
        random,
    );
    let (clock, connection) = (Clock::start(), ConnectionId(1));
    let mut handle = |event| {
        mesh.handle(clock.now(), event);
        let actions = std::iter::from_fn(|| mesh.poll_action());
        actions
            .filter(|action| matches!(action, Action::Refuse { .. }))
            .count()
    };
    handle(Event::ConnectionOpened {
        connection,
        identity: Identity(9),
    });
    let ask = |number: usize| {
        let name = Name::from_text(&name(number)).unwrap();
        let stream = StreamKey {
            connection,
            stream: number as u32 * 2 + 1,
        };
        let question = Question {
            name,
            record_type: RecordType::A,
            class: Class::IN,
        };
        let query = Query::plain(7, question);
        Event::Query {
            stream,
            query,
            traced: false,
        }
    };
    assert_eq!((0..4).map(|number| handle(ask(number))).sum::<usize>(), 0);
    let events: Vec<Event> = (4..NAMES).map(ask).collect();
    let mut refused = 0;
    let allocated = measure(|| refused = events.into_iter().map(&mut handle).sum::<usize>());
    assert_eq!(refused, NAMES - 4);
    assert_eq!(allocated.count_total, 0, "for {refused} refusals");
}
