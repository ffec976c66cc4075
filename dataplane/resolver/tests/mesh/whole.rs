//! What concerns a mesh as a whole: new settings, a drain, a violated invariant.

use std::sync::Arc;
use std::time::Duration;

use weir_resolver::action::{Action, Refusal};
use weir_resolver::answer::ResponseCode;
use weir_resolver::event::Event;
use weir_resolver::key::ConnectionId;
use weir_resolver::mesh::Deadline;
use weir_resolver::name::Name;
use weir_resolver::rules::Rules;
use weir_resolver::settings::Settings;

use crate::bench::Bench;

#[test]
fn new_clients_never_join_a_state_of_replaced_settings() {
    let mut bench = Bench::new(|_| {});
    bench.open(1);
    let old = bench.ask(1, 1, "ask.a");
    let mut settings = Settings::clone(bench.mesh.settings());
    settings.epoch = 1;
    bench.handle(Event::Replace(Arc::new(Rules::new(settings))));
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
