//! The documents of a flush: which names a pod is to forget, and what came of it.
//!
//! `POST /flush` at a pod's admin port takes a [`Flush`] and gives 200 with [`Flushed`], or 422 with a
//! [`Problem`](crate::Problem). JSON over HTTP/2 with certificates of the operator's own authority on both
//! sides, like a push. Owns the form of the documents; never sends one.

use serde::{Deserialize, Serialize};

/// What is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Flush {
    /// The domain name, with or without a final dot; `.` with `subtree` is everything.
    pub name: String,
    /// Whether every name below goes as well.
    #[serde(default)]
    pub subtree: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flushed {
    /// RRsets, denials, messages and failures that were forgotten.
    pub entries: usize,
}
