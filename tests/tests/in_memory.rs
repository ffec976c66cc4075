//! What is tested without a socket: the lifecycle matrix on the core, the fuzz corpus, HTTP/2 over a duplex in memory.
//!
//! One program, since none of these tests opens a port, measures time or changes what the process shares.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "in_memory/duplex.rs"]
mod duplex;
#[path = "in_memory/fuzz_corpus.rs"]
mod fuzz_corpus;
#[path = "in_memory/stream_lifecycle.rs"]
mod stream_lifecycle;
