//! The simulator on the seeds of `seeds.txt`, on a few more, and on every known fault.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use weir_resolver::mesh::Mutant;
use weir_tests::simulate::explore::explore;
use weir_tests::simulate::run::run;

/// Seeds beside the committed ones; the long run is a command of its own (`docs/src/testing.md`).
const SEEDS: std::ops::Range<u64> = 1000..1100;
/// Events of each of them.
const EVENTS: u64 = 1000;

#[test]
fn committed_seeds_pass() {
    let mut lines = 0;
    for line in include_str!("seeds.txt").lines() {
        let line = line.split('#').next().unwrap().trim();
        if line.is_empty() {
            continue;
        }
        let (seed, events) = line.split_once(' ').expect("a line is SEED EVENTS");
        let report = run(seed.parse().unwrap(), events.trim().parse().unwrap(), None);
        assert_eq!(report.violation, None, "seed {seed}");
        assert!(report.answers > 0, "seed {seed} answered nothing");
        lines += 1;
    }
    assert!(lines >= 3);
}

#[test]
fn fresh_seeds_pass() {
    let mut answers = 0;
    for seed in SEEDS {
        let report = run(seed, EVENTS, None);
        assert_eq!(
            report.violation,
            None,
            "simulate --seeds {seed}..{} --events {EVENTS}",
            seed + 1
        );
        answers += report.answers;
    }
    assert!(answers > 1000, "only {answers} streams were answered");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let (one, two) = (run(7, 2000, None), run(7, 2000, None));
    assert_eq!(one.trace_hash, two.trace_hash);
    assert_ne!(one.trace_hash, run(8, 2000, None).trace_hash);
}

#[test]
fn every_known_fault_is_found() {
    let survivors: Vec<&str> = Mutant::ALL
        .iter()
        .filter(|&&mutant| !(0..200).any(|seed| run(seed, 2000, Some(mutant)).violation.is_some()))
        .map(|mutant| mutant.name())
        .collect();
    assert!(Mutant::ALL.len() >= 20);
    assert!(survivors.is_empty(), "nothing finds {survivors:?}");
}

#[test]
fn every_interleaving_of_four_events_in_the_small_scope_ends_well() {
    let explored = explore(4, None);
    assert_eq!(explored.violation, None);
    println!(
        "{} interleavings, {} events",
        explored.interleavings, explored.events
    );
    assert!(explored.interleavings > 10_000, "{explored:?}");
}
