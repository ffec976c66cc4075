//! The data plane under a `main` of the tests' own: `dataplane-with-injection` and `dataplane-counting-heap`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use weir_config::DataplaneConfig;
use weir_dataplane::app::{self, Options};
use weir_dataplane::overrides::Overrides;

/// The data plane, changed for a test; nobody ships it.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// A DataplaneConfig.
    #[arg(long)]
    pub config: PathBuf,
}

/// Runs the data plane until it is told to end.
#[must_use]
pub fn run(arguments: &Arguments) -> ExitCode {
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
