//! Fetches and needs of one state, and the bounds that end them.

use weir_resolver::answer::ResponseCode;
use weir_resolver::event::Event;
use weir_resolver::fetch::FetchFailure;

use crate::bench::Bench;

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
