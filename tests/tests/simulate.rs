//! The simulator on the seeds of `seeds.txt`, on a few more, and on every known fault.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use weir_resolver::mesh::Mutant;
use weir_tests::simulate::explore::explore;
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
fn every_interleaving_of_five_events_in_the_small_scope_ends_well() {
    let explored = explore(5, None, |_, _| ());
    assert_eq!(explored.violation, None);
    println!(
        "{} interleavings, {} states",
        explored.interleavings(),
        explored.states
    );
    // Each is made and brought to its end; how many there are, is known.
    assert_eq!(explored.levels, [9, 97, 1163, 14_548, 184_407]);
    assert!(explored.states > explored.interleavings() * 3);
}

#[test]
fn the_small_scope_shows_known_faults() {
    let found = |mutant: &&Mutant| explore(3, Some(**mutant), |_, _| ()).violation.is_some();
    let found: Vec<&str> = Mutant::ALL
        .iter()
        .filter(found)
        .map(|mutant| mutant.name())
        .collect();
    println!("{} of {}: {found:?}", found.len(), Mutant::ALL.len());
    assert!(found.len() >= 20, "only {found:?}");
}

/// The names that a row of the table of invariants begins with: `A1`, `D2, D3`, `G1 to G6`, `M2, R-3`.
fn invariants(cell: &str) -> Vec<String> {
    let words: Vec<&str> = cell
        .split([' ', ','])
        .filter(|word| !word.is_empty())
        .collect();
    let is_name = |word: &str| {
        let rest = word.trim_start_matches(|letter: char| letter.is_ascii_uppercase());
        let number = rest.strip_prefix('-').unwrap_or(rest);
        word.len() > rest.len() && number.parse::<u8>().is_ok()
    };
    let end = words
        .iter()
        .position(|word| !is_name(word) && *word != "to");
    match words.get(..end.unwrap_or(words.len())).unwrap_or_default() {
        [first, "to", last] => {
            let number = |name: &str| name[1..].parse::<u8>().unwrap();
            let numbers = number(first)..=number(last);
            numbers
                .map(|number| format!("{}{number}", &first[..1]))
                .collect()
        }
        names => names.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// Whether some seed shows that a fault breaks one of these.
fn breaks(mutant: Mutant, invariants: &[String]) -> bool {
    (0..200).any(|seed| {
        let broken = run(seed, 2000, Some(mutant)).broken;
        invariants.iter().any(|name| broken.contains(name.as_str()))
    })
}

#[test]
fn each_mutant_breaks_the_invariant_that_it_stands_beside() {
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in include_str!("../../docs/src/mesh.md").lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, invariant, _, mutants, _] = cells[..] else {
            continue;
        };
        let names = invariants(invariant);
        for mutant in mutants.split('`').skip(1).step_by(2) {
            let known = Mutant::ALL.iter().find(|known| {
                known.name() == mutant || known.name().starts_with(&format!("{mutant}-"))
            });
            let mutant = *known.unwrap_or_else(|| panic!("{mutant} is no mutant"));
            rows += 1;
            if !breaks(mutant, &names) {
                wrong.push(format!("{names:?}: {}", mutant.name()));
            }
        }
    }
    assert!(rows >= Mutant::ALL.len(), "only {rows} were looked at");
    assert!(wrong.is_empty(), "not broken: {wrong:#?}");
}
