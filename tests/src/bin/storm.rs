//! Lets a storm go over the real data plane on loopback; see `docs/src/testing.md`.
//!
//! The last line is `N passed, N failed`, counted in things that had to hold. Needs `weir-dataplane` beside it.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use weir_tests::storm::run::{Options, Outcome, storm};

/// Resets, aborts, shut windows and overload, against the real data plane on loopback.
#[derive(Debug, Parser)]
struct Arguments {
    /// Streams, beside those of the warm-up.
    #[arg(long, default_value_t = 2_000_000)]
    streams: u64,
    /// Streams of the warm-up, after which memory is measured.
    #[arg(long, default_value_t = 200_000)]
    warm_up: u64,
    /// Where what is drawn begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Workers of the data plane.
    #[arg(long, default_value_t = 2)]
    workers: u32,
    /// By how many hundredths resident memory may grow after the warm-up.
    #[arg(long, default_value_t = 5)]
    growth_max: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options {
        streams: arguments.streams,
        warm_up: arguments.warm_up,
        seed: arguments.seed,
        workers: arguments.workers,
        growth_max: arguments.growth_max,
    };
    match run(options).and_then(|outcome| tell(&outcome)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ignored = writeln!(std::io::stderr(), "storm: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: Options) -> std::io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, storm(options))
}

fn tell(outcome: &Outcome) -> std::io::Result<usize> {
    let mut out = std::io::stdout().lock();
    let tally = &outcome.tally;
    writeln!(
        out,
        "{} streams on {} connections in {:.1} s: {} answered, {} refused, {} reset, {} reset by the server, {} aborted, {} lost; {} upstream queries",
        tally.opened,
        tally.connections,
        outcome.elapsed.as_secs_f64(),
        tally.answered,
        tally.refused,
        tally.reset,
        tally.reset_by_server,
        tally.aborted,
        tally.lost,
        outcome.upstream_queries,
    )?;
    for (what, holds, numbers) in &outcome.checks {
        let verdict = if *holds { "held  " } else { "FAILED" };
        writeln!(out, "{verdict} {what}: {numbers}")?;
    }
    let failed = outcome.checks.iter().filter(|(_, holds, _)| !holds).count();
    writeln!(
        out,
        "{} passed, {failed} failed",
        outcome.checks.len() - failed
    )?;
    Ok(failed)
}
