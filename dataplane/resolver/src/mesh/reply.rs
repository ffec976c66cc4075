//! How waiters end: by an answer fitted to each, or because their stream did.
//!
//! Owns the funnel `settle`, the only code that removes a waiter: what it gives back is the right to
//! one answer (invariant B1). Answers go out oldest first, so many in one step; the rest is a
//! `Delivery`, taken up in the next. Never looks into a message.

use std::sync::Arc;

use crate::action::Action;
use crate::answer::{Answer, ExtendedError, Origin, ResponseCode, Security, Shaped};
use crate::event::CloseCause;
use crate::key::{Id, StateId};
use crate::mesh::list::List;
use crate::mesh::mutant::Mutant;
use crate::mesh::state::{Background, MeshState};
use crate::mesh::table::Table;
use crate::mesh::waiter::{Delivery, Disposition, Home, Settled, StreamPhase, WaiterKind};
use crate::program::Program;
use crate::question::QuestionKey;
use crate::rules::Rules;
use crate::settings::Settings;
use crate::trace::{Change, StateChange};
use crate::wire;

impl<P: Program> Table<P> {
    /// Answers every waiter of a list that belongs to no state any more.
    pub(crate) fn deliver(
        &mut self,
        mut waiters: List<WaiterKind>,
        answer: Arc<Answer>,
        settings: Arc<Rules>,
        origin: Option<Origin>,
    ) {
        self.settle_list(&mut waiters, &answer, &settings, origin);
        if waiters.is_empty() {
            return;
        }
        let delivery = Delivery {
            waiters: List::default(),
            answer,
            settings,
            origin,
            in_deliveries: crate::mesh::list::Link::default(),
        };
        let Ok(id) = self.deliveries.insert(delivery) else {
            self.violate("E3", "there are more deliveries than waiters", None);
            return;
        };
        for waiter in waiters
            .iter(&self.waiters, |waiter| &waiter.in_home)
            .collect::<Vec<_>>()
        {
            self.waiter_timers.cancel(waiter);
            if let Some(record) = self.waiters.get_mut(waiter) {
                record.home = Home::Delivery(id);
            }
            self.work += 1;
        }
        if let Some(delivery) = self.deliveries.get_mut(id) {
            delivery.waiters = waiters;
        }
        self.pending
            .push_back(&mut self.deliveries, id, |delivery| {
                &mut delivery.in_deliveries
            });
    }

    /// Goes on with the answers that earlier steps left over.
    pub(crate) fn deliver_pending(&mut self) {
        while self.settle_left > 0
            && let Some(id) = self.pending.front()
            && let Some(delivery) = self.deliveries.get_mut(id)
        {
            let mut waiters = core::mem::take(&mut delivery.waiters);
            let answer = Arc::clone(&delivery.answer);
            let settings = Arc::clone(&delivery.settings);
            let origin = delivery.origin;
            self.settle_list(&mut waiters, &answer, &settings, origin);
            if waiters.is_empty() {
                self.end_delivery(id);
            } else if let Some(delivery) = self.deliveries.get_mut(id) {
                delivery.waiters = waiters;
            }
        }
    }

    /// Removes a delivery that has no waiter left.
    pub(crate) fn end_delivery(&mut self, id: Id<crate::mesh::waiter::DeliveryKind>) {
        self.pending.unlink(&mut self.deliveries, id, |delivery| {
            &mut delivery.in_deliveries
        });
        self.deliveries.remove(id);
        self.work += 1;
    }

    fn settle_list(
        &mut self,
        waiters: &mut List<WaiterKind>,
        answer: &Answer,
        settings: &Settings,
        origin: Option<Origin>,
    ) {
        let mut last: Option<crate::question::Query> = None;
        while self.settle_left > 0 || self.mutated(Mutant::SettleUnbounded) {
            let Some(waiter) = waiters.pop_front(&mut self.waiters, |waiter| &mut waiter.in_home)
            else {
                return;
            };
            self.settle_left = self.settle_left.saturating_sub(1);
            let Some(mut settled) = self.settle(waiter, Disposition::Answered) else {
                self.violate("A3", "a waiter of a list was gone", None);
                return;
            };
            if self.mutated(Mutant::AnswerCrossesOver) {
                let own = settled.query.clone();
                settled.query = last.replace(own).unwrap_or(settled.query);
            }
            self.answer(settled, answer, settings, origin);
        }
    }

    /// Takes a waiter that is in no list any more out of the mesh. It cannot be taken out again.
    pub(crate) fn settle(&mut self, waiter: Id<WaiterKind>, how: Disposition) -> Option<Settled> {
        let record = self.waiters.remove(waiter)?;
        self.waiter_timers.cancel(waiter);
        let identity = record.permit.identity;
        self.return_permit(record.permit);
        self.work += 1;
        let key = self.streams.get_mut(record.stream).map(|stream| {
            stream.phase = StreamPhase::Answering;
            stream.key
        });
        let Some(stream) = key else {
            self.violate("A2", "a waiter had no stream", None);
            return None;
        };
        match how {
            Disposition::Answered => {
                let waited = self.now.instant.since(record.since);
                self.counters.count_wait(waited);
            }
            Disposition::Closed(CloseCause::Reset(_)) => self.counters.peer_cancelled += 1,
            Disposition::Closed(CloseCause::ConnectionLost) => self.counters.connection_lost += 1,
            Disposition::Closed(CloseCause::LocalReset(_) | CloseCause::WriteFailed) => {
                self.counters.reset += 1;
            }
        }
        Some(Settled {
            stream,
            query: record.query,
            aliases: record.aliases,
            joined: record.joined,
            home: record.home,
            identity,
        })
    }

    /// Queues the answer that a settled waiter is owed.
    pub(crate) fn answer(
        &mut self,
        settled: Settled,
        answer: &Answer,
        settings: &Settings,
        origin: Option<Origin>,
    ) {
        let of_its_own = if settled.joined {
            Origin::Joined
        } else {
            Origin::Resolved
        };
        let origin = origin.unwrap_or(of_its_own);
        if origin == Origin::Stale {
            self.counters.answered_stale += 1;
        }
        let shaped = shape(&settled, answer, settings, origin);
        let stream = settled.stream;
        if self.mutated(Mutant::AnsweredTwice) && settled.joined {
            let answer = shaped.clone();
            self.actions.push_back(Action::Answer { stream, answer });
        }
        self.actions.push_back(Action::Answer {
            stream,
            answer: shaped,
        });
    }

    /// An expired answer to a question, if one may be served (RFC 8767).
    ///
    /// `expired` is what there was when the first waiter came: what was received since may have taken its place,
    /// and still have come to nothing (it was bogus).
    pub(crate) fn stale_answer(
        &self,
        key: &QuestionKey,
        settings: &Settings,
        expired: Option<&Answer>,
    ) -> Option<Answer> {
        settings.cache.serve_stale?;
        let held = self.cache.stale(self.now, settings, key);
        held.or_else(|| expired.cloned())
    }

    /// Gives the waiters of a state an expired answer, if there is one; the state goes on behind.
    pub(crate) fn serve_stale(&mut self, id: StateId) {
        let Some(state) = self.states.get_mut(id) else {
            return;
        };
        state.stale = None;
        let settings = Arc::clone(&state.settings);
        let key = state.key.clone();
        self.rearm(id);
        let Some(answer) = self.stale_answer(&key, &settings, None) else {
            return;
        };
        let Some(state) = self.states.get_mut(id) else {
            return;
        };
        let waiters = core::mem::take(&mut state.waiters);
        if state.supers.is_empty() && state.background.is_none() {
            state.background = Some(Background::Refresh);
        }
        let traced = state.traced;
        self.trace(id, || Change::StaleServed);
        self.trace_left(id, traced, &waiters);
        if self.mutated(Mutant::StaleAnswerMiscounted)
            && let Some(waiter) = waiters.front().and_then(|id| self.waiters.get(id))
        {
            let identity = waiter.permit.identity;
            self.identities.entry(identity).or_default().waiting += 1;
        }
        self.deliver(waiters, Arc::new(answer), settings, Some(Origin::Stale));
    }

    /// Ends a wait that took too long: with an expired answer if there is one, else SERVFAIL.
    pub(crate) fn expire(&mut self, waiter: Id<WaiterKind>) {
        let Some(record) = self.waiters.get(waiter) else {
            return;
        };
        let Home::State(id) = record.home else {
            return;
        };
        self.counters.waiters_expired += 1;
        self.leave_home(waiter, None);
        if self.mutated(Mutant::OldWaiterDropped) {
            self.waiters.remove(waiter);
            self.waiter_timers.cancel(waiter);
            return;
        }
        let Some(settled) = self.settle(waiter, Disposition::Answered) else {
            return;
        };
        let Some(state) = self.states.get(id) else {
            return;
        };
        let settings = Arc::clone(&state.settings);
        let stale = self.stale_answer(&state.key, &settings, None);
        let origin = stale.is_some().then_some(Origin::Stale);
        let failed = ExtendedError::NO_REACHABLE_AUTHORITY;
        let answer = stale.unwrap_or_else(|| Answer::empty(ResponseCode::SERVFAIL, Some(failed)));
        let debtor = settled.identity;
        self.answer(settled, &answer, &settings, origin);
        self.abandoned.push((id, Some(debtor)));
    }

    /// Takes a waiter out of the list that it is in.
    pub(crate) fn leave_home(&mut self, waiter: Id<WaiterKind>, cause: Option<CloseCause>) {
        let Some(record) = self.waiters.get(waiter) else {
            return;
        };
        let (home, stream, traced) = (record.home, record.stream, record.traced);
        self.work += 1;
        match home {
            Home::State(id) => {
                let key = self.streams.get(stream).map(|stream| stream.key);
                let Some(state) = self.states.get_mut(id) else {
                    self.violate("A1", "a waiter named a state that is gone", None);
                    return;
                };
                state
                    .waiters
                    .unlink(&mut self.waiters, waiter, |waiter| &mut waiter.in_home);
                if let Some(stream) = key.filter(|_| traced) {
                    self.trace(id, || Change::Detached { stream, cause });
                }
            }
            Home::Delivery(id) => {
                let Some(delivery) = self.deliveries.get_mut(id) else {
                    self.violate("A1", "a waiter named a delivery that is gone", None);
                    return;
                };
                delivery
                    .waiters
                    .unlink(&mut self.waiters, waiter, |waiter| &mut waiter.in_home);
                if delivery.waiters.is_empty() {
                    self.end_delivery(id);
                }
            }
        }
    }

    /// Records that every waiter of a list left a state that has just ended.
    pub(crate) fn trace_detached(
        &mut self,
        id: StateId,
        state: &MeshState<P>,
        waiters: &List<WaiterKind>,
    ) {
        self.trace_left(id, state.traced, waiters);
    }

    fn trace_left(&mut self, id: StateId, traced: bool, waiters: &List<WaiterKind>) {
        if !traced {
            return;
        }
        for waiter in waiters.iter(&self.waiters, |waiter| &waiter.in_home) {
            let waiter = self.waiters.get(waiter).filter(|waiter| waiter.traced);
            let stream = waiter.map(|waiter| waiter.stream);
            if let Some(stream) = stream.and_then(|stream| self.streams.get(stream)) {
                self.actions.push_back(Action::Trace(StateChange {
                    state: id,
                    at: self.now.instant,
                    what: Change::Detached {
                        stream: stream.key,
                        cause: None,
                    },
                }));
            }
        }
    }
}

/// The octets of one waiter's answer: its own identifier, spelling, flags and EDNS.
fn shape(settled: &Settled, answer: &Answer, settings: &Settings, origin: Origin) -> Shaped {
    if let Some(aliases) = &settled.aliases
        && answer.rcode != ResponseCode::SERVFAIL
    {
        let mut whole = answer.clone();
        whole.answer.splice(..0, aliases.answer.iter().cloned());
        // Part of it comes from no signed zone.
        whole.security = answer.security.min(Security::Insecure);
        return wire::encode_answer(&settled.query, &whole, settings, origin);
    }
    wire::encode_answer(&settled.query, answer, settings, origin)
}
