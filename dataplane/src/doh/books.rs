//! The books of one connection: who it is, how each of its streams ended, and that it ended, which
//! dropping the books tells exactly once, whatever ended the connection.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{HeaderName, Method};
use weir_resolver::event::CloseCause;
use weir_resolver::key::{ConnectionId, Identity, StreamKey};
use weir_resolver::question::Query;

use super::stream::{Asked, DnsOutcome};
use crate::context::WorkerContext;
use crate::edge::Edge;
use crate::mailbox::{Note, Outbox};
use crate::route::RouteMessage;
use crate::telemetry::metric::{code_index, record_type_index};
use crate::telemetry::record::{Disposition, Record, StreamRecord};
use crate::telemetry::sample::{Decision, trace_parent};

/// W3C Trace Context, 3.2.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The place of `other` in the response codes of the metrics.
const OTHER_CODE: usize = 6;
const LATE_ANSWER: usize = 0;
const ROUTED_TO_OWNER: usize = 0;
const ROUTED_LOCALLY: usize = 1;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The other end, or the client that the PROXY protocol named.
    pub address: SocketAddr,
    /// Whether its `traceparent` is continued.
    pub trusted: bool,
}

/// The books of one connection.
pub struct Books {
    /// The connection.
    pub connection: ConnectionId,
    /// Its other end.
    pub peer: Peer,
    /// Where its completions come.
    pub outbox: Rc<Outbox>,
    worker: Rc<WorkerContext>,
    /// Other workers that were asked on its behalf.
    asked: RefCell<Vec<u16>>,
}

impl Books {
    /// Opens the books and tells the driver.
    #[must_use]
    pub fn open(peer: Peer, worker: Rc<WorkerContext>) -> Self {
        let connection = worker.next_connection();
        let outbox = Rc::new(Outbox::default());
        worker.metrics.connections_opened.add(1);
        worker.inbox.put(Note::Opened {
            connection,
            identity: Identity::from(peer.address.ip()),
            outbox: Rc::clone(&outbox),
        });
        Self {
            connection,
            peer,
            outbox,
            worker,
            asked: RefCell::default(),
        }
    }

    /// Takes a stream in: from here on it gets exactly one disposition.
    pub fn admit(&self, edge: &Edge, stream: u32, parts: &Parts, now: Instant) -> Asked {
        self.worker.metrics.streams.add(1);
        let mut sampler = self.worker.sampler.borrow_mut();
        let decision = if sampler.is_on() {
            let header = parts.headers.get(&TRACEPARENT);
            let parent =
                header.and_then(|header| trace_parent(header.as_bytes(), self.peer.trusted));
            sampler.decide(parent)
        } else {
            Decision::default()
        };
        Asked {
            stream,
            started: now,
            method: method_index(&parts.method),
            endpoint: 0,
            head_only: false,
            client: edge.client(&parts.headers, self.peer.address.ip()),
            record_type: 0,
            name: None,
            resolved: false,
            decision,
        }
    }

    /// Asks the worker that the question belongs to, or the own one when the way is full.
    /// Returns the worker that resolves it.
    pub fn ask(&self, asked: &Asked, query: Box<Query>) -> u16 {
        let stream = self.key(asked.stream);
        let identity = Identity::from(asked.client);
        let traced = asked.decision.sampled || self.worker.sampler.borrow().is_on();
        let owner = self.worker.routes.owner(&query.question);
        let query = if owner == self.worker.index {
            query
        } else {
            let message = RouteMessage::Ask {
                stream,
                identity,
                query,
                traced,
            };
            match self.worker.routes.ask(owner, message) {
                Ok(()) => {
                    self.worker.metrics.routed.count(ROUTED_TO_OWNER);
                    let mut known = self.asked.borrow_mut();
                    if !known.contains(&owner) {
                        known.push(owner);
                    }
                    return owner;
                }
                Err(RouteMessage::Ask { query, .. }) => {
                    self.worker.metrics.routed.count(ROUTED_LOCALLY);
                    query
                }
                Err(_) => return owner,
            }
        };
        self.worker.inbox.put(Note::Ask {
            stream,
            identity,
            query,
            traced,
        });
        self.worker.index
    }

    /// Tells who resolves it that a stream ended before its answer was written.
    pub fn leave(&self, stream: u32, owner: u16, cause: CloseCause) {
        let stream = self.key(stream);
        if owner == self.worker.index {
            self.worker.inbox.put(Note::StreamClosed { stream, cause });
        } else {
            self.worker
                .routes
                .send(owner, RouteMessage::StreamClosed { stream, cause });
        }
    }

    /// Tells who resolved it that the answer has left.
    pub fn written(&self, stream: u32, owner: u16) {
        let stream = self.key(stream);
        if owner == self.worker.index {
            self.worker.inbox.put(Note::Written { stream });
        } else {
            self.worker
                .routes
                .send(owner, RouteMessage::Written { stream });
        }
    }

    /// Counts a response that is being sent.
    pub fn respond(&self, asked: &Asked, status: u16, dns: Option<DnsOutcome>, now: Instant) {
        let metrics = &self.worker.metrics;
        metrics.requests.count(asked.method, code_index(status));
        metrics
            .request_duration
            .observe(now.saturating_duration_since(asked.started));
        if let Some(dns) = dns {
            let code = usize::from(dns.rcode.0).min(OTHER_CODE);
            metrics
                .queries
                .count(record_type_index(asked.record_type), code);
            metrics.origins.count(dns.origin as usize);
        }
    }

    /// Gives a stream its one disposition, at `now`, which is asked for when traces are on alone.
    pub fn dispose(
        &self,
        edge: &Edge,
        asked: Asked,
        status: Option<u16>,
        dns: Option<DnsOutcome>,
        disposition: Disposition,
        now: impl FnOnce() -> Instant,
    ) {
        self.worker.metrics.dispositions.count(disposition.index());
        let sampler = self.worker.sampler.borrow();
        if !sampler.is_on() {
            return;
        }
        let reset = matches!(
            disposition,
            Disposition::PeerCancelled(_) | Disposition::Reset(_)
        );
        let took = now().saturating_duration_since(asked.started);
        let keep = asked.decision.sampled || sampler.keeps(dns.map(|dns| dns.rcode), took, reset);
        drop(sampler);
        // A stream that is not kept and waited for nothing leaves no trace at all.
        if !keep && !asked.resolved {
            return;
        }
        let started = self.worker.clock.instant(asked.started);
        let path = edge
            .routes
            .get(asked.endpoint)
            .or_else(|| edge.routes.first());
        self.worker
            .recorder
            .record(Record::Stream(Box::new(StreamRecord {
                stream: self.key(asked.stream),
                started,
                ended: started.after(took),
                method: asked.method,
                path: path.map_or_else(|| Arc::from("/"), Arc::clone),
                peer: self.peer.address,
                status,
                question: asked.name.map(|name| (name, asked.record_type)),
                rcode: dns.map(|dns| dns.rcode),
                extended_error: dns.and_then(|dns| dns.extended_error),
                origin: dns.map(|dns| dns.origin),
                disposition,
                parent: asked.decision.parent,
                resolved: asked.resolved,
                keep,
            })));
    }

    /// Counts an answer whose stream is gone.
    pub fn late(&self) {
        self.worker.metrics.late.count(LATE_ANSWER);
    }

    const fn key(&self, stream: u32) -> StreamKey {
        StreamKey {
            connection: self.connection,
            stream,
        }
    }

    /// The client of this connection, unless a request names another.
    #[must_use]
    pub fn client(&self) -> IpAddr {
        self.peer.address.ip()
    }
}

impl Drop for Books {
    fn drop(&mut self) {
        let connection = self.connection;
        self.worker.metrics.connections_closed.add(1);
        self.worker.inbox.put(Note::Closed { connection });
        for owner in self.asked.borrow().iter() {
            self.worker
                .routes
                .send(*owner, RouteMessage::Closed { connection });
        }
    }
}

fn method_index(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        _ => 3,
    }
}
