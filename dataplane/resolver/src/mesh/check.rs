//! Every invariant of the mesh that can be seen in its records, as one function.
//!
//! Owns `check`: run after every event in tests, replay and simulation. Its cost is that of everything
//! in the mesh, so production runs only `balance`, the equations between counts. Never changes anything.

use crate::key::StateId;
use crate::mesh::state::Lane;
use crate::mesh::table::{KeyFlags, Table};
use crate::mesh::violation::Violation;
use crate::mesh::waiter::{Home, StreamPhase};

/// Says what does not hold, unless it does.
const fn ensure(holds: bool, invariant: &'static str, what: &'static str) -> Result<(), Violation> {
    if holds {
        Ok(())
    } else {
        Err(Violation { invariant, what })
    }
}

/// One part of the check: the first that it finds broken.
type Part<P> = fn(&Table<P>) -> Result<(), Violation>;

/// List operations, settlements and removals that one step may take.
const WORK_MAX: u32 = 4096;

impl<P> Table<P> {
    /// The parts of the check; each says the first that does not hold.
    const PARTS: [Part<P>; 10] = [
        Self::balance,
        Self::check_streams,
        Self::check_waiters,
        Self::check_clients,
        Self::check_states,
        Self::check_dependencies,
        Self::check_fetches,
        Self::check_lists,
        Self::check_timers,
        Self::check_bounds,
    ];

    /// Every invariant.
    pub(crate) fn check(&self) -> Result<(), Violation> {
        Self::PARTS.iter().try_for_each(|part| part(self))
    }

    /// The names of those that do not hold, as far as one does not hide another; some stand more than once.
    pub(crate) fn broken(&self) -> Vec<&'static str> {
        let parts = Self::PARTS.iter();
        let parts = parts.filter_map(|part| part(self).err().map(|broken| broken.invariant));
        let counts = self.counters.broken_equations(&self.gauges());
        parts.chain(counts).collect()
    }

    fn check_streams(&self) -> Result<(), Violation> {
        ensure(
            self.streams.len() == self.stream_ids.len(),
            "A5",
            "streams and their keys differ",
        )?;
        let mut waiting = 0;
        for (id, stream) in self.streams.iter() {
            ensure(
                self.stream_ids.get(&stream.key) == Some(&id),
                "A5",
                "a stream is not found by its key",
            )?;
            ensure(
                self.connections.contains_key(&stream.key.connection),
                "C3",
                "a stream of a connection that is gone",
            )?;
            if let StreamPhase::Waiting(waiter) = stream.phase {
                waiting += 1;
                ensure(
                    self.waiters
                        .get(waiter)
                        .is_some_and(|waiter| waiter.stream == id),
                    "A2",
                    "a stream waits with a waiter that is not its own",
                )?;
            }
        }
        ensure(
            waiting == self.waiters.len(),
            "A2",
            "waiters and waiting streams differ",
        )
    }

    fn check_waiters(&self) -> Result<(), Violation> {
        for (id, waiter) in self.waiters.iter() {
            ensure(
                self.streams
                    .get(waiter.stream)
                    .is_some_and(|stream| stream.phase == StreamPhase::Waiting(id)),
                "A2",
                "a waiter names a stream that does not wait with it",
            )?;
            let timer = self.waiter_timers.get(id);
            let homed = match waiter.home {
                Home::State(state) => self.states.get(state).is_some() && timer.is_some(),
                Home::Delivery(delivery) => {
                    self.deliveries.get(delivery).is_some() && timer.is_none()
                }
            };
            ensure(homed, "A1", "a waiter has no home, or no deadline")?;
        }
        let mut listed = 0;
        for (id, state) in self.states.iter() {
            ensure(
                state
                    .waiters
                    .is_sound(&self.waiters, |waiter| &waiter.in_home),
                "A3",
                "the waiters of a state are not a list",
            )?;
            for waiter in state.waiters.iter(&self.waiters, |waiter| &waiter.in_home) {
                listed += 1;
                ensure(
                    self.waiters
                        .get(waiter)
                        .is_some_and(|w| w.home == Home::State(id)),
                    "A3",
                    "a waiter is in the list of another state",
                )?;
            }
        }
        for (_, delivery) in self.deliveries.iter() {
            ensure(
                delivery
                    .waiters
                    .is_sound(&self.waiters, |waiter| &waiter.in_home)
                    && !delivery.waiters.is_empty(),
                "A3",
                "the waiters of a delivery are not a list",
            )?;
            listed += delivery.waiters.len() as usize;
        }
        ensure(
            listed == self.waiters.len(),
            "A3",
            "a waiter is in no list, or in two",
        )
    }

    fn check_clients(&self) -> Result<(), Violation> {
        let mut streams = 0;
        let mut waiting = 0;
        for record in self.connections.values() {
            ensure(
                record
                    .streams
                    .is_sound(&self.streams, |stream| &stream.in_connection),
                "C3",
                "the streams of a connection are not a list",
            )?;
            streams += record.streams.len() as usize;
            waiting += record.waiting as usize;
            let own = record
                .streams
                .iter(&self.streams, |stream| &stream.in_connection)
                .filter_map(|id| self.streams.get(id))
                .filter(|stream| matches!(stream.phase, StreamPhase::Waiting(_)))
                .count();
            ensure(
                own == record.waiting as usize,
                "B8",
                "a connection's waits are miscounted",
            )?;
        }
        ensure(
            streams == self.streams.len(),
            "C3",
            "a stream is in no connection",
        )?;
        ensure(
            waiting == self.waiters.len(),
            "B8",
            "waits are miscounted by connection",
        )?;
        let debts = self
            .states
            .iter()
            .filter(|(_, state)| matches!(state.orphan(), Some((Some(_), _))))
            .count();
        let (mut connections, mut by_identity, mut owed) = (0, 0, 0);
        for record in self.identities.values() {
            ensure(
                !record.is_idle(),
                "C1",
                "a client that has nothing left is remembered",
            )?;
            connections += record.connections as usize;
            by_identity += record.waiting as usize;
            owed += record.debts as usize;
        }
        ensure(
            connections == self.connections.len(),
            "B8",
            "connections are miscounted",
        )?;
        ensure(
            by_identity == self.waiters.len(),
            "B8",
            "waits are miscounted by client",
        )?;
        ensure(owed == debts, "F1", "orphans and debts differ")
    }

    fn check_states(&self) -> Result<(), Violation> {
        ensure(
            self.index.len() == self.states.len(),
            "A5",
            "index and states differ in number",
        )?;
        let mut shares = 0;
        for (id, state) in self.states.iter() {
            ensure(
                self.find(&state.key.question, KeyFlags::of(&state.key)) == Some(id),
                "A5",
                "a state is not found by its question",
            )?;
            ensure(
                state.has_consumer() || state.background.is_some(),
                "M2",
                "a state that nobody needs runs on",
            )?;
            ensure(
                state.queued != state.inbox.is_empty(),
                "M5",
                "a state can run and is not queued, or the other way round",
            )?;
            ensure(
                state.queued || !state.fetches.is_empty() || !state.subs.is_empty(),
                "M5",
                "a state waits for nothing",
            )?;
            ensure(
                state.waiters.is_empty() || state.lane != Lane::None,
                "E3",
                "a state with waiters takes no room",
            )?;
            ensure(
                !state.kind.validates() || !matches!(state.orphan(), Some((None, _))),
                "F1",
                "an orphan that a client left is charged to nobody",
            )?;
            let age = state.first_wait.is_none_or(|first| {
                state
                    .waiters
                    .iter(&self.waiters, |waiter| &waiter.in_home)
                    .filter_map(|waiter| self.waiters.get(waiter))
                    .all(|waiter| first <= waiter.since)
            });
            ensure(age, "F3", "a state is younger than a waiter of it")?;
            ensure(
                self.budgets.get(state.budget).is_some(),
                "F4",
                "a state has no budget",
            )?;
            shares += 1;
        }
        let counted: usize = self.budgets.iter().map(|(_, b)| b.states as usize).sum();
        ensure(counted == shares, "F4", "budgets and their states differ")?;
        ensure(
            self.budgets.iter().all(|(_, budget)| budget.states > 0),
            "C1",
            "a budget that no state shares",
        )
    }

    fn check_dependencies(&self) -> Result<(), Violation> {
        for (_, edge) in self.edges.iter() {
            let (Some(above), Some(below)) =
                (self.states.get(edge.above), self.states.get(edge.below))
            else {
                return ensure(false, "A1", "a dependency names a state that is gone");
            };
            ensure(
                above.depth < below.depth,
                "A4",
                "a state lies no deeper than one that needs it: dependencies form a circle",
            )?;
            ensure(
                above.settings.limits == below.settings.limits
                    && above.key.epoch == below.key.epoch,
                "R-8",
                "a dependency crosses settings",
            )?;
        }
        let (mut as_subs, mut as_supers) = (0, 0);
        for (id, state) in self.states.iter() {
            ensure(
                state.subs.is_sound(&self.edges, |edge| &edge.in_subs)
                    && state.supers.is_sound(&self.edges, |edge| &edge.in_supers),
                "A4",
                "the dependencies of a state are not a list",
            )?;
            as_subs += state.subs.len() as usize;
            as_supers += state.supers.len() as usize;
            ensure(
                state.depth <= self.depth_bound(id),
                "A4",
                "a state lies too deep",
            )?;
            let mut needed = Vec::new();
            for edge in state.subs.iter(&self.edges, |edge| &edge.in_subs) {
                let below = self.edges.get(edge).map(|edge| edge.below);
                ensure(
                    !needed.contains(&below),
                    "A4",
                    "one state needs another twice",
                )?;
                needed.push(below);
            }
        }
        ensure(
            as_subs == self.edges.len() && as_supers == self.edges.len(),
            "A4",
            "a dependency is missing at one end",
        )
    }

    fn depth_bound(&self, id: StateId) -> u32 {
        self.states.get(id).map_or(0, |state| {
            let asked = u32::from(state.settings.resolution.budget.depth).saturating_add(2);
            asked.min(state.settings.limits.depth_max)
        })
    }

    fn check_fetches(&self) -> Result<(), Violation> {
        let mut listed = 0;
        for (_, state) in self.states.iter() {
            ensure(
                state
                    .fetches
                    .is_sound(&self.fetches, |fetch| &fetch.in_state),
                "M6",
                "the fetches of a state are not a list",
            )?;
            listed += state.fetches.len() as usize;
            ensure(
                state.fetches.len() <= state.settings.limits.fetches_per_state_max,
                "M9",
                "a state has too many fetches",
            )?;
        }
        ensure(listed == self.fetches.len(), "C5", "a fetch has no state")?;
        for (id, fetch) in self.fetches.iter() {
            ensure(
                self.states.get(fetch.state).is_some(),
                "C5",
                "a fetch outlived its state",
            )?;
            ensure(
                self.fetch_timers.get(id).is_some(),
                "C4",
                "a fetch has no deadline",
            )?;
        }
        Ok(())
    }

    fn check_lists(&self) -> Result<(), Violation> {
        let sound = self.run.is_sound(&self.states, |state| &state.in_run)
            && self.forever.is_sound(&self.states, |state| &state.in_lane)
            && self.jostle.is_sound(&self.states, |state| &state.in_lane)
            && self
                .orphans
                .is_sound(&self.states, |state| &state.in_orphans)
            && self
                .pending
                .is_sound(&self.deliveries, |delivery| &delivery.in_deliveries);
        ensure(sound, "A3", "a list of the table is not a list")?;
        let count = |wanted: fn(&Lane) -> bool| {
            self.states
                .iter()
                .filter(|(_, state)| wanted(&state.lane))
                .count()
        };
        let orphans = self
            .states
            .iter()
            .filter(|(_, state)| state.orphan().is_some())
            .count();
        let queued = self.states.iter().filter(|(_, state)| state.queued).count();
        ensure(
            count(|lane| *lane == Lane::Forever) == self.forever.len() as usize
                && count(|lane| *lane == Lane::Jostle) == self.jostle.len() as usize
                && orphans == self.orphans.len() as usize
                && queued == self.run.len() as usize
                && self.deliveries.len() == self.pending.len() as usize,
            "M8",
            "a list and what its members say differ",
        )
    }

    fn check_timers(&self) -> Result<(), Violation> {
        let sound = self.waiter_timers.is_sound()
            && self.state_timers.is_sound()
            && self.fetch_timers.is_sound();
        ensure(sound, "C4", "deadlines are not in order")?;
        ensure(
            self.state_timers.len() == self.states.len(),
            "C4",
            "states and deadlines differ",
        )?;
        ensure(
            self.fetch_timers.len() == self.fetches.len(),
            "C4",
            "fetches and deadlines differ",
        )?;
        for (at, id) in self.state_timers.iter() {
            ensure(
                self.states
                    .get(id)
                    .is_some_and(|state| state.deadline() == at),
                "C4",
                "a deadline is not that of its state",
            )?;
        }
        let waiting: usize = self
            .states
            .iter()
            .map(|(_, state)| state.waiters.len() as usize)
            .sum();
        ensure(
            self.waiter_timers.len() == waiting,
            "C4",
            "waiters and deadlines differ",
        )
    }

    fn check_bounds(&self) -> Result<(), Violation> {
        ensure(self.work <= WORK_MAX, "D1", "one step did too much")?;
        ensure(
            self.abandoned.is_empty(),
            "M2",
            "the worklist was not worked off",
        )?;
        let within = self.waiters.len() <= self.waiters.capacity()
            && self.states.len() <= self.states.capacity();
        ensure(within, "E3", "an arena outgrew its capacity")?;
        for (_, state) in self.states.iter() {
            let limits = &state.settings.limits;
            ensure(
                state.waiters.len() <= limits.waiters_per_state_max,
                "E3",
                "a state has too many waiters",
            )?;
            ensure(
                state.subs.len() <= limits.subs_per_state_max,
                "E3",
                "a state needs too many others",
            )?;
            ensure(
                state.activations <= limits.activations_per_state_max,
                "D5",
                "a state ran too often",
            )?;
        }
        Ok(())
    }
}
