//! Streams that share a state, leave it or close: each is answered once, and no other is touched.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_resolver::action::Action;
use weir_resolver::answer::{Origin, ResponseCode};
use weir_resolver::event::{CloseCause, Event};
use weir_resolver::key::{ConnectionId, StreamKey};

use crate::bench::Bench;
use crate::script::query;

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
        let query = query(0, name);
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
