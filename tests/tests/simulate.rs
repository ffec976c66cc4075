//! The simulator on the seeds of `seeds.txt`, on a few more, and on every known fault.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use weir_resolver::mesh::Mutant;
use weir_tests::simulate::explore::{explore, follow_all};
use weir_tests::simulate::run::run;

/// Seeds beside the committed ones; the long run is a command of its own (`docs/src/testing.md`).
const SEEDS: std::ops::Range<u64> = 1000..11_000;
/// Events of each of them.
const EVENTS: u64 = 2000;
/// After this no new seed is begun: about a minute of one core is enough for all, in the release profile.
const TIME_MAX: Duration = Duration::from_secs(120);
/// What has to fit into that time even without optimisation on a busy machine.
const SEEDS_MIN: u64 = 100;

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
    let (start, next) = (Instant::now(), AtomicU64::new(SEEDS.start));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let worker = || {
        let (mut seeds, mut events, mut answers) = (0, 0, 0);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let over = start.elapsed() > TIME_MAX && seed >= SEEDS.start + SEEDS_MIN;
            if seed >= SEEDS.end || over {
                return (seeds, events, answers);
            }
            let report = run(seed, EVENTS, None);
            let command = format!("simulate --seeds {seed}..{} --events {EVENTS}", seed + 1);
            assert_eq!(report.violation, None, "{command}");
            seeds += 1;
            events += report.events;
            answers += report.answers;
        }
    };
    let sums: Vec<(u64, u64, u64)> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let ended = running.into_iter().map(|thread| thread.join().unwrap());
        ended.collect()
    });
    let sum = |part: fn(&(u64, u64, u64)) -> u64| sums.iter().map(part).sum::<u64>();
    let (seeds, events, answers) = (sum(|one| one.0), sum(|one| one.1), sum(|one| one.2));
    println!("{seeds} seeds, {events} events, {:?}", start.elapsed());
    assert!(seeds >= SEEDS_MIN, "only {seeds} seeds were run");
    assert!(answers > seeds, "only {answers} streams were answered");
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
fn every_interleaving_of_six_events_in_the_small_scope_ends_well() {
    let explored = explore(6, None);
    assert_eq!(explored.violation, None);
    let interleavings = explored.interleavings();
    println!(
        "{interleavings} interleavings in {} states",
        explored.states
    );
    assert!(
        interleavings > 2_000_000 && explored.states > 10_000,
        "{explored:?}"
    );
}

#[test]
fn situations_that_are_not_told_apart_go_on_alike() {
    let (mut count, mut known) = (0, HashMap::new());
    let followed = follow_all(2, &mut |path, fingerprint, following| {
        count += u64::from(!path.is_empty());
        let first = known
            .entry(fingerprint)
            .or_insert_with(|| (path.to_vec(), following.clone()));
        assert_eq!(first.1, following, "{path:?} and {:?}", first.0);
    });
    assert_eq!(followed, Ok(()));
    let explored = explore(2, None);
    assert_eq!(explored.interleavings(), count);
    assert_eq!(explored.states, known.len() as u64);
    assert!(explored.states < count);
}
