//! Lets a storm go over the real data plane on loopback; see `docs/src/testing.md`.
//!
//! The last line is `N passed, N failed`, counted in things that had to hold. Needs `weir-dataplane` beside it.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use weir_tests::storm::run::{Check, Options, Outcome, Report, storm};

/// Resets, aborts, shut windows and overload, against the real data plane on loopback.
#[derive(Debug, Parser)]
struct Arguments {
    /// Storms in a row over one data plane; memory is compared after each.
    #[arg(long, default_value_t = 4)]
    rounds: u64,
    /// Streams of each storm, beside those of the warm-up.
    #[arg(long, default_value_t = 500_000)]
    streams: u64,
    /// Streams of the warm-up.
    #[arg(long, default_value_t = 200_000)]
    warm_up: u64,
    /// Where what is drawn begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Workers of the data plane.
    #[arg(long, default_value_t = 2)]
    workers: u32,
    /// By how many hundredths memory may grow from storm to storm.
    #[arg(long, default_value_t = 5)]
    growth_max: u64,
    /// Counts blocks and octets on the heap, with `dataplane-counting-heap`, instead of resident memory.
    #[arg(long)]
    counting: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options {
        rounds: arguments.rounds,
        streams: arguments.streams,
        warm_up: arguments.warm_up,
        seed: arguments.seed,
        workers: arguments.workers,
        growth_max: arguments.growth_max,
        counting: arguments.counting,
    };
    match run(options).and_then(|report| tell(&report)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ignored = writeln!(std::io::stderr(), "storm: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: Options) -> std::io::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, storm(options))
}

fn tell(report: &Report) -> std::io::Result<usize> {
    let mut out = std::io::stdout().lock();
    for outcome in &report.rounds {
        tell_round(outcome, &mut out)?;
    }
    tell_checks(&report.checks, &mut out)?;
    let rounds = report.rounds.iter().flat_map(|outcome| &outcome.checks);
    let all: Vec<&Check> = rounds.chain(&report.checks).collect();
    let failed = all.iter().filter(|(_, holds, _)| !holds).count();
    writeln!(out, "{} passed, {failed} failed", all.len() - failed)?;
    Ok(failed)
}

fn tell_round(outcome: &Outcome, out: &mut impl std::io::Write) -> std::io::Result<()> {
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
    tell_checks(&outcome.checks, out)
}

fn tell_checks(checks: &[Check], out: &mut impl std::io::Write) -> std::io::Result<()> {
    for (what, holds, numbers) in checks {
        let verdict = if *holds { "held  " } else { "FAILED" };
        writeln!(out, "{verdict} {what}: {numbers}")?;
    }
    Ok(())
}
