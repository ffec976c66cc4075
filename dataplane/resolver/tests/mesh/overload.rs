//! A full mesh: who yields, who is refused, and that a refusal changes nothing else.

use weir_resolver::action::Refusal;
use weir_resolver::answer::{Origin, ResponseCode};
use weir_resolver::event::Event;
use weir_resolver::mesh::Deadline;

use crate::bench::{Bench, fill};

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
