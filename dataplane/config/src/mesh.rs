//! The mesh: how many questions are resolved at once, who may wait for them, and who yields.
//!
//! Owns the fields and their bounds; the rules are those of `weir-resolver`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::problem::Problems;
use crate::unit::cidr::Cidr;
use crate::unit::duration;

/// Bounds of the table of questions that are being resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Mesh {
    /// Questions that are resolved at once, over all workers. 16 to 1000000, default 4096.
    pub max_states: u32,
    /// Streams that wait for an answer at once, over all workers. 16 to 10000000, default 65536.
    pub max_waiting_replies: u32,
    /// Age from which a question may be dropped for a new one when the table is full.
    /// 10ms to 60s, default 200ms.
    #[serde(with = "duration")]
    pub jostle_timeout: Duration,
    /// Streams of one client that may wait at once.
    pub per_client_wait_limit: PerClientWaitLimit,
    /// What happens to a question when the last stream that waits for it is reset.
    /// Default `FinishForCache`.
    pub on_stream_reset: OnStreamReset,
}

impl Default for Mesh {
    fn default() -> Self {
        Self {
            max_states: 4096,
            max_waiting_replies: 65_536,
            jostle_timeout: Duration::from_millis(200),
            per_client_wait_limit: PerClientWaitLimit::default(),
            on_stream_reset: OnStreamReset::default(),
        }
    }
}

/// Streams of one client that may wait at once; more are answered REFUSED.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PerClientWaitLimit {
    /// For clients of no network below. 1 to 1000000, default 1000.
    pub default: u32,
    /// For clients of some networks; the longest prefix counts.
    pub overrides: Vec<WaitLimitOverride>,
}

impl Default for PerClientWaitLimit {
    fn default() -> Self {
        Self {
            default: 1000,
            overrides: Vec::new(),
        }
    }
}

/// The wait limit of the clients of one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct WaitLimitOverride {
    /// The network.
    pub cidr: Cidr,
    /// Streams of one client in it that may wait at once. 1 to 1000000.
    pub limit: u32,
}

/// What happens to a question that nobody waits for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnStreamReset {
    /// It goes on in the background within bounds, so that its answer is cached.
    #[default]
    FinishForCache,
    /// It is ended at once, and its upstream queries with it.
    Cancel,
}

impl Mesh {
    pub(crate) fn check(&self, problems: &mut Problems) {
        problems.within("maxStates", self.max_states, 16, 1_000_000);
        problems.within(
            "maxWaitingReplies",
            self.max_waiting_replies,
            16,
            10_000_000,
        );
        problems.duration("jostleTimeout", self.jostle_timeout, 10, 60_000);
        problems.field("perClientWaitLimit", |problems| {
            let limit = &self.per_client_wait_limit;
            problems.within("default", limit.default, 1, 1_000_000);
            problems.items("overrides", &limit.overrides, |problems, item| {
                problems.within("limit", item.limit, 1, 1_000_000);
            });
        });
    }
}
