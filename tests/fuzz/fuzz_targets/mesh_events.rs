//! Feeds libFuzzer's input to `fuzz::mesh_events`, which the ordinary tests run over the committed corpus.
#![no_main]
#![allow(missing_docs, dead_code)]

#[path = "../../src/fuzz.rs"]
mod fuzz;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::mesh_events(input));
