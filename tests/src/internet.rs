//! An internet on loopback: root, top-level and second-level zones on NSD, BIND and Knot DNS, with servers that
//! misbehave between them, and three resolvers that are asked the same questions.
//!
//! Owns nothing but its parts. It runs in a network namespace of its own, so no question can leave the machine.

pub mod authorities;
pub mod compare;
pub mod misbehave;
pub mod plan;
pub mod questions;
pub mod resolvers;
pub mod sign;
