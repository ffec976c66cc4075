//! `cargo run --release -p weir-tests --bin ship`: builds the data plane as pushed images contain it, and prints
//! where it is.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool"
)]

use std::process::ExitCode;

use weir_tests::bench::shipped;

fn main() -> ExitCode {
    match shipped::build() {
        Ok(place) => {
            println!("{}", place.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ship: {error}");
            ExitCode::FAILURE
        }
    }
}
