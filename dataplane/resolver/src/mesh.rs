//! The mesh: the table of questions being resolved, and of who waits for which.
//!
//! Owns `Mesh`, the only mutator of the crate: `handle` takes one event, `poll_action` gives what is to
//! be done about it, `poll_timeout` says when to come back. Nothing that happens inside can call out, so
//! no list changes under its own walk. Never performs an effect, reads a clock, or panics.
//!
//! ```text
//!   Query --> admit --> find --+--> join ----------+--> waits --> settle --> Answer
//!                              '--> create --> run -'      |
//!                                    |   ^                 '--> StreamClosed: orphan or kill
//!                           Fetch, Need  Reply, answered Need
//! ```
//!
//! Records leave by five funnels and by nothing else: `settle` (a waiter), `close_stream`,
//! `close_connection`, `finish` (a state with an answer), `kill` (a state that nobody needs).

mod birth;
#[cfg(any(test, feature = "check"))]
mod check;
mod counter;
mod dependency;
mod finish;
mod list;
mod mutant;
mod overload;
mod policy;
mod reply;
mod request;
pub mod stage;
mod state;
mod stream;
mod table;
mod timer;
mod turn;
mod validation;
mod violation;
mod waiter;

use std::sync::Arc;

use crate::action::Action;
use crate::answer::{Answer, ExtendedError, ResponseCode};
use crate::cache::Cache;
use crate::event::Event;
use crate::fetch::FetchFailure;
use crate::infra::Infra;
use crate::key::FetchId;
use crate::mesh::state::Message;
use crate::mesh::table::Table;
use crate::program::Program;
use crate::random::Random;
use crate::resolution::Resolution;
use crate::rules::Rules;
use crate::time::{Instant, Now};
use crate::trace::{FetchEnd, StateEnd};

pub use crate::mesh::counter::{Counters, Gauges, WAIT_BUCKETS};
pub use crate::mesh::mutant::Mutant;
pub use crate::mesh::timer::Deadline;
pub use crate::mesh::violation::Violation;

/// The table of questions being resolved by one worker.
///
/// `P` is what resolves one question. The contract of the driver:
///
/// 1. `handle` one event, then take every action with `poll_action` before the next.
/// 2. Open a connection before its streams ask, and close it once; send `AnswerWritten` or
///    `StreamClosed` for every stream that was answered.
/// 3. Report every fetch once, or never if it was cancelled; a reply only if `reply_matches` said so.
/// 4. Send `Event::Timeout` when the time of `poll_timeout` has come, and `Event::Resume` after
///    `Action::Yield`. An event that comes twice, late, early or never is harmless.
#[derive(Debug)]
pub struct Mesh<P = Resolution> {
    table: Table<P>,
}

impl Mesh<Resolution> {
    /// An empty mesh that resolves questions by iteration and validation.
    #[must_use]
    pub fn new(settings: Arc<Rules>, cache: Arc<Cache>, infra: Arc<Infra>, random: Random) -> Self {
        Self::with_program(settings, cache, infra, random)
    }
}

impl<P: Program> Mesh<P> {
    /// An empty mesh that runs programs of type `P`.
    #[must_use]
    pub fn with_program(
        settings: Arc<Rules>,
        cache: Arc<Cache>,
        infra: Arc<Infra>,
        random: Random,
    ) -> Self {
        Self {
            table: Table::new(settings, cache, infra, random),
        }
    }

    /// Takes one event into account. The only mutator; time never goes back.
    pub fn handle(&mut self, now: Now, event: Event) {
        let table = &mut self.table;
        if now.instant >= table.now.instant {
            table.now = now;
        }
        table.settle_left = table.settings.limits.settle_per_step;
        table.work = 0;
        match event {
            Event::ConnectionOpened {
                connection,
                identity,
            } => table.open_connection(connection, identity),
            Event::ConnectionClosed { connection } => table.close_connection(connection),
            Event::Query {
                stream,
                query,
                traced,
            } => table.query(stream, query, traced),
            Event::StreamClosed { stream, cause } => table.close_stream(stream, cause),
            Event::AnswerWritten { stream } => table.answer_written(stream),
            Event::Prefetch { query } => table.prefetch(&query),
            Event::Probe { zone } => table.probe(zone),
            Event::Reply { fetch, message } => {
                self.end_fetch(fetch, |plan, sent| Message::Reply {
                    plan,
                    message,
                    round_trip: now.instant.since(sent),
                });
            }
            Event::FetchFailed { fetch, failure } => {
                self.end_fetch(fetch, |plan, _| Message::FetchFailed { plan, failure });
            }
            Event::Timeout => {
                table.yielded = false;
                self.time_out();
            }
            Event::Replace(settings) => table.replace(settings),
            Event::Drain { by } => table.drain(by),
            Event::Pressure(level) => table.level = level,
            Event::Resume => table.yielded = false,
        }
        self.table.turn();
    }

    /// The next thing to do. To be called until it gives none, after every `handle`.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.table.actions.pop_front()
    }

    /// When to send `Event::Timeout`, and why; a time that has passed means at once.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Deadline)> {
        self.table.deadline()
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.table.counters
    }

    /// How much there is of everything.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        self.table.gauges()
    }

    /// The settings in force for what comes.
    #[must_use]
    pub const fn settings(&self) -> &Arc<Rules> {
        &self.table.settings
    }

    /// Whether nothing at all is left: no connection, record, deadline or action (invariant C1).
    #[must_use]
    pub fn is_quiescent(&self) -> bool {
        self.table.actions.is_empty() && self.table.gauges().are_zero()
    }

    /// The equations between counts (invariants G), cheap enough for every scrape.
    ///
    /// # Errors
    /// The first one that does not hold, or the last violation that was met on the way.
    pub fn balance(&self) -> Result<(), Violation> {
        self.table.balance()
    }

    /// Compares the counts, and counts one more violation when they have ceased to add up since the last look.
    ///
    /// Gives what was met since then, here or on the way, for the log of the driver.
    pub fn look_over(&mut self) -> Option<Violation> {
        self.table.look_over()
    }

    /// Every invariant that can be seen in the records; the cost is that of everything in the mesh.
    ///
    /// # Errors
    /// The first one that does not hold.
    #[cfg(any(test, feature = "check"))]
    pub fn check(&self) -> Result<(), Violation> {
        self.table.check()
    }

    /// Tests only: the names of all invariants that `check` finds broken.
    #[cfg(any(test, feature = "check"))]
    #[must_use]
    pub fn broken(&self) -> Vec<&'static str> {
        self.table.broken()
    }

    /// Tests only: list operations, settlements and removals of the last event (invariant D1).
    #[cfg(any(test, feature = "check"))]
    #[must_use]
    pub const fn work_of_last_step(&self) -> u32 {
        self.table.work
    }

    /// Tests only: notes a violation in a state that resolves this name, as a bug would; false when none does.
    #[cfg(any(test, feature = "check"))]
    pub fn inject_violation(&mut self, name: &crate::name::Name) -> bool {
        let states = self.table.states.iter();
        let struck = states.filter(|(_, state)| state.key.question.name == *name);
        let struck = struck.map(|(id, _)| id).last();
        if struck.is_some() {
            self.table.violate("X", "injected by a test", struck);
        }
        struck.is_some()
    }

    /// Tests only: switches one fault on.
    #[cfg(any(test, feature = "mutants"))]
    pub fn mutate(&mut self, mutant: Mutant) {
        self.table.mutant = Some(mutant);
    }

    /// A fetch ended: its state is told, if the fetch is not gone already (B7).
    fn end_fetch(
        &mut self,
        fetch: FetchId,
        message: impl FnOnce(crate::fetch::FetchPlan, Instant) -> Message,
    ) {
        let table = &mut self.table;
        let Some(record) = table.end_fetch_once(fetch) else {
            if table.mutated(Mutant::LateReplyCounts) {
                table.counters.fetches_replied += 1;
            } else {
                table.counters.late_fetches += 1;
            }
            return;
        };
        let state = record.state;
        let message = message(record.plan.clone(), record.sent);
        let end = match &message {
            Message::FetchFailed { failure, .. } => FetchEnd::Failed(*failure),
            Message::Reply { message, .. } => header(message),
            Message::Start | Message::Answered { .. } | Message::NeedRefused { .. } => {
                FetchEnd::Cancelled
            }
        };
        match end {
            FetchEnd::Replied { .. } => table.counters.fetches_replied += 1,
            FetchEnd::Failed(_) => table.counters.fetches_failed += 1,
            FetchEnd::Cancelled => table.counters.fetches_cancelled += 1,
        }
        table.trace_fetch(fetch, &record, end);
        table.send(state, message);
    }

    /// Everything whose time has come, so much in one step; what is left shows in `poll_timeout`.
    fn time_out(&mut self) {
        let now = self.table.now.instant;
        let mut left = self.table.settings.limits.settle_per_step;
        while left > 0 {
            left -= 1;
            if let Some((at, fetch)) = self.table.fetch_timers.first()
                && at <= now
            {
                self.table.counters.fetches_unreported += 1;
                self.table.actions.push_back(Action::Cancel(fetch));
                let failure = FetchFailure::Timeout;
                self.end_fetch(fetch, |plan, _| Message::FetchFailed { plan, failure });
            } else if let Some((at, state)) = self.table.state_timers.first()
                && at <= now
            {
                self.state_due(state);
            } else if let Some((at, waiter)) = self.table.waiter_timers.first()
                && at <= now
            {
                self.table.expire(waiter);
            } else if !self.drain_due(now) {
                return;
            }
        }
    }

    fn state_due(&mut self, id: crate::key::StateId) {
        let table = &mut self.table;
        let Some(state) = table.states.get(id) else {
            // Only a fault can leave a deadline without its state.
            table.state_timers.cancel(id);
            table.violate("C4", "a deadline outlived its state", None);
            return;
        };
        if state.stale.is_some_and(|stale| stale <= table.now.instant) {
            table.serve_stale(id);
        } else {
            let failed = ExtendedError::NO_REACHABLE_AUTHORITY;
            let answer = Answer::empty(ResponseCode::SERVFAIL, Some(failed));
            table.finish(id, answer, StateEnd::Expired);
        }
    }

    /// Ends one state of a mesh whose drain is over; false when there is none.
    fn drain_due(&mut self, now: Instant) -> bool {
        let table = &mut self.table;
        if table.draining.is_none_or(|by| by > now) {
            return false;
        }
        let oldest = table.forever.front().or_else(|| table.jostle.front());
        let Some(id) = oldest.or_else(|| table.states.iter().map(|(id, _)| id).next()) else {
            return false;
        };
        let answer = Answer::empty(ResponseCode::SERVFAIL, Some(ExtendedError::NOT_READY));
        table.finish(id, answer, StateEnd::Drained);
        true
    }
}

/// What a trace says of a reply: its code and whether it was cut short (RFC 1035, 4.1.1).
fn header(message: &[u8]) -> FetchEnd {
    let (flags, rcode) = match message.get(2..4) {
        Some(&[flags, rcode]) => (flags, rcode),
        _ => (0, 0),
    };
    FetchEnd::Replied {
        rcode: ResponseCode(u16::from(rcode & 0x0f)),
        truncated: flags & 0x02 != 0,
    }
}
