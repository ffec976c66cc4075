//! Scripts against the mesh alone: programs that do what the name of their question says.
//!
//! `o1` to `o16` are the orders of events by which other resolvers fell (`docs/src/lessons.md`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "mesh/background.rs"]
mod background;
#[path = "mesh/bench.rs"]
mod bench;
#[path = "mesh/needs.rs"]
mod needs;
#[path = "mesh/overload.rs"]
mod overload;
#[path = "mesh/policy.rs"]
mod policy;
#[path = "mesh/script.rs"]
mod script;
#[path = "mesh/streams.rs"]
mod streams;
#[path = "mesh/whole.rs"]
mod whole;
