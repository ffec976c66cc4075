//! Traces in a real Collector: each stream has one span with its one disposition, every link leads to
//! a span, two streams that asked the same share one state, and a stream that was reset shows that it
//! left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::join_all;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use serde_json::json;
use tokio::time::timeout;
use weir_tests::cluster::helm::Helm;
use weir_tests::cluster::namespace::Namespace;
use weir_tests::cluster::resolver::{Subject, spec};
use weir_tests::cluster::spans::{Span, read, start_collector};
use weir_tests::cluster::{announce, eventually, on_cluster};

/// Names of a zone whose only server never answers, so that streams wait together.
const SHARED: &str = "shared.dead.demo.";
const ABANDONED: &str = "abandoned.dead.demo.";

#[tokio::test]
async fn every_stream_is_told_with_its_disposition_and_its_state() -> Result<()> {
    on_cluster(|cluster| async move {
        Helm::Four.install_once().await?;
        let namespace = Namespace::create(&cluster, "traces").await?;
        start_collector(&namespace).await?;
        let traced = json!({
            "telemetry": {"traces": {"endpoint": format!("http://collector.{}.svc:4317", namespace.name), "sampleRatio": "1"}},
            "resolution": {"budget": {"totalTime": "3s"}},
        });
        let subject = Subject::apply(&namespace, "home", &spec(&cluster, 1, traced)).await?;
        subject.wait_ready().await?;
        let streams = make_streams(&subject).await?;

        // Spans of one trace may come in several batches, and a state that goes on without its stream
        // ends later.
        eventually("the spans are whole", Duration::from_secs(30), || async {
            let spans = read(&namespace).await?;
            each_stream_has_one_span(&spans, streams)?;
            every_link_leads_to_a_span(&spans)?;
            the_same_question_shares_a_state(&spans)?;
            a_reset_shows_that_the_stream_left(&spans)?;
            announce(&format!("{streams} streams gave {} spans", spans.len()));
            Ok(())
        })
        .await
    })
    .await
}

/// Asks on two connections; gives how many streams that were.
async fn make_streams(subject: &Subject<'_>) -> Result<usize> {
    let first = subject.connect().await?;
    let second = subject.connect().await?;
    let mut streams = 0;
    for name in [
        "www.harbour.demo.",
        "ferry.harbour.demo.",
        "landing.river.demo.",
    ] {
        for client in [&first, &second] {
            client.ask(name, RecordType::A).await?;
            streams += 1;
        }
    }
    let none = first.ask("nothing.river.demo.", RecordType::A).await?;
    ensure!(none.code == ResponseCode::NXDomain, "{none:?}");
    streams += 1;

    let together = [
        first.ask(SHARED, RecordType::A),
        second.ask(SHARED, RecordType::A),
    ];
    for answer in join_all(together).await {
        ensure!(answer?.code == ResponseCode::ServFail);
        streams += 1;
    }
    // A future that is dropped resets its stream.
    let left = timeout(
        Duration::from_millis(300),
        first.ask(ABANDONED, RecordType::A),
    )
    .await;
    ensure!(left.is_err(), "a dead server answered: {left:?}");
    streams += 1;
    // The connection goes on.
    first.ask("www.harbour.demo.", RecordType::AAAA).await?;
    Ok(streams + 1)
}

fn each_stream_has_one_span(spans: &[Span], streams: usize) -> Result<()> {
    let mut told: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for span in spans.iter().filter(|span| span.is_stream()) {
        let key = (
            span.attribute("weir.connection.id"),
            span.attribute("weir.stream.id"),
        );
        *told.entry(key).or_default() += 1;
        let disposition = span.attribute("weir.disposition");
        ensure!(
            ["answered", "reset", "peer_cancelled", "connection_lost"].contains(&disposition),
            "{disposition:?} is no disposition: {span:?}"
        );
    }
    ensure!(
        told.len() == streams,
        "{streams} streams gave spans {told:?}"
    );
    ensure!(
        told.values().all(|count| *count == 1),
        "a stream was told twice: {told:?}"
    );
    Ok(())
}

fn every_link_leads_to_a_span(spans: &[Span]) -> Result<()> {
    let known: BTreeSet<_> = spans.iter().map(|span| (&span.trace, &span.id)).collect();
    let mut links = 0;
    for span in spans {
        for (trace, id) in &span.links {
            ensure!(
                known.contains(&(trace, id)),
                "a link of {} leads nowhere: {span:?}",
                span.name
            );
            links += 1;
        }
        let parent = span.parent.is_empty() || known.contains(&(&span.trace, &span.parent));
        ensure!(parent, "the parent of {} is missing: {span:?}", span.name);
    }
    ensure!(links > 0, "no span is linked to another");
    Ok(())
}

fn the_same_question_shares_a_state(spans: &[Span]) -> Result<()> {
    let streams = asking(spans, SHARED);
    ensure!(streams.len() == 2, "{streams:?}");
    let states: BTreeSet<_> = streams
        .iter()
        .flat_map(|stream| states_of(spans, stream))
        .filter(|state| same(state.attribute("dns.question.name"), SHARED))
        .map(|state| &state.id)
        .collect();
    ensure!(
        states.len() == 1,
        "the two streams have states {states:?}: {streams:?}"
    );
    for stream in &streams {
        ensure!(
            states_of(spans, stream).count() > 0,
            "a stream without its state: {stream:?}"
        );
        ensure!(
            stream.count("waiter.attached") == 1 && stream.count("waiter.detached") == 1,
            "{stream:?}"
        );
    }
    Ok(())
}

/// The states that a stream waited for: its children, and those that it is linked to.
fn states_of<'a>(spans: &'a [Span], stream: &'a Span) -> impl Iterator<Item = &'a Span> {
    spans.iter().filter(move |span| {
        let child = span.trace == stream.trace && span.parent == stream.id;
        let linked = stream
            .links
            .iter()
            .any(|(trace, id)| *trace == span.trace && *id == span.id);
        span.name.starts_with("mesh.state") && (child || linked)
    })
}

fn a_reset_shows_that_the_stream_left(spans: &[Span]) -> Result<()> {
    let streams = asking(spans, ABANDONED);
    let stream = streams.first().context("the reset stream was not told")?;
    ensure!(
        stream.attribute("weir.disposition") == "peer_cancelled",
        "{stream:?}"
    );
    ensure!(stream.count("waiter.detached") == 1, "{stream:?}");
    Ok(())
}

fn asking<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    let streams = spans.iter().filter(|span| span.is_stream());
    streams
        .filter(|span| same(span.attribute("dns.question.name"), name))
        .collect()
}

fn same(left: &str, right: &str) -> bool {
    left.trim_end_matches('.')
        .eq_ignore_ascii_case(right.trim_end_matches('.'))
}
