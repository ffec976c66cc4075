//! What must be true, kept by plain means: who asked what, and who is owed an answer.
//!
//! Owns a second opinion on every stream, written without the mesh in mind: maps that are walked. It is
//! told the same events, sees every action, and says what does not fit. Never looks into the mesh beyond
//! its public gauges and counters.

use std::collections::{BTreeMap, BTreeSet};

use weir_resolver::action::{Action, Refusal};
use weir_resolver::answer::{Origin, Shaped};
use weir_resolver::key::{ConnectionId, FetchId, Identity, StateId, StreamKey};
use weir_resolver::mesh::Gauges;
use weir_resolver::name::Name;
use weir_resolver::settings::Settings;
use weir_resolver::time::Instant;
use weir_resolver::trace::{Change, StateChange};

use crate::simulate::plot;

/// What was seen that must not be.
pub type Fault = &'static str;

/// One question of one stream.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Which question.
    pub number: u8,
    /// Whether it was spelled in capitals.
    pub upper: bool,
    /// The message identifier.
    pub id: u16,
    /// The settings in force when it was asked.
    pub epoch: u32,
    /// When it must have an answer.
    pub deadline: Instant,
    /// Whose it is.
    pub identity: Identity,
    /// Whether access control answers it.
    pub refused_by_policy: bool,
}

/// What a connection has.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Whose it is.
    pub identity: Identity,
    /// The next stream identifier of the client.
    pub next_stream: u32,
}

/// The second opinion.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Open connections.
    pub connections: BTreeMap<ConnectionId, Peer>,
    /// Streams that are owed an answer.
    pub waiting: BTreeMap<StreamKey, Asked>,
    /// Streams whose answer has not left.
    pub answering: BTreeSet<StreamKey>,
    /// Fetches that were sent, and neither reported nor cancelled.
    pub fetches: BTreeSet<FetchId>,
    /// Zones whose keys are being looked at; under two settings at once, twice. A drain ends them untold.
    pub probes: Vec<Name>,
    /// The stream whose query is being handled, if any.
    pub asking: Option<(StreamKey, Asked)>,
    /// Waiters that a trace says are attached.
    attached: BTreeMap<StreamKey, StateId>,
    /// The most states with waiters, and the most orphans, that any settings so far allowed.
    most: (usize, usize),
    /// Answers given in this step.
    pub answers_in_step: u32,
    /// Answers given in all.
    pub answers: u64,
    /// Streams that were refused.
    pub refusals: u64,
}

impl Model {
    /// Streams of a client that wait.
    #[must_use]
    pub fn waiting_of(&self, identity: Identity) -> usize {
        self.waiting
            .values()
            .filter(|asked| asked.identity == identity)
            .count()
    }

    /// Streams of a connection that wait.
    #[must_use]
    pub fn waiting_on(&self, connection: ConnectionId) -> usize {
        self.waiting
            .keys()
            .filter(|stream| stream.connection == connection)
            .count()
    }

    /// A stream ended.
    pub fn close_stream(&mut self, stream: StreamKey) {
        self.waiting.remove(&stream);
        self.answering.remove(&stream);
    }

    /// A connection ended.
    pub fn close_connection(&mut self, connection: ConnectionId) {
        if self.connections.remove(&connection).is_none() {
            return;
        }
        self.waiting
            .retain(|stream, _| stream.connection != connection);
        self.answering
            .retain(|stream| stream.connection != connection);
    }

    /// Sees one action.
    ///
    /// # Errors
    /// What does not fit.
    pub fn see(
        &mut self,
        action: &Action,
        settings: &Settings,
        before: &Gauges,
    ) -> Result<(), Fault> {
        match action {
            Action::Answer { stream, answer } => self.answered(*stream, answer),
            Action::Refuse { stream, refusal } => self.refused(*stream, *refusal, settings, before),
            Action::Fetch(fetch) => self
                .fetches
                .insert(fetch.fetch)
                .then_some(())
                .ok_or("A6: a fetch has the handle of another"),
            Action::Cancel(fetch) => self
                .fetches
                .remove(fetch)
                .then_some(())
                .ok_or("C5: a fetch was cancelled that was not open"),
            Action::Trace(change) => self.traced(change),
            Action::Probed { zone, .. } => {
                let open = self.probes.iter().position(|probed| probed == zone);
                let open = open.ok_or("B1: keys were told that nobody looks at")?;
                self.probes.swap_remove(open);
                Ok(())
            }
            Action::Yield => Ok(()),
        }
    }

    fn answered(&mut self, stream: StreamKey, answer: &Shaped) -> Result<(), Fault> {
        self.answers += 1;
        self.answers_in_step += 1;
        if let Some((asking, asked)) = self.asking
            && asking == stream
            && asked.refused_by_policy
        {
            self.asking = None;
            return (answer.rcode.0 == 5)
                .then_some(())
                .ok_or("B4: a client that may not ask was answered");
        }
        let asked = match self.asking {
            Some((asking, asked)) if asking == stream => {
                self.asking = None;
                asked
            }
            _ => self
                .waiting
                .remove(&stream)
                .ok_or("B1, B2: an answer to a stream that is owed none")?,
        };
        self.answering.insert(stream);
        check_answer(asked, answer)
    }

    fn refused(
        &mut self,
        stream: StreamKey,
        refusal: Refusal,
        settings: &Settings,
        before: &Gauges,
    ) -> Result<(), Fault> {
        self.refusals += 1;
        let Some((asking, asked)) = self.asking.take() else {
            return Err("B1: a refusal, but nobody asked");
        };
        if asking != stream {
            return Err("B3: another stream than the one that asked was refused");
        }
        let justified = match refusal {
            Refusal::Denied => asked.refused_by_policy,
            Refusal::ClientLimit => {
                let running = self.waiting_of(asked.identity) + before.orphans;
                running >= settings.mesh.client_waiting_max as usize
                    || self.waiting_on(stream.connection)
                        >= settings.limits.waiting_per_connection_max as usize
            }
            Refusal::Full => true,
        };
        justified
            .then_some(())
            .ok_or("R-9: a refusal without its reason")
    }

    fn traced(&mut self, change: &StateChange) -> Result<(), Fault> {
        match &change.what {
            Change::Attached { stream, .. } => self
                .attached
                .insert(*stream, change.state)
                .is_none()
                .then_some(())
                .ok_or("A2: a traced stream attached twice"),
            Change::Detached { stream, .. } => (self.attached.remove(stream) == Some(change.state))
                .then_some(())
                .ok_or("A2: a traced stream detached from a state that it was not attached to"),
            _ => Ok(()),
        }
    }

    /// Compares with what the mesh says of itself after a step.
    ///
    /// # Errors
    /// What differs.
    pub fn compare(&mut self, settings: &Settings, gauges: &Gauges) -> Result<(), Fault> {
        if let Some((stream, asked)) = self.asking.take() {
            if asked.refused_by_policy {
                return Err("B9: a stream that may not ask was told nothing");
            }
            if self.waiting_of(asked.identity) >= settings.mesh.client_waiting_max as usize {
                return Err("F1: a client has more waiting than it may");
            }
            if gauges.waiters == self.waiting.len() {
                return Err("B9: a stream that does not wait was told nothing");
            }
            self.waiting.insert(stream, asked);
        }
        let states = settings.mesh.states_max as usize;
        let orphans = (states / settings.limits.orphan_share as usize).max(1);
        self.most = (self.most.0.max(states), self.most.1.max(orphans));
        if gauges.forever > self.most.0.div_ceil(2) || gauges.forever + gauges.jostle > self.most.0
        {
            return Err("E3, F5: more states take room than may");
        }
        if gauges.orphans > self.most.1 {
            return Err("E3: more states go on for nobody than may");
        }
        if gauges.waiters != self.waiting.len() {
            return Err("B1, B3: not the streams wait that should");
        }
        if gauges.streams != self.waiting.len() + self.answering.len() {
            return Err("B2: not the streams are open that should be");
        }
        if gauges.connections != self.connections.len() {
            return Err("C3: not the connections are open that should be");
        }
        if gauges.fetches != self.fetches.len() {
            return Err("C5: not the fetches are open that should be");
        }
        Ok(())
    }

    /// Whether a stream has waited past its deadline.
    #[must_use]
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.waiting.values().any(|asked| asked.deadline < now)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
            && self.answering.is_empty()
            && self.connections.is_empty()
            && self.fetches.is_empty()
            && self.probes.is_empty()
            && self.attached.is_empty()
    }
}

/// Whether an answer is that of the question, spelled and numbered as it was asked.
fn check_answer(asked: Asked, answer: &Shaped) -> Result<(), Fault> {
    let message: &[u8] = &answer.message;
    let spelled = plot::spelling(asked.number, asked.upper);
    let id = message.get(..2) == Some(&asked.id.to_be_bytes()[..]);
    let question = message.get(12..12 + spelled.len()) == Some(&spelled[..]);
    if !id || !question {
        return Err("B4: an answer to another question");
    }
    match answer.rcode.0 {
        0 => {
            // Question type and class, then a pointer, type, class, TTL and length before the address.
            let at = 12 + spelled.len() + 4 + 12;
            let data = message.get(at..at + 4);
            let right = if answer.origin == Origin::Stale {
                data.and_then(<[u8]>::first) == Some(&asked.number)
            } else {
                data == Some(&plot::rdata(asked.number, asked.epoch)[..])
            };
            right
                .then_some(())
                .ok_or("B4, R-8: the answer of another question or of other settings")
        }
        2 => Ok(()),
        _ => Err("B4: an answer that no script gives"),
    }
}
