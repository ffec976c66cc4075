//! The storm: the real data plane under real sockets and TLS, with everything going wrong at once.
//!
//! 100 connections of up to 100 streams: streams that are reset, connections that are aborted, windows of zero,
//! readers that pause, pairs that ask one name, a mesh so small that questions always yield to others, and
//! upstreams that are slow, lose, repeat and forge. Afterwards every count has to close.

pub mod connection;
pub mod heap;
pub mod kept;
pub mod plan;
pub mod run;
pub mod tally;
pub mod upstream;
