//! `replay [--full] [--list] PATH...`: plays scenario files and prints one line for each.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use weir_tests::replay::matching::Comparison;
use weir_tests::replay::outcome::Verdict;
use weir_tests::replay::play::{play_file, scenario_files};

/// Plays resolver scenarios (.rpl) against the core of Weir.
#[derive(Debug, Parser)]
struct Arguments {
    /// Compare authority, additional and EDNS options too, not only what is essential.
    #[arg(long)]
    full: bool,
    /// Print the names of the files that pass, and the totals.
    #[arg(long)]
    list: bool,
    /// Print what each file notes: options without effect, unforeseen queries.
    #[arg(long)]
    notes: bool,
    /// Print what went over the wire, step by step.
    #[arg(long)]
    trace: bool,
    /// Files and folders.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match play(&Arguments::parse(), &mut io::stdout().lock()) {
        Ok(code) => code,
        // Whoever reads has read enough.
        Err(fault)
            if fault.downcast_ref().map(io::Error::kind) == Some(io::ErrorKind::BrokenPipe) =>
        {
            ExitCode::FAILURE
        }
        Err(fault) => {
            let _ignored = writeln!(io::stderr(), "replay: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

fn play(arguments: &Arguments, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let comparison = if arguments.full {
        Comparison::Full
    } else {
        Comparison::Essential
    };
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for path in scenario_files(&arguments.paths).context("a folder cannot be read")? {
        let name = path.display();
        let outcome = play_file(&path, comparison).with_context(|| {
            format!("cannot read {name}; name a scenario file or a folder of them")
        })?;
        let line = match &outcome.verdict {
            Verdict::Pass => {
                passed += 1;
                format!("pass {name}")
            }
            Verdict::Fail(difference) => {
                failed += 1;
                format!("FAIL {name}: {difference}")
            }
            Verdict::Skip(reason) => {
                skipped += 1;
                format!("skip {name}: {reason}")
            }
        };
        if arguments.trace {
            for line in &outcome.log {
                writeln!(out, "    {line}")?;
            }
        }
        if arguments.list {
            if outcome.verdict == Verdict::Pass {
                writeln!(out, "{name}")?;
            }
            continue;
        }
        let notes = outcome.notes.len();
        match (arguments.notes, notes) {
            (_, 0) => writeln!(out, "{line}")?,
            (true, _) => writeln!(out, "{line} [{}]", outcome.notes.join("; "))?,
            (false, _) => writeln!(out, "{line} [{notes} notes]")?,
        }
    }
    writeln!(out, "{passed} passed, {failed} failed, {skipped} skipped")?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
