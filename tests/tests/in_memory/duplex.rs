//! The second level on its seeds; see `weir_tests::duplex`.

use weir_tests::duplex::world::{Report, run};

/// Seeds, and what happens in each of them.
const SEEDS: std::ops::Range<u64> = 0..600;
const STEPS: u32 = 200;

#[test]
fn the_shell_makes_each_event_once_whatever_http_does() {
    let mut sum = Report::default();
    let mut torn = 0;
    for seed in SEEDS {
        let report = run(seed, STEPS).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        sum.asked += report.asked;
        sum.written += report.written;
        sum.closed += report.closed;
        torn += u64::from(report.torn);
    }
    println!("{sum:?}, {torn} connections torn");
    assert!(sum.asked > 5000, "{sum:?}");
    assert!(sum.written > 1000 && sum.closed > 1000, "{sum:?}");
    assert!(torn > 200, "{torn}");
}

#[test]
fn the_same_seed_gives_the_same_notes() {
    for seed in 0..20 {
        assert_eq!(run(seed, STEPS).unwrap(), run(seed, STEPS).unwrap());
    }
}
