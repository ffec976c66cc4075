//! `cargo run --release -p weir-tests --bin bench -- [--quick] [SCENARIO...]`: Weir beside its peers.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use clap::Parser;
use weir_tests::bench::authority::Internet;
use weir_tests::bench::catalogue::{SCENARIOS, Scenario};
use weir_tests::bench::peers::Stage;
use weir_tests::bench::report::{self, Samples};
use weir_tests::bench::scenario::{self, Scale};

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
    let chosen: Vec<&Scenario> = SCENARIOS
        .iter()
        .filter(|scenario| {
            arguments.scenarios.is_empty()
                || arguments.scenarios.iter().any(|name| name == scenario.name)
        })
        .collect();
    if chosen.is_empty() || chosen.len() < arguments.scenarios.len() {
        let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        bail!("no such scenario; there are: {}", names.join(", "));
    }
    let folder = std::env::temp_dir().join(format!("weir-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let certified =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&certificate, certified.cert.pem())?;
    std::fs::write(&key, certified.signing_key.serialize_pem())?;

    let scale = Scale {
        quick: arguments.quick,
    };
    let rounds = if arguments.quick { 1 } else { arguments.rounds };
    let mut data = Vec::new();
    for signed in [false, true] {
        let part: Vec<&&Scenario> = chosen
            .iter()
            .filter(|scenario| scenario.signed == signed)
            .collect();
        if part.is_empty() {
            continue;
        }
        let internet = Internet::start(
            &folder.join(if signed { "signed" } else { "plain" }),
            signed,
        )
        .context("the loopback internet")?;
        for scenario in part {
            let stage = Stage {
                folder: &folder,
                certificate: certificate.clone(),
                key: key.clone(),
                internet: &internet,
                traces: scenario
                    .traced
                    .map(|ratio| (ratio, ([127, 0, 0, 1], 4317).into())),
                cache_size: 1 << 30,
            };
            let samples = rounds_of(scenario, &stage, scale, rounds, &arguments.peers)?;
            print!("{}", report::table(scenario, &samples));
            data.push(report::data(scenario, &samples));
        }
    }
    if let Some(parent) = arguments.output.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&arguments.output, serde_json::to_string_pretty(&data)?)?;
    println!("\nwritten: {}", arguments.output.display());
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn rounds_of(
    scenario: &Scenario,
    stage: &Stage<'_>,
    scale: Scale,
    rounds: usize,
    only: &[String],
) -> anyhow::Result<Samples> {
    let mut samples: Samples = BTreeMap::new();
    for round in 0..rounds {
        for &peer in scenario.peers {
            if !only.is_empty() && !only.iter().any(|name| name == peer.name()) {
                continue;
            }
            eprintln!(
                "{} round {} of {rounds}: {}",
                scenario.name,
                round + 1,
                peer.name()
            );
            let sample = scenario::measure(scenario, peer, stage, scale)
                .with_context(|| format!("{} with {}", scenario.name, peer.name()))?;
            samples.entry(peer).or_default().push(sample);
        }
    }
    Ok(samples)
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
