//! Who may ask.
//!
//! Owns the rules as data; `access.rs` of the crate goes by them.

use crate::settings::prefix::Prefix;

/// What clients of a prefix may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// Whom it is about.
    pub prefix: Prefix,
    /// What they may do.
    pub action: AccessAction,
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccessAction {
    /// Ask with RD; without RD it is answered REFUSED.
    Allow,
    /// Ask also without RD, answered from the cache alone.
    AllowSnoop,
    /// Is answered REFUSED.
    Refuse,
    /// Gets no DNS answer.
    Deny,
}
