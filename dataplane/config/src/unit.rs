//! The units of the document: durations, sizes, ratios, instants and networks as a human writes
//! them.
//!
//! Owns how each is written and read; never decides which values a field allows.

pub mod cidr;
pub mod duration;
pub mod instant;
pub mod ratio;
pub mod size;
