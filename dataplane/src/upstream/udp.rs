//! Exchanges over UDP: which source port a query leaves from, and when its time is over.
//!
//! A port serves one server, so many queries and so long, and then never again; several stand open toward a
//! busy server and a query leaves from any of them (RFC 5452, 9.2). So ports stay as hard to guess as with a
//! fresh one for each query, at a fraction of the system calls. Never matches replies: `port` does.

pub mod port;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::Sleep;
use weir_resolver::fetch::{Fetch, FetchFailure};
use weir_resolver::key::FetchId;

use crate::entropy;
pub use port::failure;
use port::{Port, Told};

/// Queries that leave from one port. Who finds out a port by a side channel can use it for no more of them.
pub const QUERIES_PER_PORT: u32 = 32;
/// How long a port takes queries: less than a scan over the ports of a host needs.
pub const PORT_AGE_MAX: Duration = Duration::from_millis(500);
/// Ports that take queries toward one server at the same time.
pub const PORTS_PER_SERVER: usize = 4;
/// Ports that are kept for queries to come, toward all servers.
const PORTS_KEPT_MAX: usize = 1024;
/// Deadlines and retirements in one turn.
const DUE_PER_TURN: usize = 256;

/// An exchange that was begun.
pub struct Exchange {
    port: Rc<Port>,
    by: Instant,
}

/// The source ports of one worker.
pub struct Ports {
    told: Rc<dyn Told>,
    servers: HashMap<SocketAddr, [Option<Rc<Port>>; PORTS_PER_SERVER]>,
    /// In the order of their opening; those that were retired since are passed over.
    kept: VecDeque<(Instant, SocketAddr, Weak<Port>)>,
    deadlines: BTreeMap<(Instant, FetchId), Rc<Port>>,
    sleep: Pin<Box<Sleep>>,
}

impl Ports {
    /// No ports yet. Must be made within a runtime.
    pub fn new(told: Rc<dyn Told>) -> Self {
        Self {
            told,
            servers: HashMap::new(),
            kept: VecDeque::new(),
            deadlines: BTreeMap::new(),
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }

    /// Sends a query; its end is told. Must run within the worker's runtime.
    ///
    /// # Errors
    /// It could not be sent, and nothing is told.
    pub fn send(&mut self, fetch: &Fetch, now: Instant) -> Result<Exchange, FetchFailure> {
        let id = fetch.fetch;
        let (port, sent) = self.put(fetch.server, id, &fetch.message, now)?;
        let port = match sent {
            Ok(()) => port,
            Err(error) if port.queries() == 0 => {
                port.retire();
                return Err(failure(&error));
            }
            // What an earlier query of the port met; this one has not left.
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    port.fail(failure(&error), &*self.told);
                }
                let port = self.open(fetch.server)?;
                let sent = port.send(id, fetch.message.clone(), now);
                port.retire();
                sent.map_err(|error| failure(&error))?;
                port
            }
        };
        let by = now + fetch.timeout;
        self.deadlines.insert((by, id), Rc::clone(&port));
        Ok(Exchange { port, by })
    }

    /// Forgets an exchange whose end was told.
    pub fn forget(&mut self, fetch: FetchId, exchange: &Exchange) {
        self.deadlines.remove(&(exchange.by, fetch));
    }

    /// Ends an exchange without telling.
    pub fn cancel(&mut self, fetch: FetchId, exchange: &Exchange) {
        self.forget(fetch, exchange);
        let _ = exchange.port.give_up(fetch);
    }

    /// Ends exchanges whose time is over and retires old ports; to be called in every turn.
    pub fn poll(&mut self, context: &mut Context<'_>) {
        let mut now = Instant::now();
        for _ in 0..DUE_PER_TURN {
            let Some(due) = self.due() else {
                return;
            };
            if due <= now {
                self.end_due(now);
                continue;
            }
            // Deadlines move with every exchange; a timer that is early costs less than one that follows them.
            if self.sleep.is_elapsed() || self.sleep.deadline().into_std() > due {
                self.sleep.as_mut().reset(due.into());
            }
            if self.sleep.as_mut().poll(context) == Poll::Pending {
                return;
            }
            now = Instant::now();
        }
        context.waker().wake_by_ref();
    }

    fn due(&self) -> Option<Instant> {
        let deadline = self.deadlines.first_key_value().map(|((by, _), _)| *by);
        let age = self.kept.front().map(|(until, ..)| *until);
        deadline.into_iter().chain(age).min()
    }

    fn end_due(&mut self, now: Instant) {
        if let Some(first) = self.deadlines.first_entry()
            && first.key().0 <= now
        {
            let ((_, fetch), port) = first.remove_entry();
            if let Some(failure) = port.give_up(fetch) {
                self.told.failed(fetch, failure);
            }
        }
        if self.kept.front().is_some_and(|(until, ..)| *until <= now) {
            self.retire_oldest();
        }
    }

    /// Sends from one of the server's ports, chosen at random; a place without a port gets one.
    fn put(
        &mut self,
        server: SocketAddr,
        fetch: FetchId,
        query: &Bytes,
        now: Instant,
    ) -> Result<(Rc<Port>, io::Result<()>), FetchFailure> {
        let place = entropy::below(PORTS_PER_SERVER);
        let places = self.servers.get(&server);
        let held = places.and_then(|places| places.get(place)?.clone());
        let port = match held {
            Some(port) if port.takes(query) => port,
            _ => {
                let port = self.open(server)?;
                self.keep(server, place, &port, now);
                port
            }
        };
        let sent = port.send(fetch, query.clone(), now);
        if port.queries() >= QUERIES_PER_PORT {
            port.retire();
            self.empty(server, &port);
        }
        Ok((port, sent))
    }

    fn open(&self, server: SocketAddr) -> Result<Rc<Port>, FetchFailure> {
        Port::open(server, Rc::clone(&self.told)).map_err(|error| failure(&error))
    }

    fn keep(&mut self, server: SocketAddr, place: usize, port: &Rc<Port>, now: Instant) {
        while self.kept.len() >= PORTS_KEPT_MAX {
            self.retire_oldest();
        }
        let places = self.servers.entry(server).or_default();
        if let Some(slot) = places.get_mut(place)
            && let Some(before) = slot.replace(Rc::clone(port))
        {
            before.retire();
        }
        self.kept
            .push_back((now + PORT_AGE_MAX, server, Rc::downgrade(port)));
    }

    fn retire_oldest(&mut self) {
        let Some((_, server, port)) = self.kept.pop_front() else {
            return;
        };
        if let Some(port) = port.upgrade() {
            port.retire();
            self.empty(server, &port);
        }
    }

    /// Takes a port out of its place.
    fn empty(&mut self, server: SocketAddr, port: &Rc<Port>) {
        let Some(places) = self.servers.get_mut(&server) else {
            return;
        };
        for place in places.iter_mut() {
            if place.as_ref().is_some_and(|held| Rc::ptr_eq(held, port)) {
                *place = None;
            }
        }
        if places.iter().all(Option::is_none) {
            self.servers.remove(&server);
        }
    }
}
