//! The table: every record of a mesh, and the small moves that the verbs share.
//!
//! Owns all arenas, lists, timers and counts of one mesh. Its children (the files of the verbs) change
//! it; nothing outside `mesh` sees it. Never performs an effect: it queues actions.

use std::collections::VecDeque;
use std::sync::Arc;

use core::hash::BuildHasher;
use hashbrown::{HashMap, HashTable};
use siphasher::sip::SipHasher13;

use crate::action::Action;
use crate::arena::Arena;
use crate::cache::Cache;
use crate::event::Level;
use crate::infra::Infra;
use crate::key::{ConnectionId, FetchKind, Id, Identity, State, StateId, StreamKey};
use crate::mesh::counter::{Counters, Gauges};
use crate::mesh::list::List;
use crate::mesh::mutant::Mutant;
use crate::mesh::state::{
    BudgetKind, BudgetRecord, Edge, EdgeKind, FetchRecord, MeshState, Message,
};
use crate::mesh::timer::{Deadline, Timers};
use crate::mesh::violation::Violation;
use crate::mesh::waiter::{
    ConnectionRecord, Delivery, DeliveryKind, IdentityRecord, StreamKind, StreamRecord, Waiter,
    WaiterKind,
};
use crate::outcome::Request;
use crate::question::{Question, QuestionKey};
use crate::random::Random;
use crate::rate::Rates;
use crate::rules::Rules;
use crate::time::{Instant, Now};
use crate::trace::{Change, StateChange};

/// Clients whose rate is remembered, at most twice; who is forgotten starts anew.
const CLIENTS_MAX: usize = 16_384;

/// Hashes with keys that the driver's seed gave, so that nobody outside can aim at one bucket.
#[derive(Clone, Debug)]
pub(crate) struct Seeded([u64; 2]);

impl BuildHasher for Seeded {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0[0], self.0[1])
    }
}

/// What a `QuestionKey` says beside the question; compared before the name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyFlags {
    pub(crate) recursion_desired: bool,
    pub(crate) checking_disabled: bool,
    pub(crate) priming: bool,
    pub(crate) sub: bool,
    pub(crate) epoch: u32,
}

impl KeyFlags {
    /// Those of a key.
    pub(crate) fn of(key: &QuestionKey) -> Self {
        Self {
            recursion_desired: key.recursion_desired,
            checking_disabled: key.checking_disabled,
            priming: key.priming,
            sub: key.sub,
            epoch: key.epoch,
        }
    }

    /// The key of a question with them.
    pub(crate) fn with(self, question: Question) -> QuestionKey {
        QuestionKey {
            question,
            recursion_desired: self.recursion_desired,
            checking_disabled: self.checking_disabled,
            priming: self.priming,
            sub: self.sub,
            epoch: self.epoch,
        }
    }
}

/// Every record of a mesh.
#[derive(Debug)]
pub(crate) struct Table<P> {
    pub(crate) now: Now,
    pub(crate) settings: Arc<Rules>,
    /// Counts replaced settings; new clients never join a state of an earlier one.
    pub(crate) epoch: u32,
    pub(crate) cache: Arc<Cache>,
    pub(crate) infra: Arc<Infra>,
    pub(crate) random: Random,
    pub(crate) level: Level,
    pub(crate) draining: Option<Instant>,

    pub(crate) connections: HashMap<ConnectionId, ConnectionRecord, Seeded>,
    pub(crate) identities: HashMap<Identity, IdentityRecord, Seeded>,
    /// How often clients asked lately, where that is limited.
    pub(crate) rates: Rates<Identity>,
    pub(crate) streams: Arena<StreamKind, StreamRecord>,
    pub(crate) stream_ids: HashMap<StreamKey, Id<StreamKind>, Seeded>,
    pub(crate) waiters: Arena<WaiterKind, Waiter>,
    pub(crate) deliveries: Arena<DeliveryKind, Delivery>,
    pub(crate) pending: List<DeliveryKind>,

    pub(crate) states: Arena<State, MeshState<P>>,
    pub(crate) index: HashTable<StateId>,
    pub(crate) hasher: Seeded,
    pub(crate) fetches: Arena<FetchKind, FetchRecord>,
    /// The most fetches that any settings so far allowed one state.
    pub(crate) fetches_each: usize,
    pub(crate) edges: Arena<EdgeKind, Edge>,
    pub(crate) budgets: Arena<BudgetKind, BudgetRecord>,

    pub(crate) run: List<State>,
    pub(crate) forever: List<State>,
    pub(crate) jostle: List<State>,
    pub(crate) orphans: List<State>,
    pub(crate) waiter_timers: Timers<WaiterKind>,
    pub(crate) state_timers: Timers<State>,
    pub(crate) fetch_timers: Timers<FetchKind>,

    pub(crate) actions: VecDeque<Action>,
    pub(crate) counters: Counters,
    /// States whose last consumer left in this step, and whose doing that was.
    pub(crate) abandoned: Vec<(StateId, Option<Identity>)>,
    /// States in which an invariant did not hold in this step.
    pub(crate) fenced: Vec<StateId>,
    pub(crate) violation: Option<Violation>,
    /// Violations at the last look, and whether the counts added up then.
    looked: (u64, bool),
    /// Whether `Action::Yield` was given and not answered yet.
    pub(crate) yielded: bool,
    /// The last place in line that was given to a state that can run, and the last that came up (invariant F6).
    pub(crate) last_place: u64,
    pub(crate) place_run: u64,
    /// Waiters that this step may still settle.
    pub(crate) settle_left: u32,
    /// List operations and settlements of this step (invariant D1).
    pub(crate) work: u32,
    /// Kept between steps for their memory alone.
    pub(crate) requests: Vec<Request>,
    pub(crate) walk: Vec<(StateId, u32)>,
    #[cfg(any(test, feature = "mutants"))]
    pub(crate) mutant: Option<Mutant>,
}

/// States of every kind that fit beside `states_max` ones with waiters.
const STATES_PER_SLOT: usize = 2;
/// Dependencies that fit, for each state that fits.
const EDGES_PER_STATE: usize = 4;

impl<P> Table<P> {
    /// An empty table that goes by these settings.
    pub(crate) fn new(
        settings: Arc<Rules>,
        cache: Arc<Cache>,
        infra: Arc<Infra>,
        mut random: Random,
    ) -> Self {
        let waiters = settings.mesh.waiting_replies_max as usize;
        let states = settings.mesh.states_max as usize * STATES_PER_SLOT;
        let fetches_each = settings.limits.fetches_per_state_max as usize;
        let hasher = Seeded(random.fork());
        Self {
            now: Now::default(),
            epoch: settings.epoch,
            cache,
            infra,
            random,
            level: Level::Normal,
            draining: None,
            connections: HashMap::with_hasher(hasher.clone()),
            identities: HashMap::with_hasher(hasher.clone()),
            rates: Rates::bounded(CLIENTS_MAX),
            // Answers that have not left yet take a slot too, beside those that wait.
            streams: Arena::new(waiters * 2),
            stream_ids: HashMap::with_hasher(hasher.clone()),
            waiters: Arena::new(waiters),
            deliveries: Arena::new(waiters),
            pending: List::default(),
            states: Arena::new(states),
            index: HashTable::with_capacity(states),
            hasher,
            fetches: Arena::new(states * fetches_each),
            fetches_each,
            edges: Arena::new(states * EDGES_PER_STATE),
            budgets: Arena::new(states),
            run: List::default(),
            forever: List::default(),
            jostle: List::default(),
            orphans: List::default(),
            waiter_timers: Timers::default(),
            state_timers: Timers::default(),
            fetch_timers: Timers::default(),
            actions: VecDeque::with_capacity(64),
            counters: Counters::default(),
            abandoned: Vec::new(),
            fenced: Vec::new(),
            violation: None,
            looked: (0, true),
            yielded: false,
            last_place: 0,
            place_run: 0,
            settle_left: settings.limits.settle_per_step,
            work: 0,
            requests: Vec::new(),
            walk: Vec::new(),
            settings,
            #[cfg(any(test, feature = "mutants"))]
            mutant: None,
        }
    }

    /// Puts new settings in force for what comes; what runs ends under its own.
    pub(crate) fn replace(&mut self, settings: Arc<Rules>) {
        let waiters = settings.mesh.waiting_replies_max as usize;
        let states = settings.mesh.states_max as usize * STATES_PER_SLOT;
        self.streams.grow(waiters * 2);
        self.waiters.grow(waiters);
        self.deliveries.grow(waiters);
        self.states.grow(states);
        // A state may send what its own settings allow, which are those of any time since the start.
        let fetches_each = settings.limits.fetches_per_state_max as usize;
        self.fetches_each = self.fetches_each.max(fetches_each);
        let fetches = self.states.capacity() * self.fetches_each;
        self.fetches.grow(fetches);
        self.edges.grow(states * EDGES_PER_STATE);
        self.budgets.grow(states);
        if !self.mutated(Mutant::EpochIgnored) {
            self.epoch = settings.epoch.max(self.epoch.wrapping_add(1));
        }
        self.settings = settings;
    }

    /// Whether this fault is switched on; never without the feature.
    #[cfg(any(test, feature = "mutants"))]
    pub(crate) fn mutated(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Whether this fault is switched on; never without the feature.
    #[cfg(not(any(test, feature = "mutants")))]
    #[allow(clippy::unused_self, reason = "the same signature as with the feature")]
    pub(crate) const fn mutated(&self, _mutant: Mutant) -> bool {
        false
    }

    /// The state of a question, if there is one.
    pub(crate) fn find(&self, question: &Question, flags: KeyFlags) -> Option<StateId> {
        let hash = self.hasher.hash_one((question, flags));
        self.index
            .find(hash, |&id| {
                self.states.get(id).is_some_and(|state| {
                    KeyFlags::of(&state.key) == flags && state.key.question == *question
                })
            })
            .copied()
    }

    fn hash_of(hasher: &Seeded, key: &QuestionKey) -> u64 {
        hasher.hash_one((&key.question, KeyFlags::of(key)))
    }

    /// Lets a state be found by its question.
    pub(crate) fn index(&mut self, id: StateId) {
        let Self {
            index,
            states,
            hasher,
            ..
        } = self;
        let hash = |id: &StateId| {
            states
                .get(*id)
                .map_or(0, |state| Self::hash_of(hasher, &state.key))
        };
        index.insert_unique(hash(&id), id, hash);
    }

    /// Lets a state be found no more.
    pub(crate) fn unindex(&mut self, id: StateId) {
        let Some(state) = self.states.get(id) else {
            return;
        };
        let hash = Self::hash_of(&self.hasher, &state.key);
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == id) {
            entry.remove();
        } else {
            self.violate("A5", "a state was not in the index", None);
        }
    }

    /// Gives a state something to take into account, and lets it run.
    pub(crate) fn send(&mut self, id: StateId, message: Message) {
        if let Some(state) = self.states.get_mut(id) {
            state.inbox.push_back(message);
            self.enqueue(id);
        }
    }

    /// Puts a state behind all that can run, unless it is there already.
    pub(crate) fn enqueue(&mut self, id: StateId) {
        if let Some(state) = self.states.get_mut(id)
            && !state.queued
        {
            state.queued = true;
            self.last_place += 1;
            state.place = self.last_place;
            self.run
                .push_back(&mut self.states, id, |state| &mut state.in_run);
            self.work += 1;
        }
    }

    /// Arms the deadline of a state anew after one of its parts changed.
    pub(crate) fn rearm(&mut self, id: StateId) {
        if let Some(state) = self.states.get(id) {
            self.state_timers.set(id, state.deadline());
        }
    }

    /// Records a change of a state that is traced.
    pub(crate) fn trace(&mut self, id: StateId, what: impl FnOnce() -> Change) {
        if self.states.get(id).is_some_and(|state| state.traced) {
            self.actions.push_back(Action::Trace(StateChange {
                state: id,
                at: self.now.instant,
                what: what(),
            }));
        }
    }

    /// Notes an invariant that does not hold: counts it, and fences the state off at the end of the step.
    pub(crate) fn violate(
        &mut self,
        invariant: &'static str,
        what: &'static str,
        state: Option<StateId>,
    ) {
        self.counters.invariant_violations += 1;
        self.violation = Some(Violation { invariant, what });
        self.fenced.extend(state);
    }

    /// Whether optional work is to be left: all room for states is taken, or memory is short.
    pub(crate) fn is_pressed(&self) -> bool {
        self.level != Level::Normal
            || self.draining.is_some()
            || self.states.len() >= self.settings.mesh.states_max as usize
    }

    /// How much there is of everything.
    pub(crate) fn gauges(&self) -> Gauges {
        Gauges {
            connections: self.connections.len(),
            identities: self.identities.len(),
            streams: self.streams.len(),
            waiters: self.waiters.len(),
            states: self.states.len(),
            indexed: self.index.len(),
            forever: self.forever.len() as usize,
            jostle: self.jostle.len() as usize,
            orphans: self.orphans.len() as usize,
            runnable: self.run.len() as usize,
            dependencies: self.edges.len(),
            fetches: self.fetches.len(),
            budgets: self.budgets.len(),
            deliveries: self.deliveries.len(),
            timers: self.waiter_timers.len() + self.state_timers.len() + self.fetch_timers.len(),
        }
    }

    /// The equations between counts; cheap enough for every scrape.
    pub(crate) fn balance(&self) -> Result<(), Violation> {
        if let Some(violation) = self.violation {
            return Err(violation);
        }
        match self.counters.broken_equation(&self.gauges()) {
            Some(invariant) => Err(Violation {
                invariant,
                what: "the counts do not add up",
            }),
            None => Ok(()),
        }
    }

    /// What was met since the last look; counts that have ceased to add up are one more.
    pub(crate) fn look_over(&mut self) -> Option<Violation> {
        let broken = self.counters.broken_equation(&self.gauges());
        if let Some(invariant) = broken.filter(|_| self.looked.1) {
            self.violate(invariant, "the counts do not add up", None);
        }
        let violations = self.counters.invariant_violations;
        let before = core::mem::replace(&mut self.looked, (violations, broken.is_none()));
        self.violation.filter(|_| violations > before.0)
    }

    /// When something must happen next, and why.
    pub(crate) fn deadline(&self) -> Option<(Instant, Deadline)> {
        let leftover = !self.run.is_empty() || !self.pending.is_empty();
        if leftover && !self.mutated(Mutant::WakeUpLost) && !self.is_postponed() {
            return Some((self.now.instant, Deadline::Resume));
        }
        let fetch = self.fetch_timers.first();
        let fetch = fetch.map(|(at, id)| (at, Deadline::Fetch(id)));
        let waiter = self.waiter_timers.first().and_then(|(at, id)| {
            let waiter = self.waiters.get(id)?;
            Some((at, Deadline::Waiter(self.streams.get(waiter.stream)?.key)))
        });
        let state = self.state_timers.first().and_then(|(at, id)| {
            let stale = self.states.get(id)?.stale == Some(at);
            let deadline = if stale {
                Deadline::Stale
            } else {
                Deadline::State
            };
            Some((at, deadline(id)))
        });
        let drain = self.draining.filter(|_| !self.states.is_empty());
        let drain = drain.map(|by| (by, Deadline::Drain));
        [fetch, waiter, state, drain]
            .into_iter()
            .flatten()
            .min_by_key(|&(at, _)| at)
    }

    /// O11 put back: after one refusal nothing that is postponed is taken up again.
    pub(crate) fn is_postponed(&self) -> bool {
        self.mutated(Mutant::PostponedForEver)
            && self.counters.refused_full + self.counters.refused_client_limit > 0
    }
}
