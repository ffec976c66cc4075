//! Asks Weir, Unbound and BIND the same questions in an internet on loopback, and tells where Weir differs.
//!
//! `cargo run --release -p weir-tests --bin internet -- --questions 20000`. Runs in a network namespace that it makes, and
//! installs the Debian packages that it needs. Ends with 0 when Weir differs in at most 0.1 % of what the others
//! agree on.

#![allow(
    clippy::print_stdout,
    reason = "a command line program talks on standard output"
)]

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use weir_tests::internet::compare::{self, Outcome};
use weir_tests::internet::resolvers::wait_for;
use weir_tests::internet::{authorities, misbehave, plan, questions, resolvers, sign};

/// Programs and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 7] = [
    ("nsd", "nsd"),
    ("named", "bind9"),
    ("dnssec-signzone", "bind9-utils"),
    ("knotd", "knot"),
    ("unbound", "unbound"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
];
/// Set in the process that runs in the namespace.
const INSIDE: &str = "WEIR_INTERNET_INSIDE";

#[derive(Parser)]
struct Arguments {
    /// How many questions are asked.
    #[arg(long, default_value_t = 20_000)]
    questions: usize,
    /// How many zones lie below the top level.
    #[arg(long, default_value_t = 330)]
    zones: usize,
    /// What the choice of questions follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keeps everything running until a line comes, to be looked at with `nsenter --net --target PID`.
    #[arg(long)]
    hold: bool,
    /// Where zones, configurations and logs go; a fresh folder otherwise.
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if std::env::var_os(INSIDE).is_none() {
        install()?;
        let own = std::env::current_exe()?;
        let status = Command::new("unshare")
            .arg("--net")
            .arg(own)
            .args(std::env::args_os().skip(1))
            .env(INSIDE, "1")
            .status()
            .context("unshare (util-linux) makes the network namespace")?;
        return Ok(ExitCode::from(u8::from(!status.success())));
    }
    let folder = match &arguments.folder {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("weir-internet-{}", std::process::id())),
    };
    std::fs::create_dir_all(&folder)?;
    let lines = plan::addresses().into_iter().chain(resolvers::addresses());
    let lines = lines.map(|address| format!("addr add {address}/32 dev lo"));
    for words in std::iter::once("link set lo up".to_owned()).chain(lines) {
        let status = Command::new("ip").args(words.split(' ')).status()?;
        if !status.success() {
            bail!("ip {words} failed; it needs root");
        }
    }
    let outcome = play(&arguments, &folder)?;
    if arguments.folder.is_none() {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(report(&outcome))
}

fn install() -> Result<()> {
    let missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| authorities::find(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing Debian packages: {}", missing.join(" "));
    for words in [
        vec!["update", "-qq"],
        vec!["install", "-qq", "-y", "--no-install-recommends"],
    ] {
        let packages = if words[0] == "install" {
            &missing[..]
        } else {
            &[]
        };
        let status = Command::new("apt-get")
            .args(&words)
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(std::process::Stdio::null())
            .status()?;
        if !status.success() {
            bail!("apt-get {} failed", words[0]);
        }
    }
    Ok(())
}

fn play(arguments: &Arguments, folder: &std::path::Path) -> Result<Outcome> {
    let began = Instant::now();
    let zones = plan::zones(arguments.zones);
    let ds = sign::sign_all(&zones, folder)?;
    println!(
        "{} zones signed in {:.1} s",
        zones.len(),
        began.elapsed().as_secs_f64()
    );
    let _authorities = authorities::start_all(&zones, folder)?;
    for address in plan::ROOT.iter().chain(&plan::TOP).chain(&plan::LOW) {
        wait_for(format!("{address}:53").parse()?)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(misbehave::start_all())?;
    let _resolvers = resolvers::start_all(&ds, folder)?;
    let questions = questions::questions(arguments.questions, arguments.zones, arguments.seed);
    let began = Instant::now();
    let outcome = tokio::task::LocalSet::new().block_on(&runtime, compare::run(questions))?;
    println!(
        "{} questions in {:.1} s",
        outcome.asked,
        began.elapsed().as_secs_f64()
    );
    if arguments.hold {
        println!("running in process {}", std::process::id());
        std::io::stdin().read_line(&mut String::new())?;
    }
    Ok(outcome)
}

fn report(outcome: &Outcome) -> ExitCode {
    for difference in &outcome.differences {
        let kind = if difference.lasting {
            "lasting"
        } else {
            "passing"
        };
        let question = &difference.question;
        println!(
            "differs ({kind}): {} {}",
            question.name, question.record_type
        );
        for (name, said) in ["weir", "unbound", "bind"].iter().zip(&difference.said) {
            match said {
                Some(said) => println!("  {name}: {said}"),
                None => println!("  {name}: no answer"),
            }
        }
    }
    println!(
        "response codes of Weir: {:?}, with AD {}",
        outcome.codes, outcome.authentic
    );
    let [nobody, unbound, bind] = outcome.sides;
    println!(
        "Unbound and BIND differ: Weir with Unbound {unbound}, with BIND {bind}, with neither {nobody}"
    );
    let lasting = outcome
        .differences
        .iter()
        .filter(|each| each.lasting)
        .count();
    println!(
        "asked {}, Unbound and BIND agree on {}, Weir differs on {} ({:.3} %), lasting {lasting}",
        outcome.asked,
        outcome.agreed,
        outcome.differences.len(),
        100.0 * outcome.differences.len() as f64 / outcome.agreed.max(1) as f64
    );
    let enough = outcome.agreed * 10 >= outcome.asked * 8;
    ExitCode::from(u8::from(
        !enough || outcome.differences.len() * 1000 > outcome.agreed,
    ))
}
