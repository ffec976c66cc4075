//! The servers of the simulation and the way to them: everything in flight, in a deadline queue.
//!
//! Owns what becomes of each fetch: a reply, a loss, a reply with a wrong identifier, one that is cut
//! short, one that comes twice or after its cancellation, or no report at all. Matches replies as the
//! shell does, by `wire::reply_matches`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use weir_resolver::event::Event;
use weir_resolver::fetch::{Fetch, FetchFailure};
use weir_resolver::key::FetchId;
use weir_resolver::time::Instant;
use weir_resolver::wire;

use crate::simulate::seed::Draw;

/// How often each fault happens, in percent. All zero in the phase that shows liveness.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The query or its reply is lost: the shell reports a timeout.
    pub lost: u64,
    /// The server is unreachable, or the shell is out of sockets.
    pub unreachable: u64,
    /// The server fails: SERVFAIL, or a message that ends early.
    pub failing: u64,
    /// The reply is truncated.
    pub truncated: u64,
    /// A reply with a wrong identifier comes first.
    pub forged: u64,
    /// The end is reported twice.
    pub twice: u64,
    /// The end is never reported.
    pub unreported: u64,
    /// A cancellation crosses the reply, which is reported all the same.
    pub crossing: u64,
    /// The greatest delay, in milliseconds.
    pub delay: u64,
}

/// One thing that will be reported.
#[derive(Clone, Debug)]
struct Report {
    fetch: FetchId,
    event: Event,
}

/// Everything in flight.
#[derive(Clone, Debug, Default)]
pub struct Network {
    reports: BTreeMap<(Instant, u64), Report>,
    sent: u64,
    /// How often each fault happens.
    pub faults: Faults,
    /// Replies that did not match their query, which the shell drops.
    pub forged: u64,
}

impl Network {
    /// Sends a fetch on its way.
    pub fn send(&mut self, now: Instant, draw: &mut Draw, fetch: &Fetch) {
        let faults = self.faults;
        if draw.chance(faults.unreported) {
            return;
        }
        let delay = Duration::from_micros(draw.between(100, 1000 + faults.delay * 1000));
        let id = fetch.fetch;
        if draw.chance(faults.forged) {
            self.forge(draw, fetch);
        }
        let (at, event) = if draw.chance(faults.lost) || delay > fetch.timeout {
            let failure = FetchFailure::Timeout;
            let event = Event::FetchFailed { fetch: id, failure };
            (now.after(fetch.timeout), event)
        } else if draw.chance(faults.unreachable) {
            let failure = *draw
                .pick(&[
                    FetchFailure::Unreachable,
                    FetchFailure::TlsFailed,
                    FetchFailure::HttpFailed,
                    FetchFailure::Exhausted,
                ])
                .unwrap_or(&FetchFailure::Unreachable);
            let event = Event::FetchFailed { fetch: id, failure };
            (now.after(delay), event)
        } else {
            let message = self.reply(draw, fetch);
            (now.after(delay), Event::Reply { fetch: id, message })
        };
        if draw.chance(faults.twice) {
            let again = at.after(Duration::from_micros(draw.below(3000)));
            self.put(again, id, event.clone());
        }
        self.put(at, id, event);
    }

    fn put(&mut self, at: Instant, fetch: FetchId, event: Event) {
        self.sent += 1;
        self.reports
            .insert((at, self.sent), Report { fetch, event });
    }

    /// The server's reply: the query again, as a response.
    fn reply(&self, draw: &mut Draw, fetch: &Fetch) -> Bytes {
        let mut message = fetch.message.to_vec();
        let failing = draw.chance(self.faults.failing);
        let truncated = draw.chance(self.faults.truncated);
        if let Some([flags, code]) = message.get_mut(2..4) {
            *flags = (*flags & 0x01) | 0x84 | if truncated { 0x02 } else { 0 };
            *code = if failing { 2 } else { 0 };
        }
        if failing && draw.chance(30) {
            message.truncate(12);
        }
        message.into()
    }

    /// An attacker's reply with a guessed identifier: the shell must not take it.
    fn forge(&mut self, draw: &mut Draw, fetch: &Fetch) {
        let mut message = fetch.message.to_vec();
        if let Some([first, second, flags]) = message.get_mut(..3) {
            *flags |= 0x80;
            *first ^= 1 + (draw.below(255) as u8);
            *second ^= draw.below(256) as u8;
        }
        if wire::reply_matches(&fetch.message, &message) {
            self.put(
                Instant::ORIGIN,
                fetch.fetch,
                Event::Reply {
                    fetch: fetch.fetch,
                    message: message.into(),
                },
            );
        } else {
            self.forged += 1;
        }
    }

    /// The mesh does not wait for this fetch any more.
    pub fn cancel(&mut self, draw: &mut Draw, fetch: FetchId) {
        if draw.chance(self.faults.crossing) {
            return;
        }
        self.reports.retain(|_, report| report.fetch != fetch);
    }

    /// When the next report comes.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.reports.first_key_value().map(|(&(at, _), _)| at)
    }

    /// The next report, if it is due.
    pub fn take(&mut self, now: Instant) -> Option<Event> {
        let entry = self.reports.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove().event)
    }

    /// Whether nothing is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }
}
