//! The fuzz targets over the committed corpus, and over seeded mutations of it: what libFuzzer once found
//! stays found, on the ordinary compiler, in seconds.

use std::path::PathBuf;

use weir_resolver::random::Random;
use weir_tests::fuzz;
use weir_tests::tidy::root;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder: PathBuf = root().join("tests/fuzz/corpus").join(target);
    let mut inputs: Vec<Vec<u8>> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    inputs
}

/// Runs a target over its corpus and `mutations` changes of each input.
fn run(target: &str, mutations: usize, run: fn(&[u8])) {
    let mut random = Random::from_seed([5, 6]);
    for input in corpus(target) {
        run(&input);
        for _ in 0..mutations {
            let mut changed = input.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(changed.len() + 1);
                let octet = (random.next_u64() & 0xff) as u8;
                match (random.below(3), changed.get_mut(at)) {
                    (0, Some(place)) => *place = octet,
                    (1, Some(_)) => drop(changed.remove(at)),
                    _ => changed.insert(at.min(changed.len()), octet),
                }
            }
            run(&changed);
        }
    }
}

#[test]
fn upstream_replies() {
    run("upstream_reply", 2000, fuzz::upstream_reply);
}

#[test]
fn doh_queries() {
    run("doh_query", 2000, fuzz::doh_query);
}

#[test]
fn mesh_events() {
    run("mesh_events", 100, fuzz::mesh_events);
}
