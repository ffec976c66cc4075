//! What the data plane tells about itself: metrics, logs and traces.

pub mod book;
pub mod cell;
pub mod label;
pub mod ledger;
pub mod metric;
pub mod record;
pub mod sample;
pub mod span;
pub mod state_trace;
