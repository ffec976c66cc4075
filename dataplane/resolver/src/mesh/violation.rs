//! What is said of an invariant that does not hold.
//!
//! Owns `Violation`. Never names a record: what was seen is said in a fixed sentence, so that it can be
//! a label and be compared.

/// An invariant that does not hold, by its name in `docs/src/mesh.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invariant {invariant} does not hold: {what}")]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// What was seen.
    pub what: &'static str,
}
