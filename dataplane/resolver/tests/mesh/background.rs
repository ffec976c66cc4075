//! States without waiters: orphans, renewals, and those behind a stale answer.

use std::time::Duration;

use weir_resolver::action::Refusal;
use weir_resolver::answer::{Origin, ResponseCode};
use weir_resolver::event::{Event, Level};
use weir_resolver::fetch::FetchFailure;
use weir_resolver::question::Query;

use crate::bench::Bench;
use crate::script::question;

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
fn an_orphan_that_nobody_comes_for_is_given_up() {
    let mut bench = Bench::new(|settings| settings.mesh.total_time = Duration::from_millis(700));
    bench.open(1);
    let one = bench.ask(1, 1, "ask.a");
    bench.later(600);
    bench.reset(one);
    bench.later(600);
    // Adopted and left again: its time begins anew.
    let two = bench.ask(1, 3, "ask.a");
    bench.reset(two);
    bench.later(600);
    assert_eq!(bench.mesh.gauges().orphans, 1);
    bench.later(100);
    let gauges = bench.mesh.gauges();
    assert_eq!((gauges.orphans, gauges.states, gauges.fetches), (0, 0, 0));
    assert_eq!(bench.cancelled, 1);
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
