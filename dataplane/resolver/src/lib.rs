//! The resolver core of Weir, without I/O, clock, tasks or ambient randomness.
//!
//! Three drivers use it, and only through [`event::Event`], [`action::Action`] and the deadline: the shell
//! (sockets), the replay of recorded scenarios, and the seeded simulator.

mod arena;

pub mod access;
pub mod action;
pub mod answer;
pub mod budget;
pub mod cache;
pub mod context;
pub mod cookie;
pub mod dns64;
pub mod event;
pub mod fetch;
pub mod forward;
pub mod infra;
pub mod iterate;
pub mod key;
pub mod limits;
pub mod local;
pub mod mesh;
pub mod name;
pub mod outcome;
pub mod program;
pub mod question;
pub mod random;
pub mod rate;
pub mod rdata;
pub mod reporting;
pub mod resolution;
pub mod root_hints;
pub mod rrset;
pub mod rules;
#[cfg(test)]
mod scenario;
pub mod settings;
pub mod time;
pub mod trace;
pub mod tracking;
pub mod trust_anchor;
pub mod validate;
pub mod wire;

#[cfg(test)]
mod signing;
