//! How states end: the only code that removes one.
//!
//! Owns the funnels `finish` (there is an answer, whoever waits is told) and `kill` (nobody waits). Both
//! are total and without recursion. Order: out of the index and the arena first, then the waiters,
//! then the states above; a state below that nobody needs any more goes onto a worklist.

use std::sync::Arc;

use crate::action::Action;
use crate::answer::{Answer, Origin, ResponseCode};
use crate::key::{FetchId, Identity, StateId};
use crate::mesh::list::{Link, List};
use crate::mesh::mutant::Mutant;
use crate::mesh::state::{FetchRecord, MeshState, Message};
use crate::mesh::table::Table;
use crate::mesh::waiter::WaiterKind;
use crate::name::Name;
use crate::program::Program;
use crate::question::StateKind;
use crate::trace::{Change, FetchEnd, StateChange, StateEnd};

impl<P: Program> Table<P> {
    /// Ends a state with an answer: its waiters get it, and the states above are told.
    pub(crate) fn finish(&mut self, id: StateId, answer: Answer, end: StateEnd) {
        let Some(mut state) = self.take(id, None) else {
            return;
        };
        self.count_end(end);
        let rcode = answer.rcode;
        let answer = Arc::new(answer);
        if end == StateEnd::Answered && state.program.may_be_kept() {
            self.cache
                .store(self.now, &state.settings, &state.key.question, &answer);
        }
        let mut waiters = core::mem::take(&mut state.waiters);
        self.trace_detached(id, &state, &waiters);
        if self.forgets_waiters(&mut waiters, end) {
            return;
        }
        let stale = (rcode == ResponseCode::SERVFAIL && !waiters.is_empty())
            .then(|| self.stale_answer(&state.key, &state.settings, state.expired.as_deref()))
            .flatten();
        match stale {
            Some(stale) => {
                let (settings, origin) = (Arc::clone(&state.settings), Some(Origin::Stale));
                self.deliver(waiters, Arc::new(stale), settings, origin);
            }
            None => {
                self.deliver(
                    waiters,
                    Arc::clone(&answer),
                    Arc::clone(&state.settings),
                    None,
                );
            }
        }
        if state.kind == StateKind::Probe {
            self.tell_probed(&state.key.question.name, &answer);
        }
        self.tell_supers(&mut state, &answer);
        self.trace_ended(id, &state, end, rcode);
    }

    /// Tells whoever tracks a trust anchor what its zone's keys are.
    fn tell_probed(&mut self, zone: &Name, answer: &Arc<Answer>) {
        let times = if self.mutated(Mutant::ProbeUntold) {
            0
        } else {
            1 + usize::from(self.mutated(Mutant::ProbeToldTwice))
        };
        for _ in 0..times {
            self.actions.push_back(Action::Probed {
                zone: zone.clone(),
                answer: Arc::clone(answer),
            });
        }
    }

    /// Tells of a validation that is over.
    pub(crate) fn trace_validated(&mut self, id: StateId, answer: &Answer) {
        let work = self.states.get(id).map(|state| state.validation);
        if let Some((work, since)) = work.and_then(|work| Some((work, work.since?))) {
            self.trace(id, || Change::Validated(Box::new(work.told(since, answer))));
        }
    }

    /// The faults that evictions had elsewhere; none without the feature.
    fn forgets_waiters(&mut self, waiters: &mut List<WaiterKind>, end: StateEnd) -> bool {
        if end != StateEnd::Jostled {
            return false;
        }
        if self.mutated(Mutant::DropForgetsStream) {
            while let Some(waiter) = waiters.pop_front(&mut self.waiters, |w| &mut w.in_home) {
                self.waiter_timers.cancel(waiter);
                self.waiters.remove(waiter);
            }
        }
        self.mutated(Mutant::JostleForgetsWaiters)
    }

    /// Ends a state that nothing waits for.
    pub(crate) fn kill(&mut self, id: StateId, debtor: Option<Identity>) {
        let Some(state) = self.take(id, debtor) else {
            return;
        };
        let end = if self.draining.is_some() {
            StateEnd::Drained
        } else {
            StateEnd::Cancelled
        };
        self.count_end(end);
        self.trace_ended(id, &state, end, ResponseCode::SERVFAIL);
    }

    /// Takes a state out of everything but its waiters and the states above it.
    ///
    /// `debtor` is whose doing it was, and who is charged for what is left below.
    fn take(&mut self, id: StateId, debtor: Option<Identity>) -> Option<MeshState<P>> {
        self.states.get(id)?;
        self.unindex(id);
        self.leave_lane(id);
        self.adopt(id);
        if self.states.get(id).is_some_and(|state| state.queued) {
            self.run
                .unlink(&mut self.states, id, |state| &mut state.in_run);
        }
        if !self.mutated(Mutant::DeadlineStaysArmed) && !self.state_timers.cancel(id) {
            self.violate("C4", "a state had no deadline", None);
        }
        self.cancel_fetches(id);
        self.release_subs(id, debtor);
        let state = self.states.remove(id)?;
        if let Some(record) = self.budgets.get_mut(state.budget) {
            record.states = record.states.saturating_sub(1);
            if record.states == 0 {
                self.budgets.remove(state.budget);
            }
        }
        self.work += 1;
        Some(state)
    }

    fn cancel_fetches(&mut self, id: StateId) {
        if self.mutated(Mutant::FetchesStayOpen) {
            return;
        }
        while let Some(fetch) = self.states.get(id).and_then(|state| state.fetches.front()) {
            let Some(record) = self.end_fetch(fetch) else {
                self.violate("C5", "a fetch of a state was gone", None);
                return;
            };
            self.counters.fetches_cancelled += 1;
            self.actions.push_back(Action::Cancel(fetch));
            self.trace_fetch(fetch, &record, FetchEnd::Cancelled);
        }
    }

    /// Takes a fetch out of its state: it ends once.
    pub(crate) fn end_fetch(&mut self, fetch: FetchId) -> Option<FetchRecord> {
        let state = self.fetches.get(fetch)?.state;
        if let Some(state) = self.states.get_mut(state) {
            state
                .fetches
                .unlink(&mut self.fetches, fetch, |record| &mut record.in_state);
        }
        self.fetch_timers.cancel(fetch);
        self.work += 1;
        self.fetches.remove(fetch)
    }

    /// As `end_fetch`, for the events of the driver.
    pub(crate) fn end_fetch_once(&mut self, fetch: FetchId) -> Option<FetchRecord> {
        if self.mutated(Mutant::FetchEndsTwice) {
            let record = self.fetches.get(fetch)?;
            return Some(FetchRecord {
                state: record.state,
                in_state: Link::default(),
                plan: record.plan.clone(),
                sent: record.sent,
            });
        }
        self.end_fetch(fetch)
    }

    /// Tells the trace of its state how a fetch ended.
    pub(crate) fn trace_fetch(&mut self, fetch: FetchId, record: &FetchRecord, end: FetchEnd) {
        let round_trip = self.now.instant.since(record.sent);
        self.trace(record.state, || Change::FetchEnded {
            fetch,
            end,
            round_trip,
        });
    }

    /// Lets go of everything that a state needs; what nobody else needs goes onto the worklist.
    fn release_subs(&mut self, id: StateId, debtor: Option<Identity>) {
        while let Some(edge) = self.states.get(id).and_then(|state| state.subs.front()) {
            let Some(below) = self.unlink_edge(edge) else {
                self.violate("A4", "a dependency of a state was gone", None);
                return;
            };
            if self
                .states
                .get(below)
                .is_some_and(|sub| !sub.has_consumer())
            {
                self.abandoned.push((below, debtor));
            }
        }
    }

    /// Tells every state above what this one came to, and lets it run.
    fn tell_supers(&mut self, state: &mut MeshState<P>, answer: &Arc<Answer>) {
        while let Some(edge) = state
            .supers
            .pop_front(&mut self.edges, |edge| &mut edge.in_supers)
        {
            let Some(record) = self.edges.get(edge) else {
                return;
            };
            let above = record.above;
            if let Some(above) = self.states.get_mut(above) {
                above
                    .subs
                    .unlink(&mut self.edges, edge, |edge| &mut edge.in_subs);
            }
            self.edges.remove(edge);
            self.work += 1;
            if self.mutated(Mutant::SuperNotTold) {
                continue;
            }
            let message = Message::Answered {
                question: state.key.question.clone(),
                answer: Arc::clone(answer),
            };
            self.send(above, message);
        }
    }

    const fn count_end(&mut self, end: StateEnd) {
        let counters = &mut self.counters;
        *match end {
            StateEnd::Answered => &mut counters.states_answered,
            StateEnd::Jostled => &mut counters.states_jostled,
            StateEnd::Cancelled => &mut counters.states_cancelled,
            StateEnd::Expired => &mut counters.states_expired,
            StateEnd::Drained => &mut counters.states_drained,
            StateEnd::Fenced => &mut counters.states_fenced,
        } += 1;
    }

    fn trace_ended(
        &mut self,
        id: StateId,
        state: &MeshState<P>,
        end: StateEnd,
        rcode: ResponseCode,
    ) {
        if state.traced {
            self.actions.push_back(Action::Trace(StateChange {
                state: id,
                at: self.now.instant,
                what: Change::Ended {
                    end,
                    rcode,
                    waiters_most: state.waiters_most,
                    fetches: state.fetches_sent,
                },
            }));
        }
    }
}
