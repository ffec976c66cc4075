//! The data plane with a switch that no shipped program has: a query that spells VIOLATE in capitals strikes the
//! state that it joins with a violation (`tests/tests/violations.rs`). Otherwise `weir-dataplane --config FILE`.

use std::process::ExitCode;

use clap::Parser as _;
use weir_tests::dataplane::{Arguments, run};

fn main() -> ExitCode {
    run(&Arguments::parse())
}
