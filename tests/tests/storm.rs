//! Short storms over the real data plane; the long ones are commands of their own (`docs/src/testing.md`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was measured is for --nocapture")]

use weir_tests::storm::run::{Options, Report, storm};

fn blow(options: Options) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let report = tokio::task::LocalSet::new().block_on(&runtime, storm(options));
    let report = report.unwrap();
    let rounds = report.rounds.iter().flat_map(|round| &round.checks);
    for (what, holds, numbers) in rounds.chain(&report.checks) {
        println!("{what}: {numbers}");
        assert!(*holds, "{what}: {numbers}\n{report:#?}");
    }
    report
}

#[test]
fn every_count_closes_in_a_storm() {
    let report = blow(Options {
        rounds: 1,
        streams: 30_000,
        warm_up: 20_000,
        seed: 7,
        workers: 2,
        // So short a storm leaves 20 to 25 MiB, as the allocator's pages fall; what lives is counted below.
        growth_max: 50,
        counting: false,
    });
    assert!(report.rounds[0].tally.opened >= 30_000);
}

#[test]
fn storms_leave_nothing_on_the_heap() {
    // A block that one stream of two hundred left behind would show.
    blow(Options {
        rounds: 3,
        streams: 12_000,
        warm_up: 20_000,
        seed: 8,
        workers: 2,
        growth_max: 1,
        counting: true,
    });
}
