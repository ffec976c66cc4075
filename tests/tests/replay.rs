//! Plays recorded scenarios: Weir's own always, those of other resolvers where they are at hand.
//!
//! `tests/replay/passing.txt` names the scenarios of others that must pass. It only grows: a file of it that
//! fails fails this test, and one that passes and is not in it is told of, to be added.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use weir_tests::replay::matching::Comparison;
use weir_tests::replay::outcome::Verdict;
use weir_tests::replay::play::{play_file, scenario_files};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("replay")
}

/// The scenarios of others: `WEIR_RPL`, or `shared/rpl` beside the workspace.
fn others() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/rpl");
    let path = std::env::var_os("WEIR_RPL").map_or_else(beside, PathBuf::from);
    path.is_dir().then_some(path)
}

#[test]
fn own_scenarios_pass() {
    let files = scenario_files(&[folder()]).unwrap();
    assert!(!files.is_empty(), "there are no own scenarios");
    for file in files {
        let outcome = play_file(&file, Comparison::Full).unwrap();
        assert_eq!(
            outcome.verdict,
            Verdict::Pass,
            "{}: {:#?}",
            file.display(),
            outcome.log
        );
        assert_eq!(outcome.notes, Vec::<String>::new(), "{}", file.display());
    }
}

#[test]
fn a_wrong_expectation_fails() {
    for file in scenario_files(&[folder()]).unwrap() {
        let text = std::fs::read_to_string(&file).unwrap();
        let wrong = text.replace("198.51.100.7", "198.51.100.8");
        let broken = wrong.replacen("198.51.100.8", "198.51.100.7", 1);
        if broken == text {
            continue;
        }
        let outcome = weir_tests::replay::play::play(&broken, Comparison::Essential);
        assert!(
            matches!(outcome.verdict, Verdict::Fail(_)),
            "{}",
            file.display()
        );
    }
}

#[test]
fn scenarios_of_others_keep_passing() {
    let passing = std::fs::read_to_string(folder().join("passing.txt")).unwrap();
    let passing: BTreeSet<&str> = passing
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let Some(root) = others() else {
        // Not at hand: the own scenarios and the list alone are what this test can see.
        assert!(!passing.is_empty());
        return;
    };
    let mut now = BTreeSet::new();
    let mut lost = Vec::new();
    for file in scenario_files(std::slice::from_ref(&root)).unwrap() {
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        let outcome = play_file(&file, Comparison::Essential).unwrap();
        match outcome.verdict {
            Verdict::Pass => {
                now.insert(name);
            }
            Verdict::Fail(difference) if passing.contains(name.as_str()) => {
                lost.push(format!("{name}: {difference}"));
            }
            Verdict::Skip(reason) if passing.contains(name.as_str()) => {
                lost.push(format!("{name} is skipped: {reason}"));
            }
            Verdict::Fail(_) | Verdict::Skip(_) => {}
        }
    }
    assert!(
        lost.is_empty(),
        "these passed and fail now:\n{}",
        lost.join("\n")
    );
    let new: Vec<&str> = now
        .iter()
        .map(String::as_str)
        .filter(|name| !passing.contains(name))
        .collect();
    if !new.is_empty() {
        let text = format!(
            "these pass now, add them to tests/replay/passing.txt:\n{}\n",
            new.join("\n")
        );
        std::io::stderr().write_all(text.as_bytes()).unwrap();
    }
}
