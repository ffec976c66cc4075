//! The small scope: 2 connections x 2 streams x 2 names over a mesh with room for two states, and its model.
//!
//! Owns `Scope` and the moves that can be made in it. Never decides what is tried.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use weir_resolver::action::Action;
use weir_resolver::answer::{Answer, Security};
use weir_resolver::cache::Cache;
use weir_resolver::event::{CloseCause, Event};
use weir_resolver::fetch::FetchFailure;
use weir_resolver::infra::Infra;
use weir_resolver::key::{ConnectionId, FetchId, Identity, StreamKey};
use weir_resolver::mesh::{Mesh, Mutant};
use weir_resolver::question::Query;
use weir_resolver::random::Random;
use weir_resolver::rrset::{RdataList, RecordType, Rrset};
use weir_resolver::rules::Rules;
use weir_resolver::settings::Settings;
use weir_resolver::time::{Instant, Now, UnixTime};

use crate::simulate::model::{Asked, Fault, Model, Peer};
use crate::simulate::plot::{self, Plot};

/// The two names: each asks one server. The first has a stale answer in the cache.
const NAMES: [u8; 2] = [0, 16];

/// One event of the small scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// The next stream of a connection asks for a name.
    Ask(u8, u8),
    /// The client resets a stream.
    Reset(u8, u8),
    /// Weir resets a stream.
    LocalReset(u8, u8),
    /// A connection ends.
    Close(u8),
    /// The answer of a stream leaves.
    Written(u8, u8),
    /// The server of an open fetch replies: the first or the second open one.
    Reply(u8),
    /// An open fetch fails.
    Fail(u8),
    /// Time passes to the next deadline: a stale answer, a waiter, a state or a fetch that is due.
    Timeout,
    /// Another client asks for something else, 201 ms later: the mesh is full, and somebody may yield.
    Jostle,
    /// The settings are replaced.
    Swap,
    /// The mesh drains.
    Drain,
}

/// Every event of the scope.
#[must_use]
pub fn alphabet() -> Vec<Move> {
    let mut moves = vec![Move::Timeout, Move::Jostle, Move::Swap, Move::Drain];
    for one in 0..2 {
        moves.extend([Move::Close(one), Move::Reply(one), Move::Fail(one)]);
        for two in 0..2 {
            moves.extend([
                Move::Ask(one, two),
                Move::Reset(one, two),
                Move::LocalReset(one, two),
                Move::Written(one, two),
            ]);
        }
    }
    moves
}

/// A small mesh and its model.
pub struct Scope {
    /// The mesh.
    pub mesh: Mesh<Plot>,
    /// The second opinion.
    pub model: Model,
    /// The time.
    pub now: Instant,
    /// Whether all invariants are checked after each event; not for what was checked before.
    pub checked: bool,
    /// How many states were checked.
    pub looked_at: u64,
    open: Vec<(FetchId, Bytes)>,
    settings: Arc<Rules>,
    drained: bool,
    others: u32,
}

impl Scope {
    /// Two connections, and a stale answer to the first name.
    ///
    /// # Errors
    /// What does not hold.
    pub fn new(mutant: Option<Mutant>) -> Result<Self, Fault> {
        let mut settings = Settings::default();
        settings.mesh.states_max = 2;
        settings.mesh.waiting_replies_max = 8;
        settings.mesh.client_waiting_max = 3;
        settings.resolution.builtin_local_zones = false;
        let settings = Arc::new(Rules::new(settings));
        let cache = Arc::new(Cache::new(1 << 14, [1, 1]));
        let now = Now {
            instant: Instant::from_nanoseconds(1),
            unix: UnixTime(1_800_000_000),
        };
        keep(&cache, now, &settings);
        let random = Random::from_seed([3, 4]);
        let infra = Arc::new(Infra::default());
        let mut mesh = Mesh::with_program(Arc::clone(&settings), cache, infra, random);
        if let Some(mutant) = mutant {
            mesh.mutate(mutant);
        }
        let mut scope = Self {
            mesh,
            model: Model::default(),
            now: now.instant.after(Duration::from_secs(5)),
            checked: true,
            looked_at: 0,
            open: Vec::new(),
            settings,
            drained: false,
            others: 0,
        };
        for connection in [0, 1, 9] {
            scope.connect(connection)?;
        }
        Ok(scope)
    }

    fn connect(&mut self, connection: u64) -> Result<(), Fault> {
        let identity = Identity(u128::from(connection));
        let peer = Peer {
            identity,
            next_stream: 1,
        };
        let connection = ConnectionId(connection);
        self.model.connections.insert(connection, peer);
        self.handle(Event::ConnectionOpened {
            connection,
            identity,
        })
    }

    /// Gives the mesh one event, and judges all that comes of it.
    ///
    /// # Errors
    /// What does not hold.
    pub fn handle(&mut self, event: Event) -> Result<(), Fault> {
        let before = self.mesh.gauges();
        if let Event::Reply { fetch, .. } | Event::FetchFailed { fetch, .. } = &event {
            self.model.fetches.remove(fetch);
        }
        let now = Now {
            instant: self.now,
            unix: UnixTime(1_800_000_000),
        };
        self.mesh.handle(now, event);
        while let Some(action) = self.mesh.poll_action() {
            self.model.see(&action, &self.settings, &before)?;
            match action {
                Action::Fetch(fetch) => self.open.push((fetch.fetch, fetch.message)),
                Action::Cancel(gone) => self.open.retain(|(fetch, _)| *fetch != gone),
                Action::Answer { .. }
                | Action::Refuse { .. }
                | Action::Probed { .. }
                | Action::Trace(_)
                | Action::Yield => {}
            }
        }
        if self.checked {
            self.looked_at += 1;
            self.mesh.check().map_err(|violation| violation.what)?;
        }
        self.model.compare(&self.settings, &self.mesh.gauges())
    }

    /// Asks on a connection's next stream.
    ///
    /// # Errors
    /// What does not hold.
    pub fn ask(&mut self, connection: u64, number: u8) -> Result<StreamKey, Fault> {
        let connection = ConnectionId(connection);
        let peer = self
            .model
            .connections
            .get_mut(&connection)
            .ok_or("the connection is closed")?;
        let stream = StreamKey {
            connection,
            stream: peer.next_stream,
        };
        peer.next_stream += 2;
        let asked = Asked {
            number,
            upper: stream.stream % 4 == 1,
            id: (number as u16) << 8 | stream.stream as u16,
            epoch: self.settings.epoch,
            deadline: self.now.after(self.settings.mesh.total_time),
            identity: peer.identity,
            refused_by_policy: false,
        };
        self.model.asking = Some((stream, asked));
        self.handle(Event::Query {
            stream,
            query: Query {
                spelling: plot::spelling(number, asked.upper),
                ..Query::plain(asked.id, plot::question(number))
            },
            traced: true,
        })?;
        Ok(stream)
    }

    /// Ends a stream, if it is open.
    ///
    /// # Errors
    /// What does not hold.
    pub fn close_stream(&mut self, stream: StreamKey, cause: CloseCause) -> Result<(), Fault> {
        self.model.close_stream(stream);
        self.handle(Event::StreamClosed { stream, cause })
    }

    /// Ends a connection.
    ///
    /// # Errors
    /// What does not hold.
    pub fn close(&mut self, connection: u64) -> Result<(), Fault> {
        let connection = ConnectionId(connection);
        self.model.close_connection(connection);
        self.handle(Event::ConnectionClosed { connection })
    }

    /// Lets the server of an open fetch reply.
    ///
    /// # Errors
    /// What does not hold; false when there is no such fetch.
    pub fn reply(&mut self, at: usize) -> Result<bool, Fault> {
        if at >= self.open.len() {
            return Ok(false);
        }
        let (fetch, message) = self.open.remove(at);
        let mut reply = message.to_vec();
        if let Some(flags) = reply.get_mut(2) {
            *flags |= 0x84;
        }
        let message = Bytes::from(reply);
        self.handle(Event::Reply { fetch, message })?;
        Ok(true)
    }

    fn fail(&mut self, at: usize) -> Result<bool, Fault> {
        if at >= self.open.len() {
            return Ok(false);
        }
        let (fetch, _) = self.open.remove(at);
        let failure = FetchFailure::Unreachable;
        self.handle(Event::FetchFailed { fetch, failure })?;
        Ok(true)
    }

    /// Passes to the next deadline; false when there is none.
    ///
    /// # Errors
    /// What does not hold.
    pub fn pass(&mut self) -> Result<bool, Fault> {
        let Some((at, _)) = self.mesh.poll_timeout() else {
            return Ok(false);
        };
        self.now = self.now.max(at);
        self.handle(Event::Timeout)?;
        Ok(true)
    }

    /// Replaces the settings.
    ///
    /// # Errors
    /// What does not hold.
    pub fn swap(&mut self) -> Result<(), Fault> {
        let mut settings = Settings::clone(&self.settings);
        settings.epoch += 1;
        self.settings = Arc::new(Rules::new(settings));
        self.handle(Event::Replace(Arc::clone(&self.settings)))
    }

    /// Fills the mesh with another client's question, so that somebody has to yield.
    ///
    /// # Errors
    /// What does not hold.
    pub fn jostle(&mut self) -> Result<(), Fault> {
        self.now = self.now.after(Duration::from_millis(201));
        self.others += 1;
        let other = if self.others % 2 == 1 { 32 } else { 48 };
        self.ask(9, other).map(|_| ())
    }

    /// Starts to drain.
    ///
    /// # Errors
    /// What does not hold.
    pub fn drain(&mut self) -> Result<(), Fault> {
        let by = self.now.after(Duration::from_secs(1));
        self.drained = true;
        self.handle(Event::Drain { by })
    }

    /// Makes a move; false when it cannot be made here.
    ///
    /// # Errors
    /// What does not hold.
    pub fn make(&mut self, step: Move) -> Result<bool, Fault> {
        let stream = |connection: u8, stream: u8| StreamKey {
            connection: ConnectionId(u64::from(connection)),
            stream: u32::from(stream) * 2 + 1,
        };
        match step {
            Move::Ask(connection, name) => {
                let id = ConnectionId(u64::from(connection));
                if self
                    .model
                    .connections
                    .get(&id)
                    .is_none_or(|peer| peer.next_stream > 3)
                {
                    return Ok(false);
                }
                let number = NAMES.get(usize::from(name)).copied().unwrap_or_default();
                self.ask(id.0, number).map(|_| true)
            }
            Move::Reset(connection, at) | Move::LocalReset(connection, at) => {
                let stream = stream(connection, at);
                let open = self.model.waiting.contains_key(&stream)
                    || self.model.answering.contains(&stream);
                if !open {
                    return Ok(false);
                }
                let cause = match step {
                    Move::Reset(..) => CloseCause::Reset(8),
                    _ => CloseCause::LocalReset(11),
                };
                self.close_stream(stream, cause).map(|()| true)
            }
            Move::Written(connection, at) => {
                let stream = stream(connection, at);
                if !self.model.answering.remove(&stream) {
                    return Ok(false);
                }
                self.handle(Event::AnswerWritten { stream }).map(|()| true)
            }
            Move::Close(connection) => {
                let connection = u64::from(connection);
                if !self
                    .model
                    .connections
                    .contains_key(&ConnectionId(connection))
                {
                    return Ok(false);
                }
                self.close(connection).map(|()| true)
            }
            Move::Reply(at) => self.reply(usize::from(at)),
            Move::Fail(at) => self.fail(usize::from(at)),
            Move::Timeout => self.pass(),
            Move::Jostle => self.jostle().map(|()| true),
            Move::Swap => self.swap().map(|()| true),
            Move::Drain if self.drained => Ok(false),
            Move::Drain => self.drain().map(|()| true),
        }
    }

    /// Brings everything to its end: all answered, all closed, nothing left.
    ///
    /// # Errors
    /// What does not hold.
    pub fn end(&mut self) -> Result<(), Fault> {
        for _ in 0..1000 {
            if self.model.waiting.is_empty() || !(self.reply(0)? || self.pass()?) {
                break;
            }
        }
        if !self.model.waiting.is_empty() {
            return Err("B5: a stream was never answered");
        }
        for connection in [0, 1, 9] {
            self.close(connection)?;
        }
        for _ in 0..1000 {
            if self.mesh.is_quiescent() || !(self.reply(0)? || self.pass()?) {
                break;
            }
        }
        if !self.mesh.is_quiescent() || !self.model.is_empty() {
            return Err("C1: something is left when all is over");
        }
        Ok(())
    }
}

/// Keeps an answer to the first name that has expired when the scope begins.
fn keep(cache: &Cache, now: Now, settings: &Settings) {
    let [number, _] = NAMES;
    let question = plot::question(number);
    let rdata = RdataList::new([&plot::rdata(number, 0)[..]]);
    let set = Rrset::unsigned(question.name.clone(), RecordType::A, 1, rdata);
    let answer = Answer::data(vec![Arc::new(set)], Security::Insecure);
    cache.store(now, settings, &question, &answer);
}
