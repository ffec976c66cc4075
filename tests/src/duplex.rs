//! The second level: the real `h2` and all of the shell's connection code, over a duplex that a seed controls.
//!
//! The first level drives the mesh with events; this one shows that the shell makes the right events of whatever
//! HTTP/2 does: one query for each request, one end for each stream, one end for each connection, also when octets
//! come one by one, writes stall, a peer breaks the protocol, or the task is aborted or panics.

pub mod peer;
pub mod wire;
pub mod world;
