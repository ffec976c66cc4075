//! The real data plane on loopback tells its streams, states, validations and pushes to a collector in this process.
//!
//! `cluster_traces.rs` has the same with a real Collector on Kubernetes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use weir_config::DataplaneConfig;
use weir_operator::pod_client::Answer;
use weir_tests::admin_port::AdminPort;
use weir_tests::cluster::spans::Span;
use weir_tests::edge::{Edge, forward_everything};
use weir_tests::held_upstream::{HeldUpstream, Hold, ZONE};
use weir_tests::local_task::{block_on, until};
use weir_tests::otlp_sink::OtlpSink;
use weir_tests::raw_h2::{
    END_HEADERS, END_STREAM, RawConnection, Response, frame, frame_type, get_headers, post_headers,
};

const PATIENCE: Duration = Duration::from_secs(15);
/// What the four ends of a stream are called.
const DISPOSITIONS: [&str; 4] = ["answered", "reset", "peer_cancelled", "connection_lost"];

/// A document that validates by the upstream's key and traces a share of the streams.
fn document(upstream: &HeldUpstream, sink: &OtlpSink, ratio: &str) -> Value {
    let mut forward = forward_everything(upstream.addresses[0]);
    forward["validate"] = json!(true);
    json!({
        "workers": 2,
        "resolution": {
            "forwardZones": [forward],
            "localZones": [{ "name": "local.example", "records": ["www A 127.0.0.1"] }],
        },
        // Tracked, as is the default: that the first probe makes keys of its digest takes nothing out of the cache.
        "dnssec": { "trustAnchors": { "records": [upstream.trust_anchor().unwrap()] } },
        "telemetry": { "traces": {
            "endpoint": format!("http://{}", sink.address),
            "sampleRatio": ratio,
            "always": { "rcodes": [], "slowerThan": "60s" },
        } },
    })
}

fn get(stream: u32, name: &str) -> Vec<u8> {
    let flags = END_STREAM | END_HEADERS;
    frame(frame_type::HEADERS, flags, stream, &get_headers(name))
}

async fn answer(connection: &mut RawConnection, stream: u32) -> Response {
    let over = |response: &Response| response.ended || response.reset.is_some();
    connection.response(stream, PATIENCE, over).await.unwrap()
}

/// Every way in which a stream can come to an answer or not; gives how many streams that were.
async fn make_streams(edge: &Edge, upstream: &HeldUpstream) -> usize {
    let address = edge.address();
    let mut first = RawConnection::open(address, &[]).await.unwrap();
    let mut second = RawConnection::open(address, &[]).await.unwrap();
    // A miss, a hit of each worker, and a local zone.
    for (stream, name) in [(1, "quay"), (3, "quay"), (5, "crane")] {
        for connection in [&mut first, &mut second] {
            let name = format!("{name}.{ZONE}");
            connection.send(&get(stream, &name)).await.unwrap();
            assert_eq!(answer(connection, stream).await.ok, Some(true));
        }
    }
    first.send(&get(7, "www.local.example")).await.unwrap();
    assert_eq!(answer(&mut first, 7).await.ok, Some(true));
    // A request that is none: a POST with nothing in it.
    let flags = END_STREAM | END_HEADERS;
    let empty = frame(frame_type::HEADERS, flags, 9, &post_headers());
    first.send(&empty).await.unwrap();
    assert_eq!(answer(&mut first, 9).await.ok, Some(false));
    // Two streams of two connections wait for one question, and one leaves it before the answer.
    upstream.hold(Hold::Everything);
    let (shared, left, lost) = (
        format!("shared.{ZONE}"),
        format!("left.{ZONE}"),
        format!("lost.{ZONE}"),
    );
    let mut third = RawConnection::open(address, &[]).await.unwrap();
    first.send(&get(11, &shared)).await.unwrap();
    first.send(&get(13, &left)).await.unwrap();
    third.send(&get(1, &lost)).await.unwrap();
    let all = [&shared, &left, &lost];
    until("all are asked", PATIENCE, async || {
        all.iter().all(|name| upstream.held(name) > 0)
    })
    .await;
    second.send(&get(7, &shared)).await.unwrap();
    until("the second waits", PATIENCE, async || {
        let waiters = edge.metric("weir_mesh_waiters").await.unwrap();
        waiters > 3.5
    })
    .await;
    let reset = frame(frame_type::RST_STREAM, 0, 13, &[0, 0, 0, 8]);
    first.send(&reset).await.unwrap();
    third.abort().unwrap();
    until("both have left", PATIENCE, async || {
        edge.metric("weir_mesh_waiters").await.unwrap() < 2.5
    })
    .await;
    upstream.release_all().await;
    assert_eq!(answer(&mut first, 11).await.ok, Some(true));
    assert_eq!(answer(&mut second, 7).await.ok, Some(true));
    12
}

#[test]
fn every_stream_is_told_with_its_state_and_all_links_resolve() {
    block_on(async {
        let (sink, upstream) = (
            OtlpSink::start().unwrap(),
            HeldUpstream::start(3600, true).await.unwrap(),
        );
        let edge = Edge::launch(document(&upstream, &sink, "1")).unwrap();
        let streams = make_streams(&edge, &upstream).await;
        let told = || sink.spans().into_iter().filter(Span::is_stream).count();
        until("every stream is told", PATIENCE, async || told() >= streams).await;
        // The last states end after their streams.
        until("every link resolves", PATIENCE, async || {
            unresolved(&sink.spans()).is_empty()
        })
        .await;
        let spans = sink.spans();
        each_stream_has_one_end(&spans, streams, &edge).await;
        the_same_question_shares_a_state(&spans);
        who_left_is_told(&spans);
        every_waiter_detaches_once(&spans);
        validations_are_told(&spans);
        let dropped = edge.metric("weir_telemetry_spans_dropped_total").await;
        assert!(dropped.unwrap().abs() < f64::EPSILON);
    })
    .unwrap();
}

/// Links and parents that lead nowhere.
fn unresolved(spans: &[Span]) -> Vec<&Span> {
    let known: BTreeSet<_> = spans.iter().map(|span| (&span.trace, &span.id)).collect();
    let resolves = |span: &&Span| {
        let links = span
            .links
            .iter()
            .all(|(trace, id)| known.contains(&(trace, id)));
        links && (span.parent.is_empty() || known.contains(&(&span.trace, &span.parent)))
    };
    spans.iter().filter(|span| !resolves(span)).collect()
}

async fn each_stream_has_one_end(spans: &[Span], streams: usize, edge: &Edge) {
    let told: Vec<_> = spans.iter().filter(|span| span.is_stream()).collect();
    let keys: BTreeSet<_> = told
        .iter()
        .map(|span| {
            (
                span.attribute("weir.connection.id"),
                span.attribute("weir.stream.id"),
            )
        })
        .collect();
    assert_eq!((told.len(), keys.len()), (streams, streams));
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for span in told {
        assert_eq!(span.name, "doh.stream");
        *ends.entry(span.attribute("weir.disposition")).or_default() += 1;
    }
    for disposition in DISPOSITIONS {
        let label = format!("disposition=\"{disposition}\"");
        let scrape = edge.scrape().await.unwrap();
        let counted = scrape.sum("weir_stream_dispositions_total", &label);
        let told = ends.remove(disposition).unwrap_or_default();
        assert!(
            (counted - told as f64).abs() < f64::EPSILON,
            "{disposition}: {counted} {told}"
        );
    }
    assert!(ends.is_empty(), "{ends:?}");
}

fn asking<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    let wanted = format!("{name}.{ZONE}");
    let named = |span: &&Span| {
        let asked = span.attribute("dns.question.name").trim_end_matches('.');
        span.is_stream() && asked.eq_ignore_ascii_case(&wanted)
    };
    spans.iter().filter(named).collect()
}

/// The states that a stream is linked to.
fn states_of<'a>(spans: &'a [Span], stream: &Span) -> Vec<&'a Span> {
    let linked = |span: &&Span| {
        let link = (span.trace.clone(), span.id.clone());
        span.name == "mesh.state" && stream.links.contains(&link)
    };
    spans.iter().filter(linked).collect()
}

fn the_same_question_shares_a_state(spans: &[Span]) {
    let streams = asking(spans, "shared");
    assert_eq!(streams.len(), 2);
    let states: Vec<_> = streams
        .iter()
        .flat_map(|stream| states_of(spans, stream))
        .collect();
    assert_eq!(states.len(), 2, "{streams:?}");
    assert_eq!(states[0].id, states[1].id);
    // And back: the state is linked to both.
    for stream in streams {
        let link = (stream.trace.clone(), stream.id.clone());
        assert!(states[0].links.contains(&link), "{:?}", states[0]);
    }
    assert_eq!(states[0].attribute("weir.mesh.waiters_most"), "2");
}

fn who_left_is_told(spans: &[Span]) {
    for (name, disposition) in [("left", "peer_cancelled"), ("lost", "connection_lost")] {
        let streams = asking(spans, name);
        assert_eq!(streams.len(), 1, "{name}");
        assert_eq!(streams[0].attribute("weir.disposition"), disposition);
        assert_eq!(streams[0].count("waiter.detached"), 1, "{:?}", streams[0]);
        let states = states_of(spans, streams[0]);
        assert_eq!(states.len(), 1, "{name}");
        assert_eq!(states[0].count("waiter.detached"), 1, "{:?}", states[0]);
        assert_eq!(states[0].count("orphaned"), 1, "{:?}", states[0]);
    }
}

fn every_waiter_detaches_once(spans: &[Span]) {
    let mut attached = 0;
    for span in spans {
        assert_eq!(
            span.count("waiter.attached"),
            span.count("waiter.detached"),
            "{span:?}"
        );
        attached += span.count("waiter.attached");
    }
    // Two names, the shared question twice, and two that left; each at its stream and at its state.
    assert!(attached >= 12, "{attached}");
}

fn validations_are_told(spans: &[Span]) {
    let all: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "dnssec.validate")
        .collect();
    assert!(!all.is_empty());
    for span in all {
        let state = spans
            .iter()
            .find(|state| state.trace == span.trace && state.id == span.parent);
        assert_eq!(state.map(|state| state.name.as_str()), Some("mesh.state"));
        let told = |name: &str| span.attribute(name);
        assert_eq!(told("weir.dnssec.status"), "secure", "{span:?}");
        assert_eq!(told("weir.dnssec.algorithm"), "15");
        assert_eq!(told("weir.dns.zone").trim_end_matches('.'), ZONE);
        assert!(told("weir.dnssec.key_tag").parse::<u16>().is_ok());
        assert!(told("weir.dnssec.signatures").parse::<u16>().unwrap() >= 1);
        assert_eq!(told("weir.dnssec.hashes"), "0");
    }
}

#[test]
fn streams_that_are_not_sampled_are_not_told() {
    block_on(async {
        let (sink, upstream) = (
            OtlpSink::start().unwrap(),
            HeldUpstream::start(3600, true).await.unwrap(),
        );
        let edge = Edge::launch(document(&upstream, &sink, "0")).unwrap();
        make_streams(&edge, &upstream).await;
        // More than two rounds of export.
        sleep(Duration::from_millis(1500)).await;
        assert_eq!(sink.spans(), []);
    })
    .unwrap();
}

#[test]
fn a_push_continues_the_operators_trace() {
    block_on(async {
        let (sink, upstream) = (
            OtlpSink::start().unwrap(),
            HeldUpstream::start(3600, true).await.unwrap(),
        );
        let mut config = document(&upstream, &sink, "0");
        let admin = AdminPort::prepare(&mut config).unwrap();
        let edge = Edge::launch(config).unwrap();
        until("the admin port is open", PATIENCE, async || {
            admin.is_open().await
        })
        .await;
        let mut config = DataplaneConfig::read(&edge.document().unwrap()).unwrap();
        config.cache.ttl.max = Duration::from_secs(77);
        let (trace, span) = ("0123456789abcdef0123456789abcdef", "0123456789abcdef");
        // Unsampled, then sampled; then one that is refused: what listens cannot change live.
        let push = async |config: &DataplaneConfig, flags: &str| {
            let parent = format!("00-{trace}-{span}-{flags}");
            admin.push(config.clone(), Some(&parent)).await.unwrap()
        };
        push(&config, "00").await;
        let applied = push(&config, "01").await;
        assert!(matches!(applied, Answer::Applied(_)), "{applied:?}");
        let revision = config.revision();
        config.workers = 1;
        let refused = push(&config, "01").await;
        assert!(matches!(refused, Answer::Rejected(_)), "{refused:?}");
        until("both pushes are told", PATIENCE, async || {
            sink.spans().len() >= 2
        })
        .await;
        let spans = sink.spans();
        assert_eq!(spans.len(), 2, "{spans:?}");
        for told in &spans {
            assert_eq!(told.name, "config.apply");
            assert_eq!((told.trace.as_str(), told.parent.as_str()), (trace, span));
        }
        assert_eq!(spans[0].attribute("weir.revision"), revision);
        assert_eq!(spans[1].attribute("weir.revision"), config.revision());
        assert_eq!(spans[1].attribute("weir.config.field"), "workers");
    })
    .unwrap();
}

#[test]
fn a_collector_behind_tls_must_show_a_certificate_that_is_trusted() {
    block_on(async {
        let pair = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        let sink = OtlpSink::start_tls(&certificate, &key).unwrap();
        let upstream = HeldUpstream::start(3600, true).await.unwrap();
        let file = std::env::temp_dir().join(format!("weir-otlp-{}.crt", std::process::id()));
        std::fs::write(&file, certificate).unwrap();
        let trusting = [format!("OTEL_EXPORTER_OTLP_CERTIFICATE={}", file.display())];
        for environment in [[].as_slice(), &trusting] {
            let mut config = document(&upstream, &sink, "1");
            config["telemetry"]["traces"]["endpoint"] = json!(format!("https://{}", sink.address));
            let edge = Edge::launch_with("0", config, environment).unwrap();
            let streams = make_streams(&edge, &upstream).await;
            if environment.is_empty() {
                // More than two rounds of export to somebody who is not trusted.
                sleep(Duration::from_millis(1500)).await;
                assert_eq!(sink.spans(), []);
            } else {
                let told = || sink.spans().into_iter().filter(Span::is_stream).count();
                until("every stream is told", PATIENCE, async || told() >= streams).await;
            }
        }
        std::fs::remove_file(file).unwrap();
    })
    .unwrap();
}
