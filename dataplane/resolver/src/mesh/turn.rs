//! Running states: one message to one program at a time, first come first served.
//!
//! Owns the run queue's budget (invariant D1), the making of states, and what a program's requests
//! become: fetches, dependencies, background work. Every request costs something that is never given
//! back: an activation, an upstream query, a target. Never decides what an answer is.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::action::Action;
use crate::answer::{Answer, ExtendedError, ResponseCode};
use crate::budget::Budget;
use crate::context::Context;
use crate::event::Level;
use crate::fetch::{Fetch, FetchFailure, FetchPlan};
use crate::key::{Id, StateId};
use crate::mesh::list::{Link, List};
use crate::mesh::mutant::Mutant;
use crate::mesh::stage::Stage;
use crate::mesh::state::{
    Background, BudgetKind, BudgetRecord, FetchRecord, Lane, MeshState, Message,
};
use crate::mesh::table::{KeyFlags, Table};
use crate::mesh::validation::ValidationWork;
use crate::name::Name;
use crate::outcome::{Outcome, Request};
use crate::program::Program;
use crate::question::{Question, StateKind};
use crate::rrset::{Class, RecordType};
use crate::settings::Settings;
use crate::trace::{Change, StateEnd};
use crate::wire;

/// What a new state is made of.
pub(crate) struct Birth {
    pub(crate) question: Question,
    pub(crate) flags: KeyFlags,
    pub(crate) kind: StateKind,
    pub(crate) settings: Arc<Settings>,
    pub(crate) budget: Id<BudgetKind>,
    pub(crate) depth: u32,
    pub(crate) background: Option<Background>,
}

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
            && let Some(id) = self
                .run
                .pop_front(&mut self.states, |state| &mut state.in_run)
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

    fn perform(&mut self, id: StateId, requests: &mut Vec<Request>) {
        for request in requests.drain(..) {
            match request {
                Request::Fetch(plan) => self.fetch(id, plan),
                Request::Need { question, kind } => self.need(id, question, kind),
                Request::Background { question, kind } => {
                    if let Some(state) = self.states.get(id) {
                        let (epoch, budget) = (state.key.epoch, state.budget);
                        // A report is not validated, so it is no client's question.
                        let apart = kind == StateKind::Report;
                        let flags = KeyFlags {
                            recursion_desired: true,
                            checking_disabled: apart,
                            priming: false,
                            sub: apart,
                            epoch,
                        };
                        let settings = Arc::clone(&state.settings);
                        self.background(question, flags, kind, settings, Some(budget));
                    }
                }
            }
        }
    }

    /// Sends a query for a state, or tells it at once that it may send no more.
    fn fetch(&mut self, id: StateId, plan: FetchPlan) {
        if let Err(limit) = self.spend_fetch(id) {
            self.trace(id, || Change::LimitReached(limit));
            let failure = FetchFailure::Exhausted;
            self.send(id, Message::FetchFailed { plan, failure });
            return;
        }
        let Some(state) = self.states.get(id) else {
            return;
        };
        let payload_size = state.settings.resolution.udp_payload_size;
        let grace = state.settings.limits.fetch_grace;
        let attempt = state.fetches_sent;
        let message = wire::encode_query(&plan, payload_size, &mut self.random);
        let record = FetchRecord {
            state: id,
            in_state: Link::default(),
            plan: plan.clone(),
            sent: self.now.instant,
        };
        let Ok(fetch) = self.fetches.insert(record) else {
            self.violate("M9", "there are more fetches than states allow", Some(id));
            return;
        };
        if let Some(state) = self.states.get_mut(id) {
            state
                .fetches
                .push_back(&mut self.fetches, fetch, |record| &mut record.in_state);
        }
        self.work += 1;
        self.fetch_timers.set(
            fetch,
            self.now.instant.after(plan.timeout.saturating_add(grace)),
        );
        self.counters.fetches_sent += 1;
        self.trace(id, || Change::FetchSent {
            fetch,
            server: plan.server,
            transport: plan.transport.clone(),
            zone: plan.zone.clone(),
            question: plan.question.clone(),
            attempt,
        });
        self.actions.push_back(Action::Fetch(Fetch {
            fetch,
            server: plan.server,
            transport: plan.transport,
            message,
            timeout: plan.timeout,
        }));
    }

    fn spend_fetch(&mut self, id: StateId) -> Result<(), &'static str> {
        let Some(state) = self.states.get_mut(id) else {
            return Err("states_max");
        };
        if state.fetches.len() >= state.settings.limits.fetches_per_state_max {
            return Err("fetches_per_state_max");
        }
        if state.fetches_sent >= state.settings.resolution.budget.queries_per_state {
            return Err("queries_per_state");
        }
        let Some(record) = self.budgets.get_mut(state.budget) else {
            return Err("upstream_queries");
        };
        record
            .budget
            .spend_upstream_query()
            .map_err(|limit| limit.0)?;
        state.fetches_sent += 1;
        Ok(())
    }

    /// Lets a state wait for another question, or tells it at once that it cannot.
    fn need(&mut self, above: StateId, question: Question, kind: StateKind) {
        let Some(state) = self.states.get(above) else {
            return;
        };
        let flags = KeyFlags {
            recursion_desired: true,
            checking_disabled: true,
            priming: kind == StateKind::Prime,
            sub: true,
            epoch: state.key.epoch,
        };
        let below = self.find(&question, flags);
        if below.is_some_and(|below| self.needs(above, below)) {
            return;
        }
        let linked = self.may_need_more(above)
            && below
                .or_else(|| self.create_sub(above, &question, flags, kind))
                .is_some_and(|below| self.link_or_end(above, below));
        if !linked {
            self.counters.needs_refused += 1;
            self.send(above, Message::NeedRefused { question });
        }
    }

    fn link_or_end(&mut self, above: StateId, below: StateId) -> bool {
        if !self.link(above, below) {
            // One that was just made for this has no consumer, and ends with the step.
            self.abandoned.push((below, None));
            return false;
        }
        self.adopt(below);
        self.trace_from_here(above, below);
        self.trace(above, || Change::Needs { sub: below });
        true
    }

    /// A traced state's needs are traced too, so that every link resolves.
    fn trace_from_here(&mut self, above: StateId, below: StateId) {
        if self.states.get(above).is_some_and(|state| state.traced) {
            self.begin_trace(below, Some(above));
        }
    }

    /// Records a state from now on, as if it were made now.
    pub(crate) fn begin_trace(&mut self, id: StateId, parent: Option<StateId>) {
        let Some(state) = self.states.get_mut(id) else {
            return;
        };
        if core::mem::replace(&mut state.traced, true) {
            return;
        }
        let (question, kind) = (state.key.question.clone(), state.kind);
        self.trace(id, || Change::Created {
            question,
            kind,
            parent,
        });
    }

    fn create_sub(
        &mut self,
        above: StateId,
        question: &Question,
        flags: KeyFlags,
        kind: StateKind,
    ) -> Option<StateId> {
        let state = self.states.get(above)?;
        if state.depth >= self.depth_max(above) && !self.mutated(Mutant::NoDepthCheck) {
            return None;
        }
        let (settings, depth) = (Arc::clone(&state.settings), state.depth + 1);
        let budget = if self.mutated(Mutant::BudgetRenewed) {
            self.new_budget(&settings)?
        } else {
            state.budget
        };
        self.create(Birth {
            question: question.clone(),
            flags,
            kind,
            settings,
            budget,
            depth,
            background: None,
        })
    }

    /// The budget of a root question.
    pub(crate) fn root_budget(&mut self, settings: &Settings) -> Option<Id<BudgetKind>> {
        let budget = self.new_budget(settings)?;
        self.counters.roots += 1;
        Some(budget)
    }

    /// A full budget, which no state shares yet.
    fn new_budget(&mut self, settings: &Settings) -> Option<Id<BudgetKind>> {
        let budget = Budget::new(settings);
        let record = BudgetRecord {
            started_with: budget.upstream_queries_left(),
            budget,
            states: 0,
        };
        let id = self.budgets.insert(record).ok()?;
        self.counters.budgets_made += 1;
        Some(id)
    }

    /// Resolves a question for the cache alone, if there is room for it.
    pub(crate) fn background(
        &mut self,
        question: Question,
        flags: KeyFlags,
        kind: StateKind,
        settings: Arc<Settings>,
        budget: Option<Id<BudgetKind>>,
    ) {
        if self.find(&question, flags).is_some() {
            return;
        }
        let room = self.room_left() && !self.states.is_full() && self.level == Level::Normal;
        if !room || self.is_pressed() {
            self.counters.background_refused += 1;
            return;
        }
        let Some(budget) = budget.or_else(|| self.root_budget(&settings)) else {
            self.counters.background_refused += 1;
            return;
        };
        let background = match kind {
            StateKind::Refresh => Background::Refresh,
            _ => Background::Prefetch,
        };
        if let Some(id) = self.create(Birth {
            question,
            flags,
            kind,
            settings,
            budget,
            depth: 0,
            background: Some(background),
        }) {
            self.enter_lane(id);
            self.counters.probes += u64::from(kind == StateKind::Probe);
        }
    }

    /// Looks at the keys of a tracked trust anchor's zone, if there is room; who tracks them asks again.
    pub(crate) fn probe(&mut self, zone: Name) {
        let question = Question {
            name: zone,
            record_type: RecordType::DNSKEY,
            class: Class::IN,
        };
        let flags = KeyFlags {
            recursion_desired: true,
            checking_disabled: true,
            // Nobody else's question: a client's must not be told as a probe.
            priming: true,
            sub: false,
            epoch: self.epoch,
        };
        let settings = Arc::clone(&self.settings);
        self.background(question, flags, StateKind::Probe, settings, None);
    }

    /// Makes a state and lets it run. None when there is no room.
    pub(crate) fn create(&mut self, birth: Birth) -> Option<StateId> {
        let Birth {
            question,
            flags,
            kind,
            settings,
            budget,
            depth,
            background,
        } = birth;
        let program = P::begin(
            &question,
            kind,
            flags.recursion_desired,
            flags.checking_disabled,
        );
        let expires = self.now.instant.after(settings.limits.state_time_max);
        let state = MeshState {
            key: flags.with(question),
            kind,
            stage: program.stage(),
            program: Box::new(program),
            settings,
            inbox: VecDeque::new(),
            queued: false,
            in_run: Link::default(),
            lane: Lane::None,
            in_lane: Link::default(),
            background,
            in_orphans: Link::default(),
            waiters: List::default(),
            supers: List::default(),
            subs: List::default(),
            fetches: List::default(),
            budget,
            depth,
            first_wait: None,
            stale: None,
            expired: None,
            expires,
            activations: 0,
            fetches_sent: 0,
            waiters_most: 0,
            validation: ValidationWork::default(),
            traced: false,
        };
        let id = self.states.insert(state).ok()?;
        if let Some(record) = self.budgets.get_mut(budget) {
            record.states += 1;
        }
        self.index(id);
        self.rearm(id);
        self.counters.states_made += 1;
        self.work += 1;
        self.send(id, Message::Start);
        Some(id)
    }
}
