//! The core under a virtual clock, with its upstream queries held back until somebody answers them.
//!
//! Does what the shell does: reads client queries with `wire::parse_query`, hands events to the mesh, performs
//! its actions, lets a reply through only when `wire::reply_matches`. In place of sockets there is a
//! list of outstanding queries, newest first, and a list of answers that were given. No time passes
//! but by `advance`.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use weir_resolver::access;
use weir_resolver::action::Action;
use weir_resolver::answer::{Answer, ResponseCode};
use weir_resolver::cache::Cache;
use weir_resolver::event::Event;
use weir_resolver::fetch::{Fetch, FetchFailure, Transport};
use weir_resolver::infra::Infra;
use weir_resolver::key::{ConnectionId, FetchId, Identity, StreamKey};
use weir_resolver::mesh::Mesh;
use weir_resolver::name::{NAME_MAX, Name};
use weir_resolver::random::Random;
use weir_resolver::resolution::Resolution;
use weir_resolver::rules::Rules;
use weir_resolver::settings::{Settings, TrustAnchor};
use weir_resolver::time::{Instant, Now, UnixTime};
use weir_resolver::tracking::Tracking;
use weir_resolver::wire::{self, QueryError, QueryView};

use crate::replay::describe::{message_text, question_text};
use crate::replay::message::Message;
use crate::replay::second_codec;

/// Octets of a message's header; what is shorter is no message at all.
const HEADER: usize = 12;

/// How often the core may ask for another turn before it counts as running in a circle.
const TURNS_MAX: usize = 10_000;

/// A query that the core sent and that has no end yet.
#[derive(Clone, Debug)]
pub struct Outstanding {
    /// Which fetch it is.
    pub fetch: FetchId,
    /// Where it went.
    pub server: SocketAddr,
    /// Whether over TCP.
    pub tcp: bool,
    /// Its octets.
    pub octets: Bytes,
    /// The same, read.
    pub message: Message,
}

/// An answer that a client was given.
#[derive(Clone, Debug)]
pub struct Given {
    /// The client.
    pub client: IpAddr,
    /// Whether it asked over TCP.
    pub tcp: bool,
    /// The answer; none when its octets are no message.
    pub message: Option<Message>,
}

/// The core and what surrounds it.
#[derive(Debug)]
pub struct Driver {
    mesh: Mesh<Resolution>,
    cache: Arc<Cache>,
    infra: Arc<Infra>,
    settings: Arc<Rules>,
    /// The trust anchors that no file tracks.
    fixed: Vec<TrustAnchor>,
    tracking: Option<Tracking>,
    start: UnixTime,
    elapsed: Duration,
    clients: BTreeMap<IpAddr, ConnectionId>,
    streams: BTreeMap<StreamKey, (IpAddr, bool)>,
    next_stream: u32,
    /// The outstanding queries, newest first.
    pub outstanding: Vec<Outstanding>,
    /// Answers in the order in which they were given.
    pub given: VecDeque<Given>,
    /// The first answer that the second codec reads differently, in words.
    pub difference: Option<String>,
    /// The queries sent since this was last taken.
    pub sent: Vec<FetchId>,
    /// What went over the wire, in words.
    pub log: Vec<String>,
}

/// The core broke its contract, or a query could not be handed to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DriverError(pub String);

impl Driver {
    /// A core with empty caches.
    #[must_use]
    pub fn new(mut settings: Settings, start: UnixTime, tracking: Option<Tracking>) -> Self {
        let fixed = settings.dnssec.trust_anchors.clone();
        if let Some(tracking) = &tracking {
            settings.dnssec.trust_anchors.extend(tracking.anchors());
        }
        let settings = Arc::new(Rules::new(settings));
        let cache = Arc::new(Cache::new(settings.cache.size, [1, 2]));
        let infra = Arc::new(Infra::default());
        Self {
            mesh: Mesh::with_program(
                Arc::clone(&settings),
                Arc::clone(&cache),
                Arc::clone(&infra),
                Random::from_seed([5, 6]),
            ),
            cache,
            infra,
            settings,
            fixed,
            tracking,
            start,
            elapsed: Duration::ZERO,
            clients: BTreeMap::new(),
            streams: BTreeMap::new(),
            next_stream: 1,
            outstanding: Vec::new(),
            given: VecDeque::new(),
            difference: None,
            sent: Vec::new(),
            log: Vec::new(),
        }
    }

    /// What time it is. The monotonic clock starts far from its origin, so that ages can be told.
    #[must_use]
    pub fn now(&self) -> Now {
        Now {
            instant: Instant::ORIGIN
                .after(Duration::from_secs(1_000_000))
                .after(self.elapsed),
            unix: UnixTime(self.start.0 + self.elapsed.as_secs()),
        }
    }

    /// Seconds on the scenario's clock.
    #[must_use]
    pub fn clock(&self) -> u64 {
        self.now().unix.0
    }

    /// Whole seconds until the core wants to be woken, 0 when it does not.
    #[must_use]
    pub fn timeout(&self) -> u64 {
        let now = self.now();
        let mesh = self.mesh.poll_timeout();
        let mesh = mesh.map(|(at, _)| at.since(now.instant).as_secs());
        let probe = self.tracking.as_ref().and_then(Tracking::next_probe);
        let probe = probe.map(|at| at.saturating_sub(now.unix.0));
        mesh.into_iter().chain(probe).min().unwrap_or(0)
    }

    /// The caches, for steps that change them.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// What is known of servers, for steps that change it.
    #[must_use]
    pub fn infra(&self) -> &Infra {
        &self.infra
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The tracked trust anchors.
    #[must_use]
    pub const fn tracking(&self) -> Option<&Tracking> {
        self.tracking.as_ref()
    }

    /// A client asks.
    ///
    /// # Errors
    /// When the octets are no query, or the core broke its contract.
    pub fn ask(
        &mut self,
        client: IpAddr,
        octets: &[u8],
        tcp: bool,
        payload_max: u16,
    ) -> Result<(), DriverError> {
        let mut lowered = [0; NAME_MAX];
        let query = match wire::parse_query(octets, &mut lowered) {
            Ok(view) => {
                let payload = view.edns.map_or(512, |edns| edns.udp_payload_size.max(512));
                let limit = if tcp {
                    u16::MAX
                } else {
                    payload.min(payload_max)
                };
                if self.hit(client, &view, (tcp, limit))? {
                    return Ok(());
                }
                view.to_query(Some(client), limit)
            }
            Err(QueryError::Answered(rcode)) => {
                let answer = wire::encode_error(octets, rcode, &self.settings);
                self.give(client, tcp, &answer.message);
                return Ok(());
            }
            // DoH says so with status 400; over other transports that is FORMERR.
            Err(_) if octets.len() >= HEADER => {
                let answer = wire::encode_error(octets, ResponseCode::FORMERR, &self.settings);
                self.give(client, tcp, &answer.message);
                return Ok(());
            }
            Err(error) => return Err(DriverError(format!("HTTP 400: {error}"))),
        };
        let connection = self.connection(client)?;
        let stream = StreamKey {
            connection,
            stream: self.next_stream,
        };
        self.next_stream += 2;
        self.streams.insert(stream, (client, tcp));
        self.handle(Event::Query {
            stream,
            query,
            traced: false,
        })
    }

    /// Answers from the cache without the mesh, as the shell does; false when that is not possible.
    fn hit(
        &mut self,
        client: IpAddr,
        view: &QueryView<'_>,
        (tcp, limit): (bool, u16),
    ) -> Result<bool, DriverError> {
        let rules = &self.settings.access_control;
        let action = access::action(rules, client);
        let allowed = access::may_have_cached(action, view.recursion_desired);
        if !allowed || self.settings.local().concern(view.name, view.class) {
            return Ok(false);
        }
        let mut out = BytesMut::new();
        let hit = self
            .cache
            .hit(self.now(), view, limit, &self.settings, &mut out);
        let Some(hit) = hit else {
            return Ok(false);
        };
        self.give(client, tcp, &out);
        if hit.renew {
            let query = view.to_query(None, limit);
            self.handle(Event::Prefetch { query })?;
        }
        Ok(true)
    }

    fn connection(&mut self, client: IpAddr) -> Result<ConnectionId, DriverError> {
        if let Some(connection) = self.clients.get(&client) {
            return Ok(*connection);
        }
        let connection = ConnectionId(self.clients.len() as u64 + 1);
        self.clients.insert(client, connection);
        self.handle(Event::ConnectionOpened {
            connection,
            identity: Identity::from(client),
        })?;
        Ok(connection)
    }

    /// An outstanding query gets these octets; a reply that the shell would not take is a timeout.
    ///
    /// # Errors
    /// When the core broke its contract.
    pub fn reply(&mut self, fetch: FetchId, reply: Vec<u8>) -> Result<(), DriverError> {
        let Some(query) = self.take(fetch) else {
            return Ok(());
        };
        self.log.push(format!(
            "  reply of {}: {}",
            query.server.ip(),
            Message::parse(&reply)
                .map_or_else(|| "no message".to_owned(), |reply| message_text(&reply))
        ));
        if wire::reply_matches(&query.octets, &reply) {
            return self.handle(Event::Reply {
                fetch,
                message: reply.into(),
            });
        }
        self.handle(Event::FetchFailed {
            fetch,
            failure: FetchFailure::Timeout,
        })
    }

    /// An outstanding query ends without a reply.
    ///
    /// # Errors
    /// When the core broke its contract.
    pub fn fail(&mut self, fetch: FetchId, failure: FetchFailure) -> Result<(), DriverError> {
        let Some(query) = self.take(fetch) else {
            return Ok(());
        };
        self.log
            .push(format!("  {failure:?} of {}", query.server.ip()));
        self.handle(Event::FetchFailed { fetch, failure })
    }

    fn take(&mut self, fetch: FetchId) -> Option<Outstanding> {
        let at = self
            .outstanding
            .iter()
            .position(|query| query.fetch == fetch)?;
        Some(self.outstanding.remove(at))
    }

    /// Lets time pass: the clock first, then everything that has become due.
    ///
    /// # Errors
    /// When the core broke its contract.
    pub fn advance(&mut self, by: Duration) -> Result<(), DriverError> {
        self.elapsed = self.elapsed.saturating_add(by);
        self.log.push(format!("{by:?} pass"));
        self.run_due()
    }

    fn handle(&mut self, event: Event) -> Result<(), DriverError> {
        self.dispatch(event)?;
        self.run_due()
    }

    fn run_due(&mut self) -> Result<(), DriverError> {
        for _ in 0..TURNS_MAX {
            let now = self.now();
            let due = self.tracking.as_mut().map(|tracking| tracking.due(now));
            for zone in due.unwrap_or_default() {
                self.dispatch(Event::Probe { zone })?;
            }
            let now = now.instant;
            match self.mesh.poll_timeout() {
                Some((at, _)) if at <= now => self.dispatch(Event::Timeout)?,
                _ => return Ok(()),
            }
        }
        Err(DriverError("the core never stops to be due".to_owned()))
    }

    /// Hands one event over and performs all that follows from it.
    fn dispatch(&mut self, event: Event) -> Result<(), DriverError> {
        let mut events = VecDeque::from([event]);
        let mut turns = 0;
        while let Some(event) = events.pop_front() {
            turns += 1;
            if turns > TURNS_MAX {
                return Err(DriverError("the core never comes to rest".to_owned()));
            }
            self.mesh.handle(self.now(), event);
            while let Some(action) = self.mesh.poll_action() {
                self.perform(action, &mut events);
            }
            if let Err(violation) = self.mesh.check() {
                return Err(DriverError(format!("an invariant broke: {violation:?}")));
            }
        }
        Ok(())
    }

    fn perform(&mut self, action: Action, events: &mut VecDeque<Event>) {
        match action {
            Action::Answer { stream, answer } => {
                if let Some((client, tcp)) = self.streams.remove(&stream) {
                    self.give(client, tcp, &answer.message);
                }
                events.push_back(Event::AnswerWritten { stream });
            }
            Action::Refuse { stream, .. } => {
                self.streams.remove(&stream);
                events.push_back(Event::AnswerWritten { stream });
            }
            Action::Fetch(fetch) => self.hold(fetch),
            Action::Cancel(fetch) => {
                self.take(fetch);
            }
            Action::Probed { zone, answer } => self.observe(&zone, &answer, events),
            Action::Trace(_) => {}
            Action::Yield => events.push_back(Event::Resume),
        }
    }

    /// What was seen of a tracked zone may change the trust anchors in force.
    fn observe(&mut self, zone: &Name, answer: &Answer, events: &mut VecDeque<Event>) {
        let now = self.now();
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        let observed = tracking.observe(zone, answer, &self.settings, now);
        self.log.push(format!("  probe of {zone}: {observed:?}"));
        if observed.is_some_and(|observed| observed.anchors_changed) {
            let mut settings = Settings::clone(&self.settings);
            settings.epoch += 1;
            settings.dnssec.trust_anchors.clone_from(&self.fixed);
            settings.dnssec.trust_anchors.extend(tracking.anchors());
            self.settings = Arc::new(Rules::new(settings));
            events.push_back(Event::Replace(Arc::clone(&self.settings)));
        }
    }

    fn hold(&mut self, fetch: Fetch) {
        let query = Outstanding {
            fetch: fetch.fetch,
            server: fetch.server,
            tcp: fetch.transport != Transport::Udp,
            message: Message::parse(&fetch.message).unwrap_or_default(),
            octets: fetch.message,
        };
        self.log.push(format!(
            "  query to {}{}: {}",
            query.server.ip(),
            if query.tcp { " over TCP" } else { "" },
            question_text(&query.message)
        ));
        self.sent.push(query.fetch);
        self.outstanding.insert(0, query);
    }

    fn give(&mut self, client: IpAddr, tcp: bool, octets: &[u8]) {
        let message = Message::parse(octets);
        if self.difference.is_none() {
            self.difference = second_codec::difference(octets);
        }
        self.log.push(format!(
            "answer to {client}: {}",
            message
                .as_ref()
                .map_or_else(|| "no message".to_owned(), message_text)
        ));
        self.given.push_back(Given {
            client,
            tcp,
            message,
        });
    }
}
