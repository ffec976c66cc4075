//! The benchmark: CPU and memory per query beside the peers, in one run.
//!
//! One server thread is pinned to one core and the load to the other; peers are interleaved over several
//! rounds and medians quoted. Ratios within a run are what counts; the machine's bare times are not.

pub mod authority;
pub mod catalogue;
pub mod collector;
pub mod load;
pub mod packages;
pub mod peers;
pub mod picture;
pub mod process;
pub mod report;
pub mod responder;
pub mod scenario;
pub mod shipped;
pub mod trusting;
pub mod waiting;
