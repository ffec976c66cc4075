//! `weir-dataplane`: reads the command line, says what is wrong with it in words, and runs.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use weir_config::rendered::read_rendered;
use weir_config::telemetry::LogLevel;
use weir_config::{DataplaneConfig, Problem};
use weir_dataplane::app::{self, AppFault, Options};
use weir_dataplane::overrides::Overrides;
use weir_dataplane::probe;

/// Answers are small and short-lived, which the C library's allocator is slow at.
#[cfg(not(feature = "system-allocator"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The command line, or a document, says something that cannot be.
const USAGE: u8 = 2;

/// A DNS-over-HTTPS resolver. Without arguments it serves https://127.0.0.1:8443/dns-query with a
/// self-signed certificate and resolves from the root of the DNS.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Args)]
struct Serve {
    /// A DataplaneConfig as YAML or JSON; - reads it from standard input. A file is followed:
    /// changes become live.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only says what is wrong with the configuration.
    #[arg(long)]
    check: bool,
    /// Listens here, and nowhere else, whatever the configuration says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The certificate chain to serve, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Threads that serve; 0 is one for each core.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=1024))]
    workers: Option<u32>,
}

#[derive(Subcommand)]
enum Command {
    /// Asks one question over DoH, with the certificate verified, and prints the answer.
    Probe(Probe),
}

#[derive(Args)]
struct Probe {
    /// The endpoint, such as https://127.0.0.1:8443/dns-query.
    #[arg(long)]
    url: String,
    /// The authority to trust instead of the public ones, in PEM.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Connects to this address instead of looking the host of the URL up.
    #[arg(long, value_name = "ADDRESS")]
    resolve: Option<IpAddr>,
    /// Tries again for this long.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0s")]
    wait: Duration,
    /// The name to ask for.
    name: String,
    /// The record type to ask for.
    #[arg(default_value = "A")]
    record_type: String,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    number
        .parse()
        .map(Duration::from_secs)
        .map_err(|_| "write seconds, such as 90s".to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::Probe(ask)) => run_probe(ask),
        None => serve(arguments.serve),
    }
}

fn run_probe(ask: Probe) -> ExitCode {
    let question = probe::Question {
        url: ask.url,
        authority: ask.ca,
        address: ask.resolve,
        wait: ask.wait,
        name: ask.name,
        record_type: ask.record_type,
    };
    match probe::run(&question) {
        Ok(text) => {
            write_out(&text);
            ExitCode::SUCCESS
        }
        Err(fault) => {
            complain(&fault.to_string());
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: Serve) -> ExitCode {
    let overrides = Overrides {
        listen: arguments.listen,
        tls: arguments.tls_cert.zip(arguments.tls_key),
        workers: arguments.workers,
    };
    let text = match read(arguments.config.as_ref()) {
        Ok(text) => text,
        Err(fault) => {
            complain(&fault);
            return ExitCode::from(USAGE);
        }
    };
    let read = if arguments.check {
        DataplaneConfig::read(&text).map(|config| (config, Vec::new()))
    } else {
        read_rendered(&text)
    };
    let config = match read {
        Ok((config, left_out)) => {
            for problem in left_out {
                complain(&format!(
                    "left out, as this version does not know it: {problem}"
                ));
            }
            config
        }
        Err(problems) => return complain_of(&problems),
    };
    if arguments.check {
        return match app::check(&overrides.over(config)) {
            Ok(()) => {
                write_out("the configuration is in order\n");
                ExitCode::SUCCESS
            }
            Err(problems) => complain_of(&problems),
        };
    }
    log(config.telemetry.logs.level);
    let file = arguments.config.filter(|file| file.as_os_str() != "-");
    match app::run(Options {
        config,
        file,
        overrides,
        folder: folder(),
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(AppFault::Config(problems)) => complain_of(&problems),
        Err(fault) => {
            complain(&fault.to_string());
            ExitCode::FAILURE
        }
    }
}

fn read(file: Option<&PathBuf>) -> Result<String, String> {
    let Some(file) = file else {
        return Ok(String::new());
    };
    if file.as_os_str() == "-" {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        return read
            .map(|_| text)
            .map_err(|error| format!("cannot read standard input: {error}"));
    }
    std::fs::read_to_string(file).map_err(|error| {
        format!(
            "cannot read {}: {error}; give --config the path of a DataplaneConfig",
            file.display()
        )
    })
}

/// Where a certificate that is made here is kept: beside what programs cache.
fn folder() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    cache
        .or_else(home)
        .unwrap_or_else(std::env::temp_dir)
        .join("weir")
}

fn log(level: LogLevel) {
    let default = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let filter = EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| {
        // The libraries' own lines help nobody but their authors.
        EnvFilter::new(format!("warn,weir_dataplane={default}"))
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

fn complain_of(problems: &[Problem]) -> ExitCode {
    for problem in problems {
        complain(&problem.to_string());
    }
    ExitCode::from(USAGE)
}

#[allow(
    clippy::print_stderr,
    reason = "what is wrong with the command line goes to its terminal"
)]
fn complain(text: &str) {
    eprintln!("weir-dataplane: {text}");
}

#[allow(clippy::print_stdout, reason = "the answer that was asked for")]
fn write_out(text: &str) {
    print!("{text}");
}
