//! The data plane with a switch that no shipped program has: a query that spells VIOLATE in capitals strikes the
//! state that it joins with a violation (`tests/tests/violations.rs`). Otherwise `weir-dataplane --config FILE`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use weir_config::DataplaneConfig;
use weir_dataplane::app::{self, Options};
use weir_dataplane::overrides::Overrides;

/// The data plane, for tests of what a violation does.
#[derive(Debug, Parser)]
struct Arguments {
    /// A DataplaneConfig.
    #[arg(long)]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let text = std::fs::read_to_string(&arguments.config).unwrap_or_default();
    let Ok(config) = DataplaneConfig::read(&text) else {
        return ExitCode::from(2);
    };
    let folder = std::env::temp_dir();
    let options = Options {
        config,
        file: None,
        overrides: Overrides::default(),
        folder,
    };
    match app::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
