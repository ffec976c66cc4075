//! `cargo run --release -p weir-tests --bin bench -- [--quick] [SCENARIO...]`: Weir beside its peers.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Parser;
use weir_tests::bench::authority::Internet;
use weir_tests::bench::catalogue::{SCENARIOS, Scenario};
use weir_tests::bench::peers::Stage;
use weir_tests::bench::report::{self, Measured, Samples};
use weir_tests::bench::scenario::{self, Scale};
use weir_tests::bench::{picture, process, shipped};

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
    /// Where pictures are drawn; none when not given.
    #[arg(long)]
    pictures: Option<PathBuf>,
    /// Only these peers.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Where the JSON is written.
    #[arg(long, default_value = "target/bench.json")]
    output: PathBuf,
    /// Scenarios by name; all when none is given.
    scenarios: Vec<String>,
}

/// The Debian packages that hold the peers and the load generator.
const PACKAGES: [&str; 7] = [
    "unbound",
    "dnsdist",
    "knot-resolver",
    "bind9",
    "bind9-utils",
    "nsd",
    "nghttp2-client",
];

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
    install()?;
    let weir = match &arguments.weir {
        None if !arguments.quick => Some(shipped::build()?),
        given => given.clone(),
    };
    let _lock = process::only_one()?;
    process::pin_to_client_core()?;
    let chosen = chosen(&arguments.scenarios)?;
    let folder = std::env::temp_dir().join(format!("weir-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let certified =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    std::fs::write(folder.join("tls.crt"), certified.cert.pem())?;
    std::fs::write(
        folder.join("tls.key"),
        certified.signing_key.serialize_pem(),
    )?;
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
            half_a_round(
                arguments,
                weir.as_deref(),
                &folder,
                &mut measured,
                signed,
                round,
            )?;
        }
        // After each round, so that a run that is cut short leaves what it has.
        write(arguments, &measured)?;
    }
    for one in &measured {
        print!("{}", report::table(one));
    }
    println!("\nwritten: {}", arguments.output.display());
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Scenario>> {
    let known = |name: &String| SCENARIOS.iter().any(|scenario| scenario.name == *name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        bail!("no scenario `{unknown}`; there are: {}", names.join(", "));
    }
    let wanted =
        |scenario: &&Scenario| names.is_empty() || names.iter().any(|name| name == scenario.name);
    Ok(SCENARIOS.iter().filter(wanted).collect())
}

/// Every scenario once on the plain internet, or on the signed one: only one of them can stand.
fn half_a_round(
    arguments: &Arguments,
    weir: Option<&Path>,
    folder: &Path,
    measured: &mut [Measured<'_>],
    signed: bool,
    round: usize,
) -> anyhow::Result<()> {
    if !measured.iter().any(|one| one.scenario.signed == signed) {
        return Ok(());
    }
    let zones = folder.join(format!(
        "{}-{round}",
        if signed { "signed" } else { "plain" }
    ));
    let internet = Internet::start(&zones, signed).context("the loopback internet")?;
    let scale = Scale {
        quick: arguments.quick,
    };
    for one in measured
        .iter_mut()
        .filter(|one| one.scenario.signed == signed)
    {
        let scenario = one.scenario;
        let stage = Stage {
            folder,
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
            internet: &internet,
            traces: scenario
                .traced
                .map(|ratio| (ratio, ([127, 0, 0, 1], 4317).into())),
            weir,
            cache_size: 1 << 30,
        };
        let only = &arguments.peers;
        let takes_part = |name| only.is_empty() || only.iter().any(|peer| peer == name);
        for &peer in scenario.peers.iter().filter(|peer| takes_part(peer.name())) {
            eprint!("round {} {} {}: ", round + 1, scenario.name, peer.name());
            let begun = Instant::now();
            match scenario::measure(scenario, peer, &stage, scale) {
                Ok(sample) => {
                    eprintln!("{:.1} us, {:.0?}", sample.cpu_ns / 1000.0, begun.elapsed());
                    one.samples.entry(peer).or_default().push(sample);
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
    let data: Vec<_> = measured.iter().map(report::data).collect();
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

/// Installs what is missing of [`PACKAGES`].
fn install() -> anyhow::Result<()> {
    let programs = [
        "unbound",
        "dnsdist",
        "kresd",
        "named",
        "dnssec-signzone",
        "nsd",
        "h2load",
    ];
    let missing = programs.iter().any(|program| {
        !Command::new("sh")
            .args(["-c", &format!("command -v {program} >/dev/null")])
            .status()
            .is_ok_and(|status| status.success())
    });
    if missing {
        eprintln!("bench: installing {}", PACKAGES.join(" "));
        let status = Command::new("apt-get")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(PACKAGES)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .context("apt-get")?;
        if !status.success() {
            bail!(
                "apt-get could not install {}; run `apt-get update` and try again",
                PACKAGES.join(" ")
            );
        }
    }
    Ok(())
}
