//! How a data plane ends without cutting a client off.
//!
//! Owns the fields and their bounds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::problem::Problems;
use crate::unit::duration;

/// What happens between the wish to end and the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Drain {
    /// How long connections are still taken while `/readyz` says no, so that load balancers look
    /// away. 0s to 5m, default 5s.
    #[serde(with = "duration")]
    pub notice: Duration,
    /// How long open streams may take after that (RFC 9113 6.8). 1s to 30m, default 30s.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            notice: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
        }
    }
}

impl Drain {
    pub(crate) fn check(&self, problems: &mut Problems) {
        problems.duration("notice", self.notice, 0, 300_000);
        problems.duration("timeout", self.timeout, 1_000, 1_800_000);
    }
}
