//! The rates at which one HTTP/2 connection may send each type of frame, and the token buckets
//! that count them. Owns no socket and no clock: every call is handed the time.
//!
//! `h2` bounds memory; it does not bound how often a peer may make it work. The table below does
//! (RFC 9113, 10.5: an endpoint may treat such activity as ENHANCE_YOUR_CALM).

use std::time::Instant;

/// What a connection is bounded in. The variant is the label of the metric and of the log line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(usize)]
pub enum FrameLimit {
    /// RST_STREAM received (CVE-2023-44487): breached only while most requests are reset.
    ResetReceived,
    /// RST_STREAM that the peer provoked us to send (CVE-2025-8671).
    ResetSent,
    /// RST_STREAM with REFUSED_STREAM sent: the peer overruns the stream limit.
    Refused,
    /// PING, with or without ACK (CVE-2019-9512).
    Ping,
    /// SETTINGS, with or without ACK (CVE-2019-9515, CVE-2026-3593).
    Settings,
    /// PRIORITY and PRIORITY_UPDATE.
    Priority,
    /// WINDOW_UPDATE on a stream or on the connection.
    WindowUpdate,
    /// CONTINUATION (CVE-2024-27316).
    Continuation,
    /// Frames of types that no RFC we know defines, and frames that a client has no reason to send.
    Unknown,
    /// Octets of header blocks that are no request of ours: what decoding them costs.
    HeaderBlocks,
    /// A header block that is not finished in time.
    HeadersTimeout,
    /// Bytes that the peer does not read.
    WriteStall,
}

impl FrameLimit {
    /// The label used in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::ResetReceived => "reset_received",
            Self::ResetSent => "reset_sent",
            Self::Refused => "refused",
            Self::Ping => "ping",
            Self::Settings => "settings",
            Self::Priority => "priority",
            Self::WindowUpdate => "window_update",
            Self::Continuation => "continuation",
            Self::Unknown => "unknown",
            Self::HeaderBlocks => "header_blocks",
            Self::HeadersTimeout => "headers_timeout",
            Self::WriteStall => "write_stall",
        }
    }
}

/// How many limits are token buckets; the others are clocks.
const BUCKETS: usize = 10;

/// A token bucket's shape: how many at once, and how many each second.
struct Rate {
    burst: u32,
    per_second: u32,
}

/// One row for each bucket, in the order of [`FrameLimit`].
const RATES: [Rate; BUCKETS] = [
    // 200 resets at once are what a browser does that closes a window full of pages.
    Rate {
        burst: 200,
        per_second: 20,
    },
    Rate {
        burst: 50,
        per_second: 5,
    },
    // A client may overrun once before our SETTINGS reach it, with all it has queued.
    Rate {
        burst: 100,
        per_second: 10,
    },
    Rate {
        burst: 20,
        per_second: 10,
    },
    Rate {
        burst: 10,
        per_second: 2,
    },
    // Each HEADERS gives two credits: browsers send a PRIORITY_UPDATE for each request.
    Rate {
        burst: 100,
        per_second: 50,
    },
    // Each DATA frame sent gives two credits: a plain client answers each with two updates.
    Rate {
        burst: 1000,
        per_second: 200,
    },
    Rate {
        burst: 64,
        per_second: 50,
    },
    Rate {
        burst: 50,
        per_second: 20,
    },
    // In longest header lists. One turn reads 64 KiB and what TLS had at hand, before any request in it gives its
    // credit, so that no less would do.
    Rate {
        burst: 8,
        per_second: 1,
    },
];

/// What a header block costs at least: the stream, the fault and the answer that it may lead to.
const BLOCK_MIN: u32 = 256;
/// What a request is given back beside the length of its target: more than the other headers of a query need.
const REQUEST_CREDIT: u32 = 1024;

/// Requests over which the ratio of resets is taken.
const RATIO_WINDOW: u32 = 1000;

/// What a bucket holds at most, in thousandths of a token, and how many tokens it is given each second.
fn rate(place: usize, header_list: u32) -> (u64, u64) {
    let unit = if place == FrameLimit::HeaderBlocks as usize {
        u64::from(header_list)
    } else {
        1
    };
    RATES.get(place).map_or((0, 0), |rate| {
        let full = u64::from(rate.burst) * unit * 1000;
        (full, u64::from(rate.per_second) * unit)
    })
}

#[derive(Clone, Copy)]
struct Bucket {
    /// In thousandths of a token.
    level: u64,
    refilled: Instant,
}

/// All buckets of one connection.
pub struct FrameBudget {
    buckets: [Bucket; BUCKETS],
    /// The longest header list in octets, which header blocks are counted by.
    header_list: u32,
    requests: u32,
    resets: u32,
}

impl FrameBudget {
    /// Full buckets at `now`, of a connection whose header lists have up to `header_list` octets.
    #[must_use]
    pub fn new(now: Instant, header_list: u32) -> Self {
        let mut budget = Self {
            buckets: [Bucket {
                level: 0,
                refilled: now,
            }; BUCKETS],
            header_list,
            requests: 0,
            resets: 0,
        };
        for (place, bucket) in budget.buckets.iter_mut().enumerate() {
            bucket.level = rate(place, header_list).0;
        }
        budget
    }

    /// Takes one token of `limit`; `false` when there is none.
    pub fn take(&mut self, limit: FrameLimit, now: Instant) -> bool {
        self.take_many(limit, 1, now)
    }

    /// Takes the octets of one header block, or of a part of it; `false` when they are not there. A connection gets
    /// so many before its first request, however many frames and streams they are spread over.
    pub fn header_block(&mut self, octets: u32, now: Instant) -> bool {
        self.take_many(FrameLimit::HeaderBlocks, octets.max(BLOCK_MIN), now)
    }

    /// Gives back what a request needs whose head was in order; `target` is the length of its path and query.
    pub fn request_in_order(&mut self, target: u32) {
        let octets = REQUEST_CREDIT.saturating_add(target);
        self.credit(FrameLimit::HeaderBlocks, octets);
    }

    fn take_many(&mut self, limit: FrameLimit, tokens: u32, now: Instant) -> bool {
        let (full, per_second) = rate(limit as usize, self.header_list);
        let Some(bucket) = self.buckets.get_mut(limit as usize) else {
            return true;
        };
        let elapsed = now.saturating_duration_since(bucket.refilled).as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        if elapsed > 0 {
            let refill = elapsed.saturating_mul(per_second);
            bucket.level = bucket.level.saturating_add(refill).min(full);
            bucket.refilled = now;
        }
        let wanted = u64::from(tokens) * 1000;
        let granted = bucket.level >= wanted;
        if granted {
            bucket.level -= wanted;
        }
        granted
    }

    /// Gives `tokens` back to `limit`, up to its burst.
    pub fn credit(&mut self, limit: FrameLimit, tokens: u32) {
        let (full, _) = rate(limit as usize, self.header_list);
        if let Some(bucket) = self.buckets.get_mut(limit as usize) {
            bucket.level = (bucket.level + u64::from(tokens) * 1000).min(full);
        }
    }

    /// Counts one request.
    pub fn request(&mut self) {
        self.requests += 1;
        if self.requests >= RATIO_WINDOW {
            self.requests /= 2;
            self.resets /= 2;
        }
        self.credit(FrameLimit::Priority, 2);
        self.credit(FrameLimit::WindowUpdate, 1);
    }

    /// Counts one received RST_STREAM; `false` when the rate is exceeded and more than half of the
    /// recent requests were reset. A busy client that resets less than that is no attacker: the
    /// work of its resets is bounded by the resolver's orphan rule.
    pub fn reset_received(&mut self, now: Instant) -> bool {
        self.resets = self.resets.saturating_add(1);
        self.take(FrameLimit::ResetReceived, now)
            || u64::from(self.resets) * 2 <= u64::from(self.requests)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_granted_then_the_rate() {
        let start = Instant::now();
        let mut budget = FrameBudget::new(start, 16 << 10);
        for _ in 0..20 {
            assert!(budget.take(FrameLimit::Ping, start));
        }
        assert!(!budget.take(FrameLimit::Ping, start));
        let later = start + Duration::from_millis(250);
        assert!(budget.take(FrameLimit::Ping, later));
        assert!(budget.take(FrameLimit::Ping, later));
        assert!(!budget.take(FrameLimit::Ping, later));
    }

    #[test]
    fn thirty_percent_of_resets_are_no_attack() {
        let start = Instant::now();
        let mut budget = FrameBudget::new(start, 16 << 10);
        for request in 0..100_000 {
            budget.request();
            if request % 10 < 3 {
                assert!(budget.reset_received(start));
            }
        }
    }

    #[test]
    fn rapid_reset_is_breached_after_the_burst() {
        let start = Instant::now();
        let mut budget = FrameBudget::new(start, 16 << 10);
        let breached = (0..1000).position(|_| {
            budget.request();
            !budget.reset_received(start)
        });
        assert_eq!(breached, Some(200));
    }

    #[test]
    fn blocks_that_are_no_request_run_out() {
        let start = Instant::now();
        let mut budget = FrameBudget::new(start, 16 << 10);
        let small = (0..).position(|_| !budget.header_block(1, start));
        assert_eq!(small, Some(512));
        let mut budget = FrameBudget::new(start, 16 << 10);
        let large = (0..).position(|_| !budget.header_block(16 << 10, start));
        assert_eq!(large, Some(8));
        assert!(budget.header_block(16 << 10, start + Duration::from_secs(1)));
    }

    #[test]
    fn requests_in_order_cost_nothing() {
        // The longest query by GET takes 5462 characters; none of them is compressed here.
        for target in [60, 5480] {
            let start = Instant::now();
            let mut budget = FrameBudget::new(start, 16 << 10);
            for _ in 0..100_000 {
                assert!(budget.header_block(target + 600, start));
                budget.request_in_order(target);
            }
        }
    }
}
