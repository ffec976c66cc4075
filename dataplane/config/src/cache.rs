//! The caches: their size, how long answers live, and when a stale one is better than none.
//!
//! Owns the fields and their bounds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::problem::Problems;
use crate::unit::{duration, size};

/// The caches of answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Cache {
    /// Bytes of all caches together. 1Mi to 1Ti, default 256Mi.
    #[serde(with = "size")]
    pub size: u64,
    /// How long answers live.
    pub ttl: CacheTtl,
    /// Answers that outlived their TTL (RFC 8767).
    pub serve_stale: ServeStale,
    /// Renewal before the TTL ends.
    pub prefetch: Prefetch,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            size: 256 << 20,
            ttl: CacheTtl::default(),
            serve_stale: ServeStale::default(),
            prefetch: Prefetch::default(),
        }
    }
}

/// Bounds of the TTL of what is cached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct CacheTtl {
    /// The least, even where a zone says less. 0s to 1h, default 0s.
    #[serde(with = "duration")]
    pub min: Duration,
    /// The most, even where a zone says more. 1s to 168h, default 24h.
    #[serde(with = "duration")]
    pub max: Duration,
    /// The most for answers that say that there is nothing (RFC 2308 5). 1s to 24h, default 1h.
    #[serde(with = "duration")]
    pub max_negative: Duration,
}

impl Default for CacheTtl {
    fn default() -> Self {
        Self {
            min: Duration::ZERO,
            max: Duration::from_secs(86_400),
            max_negative: Duration::from_secs(3_600),
        }
    }
}

/// Answers that outlived their TTL (RFC 8767).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ServeStale {
    /// Whether they are given at all. Default true.
    pub enabled: bool,
    /// How long after its TTL an answer may be given. 1s to 168h, default 24h.
    #[serde(with = "duration")]
    pub max_age: Duration,
    /// The TTL that they are given with. 1s to 1h, default 30s.
    #[serde(with = "duration")]
    pub answer_ttl: Duration,
    /// How long a client waits for a fresh answer before it gets a stale one; 0s means not at
    /// all. 0s to 10s, default 1800ms.
    #[serde(with = "duration")]
    pub client_timeout: Duration,
}

impl Default for ServeStale {
    fn default() -> Self {
        Self {
            enabled: true,
            max_age: Duration::from_secs(86_400),
            answer_ttl: Duration::from_secs(30),
            client_timeout: Duration::from_millis(1800),
        }
    }
}

/// Renewal of answers that are asked for shortly before their TTL ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Prefetch {
    /// Whether it is done. Default true.
    pub enabled: bool,
    /// Share of the TTL that is left when it begins, in percent. 1 to 50, default 10.
    pub remaining_percent: u32,
}

impl Default for Prefetch {
    fn default() -> Self {
        Self {
            enabled: true,
            remaining_percent: 10,
        }
    }
}

impl Cache {
    pub(crate) fn check(&self, problems: &mut Problems) {
        problems.size("size", self.size, 1 << 20, 1 << 40);
        problems.field("ttl", |problems| {
            problems.duration("min", self.ttl.min, 0, 3_600_000);
            problems.duration("max", self.ttl.max, 1_000, 604_800_000);
            problems.duration("maxNegative", self.ttl.max_negative, 1_000, 86_400_000);
            if self.ttl.min > self.ttl.max {
                problems.add("min", "is more than max: lower it, or raise max");
            }
        });
        problems.field("serveStale", |problems| {
            problems.duration("maxAge", self.serve_stale.max_age, 1_000, 604_800_000);
            problems.duration("answerTtl", self.serve_stale.answer_ttl, 1_000, 3_600_000);
            problems.duration("clientTimeout", self.serve_stale.client_timeout, 0, 10_000);
        });
        problems.field("prefetch", |problems| {
            problems.within("remainingPercent", self.prefetch.remaining_percent, 1, 50);
        });
    }
}
