//! What the data plane tells about itself: metrics, logs and traces.

pub mod cell;
pub mod metric;
