//! How long answers are kept, and when stale ones are served.
//!
//! Times to live are in seconds.

use std::time::Duration;

/// How long answers are kept.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// Octets of all caches together.
    pub size: usize,
    /// The least time to live; a lower one is raised.
    pub ttl_min: u32,
    /// The greatest time to live; a higher one is lowered.
    pub ttl_max: u32,
    /// The least time to live of a negative answer; a lower one is raised.
    pub ttl_negative_min: u32,
    /// The greatest time to live of a negative answer.
    pub ttl_negative_max: u32,
    /// How long a resolution failure is remembered (RFC 9520, at most 300 s).
    pub failure_ttl: u32,
    /// Serving stale answers (RFC 8767), if on.
    pub serve_stale: Option<ServeStale>,
    /// Popular answers are renewed within this last share of their time to live, in per cent, if on.
    pub prefetch_percent: Option<u8>,
    /// How long facts about servers are kept.
    pub server_ttl: Duration,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            size: 256 << 20,
            ttl_min: 0,
            ttl_max: 86_400,
            ttl_negative_min: 0,
            ttl_negative_max: 3600,
            failure_ttl: 5,
            serve_stale: Some(ServeStale {
                max_age: Duration::from_secs(86_400),
                answer_ttl: 30,
                client_timeout: Duration::from_millis(1800),
            }),
            prefetch_percent: Some(10),
            server_ttl: Duration::from_secs(900),
        }
    }
}

/// Serving stale answers (RFC 8767).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeStale {
    /// How long after their end answers may be served.
    pub max_age: Duration,
    /// The time to live that a stale answer is given.
    pub answer_ttl: u32,
    /// How long resolution is tried first; zero answers stale at once and renews behind.
    pub client_timeout: Duration,
}
