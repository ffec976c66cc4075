//! The tests of Weir: five kinds, each with one home.
//!
//! Unit tests stand at the bottom of the file that they test. Here are replays of recorded scenarios,
//! simulation from a seed, real HTTP/2 and TLS on loopback, and the real cluster; with the tools that
//! they share.

pub mod bench;
pub mod cluster;
pub mod tidy;
