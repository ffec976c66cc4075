//! Running states: one message to one program at a time, first come first served.
//!
//! Owns the run queue's budget (invariant D1): every activation costs one that is never given back. What a program
//! asks for is done by `request`. Never decides what an answer is.

use crate::action::Action;
use crate::answer::{Answer, ExtendedError, ResponseCode};
use crate::context::Context;
use crate::key::StateId;
use crate::mesh::mutant::Mutant;
use crate::mesh::stage::Stage;
use crate::mesh::table::Table;
use crate::outcome::{Outcome, Request};
use crate::program::Program;
use crate::question::StateKind;
use crate::trace::{Change, StateEnd};

impl<P: Program> Table<P> {
    /// Runs what can run, within the budget of one step.
    pub(crate) fn turn(&mut self) {
        if self.is_postponed() {
            return;
        }
        self.deliver_pending();
        self.settle_abandoned();
        let mut left = self.settings.limits.activations_per_step_max;
        while left > 0
            && let Some(id) = self.next_runnable()
        {
            left -= 1;
            self.activate(id);
            self.settle_abandoned();
        }
        while let Some(id) = self.fenced.pop() {
            self.finish(
                id,
                Answer::empty(ResponseCode::SERVFAIL, None),
                StateEnd::Fenced,
            );
            self.settle_abandoned();
        }
        let leftover = !self.run.is_empty() || !self.pending.is_empty();
        if leftover && !self.yielded && !self.mutated(Mutant::WakeUpLost) {
            self.yielded = true;
            self.actions.push_back(Action::Yield);
        }
    }

    /// Takes the state that has been able to run for longest out of the run queue (invariant F6).
    fn next_runnable(&mut self) -> Option<StateId> {
        let id = if self.mutated(Mutant::RunOutOfTurn) {
            let newest = self.run.back()?;
            self.run
                .unlink(&mut self.states, newest, |state| &mut state.in_run);
            newest
        } else {
            self.run
                .pop_front(&mut self.states, |state| &mut state.in_run)?
        };
        let place = self.states.get(id)?.place;
        if place <= self.place_run {
            self.violate("F6", "a state ran after one that came later", None);
        }
        self.place_run = place;
        Some(id)
    }

    fn activate(&mut self, id: StateId) {
        let pressure = self.is_pressed();
        let unbounded = self.mutated(Mutant::ActivationsUnbounded);
        let Some(state) = self.states.get_mut(id) else {
            return;
        };
        state.queued = false;
        let Some(message) = state.inbox.pop_front() else {
            return;
        };
        state.activations += 1;
        self.counters.activations += 1;
        let most = state.settings.limits.activations_per_state_max;
        if state.activations > most && !unbounded {
            self.give_up(id, "activations_per_state_max");
            return;
        }
        let Some(budget) = self.budgets.get_mut(state.budget) else {
            self.violate("F4", "a state had no budget", Some(id));
            return;
        };
        let left = budget.budget.validation_left();
        let mut requests = core::mem::take(&mut self.requests);
        let mut context = Context {
            now: self.now,
            settings: &state.settings,
            cache: &self.cache,
            infra: &self.infra,
            random: &mut self.random,
            budget: &mut budget.budget,
            depth: state.depth,
            pressure,
            skip_cache: matches!(
                state.kind,
                StateKind::Prefetch
                    | StateKind::Refresh
                    | StateKind::Revalidation
                    | StateKind::Probe
            ),
            requests: &mut requests,
        };
        let outcome = state.program.step(&mut context, message.input());
        let stage = state.program.stage();
        let after = budget.budget.validation_left();
        let validating = stage == Stage::Validating;
        state
            .validation
            .note(self.now.instant, left, after, validating);
        self.note_stage(id, stage);
        match outcome {
            Outcome::Finish(answer) => {
                self.trace_validated(id, &answer);
                requests.retain(|request| matches!(request, Request::Background { .. }));
                self.perform(id, &mut requests);
                self.finish(id, answer, StateEnd::Answered);
            }
            Outcome::Wait => {
                self.perform(id, &mut requests);
                self.go_on(id);
            }
        }
        requests.clear();
        self.requests = requests;
    }

    fn note_stage(&mut self, id: StateId, stage: Stage) {
        let Some(state) = self.states.get_mut(id) else {
            return;
        };
        let before = core::mem::replace(&mut state.stage, stage);
        if before != stage {
            if !before.may_become(stage) {
                self.violate("M5", "a stage followed that may not", Some(id));
            }
            self.trace(id, || Change::Stage(stage.label()));
        }
    }

    /// Queues a state again that has more to take into account; ends one that waits for nothing.
    fn go_on(&mut self, id: StateId) {
        let Some(state) = self.states.get(id) else {
            return;
        };
        if !state.inbox.is_empty() {
            self.enqueue(id);
        } else if state.fetches.is_empty() && state.subs.is_empty() {
            let answer = Answer::empty(ResponseCode::SERVFAIL, Some(ExtendedError::OTHER));
            self.finish(id, answer, StateEnd::Answered);
        }
    }

    fn give_up(&mut self, id: StateId, limit: &'static str) {
        self.trace(id, || Change::LimitReached(limit));
        let answer = Answer::empty(ResponseCode::SERVFAIL, Some(ExtendedError::OTHER));
        self.finish(id, answer, StateEnd::Answered);
    }
}
