//! `cargo run --release -p weir-tests --bin bench -- [--quick] [SCENARIO...]`: Weir beside its peers.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Parser;
use weir_tests::bench::authority::Internet;
use weir_tests::bench::catalogue::{SCENARIOS, Scenario};
use weir_tests::bench::peers::{Ground, PEERS, Peer};
use weir_tests::bench::report::{self, Measured, Samples};
use weir_tests::bench::scenario::{self, Scale};
use weir_tests::bench::{packages, picture, process, shipped};

/// The constant responder is this program: it gets the allocator that Weir has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures CPU and memory per query of Weir beside its peers, all on loopback.
#[derive(Debug, Parser)]
struct Arguments {
    /// Does a tenth of the work in one round: shows that it works, measures nothing.
    #[arg(long)]
    quick: bool,
    /// How many rounds; the median is quoted.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// No round after the first begins later than this, in minutes.
    #[arg(long, default_value_t = 25)]
    minutes: u64,
    /// The data plane to measure. When not given, the one of profile `shipped`, which is built first; with
    /// `--quick` the one beside this program.
    #[arg(long)]
    weir: Option<PathBuf>,
    /// An earlier build of the data plane, measured beside it as `weir-before` wherever Weir takes part.
    #[arg(long, value_name = "PATH")]
    before: Option<PathBuf>,
    /// Where pictures are drawn; none when not given.
    #[arg(long)]
    pictures: Option<PathBuf>,
    /// How many times as many requests loads of one kind have, 1 to 100: what is close wants more.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=100))]
    times: u8,
    /// Only these peers; `weir-2` is Weir with two workers.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Where the JSON is written.
    #[arg(long, default_value = "target/bench.json")]
    output: PathBuf,
    /// Scenarios by name; all when none is given.
    scenarios: Vec<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let result = if arguments
        .get(1)
        .is_some_and(|first| first == "serve-constant")
    {
        serve_constant(&arguments)
    } else {
        run(&Arguments::parse())
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve_constant(arguments: &[String]) -> anyhow::Result<()> {
    let [_, _, address, certificate, key] = arguments else {
        bail!("serve-constant ADDRESS CERTIFICATE KEY")
    };
    weir_tests::bench::responder::serve(address.parse()?, certificate.as_ref(), key.as_ref())?;
    Ok(())
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // What was asked for wrongly is said before minutes are spent on a build.
    let chosen = chosen(arguments)?;
    for program in arguments.weir.iter().chain(&arguments.before) {
        if !program.is_file() {
            bail!("there is no program {}", program.display());
        }
    }
    Internet::expect_rights()?;
    packages::install(&[packages::AROUND, packages::PEERS].concat())?;
    let weir = match &arguments.weir {
        None if !arguments.quick => Some(shipped::build()?),
        given => given.clone(),
    };
    let _lock = process::only_one()?;
    process::pin_to_client_core()?;
    let folder = std::env::temp_dir().join(format!("weir-bench-{}", std::process::id()));
    let ground = Ground::make(folder, weir, arguments.before.clone())?;
    let mut measured: Vec<Measured<'_>> = chosen
        .into_iter()
        .map(|scenario| Measured {
            scenario,
            samples: Samples::new(),
            lost: Vec::new(),
        })
        .collect();
    let (start, rounds) = (
        Instant::now(),
        if arguments.quick { 1 } else { arguments.rounds },
    );
    for round in 0..rounds {
        if round > 0 && start.elapsed() > Duration::from_secs(60 * arguments.minutes) {
            break;
        }
        for signed in [false, true] {
            half_a_round(arguments, &ground, &mut measured, signed, round)?;
        }
        // After each round, so that a run that is cut short leaves what it has.
        write(arguments, &measured)?;
    }
    for one in &measured {
        print!("{}", report::table(one, &measured));
    }
    println!("\nwritten: {}", arguments.output.display());
    std::fs::remove_dir_all(ground.folder())?;
    Ok(())
}

fn chosen(arguments: &Arguments) -> anyhow::Result<Vec<&'static Scenario>> {
    let (names, peers) = (&arguments.scenarios, &arguments.peers);
    let known = |name: &String| SCENARIOS.iter().any(|scenario| scenario.name == *name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        bail!("no scenario `{unknown}`; there are: {}", names.join(", "));
    }
    let known = |name: &String| PEERS.iter().any(|peer| peer.name() == name);
    if let Some(unknown) = peers.iter().find(|name| !known(name)) {
        bail!(
            "no peer `{unknown}`; there are: {}",
            PEERS.map(Peer::name).join(", ")
        );
    }
    let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
    for scenario in SCENARIOS {
        if !names.is_empty() && !names.iter().any(|name| name == scenario.name) {
            continue;
        }
        if taking_part(scenario, arguments).is_empty() {
            left_out.push(scenario.name);
        } else {
            chosen.push(scenario);
        }
    }
    if !left_out.is_empty() {
        eprintln!(
            "bench: left out, for none of {} takes part: {}",
            peers.join(", "),
            left_out.join(", ")
        );
    }
    Ok(chosen)
}

/// Who takes part in a scenario: all that it has, or those of them that were asked for.
fn taking_part(scenario: &Scenario, arguments: &Arguments) -> Vec<Peer> {
    let only = &arguments.peers;
    let wanted = |peer: Peer| only.is_empty() || only.iter().any(|name| name == peer.name());
    let mut peers: Vec<Peer> = scenario
        .peers
        .iter()
        .copied()
        .filter(|&peer| wanted(peer))
        .collect();
    if arguments.before.is_some() && peers.contains(&Peer::Weir) {
        peers.push(Peer::WeirBefore);
    }
    peers
}

/// Every scenario once on the plain internet, or on the signed one: only one of them can stand.
fn half_a_round(
    arguments: &Arguments,
    ground: &Ground,
    measured: &mut [Measured<'_>],
    signed: bool,
    round: usize,
) -> anyhow::Result<()> {
    if !measured.iter().any(|one| one.scenario.signed == signed) {
        return Ok(());
    }
    let zones = ground.folder().join(format!(
        "{}-{round}",
        if signed { "signed" } else { "plain" }
    ));
    let internet = Internet::start(&zones, signed).context("the loopback internet")?;
    let scale = Scale {
        quick: arguments.quick,
        times: usize::from(arguments.times),
    };
    // There and back: what drifts over a round favours no side in two of them.
    let mut order: Vec<&mut Measured<'_>> = measured
        .iter_mut()
        .filter(|one| one.scenario.signed == signed)
        .collect();
    if round % 2 == 1 {
        order.reverse();
    }
    for one in order {
        let scenario = one.scenario;
        let stage = ground.stage(&internet, scenario.traced);
        let mut peers = taking_part(scenario, arguments);
        if round % 2 == 1 {
            peers.reverse();
        }
        for peer in peers {
            eprint!("round {} {} {}: ", round + 1, scenario.name, peer.name());
            let begun = Instant::now();
            match scenario::measure(scenario, peer, &stage, scale) {
                Ok(sample) => {
                    eprintln!("{:.1} us, {:.0?}", sample.cpu_ns / 1000.0, begun.elapsed());
                    one.samples.entry(peer).or_default().insert(round, sample);
                }
                // One that does not come to its end does not keep the others from theirs.
                Err(error) => {
                    eprintln!("{error}");
                    one.lost
                        .push(format!("{} in round {}: {error}", peer.name(), round + 1));
                }
            }
        }
    }
    Ok(())
}

fn write(arguments: &Arguments, measured: &[Measured<'_>]) -> anyhow::Result<()> {
    if let Some(parent) = arguments.output.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let data: Vec<_> = measured
        .iter()
        .map(|one| report::data(one, measured))
        .collect();
    std::fs::write(&arguments.output, serde_json::to_string_pretty(&data)?)?;
    if let Some(folder) = &arguments.pictures {
        std::fs::create_dir_all(folder)?;
        let title = "CPU per query: Weir over the peer";
        let drawn = picture::bars(title, &picture::beside_peers(measured));
        std::fs::write(folder.join("peers.svg"), drawn)?;
        let title = "CPU per query over that of the smallest";
        let drawn = picture::bars(title, &picture::growth(measured));
        std::fs::write(folder.join("growth.svg"), drawn)?;
    }
    Ok(())
}
