//! A short storm over the real data plane; the long one is a command of its own (`docs/src/testing.md`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use weir_tests::storm::run::{Options, storm};

#[test]
fn every_count_closes_in_a_storm() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let options = Options {
        streams: 30_000,
        warm_up: 20_000,
        seed: 7,
        workers: 2,
        growth_max: 25,
    };
    let outcome = tokio::task::LocalSet::new()
        .block_on(&runtime, storm(options))
        .unwrap();
    for (what, holds, numbers) in &outcome.checks {
        assert!(*holds, "{what}: {numbers}\n{outcome:#?}");
    }
    assert!(outcome.tally.opened >= 30_000);
}
