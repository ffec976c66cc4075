//! Streams and connections: how they come in, and the funnels by which they leave.
//!
//! Owns the events of the driver about clients. Closing a stream changes no other stream (invariant
//! B3); a key that is gone is a counted no-op (A6, B7). What a connection that ends costs depends on its
//! own streams alone (C3).

use std::sync::Arc;

use crate::action::{Action, Refusal};
use crate::answer::Answer;
use crate::event::CloseCause;
use crate::key::{ConnectionId, Id, Identity, StateId, StreamKey};
use crate::mesh::birth::Birth;
use crate::mesh::list::{Link, List};
use crate::mesh::mutant::Mutant;
use crate::mesh::overload::Admission;
use crate::mesh::policy::{self, Policy};
use crate::mesh::table::Table;
use crate::mesh::waiter::{
    ConnectionRecord, Disposition, Home, StreamKind, StreamPhase, StreamRecord, Waiter, WaiterKind,
};
use crate::name::Name;
use crate::program::Program;
use crate::question::{Query, StateKind};
use crate::time::Instant;
use crate::trace::Change;
use crate::wire;

/// A query on its way to its state.
struct Asking {
    stream: StreamKey,
    identity: Identity,
    query: Query,
    /// Aliases of local zones, and the name that led to them; the query names where they lead.
    aliases: Option<(Box<Answer>, Name)>,
    joined: bool,
    traced: bool,
}

/// List operations that closing one stream takes: its own, whoever else waits.
const CLOSE_WORK_MAX: u32 = 4;

impl<P: Program> Table<P> {
    /// A connection came.
    pub(crate) fn open_connection(&mut self, connection: ConnectionId, identity: Identity) {
        if self.connections.contains_key(&connection) {
            self.counters.late_connections += 1;
            return;
        }
        let record = ConnectionRecord {
            identity,
            streams: List::default(),
            waiting: 0,
        };
        self.connections.insert(connection, record);
        self.identities.entry(identity).or_default().connections += 1;
    }

    /// A connection ended, and with it every stream of it.
    pub(crate) fn close_connection(&mut self, connection: ConnectionId) {
        let Some(identity) = self.connections.get(&connection).map(|c| c.identity) else {
            self.counters.late_connections += 1;
            return;
        };
        if self.mutated(Mutant::ConnectionLeaks)
            && self
                .connections
                .get(&connection)
                .is_some_and(|c| c.streams.is_empty())
        {
            return;
        }
        while let Some(stream) = self
            .connections
            .get(&connection)
            .and_then(|c| c.streams.front())
        {
            let Some(key) = self.streams.get(stream).map(|stream| stream.key) else {
                self.violate("C3", "a stream of a connection was gone", None);
                break;
            };
            if self.mutated(Mutant::UnwrittenAnswerLeaks)
                && self
                    .streams
                    .get(stream)
                    .is_some_and(|s| s.phase == StreamPhase::Answering)
            {
                break;
            }
            self.close_stream(key, CloseCause::ConnectionLost);
        }
        self.connections.remove(&connection);
        if let Some(record) = self.identities.get_mut(&identity) {
            record.connections = record.connections.saturating_sub(1);
        }
        self.forget_if_idle(identity);
    }

    /// A stream asked.
    pub(crate) fn query(&mut self, stream: StreamKey, mut query: Query, traced: bool) {
        self.counters.queries += 1;
        let Some(identity) = self.connections.get(&stream.connection).map(|c| c.identity) else {
            self.counters.queries_ignored += 1;
            self.counters.late_connections += 1;
            return;
        };
        if self.stream_ids.contains_key(&stream) {
            self.counters.queries_ignored += 1;
            self.counters.late_streams += 1;
            return;
        }
        let settings = Arc::clone(&self.settings);
        let mut aliases = None;
        match policy::decide(&settings, &query) {
            Policy::Ask => {}
            Policy::Follow(answer, target) => {
                let asked = core::mem::replace(&mut query.question.name, target);
                aliases = Some((answer, asked));
            }
            Policy::Deny(refusal) => return self.refuse(stream, refusal),
            Policy::Answer(answer, origin) => {
                self.counters.answered_locally += 1;
                let answer = wire::encode_answer(&query, &answer, &settings, origin);
                self.actions.push_back(Action::Answer { stream, answer });
                return;
            }
        }
        match self.admit(stream, identity, &query) {
            Err(refusal) => self.refuse(stream, refusal),
            Ok(Admission::Join(id)) => {
                self.counters.joined += 1;
                let asking = Asking {
                    stream,
                    identity,
                    query,
                    aliases,
                    joined: true,
                    traced,
                };
                self.attach(id, asking);
            }
            Ok(Admission::Create) => {
                self.counters.created += 1;
                match self.create_for_client(&query) {
                    Some(id) => {
                        let asking = Asking {
                            stream,
                            identity,
                            query,
                            aliases,
                            joined: false,
                            traced,
                        };
                        self.attach(id, asking);
                    }
                    None => {
                        self.counters.created -= 1;
                        self.violate("R-9", "an admitted query found no room", None);
                        self.refuse(stream, Refusal::Full);
                    }
                }
            }
        }
    }

    /// Gives a stream no DNS answer; nothing else is touched (B6).
    pub(crate) fn refuse(&mut self, stream: StreamKey, refusal: Refusal) {
        match refusal {
            Refusal::ClientLimit => self.counters.refused_client_limit += 1,
            Refusal::Full => self.counters.refused_full += 1,
            Refusal::Denied => self.counters.refused_denied += 1,
        }
        self.refuse_wrongly(stream, refusal);
        let silent = match refusal {
            Refusal::Denied => self.mutated(Mutant::DenialTellsNobody),
            Refusal::ClientLimit => self.mutated(Mutant::RefusalIsSilent),
            Refusal::Full => false,
        };
        if !silent {
            self.actions.push_back(Action::Refuse { stream, refusal });
        }
    }

    /// The faults that refusals had elsewhere; none without the feature.
    fn refuse_wrongly(&mut self, stream: StreamKey, refusal: Refusal) {
        let closes = match refusal {
            Refusal::ClientLimit => self.mutated(Mutant::LimitClosesSiblings),
            Refusal::Full | Refusal::Denied => self.mutated(Mutant::FullClosesSiblings),
        };
        if closes {
            self.close_siblings(stream.connection);
        }
        if self.mutated(Mutant::RefusalLeavesStream) {
            let _left = self.admit_stream(stream);
        }
    }

    fn close_siblings(&mut self, connection: ConnectionId) {
        let streams = self.connections.get(&connection).map(|c| {
            c.streams
                .iter(&self.streams, |stream| &stream.in_connection)
                .collect::<Vec<_>>()
        });
        for stream in streams.into_iter().flatten() {
            if let Some(key) = self.streams.get(stream).map(|stream| stream.key) {
                self.close_stream(key, CloseCause::ConnectionLost);
            }
        }
    }

    fn create_for_client(&mut self, query: &Query) -> Option<StateId> {
        let settings = Arc::clone(&self.settings);
        let budget = self.root_budget(&settings)?;
        let id = self.create(Birth {
            question: query.question.clone(),
            flags: self.client_key(query),
            kind: StateKind::Client,
            settings,
            budget,
            depth: 0,
            background: None,
        });
        if id.is_none() {
            self.budgets.remove(budget);
        }
        id
    }

    /// Lets a stream wait for a state. Infallible: admission has made sure of room.
    fn attach(&mut self, id: StateId, asking: Asking) {
        let Asking {
            stream,
            identity,
            mut query,
            aliases,
            joined,
            traced,
        } = asking;
        let aliases = aliases.map(|(aliases, asked)| {
            // The answer repeats the name that the client asked for.
            query.question.name = asked;
            aliases
        });
        let Some(record) = self.admit_stream(stream) else {
            self.violate("R-9", "an admitted stream found no room", None);
            return;
        };
        let permit = self.take_permit(stream.connection, identity);
        let waiter = Waiter {
            stream: record,
            home: Home::State(id),
            in_home: Link::default(),
            query,
            aliases,
            since: self.now.instant,
            joined,
            traced: traced || self.states.get(id).is_some_and(|state| state.traced),
            permit,
        };
        let Ok(waiter) = self.waiters.insert(waiter) else {
            self.violate("R-9", "an admitted waiter found no room", None);
            return;
        };
        if let Some(stream) = self.streams.get_mut(record) {
            stream.phase = StreamPhase::Waiting(waiter);
        }
        self.adopt(id);
        self.note_wait(id, waiter);
        if self
            .states
            .get(id)
            .is_some_and(|state| state.lane == crate::mesh::state::Lane::None)
        {
            self.enter_lane(id);
        }
        if traced {
            self.begin_trace(id, None);
        }
        self.trace(id, || Change::Attached { stream, joined });
        if self
            .states
            .get(id)
            .is_some_and(|state| state.stale == Some(self.now.instant))
        {
            // RFC 8767, 6: with no client timeout at all, a stale answer goes out at once.
            self.serve_stale(id);
        }
    }

    fn admit_stream(&mut self, key: StreamKey) -> Option<Id<StreamKind>> {
        let record = StreamRecord {
            key,
            in_connection: Link::default(),
            phase: StreamPhase::Answering,
        };
        let id = self.streams.insert(record).ok()?;
        self.stream_ids.insert(key, id);
        self.connections
            .get_mut(&key.connection)?
            .streams
            .push_back(&mut self.streams, id, |stream| &mut stream.in_connection);
        self.work += 1;
        Some(id)
    }

    /// Puts a waiter behind the others of its state, and arms what its coming arms.
    fn note_wait(&mut self, id: StateId, waiter: Id<WaiterKind>) {
        let now = self.now.instant;
        let refreshed = self.mutated(Mutant::AgeIsRefreshed);
        let unlisted = self.mutated(Mutant::WaiterUnlisted);
        let expired = self.expired_answer(id);
        let Some(state) = self.states.get_mut(id) else {
            return;
        };
        if !unlisted || state.waiters.is_empty() {
            state
                .waiters
                .push_back(&mut self.waiters, waiter, |waiter| &mut waiter.in_home);
        }
        state.waiters_most = state.waiters_most.max(state.waiters.len());
        if refreshed {
            state.first_wait = Some(now);
        }
        state.first_wait.get_or_insert(now);
        let stale = state.settings.cache.serve_stale;
        if let (None, Some(stale)) = (state.stale, stale) {
            state.stale = Some(now.after(stale.client_timeout));
            state.expired = expired.map(Box::new);
        }
        let deadline = now.after(state.settings.mesh.total_time);
        self.waiter_timers.set(waiter, deadline);
        self.rearm(id);
        self.work += 1;
    }

    /// The expired answer to the question of a state that nobody has waited for yet.
    fn expired_answer(&self, id: StateId) -> Option<Answer> {
        let state = self.states.get(id)?;
        if state.stale.is_some() {
            return None;
        }
        self.stale_answer(&state.key, &state.settings, None)
    }

    /// A stream ended before its answer was written.
    pub(crate) fn close_stream(&mut self, key: StreamKey, cause: CloseCause) {
        let Some(id) = self.take_stream(key) else {
            self.counters.late_streams += 1;
            return;
        };
        let Some(StreamPhase::Waiting(waiter)) = self.streams.get(id).map(|stream| stream.phase)
        else {
            self.counters.answers_unwritten += 1;
            self.streams.remove(id);
            return;
        };
        let before = self.work;
        let home = self.waiters.get(waiter).map(|waiter| waiter.home);
        self.close_wrongly(key, home);
        self.leave_home(waiter, Some(cause));
        if let Some(settled) = self.settle(waiter, Disposition::Closed(cause))
            && let Home::State(state) = settled.home
        {
            self.abandoned.push((state, Some(settled.identity)));
        }
        if self.work - before > CLOSE_WORK_MAX {
            self.violate(
                "D3",
                "closing one stream cost more than its own records",
                None,
            );
        }
        self.streams.remove(id);
    }

    /// The faults that closing had elsewhere; none without the feature.
    fn close_wrongly(&mut self, key: StreamKey, home: Option<Home>) {
        if self.mutated(Mutant::LinearUnlink)
            && let Some(Home::State(id)) = home
        {
            self.work += self.states.get(id).map_or(0, |state| state.waiters.len());
        }
        if self.mutated(Mutant::DropClosesConnection) {
            self.close_siblings(key.connection);
        }
        if self.mutated(Mutant::ResetRemovesSiblings)
            && let Some(Home::State(id)) = home
        {
            let siblings = self.siblings_in(id, key.connection);
            for waiter in siblings {
                self.leave_home(waiter, None);
                self.waiter_timers.cancel(waiter);
                self.waiters.remove(waiter);
            }
        }
    }

    fn siblings_in(&self, id: StateId, connection: ConnectionId) -> Vec<Id<WaiterKind>> {
        let Some(state) = self.states.get(id) else {
            return Vec::new();
        };
        state
            .waiters
            .iter(&self.waiters, |waiter| &waiter.in_home)
            .filter(|&waiter| {
                self.waiters.get(waiter).is_some_and(|waiter| {
                    waiter.permit.connection == connection
                        && self
                            .streams
                            .get(waiter.stream)
                            .is_some_and(|stream| self.stream_ids.contains_key(&stream.key))
                })
            })
            .collect()
    }

    /// The answer of a stream has left.
    pub(crate) fn answer_written(&mut self, key: StreamKey) {
        let answering = self.stream_ids.get(&key).is_some_and(|&id| {
            self.streams
                .get(id)
                .is_some_and(|stream| stream.phase == StreamPhase::Answering)
        });
        if !answering {
            self.counters.late_streams += 1;
            return;
        }
        if let Some(id) = self.take_stream(key) {
            self.streams.remove(id);
            self.counters.answers_written += 1;
        }
    }

    /// Takes a stream out of its connection and out of what finds it.
    fn take_stream(&mut self, key: StreamKey) -> Option<Id<StreamKind>> {
        let mut id = self.stream_ids.remove(&key)?;
        if self.mutated(Mutant::WrongStreamUnlinked)
            && let Some(first) = self
                .connections
                .get(&key.connection)
                .and_then(|c| c.streams.front())
        {
            id = first;
        }
        match self.connections.get_mut(&key.connection) {
            Some(connection) => {
                connection
                    .streams
                    .unlink(&mut self.streams, id, |stream| &mut stream.in_connection);
            }
            None => self.violate("A1", "a stream had no connection", None),
        }
        self.work += 1;
        Some(id)
    }

    /// Renews a popular answer behind, if there is room.
    pub(crate) fn prefetch(&mut self, query: &Query) {
        let settings = Arc::clone(&self.settings);
        // Who only looked into the cache found it due all the same.
        let mut flags = self.client_key(query);
        flags.recursion_desired = true;
        self.background(
            query.question.clone(),
            flags,
            StateKind::Prefetch,
            settings,
            None,
        );
    }

    /// Starts to drain: nothing new comes in, and what nobody waits for ends.
    pub(crate) fn drain(&mut self, by: Instant) {
        self.draining = Some(by);
        let behind: Vec<StateId> = self
            .states
            .iter()
            .filter(|(_, state)| !state.has_consumer())
            .map(|(id, _)| id)
            .collect();
        for id in behind {
            if let Some(state) = self.states.get_mut(id)
                && state.orphan().is_none()
            {
                state.background = None;
            }
            self.adopt(id);
            self.abandoned.push((id, None));
        }
    }
}
