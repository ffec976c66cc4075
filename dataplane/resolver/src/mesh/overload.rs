//! Who gets in, and who yields when the mesh is full.
//!
//! Owns admission (from counts alone; refusing allocates nothing), the two lanes and the jostle rule,
//! and the orphan rule: a reset never increases what a client may have running. Never answers: the
//! funnels of `finish` and `reply` do.

use std::net::{IpAddr, Ipv6Addr};

use crate::action::Refusal;
use crate::answer::{Answer, ExtendedError, ResponseCode};
use crate::event::Level;
use crate::key::{ConnectionId, Identity, StateId, StreamKey};
use crate::mesh::mutant::Mutant;
use crate::mesh::state::{Background, Lane};
use crate::mesh::table::{KeyFlags, Table};
use crate::mesh::waiter::Permit;
use crate::program::Program;
use crate::question::Query;
use crate::settings::{MeshSettings, OnStreamReset, Prefix};
use crate::trace::{Change, StateEnd};

/// How a query gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It waits for a state that is there.
    Join(StateId),
    /// A state is made for it.
    Create,
}

/// Waiters and orphans that this client may have.
fn waiting_max(settings: &MeshSettings, identity: Identity) -> u32 {
    let overrides = &settings.client_waiting_overrides;
    of_client(settings.client_waiting_max, overrides, identity)
}

/// What holds for a client: the number of the most specific prefix, else that for all.
fn of_client(usual: u32, overrides: &[(Prefix, u32)], identity: Identity) -> u32 {
    if overrides.is_empty() {
        return usual;
    }
    let address = Ipv6Addr::from_bits(identity.0);
    let address = address
        .to_ipv4_mapped()
        .map_or(IpAddr::V6(address), IpAddr::V4);
    overrides
        .iter()
        .filter(|(prefix, _)| prefix.contains(address))
        .max_by_key(|(prefix, _)| prefix.length)
        .map_or(usual, |&(_, max)| max)
}

impl<P: Program> Table<P> {
    /// Decides about a query. A refusal changes nothing; an admission has made room where it must.
    pub(crate) fn admit(
        &mut self,
        stream: StreamKey,
        identity: Identity,
        query: &Query,
    ) -> Result<Admission, Refusal> {
        if self.draining.is_some() {
            return Err(Refusal::Full);
        }
        if !self.client_may_wait(stream.connection, identity) {
            return Err(Refusal::ClientLimit);
        }
        let waiting = self.waiters.len() as u64;
        if waiting >= u64::from(self.settings.mesh.waiting_replies_max)
            || self.waiters.is_full()
            || self.streams.is_full()
        {
            return Err(Refusal::Full);
        }
        if !self.client_may_ask(identity) {
            return Err(Refusal::ClientLimit);
        }
        match self.find(&query.question, self.client_key(query)) {
            Some(id) => self.may_join(id).then_some(Admission::Join(id)),
            None => self.may_create().then_some(Admission::Create),
        }
        .ok_or(Refusal::Full)
    }

    /// Whether a client is within its rate, and counts the query if so.
    fn client_may_ask(&mut self, identity: Identity) -> bool {
        let limits = &self.settings.resolution.rate_limits;
        let rate = of_client(limits.client, &limits.client_overrides, identity);
        self.rates.admit(self.now.instant, &identity, rate)
    }

    /// What a client's query is found by, beside its question.
    pub(crate) fn client_key(&self, query: &Query) -> KeyFlags {
        KeyFlags {
            recursion_desired: query.recursion_desired,
            checking_disabled: query.checking_disabled,
            priming: false,
            sub: false,
            epoch: self.epoch,
        }
    }

    fn client_may_wait(&self, connection: ConnectionId, identity: Identity) -> bool {
        let max = waiting_max(&self.settings.mesh, identity);
        let per_connection = self.settings.limits.waiting_per_connection_max;
        self.identities
            .get(&identity)
            .is_none_or(|record| record.waiting.saturating_add(record.debts) < max)
            && self
                .connections
                .get(&connection)
                .is_some_and(|record| record.waiting < per_connection)
    }

    fn may_join(&mut self, id: StateId) -> bool {
        let per_state = self.settings.limits.waiters_per_state_max;
        let unbounded = self.mutated(Mutant::WaitersUnbounded);
        let Some(state) = self.states.get(id) else {
            return false;
        };
        if state.waiters.len() >= per_state && !unbounded {
            return false;
        }
        // Present, but in no lane: it was there for other states only, and now needs room.
        state.lane != Lane::None || self.make_room()
    }

    fn may_create(&mut self) -> bool {
        if self.level == Level::Critical {
            return false;
        }
        let states_full = self.states.is_full() || self.budgets.is_full();
        if states_full && self.room_left() {
            // Every slot is taken, mostly by states that others need: those run to their end.
            return false;
        }
        self.make_room()
    }

    /// Whether a lane has room without anybody yielding.
    pub(crate) fn room_left(&self) -> bool {
        self.forever.len().saturating_add(self.jostle.len()) < self.settings.mesh.states_max
            || self.mutated(Mutant::RoomUnbounded)
    }

    /// Makes room for one state in the lanes, if need be and if somebody can yield.
    pub(crate) fn make_room(&mut self) -> bool {
        if self.room_left() {
            return true;
        }
        let victim = if self.mutated(Mutant::NewestIsJostled) {
            self.jostle.back()
        } else {
            self.jostle.front()
        };
        let Some(victim) = victim else {
            return false;
        };
        let timeout = self.settings.mesh.jostle_timeout;
        let yields = self.states.get(victim).is_some_and(|state| {
            state
                .first_wait
                .is_none_or(|first| self.now.instant.since(first) > timeout)
        });
        if !yields && !self.mutated(Mutant::YoungIsJostled) {
            return false;
        }
        self.check_victim(victim);
        let answer = Answer::empty(ResponseCode::SERVFAIL, Some(ExtendedError::NOT_READY));
        self.finish(victim, answer, StateEnd::Jostled);
        true
    }

    /// F5, where it can be seen: the victim is the oldest, and old enough.
    fn check_victim(&mut self, victim: StateId) {
        let timeout = self.settings.mesh.jostle_timeout;
        let old = self.states.get(victim).is_some_and(|state| {
            state
                .first_wait
                .is_none_or(|first| self.now.instant.since(first) > timeout)
        });
        if !old || self.jostle.front() != Some(victim) {
            self.violate("F5", "a state that need not yield was jostled", None);
        }
    }

    /// Puts a state into a lane: the one that runs to its end while that has room, else the other.
    pub(crate) fn enter_lane(&mut self, id: StateId) {
        let half = self.settings.mesh.states_max.div_ceil(2);
        let unbounded = self.mutated(Mutant::ForeverUnbounded);
        let (list, lane) = if self.forever.len() < half || unbounded {
            (&mut self.forever, Lane::Forever)
        } else {
            (&mut self.jostle, Lane::Jostle)
        };
        if list.push_back(&mut self.states, id, |state| &mut state.in_lane)
            && let Some(state) = self.states.get_mut(id)
        {
            state.lane = lane;
        }
        self.work += 1;
    }

    /// Takes a state out of its lane.
    pub(crate) fn leave_lane(&mut self, id: StateId) {
        let lane = self.states.get(id).map_or(Lane::None, |state| state.lane);
        let list = match lane {
            Lane::None => return,
            Lane::Forever => &mut self.forever,
            Lane::Jostle => &mut self.jostle,
        };
        list.unlink(&mut self.states, id, |state| &mut state.in_lane);
        if let Some(state) = self.states.get_mut(id) {
            state.lane = Lane::None;
        }
        self.work += 1;
    }

    /// Takes one unit of a client's allowance.
    pub(crate) fn take_permit(&mut self, connection: ConnectionId, identity: Identity) -> Permit {
        self.identities.entry(identity).or_default().waiting += 1;
        if let Some(record) = self.connections.get_mut(&connection) {
            record.waiting += 1;
        }
        Permit {
            identity,
            connection,
        }
    }

    /// Gives one unit of a client's allowance back.
    pub(crate) fn return_permit(&mut self, permit: Permit) {
        let Permit {
            identity,
            connection,
        } = permit;
        let units = if self.mutated(Mutant::PermitReleasedTwice) {
            2
        } else {
            1
        };
        let mut held = true;
        if let Some(record) = self.connections.get_mut(&connection) {
            held &= record.waiting >= units;
            record.waiting = record.waiting.saturating_sub(units);
        }
        if let Some(record) = self.identities.get_mut(&identity) {
            held &= record.waiting >= units;
            record.waiting = record.waiting.saturating_sub(units);
        } else {
            held = false;
        }
        self.forget_if_idle(identity);
        if !held {
            self.violate("B8", "a permit was given back that nobody held", None);
        }
    }

    /// Drops the record of a client that has nothing left.
    pub(crate) fn forget_if_idle(&mut self, identity: Identity) {
        if self.identities.get(&identity).is_some_and(|r| r.is_idle()) {
            self.identities.remove(&identity);
        }
    }

    /// Decides about every state whose last consumer left in this step: orphan, or the end.
    ///
    /// A worklist, not a recursion: ending one state may leave others without a consumer.
    pub(crate) fn settle_abandoned(&mut self) {
        while let Some((id, debtor)) = self.abandoned.pop() {
            let Some(state) = self.states.get(id) else {
                continue;
            };
            if state.has_consumer() || state.background.is_some() {
                continue;
            }
            if self.mutated(Mutant::AbandonedRunsOn) {
                continue;
            }
            if self.is_worth_finishing(id, debtor) {
                self.orphan(id, debtor);
            } else {
                self.kill(id, debtor);
            }
        }
    }

    fn is_worth_finishing(&self, id: StateId, debtor: Option<Identity>) -> bool {
        let orphans_max =
            (self.settings.mesh.states_max / self.settings.limits.orphan_share).max(1);
        let asked = self.states.get(id).is_some_and(|state| {
            let budget = self.budgets.get(state.budget);
            budget.is_some_and(|record| record.budget.upstream_queries_left() < record.started_with)
        });
        let in_credit = debtor.is_none_or(|identity| {
            self.identities.get(&identity).is_none_or(|record| {
                record.waiting.saturating_add(record.debts)
                    < waiting_max(&self.settings.mesh, identity)
            })
        });
        asked
            && in_credit
            && self.draining.is_none()
            && self.level != Level::Critical
            && (self.orphans.len() < orphans_max || self.mutated(Mutant::OrphansUnbounded))
            && self.settings.mesh.on_stream_reset == OnStreamReset::FinishForCache
    }

    fn orphan(&mut self, id: StateId, debtor: Option<Identity>) {
        let debtor = debtor.filter(|_| !self.mutated(Mutant::OrphanIsFree));
        if let Some(identity) = debtor {
            self.identities.entry(identity).or_default().debts += 1;
        }
        if let Some(state) = self.states.get_mut(id) {
            // Who asks again within the time that a client waits still finds it.
            let until = self.now.instant.after(state.settings.mesh.total_time);
            state.background = Some(Background::Orphan { debtor, until });
            // Nobody is left to be given a stale answer.
            state.stale = None;
        }
        self.rearm(id);
        self.orphans
            .push_back(&mut self.states, id, |state| &mut state.in_orphans);
        self.counters.orphaned += 1;
        self.work += 1;
        self.trace(id, || Change::Orphaned);
    }

    /// Ends the orphanhood of a state, if it is one, and with it the debt.
    pub(crate) fn adopt(&mut self, id: StateId) {
        let Some(state) = self.states.get_mut(id) else {
            return;
        };
        let Some((debtor, _)) = state.orphan() else {
            return;
        };
        state.background = None;
        self.rearm(id);
        self.orphans
            .unlink(&mut self.states, id, |state| &mut state.in_orphans);
        self.work += 1;
        let Some(identity) = debtor else {
            return;
        };
        match self.identities.get_mut(&identity) {
            Some(record) if record.debts > 0 => record.debts -= 1,
            _ => self.violate("F1", "a debt was paid that nobody owed", None),
        }
        self.forget_if_idle(identity);
    }
}
