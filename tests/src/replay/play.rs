//! One scenario file from text to verdict, and the files below a path.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::replay::config::Config;
use crate::replay::deckard_config::deckard_config;
use crate::replay::lines::ParseError;
use crate::replay::matching::Comparison;
use crate::replay::outcome::{Outcome, Verdict};
use crate::replay::parse::parse;
use crate::replay::run::run;
use crate::replay::run_deckard::run as run_deckard;
use crate::replay::scenario::{Dialect, Scenario};
use crate::replay::scene::Scene;
use crate::replay::server_config::server_config;

/// Plays the text of one scenario.
#[must_use]
pub fn play(text: &str, comparison: Comparison) -> Outcome {
    let read = parse(text).and_then(|scenario| {
        let configs = configs(&scenario)?;
        Ok((scenario, configs))
    });
    let (scenario, configs) = match read {
        Ok(read) => read,
        Err(error) => {
            return Outcome {
                verdict: Verdict::Fail(error.to_string()),
                notes: Vec::new(),
                log: Vec::new(),
            };
        }
    };
    let mut notes = Vec::new();
    let mut log = Vec::new();
    let mut verdict = Verdict::Pass;
    for config in configs {
        let unknown = config
            .unknown
            .iter()
            .map(|option| format!("unknown option {option}"));
        let without = config
            .without_counterpart
            .iter()
            .map(|option| format!("no counterpart of {option}"));
        notes.extend(unknown.chain(without));
        if let Some(feature) = config.outside {
            verdict = Verdict::Skip(feature);
            break;
        }
        match play_once(&scenario, &config, comparison, &mut log) {
            Ok(of_run) => notes.extend(of_run),
            Err(difference) => {
                verdict = Verdict::Fail(difference);
                break;
            }
        }
    }
    notes.sort();
    notes.dedup();
    Outcome {
        verdict,
        notes,
        log,
    }
}

fn configs(scenario: &Scenario) -> Result<Vec<Config>, ParseError> {
    match scenario.dialect {
        Dialect::Testbound => server_config(&scenario.config).map(|config| vec![config]),
        Dialect::Deckard => deckard_config(&scenario.config),
    }
}

fn play_once(
    scenario: &Scenario,
    config: &Config,
    comparison: Comparison,
    log: &mut Vec<String>,
) -> Result<Vec<String>, String> {
    let play = || {
        let mut scene = Scene::new(scenario, config, comparison)?;
        let result = match scenario.dialect {
            Dialect::Testbound => run(&mut scene),
            Dialect::Deckard => run_deckard(&mut scene),
        };
        scene.end(result, log)
    };
    // A panic of the core is a failure of its file; the others still run.
    catch_unwind(AssertUnwindSafe(play)).unwrap_or_else(|_| Err("the core panicked".to_owned()))
}

/// Plays one file. Octets that are not UTF-8 are replaced; they stand in comments.
///
/// # Errors
/// When the file cannot be read.
pub fn play_file(path: &Path, comparison: Comparison) -> io::Result<Outcome> {
    let octets = fs::read(path)?;
    Ok(play(&String::from_utf8_lossy(&octets), comparison))
}

/// The scenario files among these paths and below those that are folders, in order.
///
/// # Errors
/// When a folder cannot be read.
pub fn scenario_files(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut entries: Vec<PathBuf> = fs::read_dir(path)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<_>>()?;
        entries.sort();
        entries.retain(|entry| {
            entry.is_dir()
                || entry
                    .extension()
                    .is_some_and(|extension| extension == "rpl" || extension == "crpl")
        });
        files.extend(scenario_files(&entries)?);
    }
    Ok(files)
}
