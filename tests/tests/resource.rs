//! The resource as a user meets it: its schema, the rules that refuse what is wrong, and the chart that carries it.
//!
//! One program, since none of these tests opens a port, measures time or changes what the process shares.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "resource/chart.rs"]
mod chart;
#[path = "resource/rules.rs"]
mod rules;
#[path = "resource/schema.rs"]
mod schema;
