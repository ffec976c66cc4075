//! What decides how a mesh goes on, as one number: an exhaustive walk looks at each such situation once.
//!
//! Owns `fingerprint`, for tests only. It writes every record in an order that the records themselves give, and
//! leaves out what nothing in the mesh decides by: handles and slots, the absolute time, counts of what happened,
//! epochs but for their distance, spellings and identifiers, which are carried to the answer as they came.

use core::hash::Hasher;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::key::{ConnectionId, FetchId, Id, Identity, StateId};
use crate::mesh::state::{Background, Lane};
use crate::mesh::table::Table;
use crate::mesh::waiter::{Home, StreamPhase, WaiterKind};
use crate::program::Program;
use crate::question::QuestionKey;
use crate::time::Instant;

/// Stands for what is not there.
const NOTHING: u64 = u64::MAX;

/// What a fingerprint is taken of, beside the mesh itself.
#[derive(Debug)]
pub struct Aspect<'a, P> {
    /// Connections with their clients; they are known by their place in here and by nothing else.
    pub clients: &'a [(ConnectionId, Identity)],
    /// Open fetches in the order that the driver goes by.
    pub fetches: &'a [FetchId],
    /// Questions whose expired answers may be served.
    pub questions: &'a [QuestionKey],
    /// What decides how a program goes on.
    pub program: fn(&P, &mut dyn Hasher),
}

/// States and clients by their place, and the number that is written.
struct Print<'a, P> {
    table: &'a Table<P>,
    aspect: Aspect<'a, P>,
    states: Vec<StateId>,
    hash: SipHasher13,
}

impl<P: Program> Table<P> {
    /// The number; none while work is left over from the last step.
    pub(crate) fn fingerprint(&self, aspect: Aspect<'_, P>) -> Option<u128> {
        if !self.run.is_empty() || !self.pending.is_empty() || !self.actions.is_empty() {
            return None;
        }
        let lanes = [&self.forever, &self.jostle].into_iter();
        let mut states: Vec<StateId> = lanes
            .flat_map(|lane| lane.iter(&self.states, |state| &state.in_lane))
            .collect();
        let rest = self.states.iter().map(|(id, _)| id);
        let rest: Vec<StateId> = rest.filter(|id| !states.contains(id)).collect();
        states.extend(rest);
        let hash = SipHasher13::new_with_keys(1, 2);
        let mut print = Print {
            table: self,
            aspect,
            states,
            hash,
        };
        print.table();
        for place in 0..print.states.len() {
            print.state(place);
        }
        for place in 0..print.aspect.clients.len() {
            print.client(place);
        }
        print.timers();
        Some(print.hash.finish128().as_u128())
    }
}

impl<P: Program> Print<'_, P> {
    fn number(&mut self, number: u64) {
        self.hash.write_u64(number);
    }

    /// A time by its distance from now.
    fn time(&mut self, at: Option<Instant>) {
        let now = self.table.now.instant.nanoseconds();
        self.number(at.map_or(NOTHING, |at| at.nanoseconds().wrapping_sub(now)));
    }

    fn place_of(&self, state: StateId) -> u64 {
        let place = self.states.iter().position(|id| *id == state);
        place.map_or(NOTHING, |place| place as u64)
    }

    fn client_of(&self, identity: Identity) -> u64 {
        let place = self.aspect.clients.iter().position(|one| one.1 == identity);
        place.map_or(NOTHING, |place| place as u64)
    }

    fn waiter(&mut self, waiter: Id<WaiterKind>) {
        let table = self.table;
        let Some(Home::State(state)) = table.waiters.get(waiter).map(|waiter| waiter.home) else {
            return self.number(NOTHING);
        };
        let place = table.states.get(state).and_then(|state| {
            let mut waiters = state.waiters.iter(&table.waiters, |waiter| &waiter.in_home);
            waiters.position(|id| id == waiter)
        });
        self.number(self.place_of(state));
        self.number(place.map_or(NOTHING, |place| place as u64));
    }

    fn fetch(&mut self, fetch: FetchId) {
        let table = self.table;
        let Some(state) = table.fetches.get(fetch).map(|record| record.state) else {
            return self.number(NOTHING);
        };
        let place = table.states.get(state).and_then(|state| {
            let mut fetches = state.fetches.iter(&table.fetches, |fetch| &fetch.in_state);
            fetches.position(|id| id == fetch)
        });
        self.number(self.place_of(state));
        self.number(place.map_or(NOTHING, |place| place as u64));
    }

    fn table(&mut self) {
        let table = self.table;
        self.number(table.level as u64);
        self.time(table.draining);
        let counts = [
            table.states.len(),
            table.forever.len() as usize,
            table.waiters.len(),
            table.streams.len(),
            table.edges.len(),
            usize::from(table.yielded),
        ];
        counts.iter().for_each(|count| self.number(*count as u64));
        for orphan in table.orphans.iter(&table.states, |state| &state.in_orphans) {
            self.number(self.place_of(orphan));
        }
        self.number(NOTHING);
        for fetch in self.aspect.fetches {
            self.fetch(*fetch);
        }
        self.number(NOTHING);
        for key in self.aspect.questions {
            // What is cached ages by whole seconds, so that the fraction of the one that runs counts too.
            let cached = table.cache.stale(table.now, &table.settings, key);
            let fraction = table.now.instant.nanoseconds() % 1_000_000_000;
            self.number(
                cached
                    .as_ref()
                    .map_or(NOTHING, |answer| u64::from(answer.ttl)),
            );
            self.number(cached.map_or(NOTHING, |_| fraction));
        }
    }

    fn state(&mut self, place: usize) {
        let table = self.table;
        let Some(state) = self.states.get(place).and_then(|id| table.states.get(*id)) else {
            return;
        };
        self.hash.write(state.key.question.name.as_wire());
        (self.aspect.program)(&state.program, &mut self.hash);
        let background = match state.background {
            None => NOTHING,
            Some(Background::Prefetch) => 100,
            Some(Background::Refresh) => 101,
            Some(Background::Orphan { debtor }) => {
                debtor.map_or(102, |identity| 200 + self.client_of(identity))
            }
        };
        let lane = match state.lane {
            Lane::None => 0,
            Lane::Forever => 1,
            Lane::Jostle => 2,
        };
        let numbers = [
            u64::from(state.key.question.record_type.0),
            u64::from(table.epoch.wrapping_sub(state.key.epoch)),
            state.kind as u64,
            state.stage as u64,
            lane,
            background,
            u64::from(state.depth),
            u64::from(state.expired.is_some()),
            u64::from(state.activations),
            u64::from(state.fetches_sent),
            u64::from(state.traced),
            state.inbox.len() as u64,
        ];
        numbers.iter().for_each(|number| self.number(*number));
        [state.first_wait, state.stale, Some(state.expires)]
            .iter()
            .for_each(|time| self.time(*time));
        let budget = table.budgets.get(state.budget);
        let left = budget.map(|record| record.budget.upstream_queries_left());
        self.number(left.map_or(NOTHING, u64::from));
        let sharing = table
            .states
            .iter()
            .filter(|(_, other)| other.budget == state.budget);
        self.number(sharing.count() as u64);
        for waiter in state.waiters.iter(&table.waiters, |waiter| &waiter.in_home) {
            let joined = table
                .waiters
                .get(waiter)
                .is_some_and(|waiter| waiter.joined);
            let identity = table
                .waiters
                .get(waiter)
                .map(|waiter| waiter.permit.identity);
            self.number(identity.map_or(NOTHING, |identity| self.client_of(identity)));
            self.number(u64::from(joined));
        }
        self.number(NOTHING);
        for edge in state.subs.iter(&table.edges, |edge| &edge.in_subs) {
            let below = table.edges.get(edge).map(|edge| edge.below);
            self.number(below.map_or(NOTHING, |below| self.place_of(below)));
        }
        self.number(NOTHING);
        for fetch in state.fetches.iter(&table.fetches, |fetch| &fetch.in_state) {
            self.time(table.fetch_timers.get(fetch));
        }
        self.number(NOTHING);
    }

    fn client(&mut self, place: usize) {
        let table = self.table;
        let Some(&(connection, identity)) = self.aspect.clients.get(place) else {
            return;
        };
        if let Some(record) = table.identities.get(&identity) {
            let counts = [record.connections, record.waiting, record.debts];
            counts
                .iter()
                .for_each(|count| self.number(u64::from(*count)));
        }
        self.number(NOTHING);
        let Some(record) = table.connections.get(&connection) else {
            return self.number(NOTHING);
        };
        self.number(u64::from(record.waiting));
        let streams = record
            .streams
            .iter(&table.streams, |stream| &stream.in_connection);
        for stream in streams {
            match table.streams.get(stream).map(|stream| stream.phase) {
                Some(StreamPhase::Waiting(waiter)) => self.waiter(waiter),
                Some(StreamPhase::Answering) => self.number(1),
                None => self.number(NOTHING),
            }
        }
        self.number(NOTHING);
    }

    /// Deadlines in the order of their heaps, which decides between two that are due at once.
    fn timers(&mut self) {
        let table = self.table;
        for (at, waiter) in table.waiter_timers.iter() {
            self.time(Some(at));
            self.waiter(waiter);
        }
        for (at, state) in table.state_timers.iter() {
            self.time(Some(at));
            self.number(self.place_of(state));
        }
        for (at, fetch) in table.fetch_timers.iter() {
            self.time(Some(at));
            self.fetch(fetch);
        }
    }
}
