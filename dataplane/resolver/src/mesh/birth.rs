//! The making of states and of the budgets that they share.
//!
//! Owns what a new state begins with. Every way to a state leads through here, so counts, timers and the index agree
//! (invariants F4, M3 and M5). Never decides whether there is to be one.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::budget::Budget;
use crate::key::{Id, StateId};
use crate::mesh::list::{Link, List};
use crate::mesh::state::{Background, BudgetKind, BudgetRecord, Lane, MeshState, Message};
use crate::mesh::table::{KeyFlags, Table};
use crate::mesh::validation::ValidationWork;
use crate::program::Program;
use crate::question::{Question, StateKind};
use crate::rules::Rules;
use crate::settings::Settings;
use crate::trace::Change;

/// What a new state is made of.
pub(crate) struct Birth {
    pub(crate) question: Question,
    pub(crate) flags: KeyFlags,
    pub(crate) kind: StateKind,
    pub(crate) settings: Arc<Rules>,
    pub(crate) budget: Id<BudgetKind>,
    pub(crate) depth: u32,
    pub(crate) background: Option<Background>,
}

impl<P: Program> Table<P> {
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
            place: 0,
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

    /// The budget of a root question.
    pub(crate) fn root_budget(&mut self, settings: &Settings) -> Option<Id<BudgetKind>> {
        let budget = self.new_budget(settings)?;
        self.counters.roots += 1;
        Some(budget)
    }

    /// A full budget, which no state shares yet.
    pub(crate) fn new_budget(&mut self, settings: &Settings) -> Option<Id<BudgetKind>> {
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
}
