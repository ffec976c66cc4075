//! Feeds libFuzzer's input to `fuzz::doh_query`, which the ordinary tests run over the committed corpus.
#![no_main]
#![allow(missing_docs, dead_code)]

#[path = "../../src/fuzz.rs"]
mod fuzz;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::doh_query(input));
