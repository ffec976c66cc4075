//! The seeded simulator: the real mesh, driven through every way in which a stream can end.
//!
//! One seed is the only input: it draws the limits, the faults, and every event. `run` gives a report
//! with the hash of everything that happened; the same seed gives the same hash. A seed that fails is
//! reproduced by `simulate --seeds N..N+1` and becomes a line of `tests/seeds.txt`.

pub mod explore;
pub mod model;
pub mod network;
pub mod plot;
pub mod report;
pub mod run;
pub mod scope;
pub mod seed;
pub mod swarm;
