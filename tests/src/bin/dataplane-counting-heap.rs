//! The data plane under an allocator that counts: what lives on its heap now is written beside its document, again and
//! again (`tests/src/storm/heap.rs` reads it). Otherwise `weir-dataplane --config FILE`.

use std::alloc::System;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use weir_tests::dataplane::{Arguments, run};
use weir_tests::storm::heap::{self, Heap};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How often it is written.
const EVERY: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let file = heap::file(&arguments.config);
    std::thread::spawn(move || {
        loop {
            let stats = ALLOCATOR.stats();
            let now = Heap {
                blocks: stats.allocations.saturating_sub(stats.deallocations) as u64,
                octets: stats
                    .bytes_allocated
                    .saturating_sub(stats.bytes_deallocated) as u64,
            };
            if now.write(&file).is_err() {
                return;
            }
            std::thread::sleep(EVERY);
        }
    });
    run(&arguments)
}
