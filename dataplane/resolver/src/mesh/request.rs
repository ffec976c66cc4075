//! What a program asks for: fetches, answers to other questions, background work.
//!
//! Owns what each costs, which is never given back: an upstream query, a target. What cannot be had is refused at
//! once, by a message. Never decides what an answer is.

use std::sync::Arc;

use crate::action::Action;
use crate::event::Level;
use crate::fetch::{Fetch, FetchFailure, FetchPlan};
use crate::key::{Id, StateId};
use crate::mesh::birth::Birth;
use crate::mesh::list::Link;
use crate::mesh::mutant::Mutant;
use crate::mesh::state::{Background, BudgetKind, FetchRecord, Message};
use crate::mesh::table::{KeyFlags, Table};
use crate::name::Name;
use crate::outcome::Request;
use crate::program::Program;
use crate::question::{Question, StateKind};
use crate::rrset::{Class, RecordType};
use crate::rules::Rules;
use crate::trace::Change;
use crate::wire;

impl<P: Program> Table<P> {
    /// Does what a program asked for in one activation.
    pub(crate) fn perform(&mut self, id: StateId, requests: &mut Vec<Request>) {
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

    /// Resolves a question for the cache alone, if there is room for it.
    pub(crate) fn background(
        &mut self,
        question: Question,
        flags: KeyFlags,
        kind: StateKind,
        settings: Arc<Rules>,
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
}
