//! Runs the simulator from the command line; see `docs/src/testing.md`.
//!
//! The last line is `N passed, N failed`, counted in seeds, or in mutants where mutants are run: a mutant
//! passes when some seed finds it. The exit status is 0 only when nothing failed.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use weir_resolver::mesh::Mutant;
use weir_tests::simulate::explore::explore;
use weir_tests::simulate::report::Report;
use weir_tests::simulate::run::run;

/// How often a long walk says how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

/// Drives the mesh from seeds, and checks every invariant after every event.
#[derive(Debug, Parser)]
struct Arguments {
    /// The seeds, as `A..B` with B left out.
    #[arg(long, default_value = "0..100")]
    seeds: String,
    /// Events of each seed, before faults stop and everything is brought to its end.
    #[arg(long, default_value_t = 2000)]
    events: u64,
    /// Puts one known fault into the mesh, or each in turn (`all`), and runs seeds until one finds it.
    #[arg(long)]
    mutant: Option<String>,
    /// Instead of seeds, runs every interleaving of up to this many events over 2 connections x 2 streams x 2 names.
    #[arg(long)]
    exhaustive: Option<usize>,
    /// Prints the hash of everything that happened, for each seed.
    #[arg(long)]
    hashes: bool,
}

/// What a number of runs came to.
#[derive(Debug, Default)]
struct Sum {
    runs: u64,
    events: u64,
    answers: u64,
    refusals: u64,
    simulated: Duration,
    failed: u64,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.events += report.events;
        self.answers += report.answers;
        self.refusals += report.refusals;
        self.simulated = self.simulated.saturating_add(report.simulated);
        self.failed += u64::from(report.violation.is_some());
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    match carry_out(&arguments, &mut out) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ignored = writeln!(std::io::stderr(), "simulate: {error}");
            ExitCode::from(2)
        }
    }
}

fn carry_out(arguments: &Arguments, out: &mut impl std::io::Write) -> std::io::Result<u64> {
    let invalid = |text: String| std::io::Error::new(std::io::ErrorKind::InvalidInput, text);
    let (first, end) = arguments
        .seeds
        .split_once("..")
        .and_then(|(first, end)| Some((first.parse().ok()?, end.parse().ok()?)))
        .filter(|(first, end): &(u64, u64)| first < end)
        .ok_or_else(|| {
            invalid(format!(
                "--seeds {}: write A..B with A < B",
                arguments.seeds
            ))
        })?;
    if let Some(depth) = arguments.exhaustive {
        return exhaust(depth, out);
    }
    let started = Instant::now();
    let mut sum = Sum::default();
    let failed = match arguments.mutant.as_deref() {
        None => {
            for seed in first..end {
                let report = run(seed, arguments.events, None);
                sum.add(&report);
                tell(&report, arguments.hashes, out)?;
            }
            sum.failed
        }
        Some(name) => {
            let mutants = if name == "all" {
                Mutant::ALL.to_vec()
            } else {
                let known = || {
                    Mutant::ALL
                        .iter()
                        .map(|mutant| mutant.name())
                        .collect::<Vec<_>>()
                };
                let mutant = name.parse().map_err(|()| {
                    invalid(format!(
                        "--mutant {name}: write all, or one of {}",
                        known().join(", ")
                    ))
                })?;
                vec![mutant]
            };
            kill(&mutants, first..end, arguments.events, &mut sum, out)?
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    let on_core = seconds_on_core().unwrap_or(seconds);
    writeln!(
        out,
        "{} runs, {} events in {seconds:.1} s, {on_core:.1} s of one core: {:.0} events per second per core; {:.0} s simulated, {} answers, {} refusals",
        sum.runs,
        sum.events,
        sum.events as f64 / on_core.max(1e-9),
        sum.simulated.as_secs_f64(),
        sum.answers,
        sum.refusals,
    )?;
    let passed = match &arguments.mutant {
        None => sum.runs - failed,
        Some(name) if name == "all" => Mutant::ALL.len() as u64 - failed,
        Some(_) => 1 - failed,
    };
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(failed)
}

/// Runs the small scope; each interleaving counts as one.
fn exhaust(depth: usize, out: &mut impl std::io::Write) -> std::io::Result<u64> {
    let started = Instant::now();
    let mut told = started;
    let explored = explore(depth, None, |done, all| {
        // The shares are alike in size, so that this is how much of the time has passed.
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            let passed = started.elapsed().as_secs();
            let _ignored = writeln!(std::io::stderr(), "{done} of {all} parts after {passed} s");
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    for (events, interleavings) in (1..).zip(&explored.levels) {
        writeln!(out, "{events} events: {interleavings} interleavings")?;
    }
    writeln!(
        out,
        "{} interleavings of up to {depth} events, {} states checked in {seconds:.1} s",
        explored.interleavings(),
        explored.states,
    )?;
    let failed = u64::from(explored.violation.is_some());
    if let Some((moves, fault)) = &explored.violation {
        writeln!(out, "{moves:?}: {fault}")?;
    }
    writeln!(out, "{} passed, {failed} failed", explored.interleavings())?;
    Ok(failed)
}

/// Time that this process had a core for, where the system tells (Linux): other work on the machine does
/// not count.
fn seconds_on_core() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    let nanoseconds: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds as f64 / 1e9)
}

fn tell(report: &Report, hashes: bool, out: &mut impl std::io::Write) -> std::io::Result<()> {
    if let Some((after, fault, what)) = report.violation {
        writeln!(
            out,
            "seed {}: after event {after} ({what}): {fault}",
            report.seed
        )?;
    }
    if hashes {
        writeln!(
            out,
            "seed {}: trace {:016x}",
            report.seed, report.trace_hash
        )?;
    }
    Ok(())
}

/// Runs each fault until a seed finds it; gives how many none found.
fn kill(
    mutants: &[Mutant],
    seeds: std::ops::Range<u64>,
    events: u64,
    sum: &mut Sum,
    out: &mut impl std::io::Write,
) -> std::io::Result<u64> {
    let mut survivors = 0;
    for &mutant in mutants {
        let mut found = None;
        for (tried, seed) in (1..).zip(seeds.clone()) {
            let report = run(seed, events, Some(mutant));
            sum.add(&report);
            if let Some((after, fault, _)) = report.violation {
                found = Some((tried, seed, after, fault, report.broken));
                break;
            }
        }
        match found {
            Some((tried, seed, after, fault, broken)) => writeln!(
                out,
                "killed   {:28} by seed {seed}, {tried} tried, after event {after}: {fault} {broken:?}",
                mutant.name()
            )?,
            None => {
                survivors += 1;
                writeln!(out, "SURVIVED {:28}", mutant.name())?;
            }
        }
    }
    Ok(survivors)
}
