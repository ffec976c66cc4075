//! Sends the queries of a mesh to other servers and puts what becomes of them into the worker's
//! inbox: one reply or one failure for each fetch, and neither after it was cancelled.

pub mod https;
pub mod pipeline;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod udp;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use weir_resolver::event::Event;
use weir_resolver::fetch::{Fetch, FetchFailure, Transport};
use weir_resolver::key::FetchId;

use crate::mailbox::{Inbox, Note};
use crate::telemetry::metric::WorkerMetrics;
use pipeline::{Outcome, Pipeline};
use udp::Ports;
use udp::port::Told;

/// Fetches open at once on one worker; each may hold a descriptor.
const FETCHES_MAX: usize = 8192;
/// Room for queries of one turn that is kept for the next.
const QUEUED_KEPT: usize = 1024;
/// The place of `cancelled` in the outcomes of the metrics.
const CANCELLED: usize = 5;
/// The place of `datagram` in what comes late.
const LATE_DATAGRAM: usize = 3;

/// What every exchange of a worker shares.
struct Shared {
    inbox: Rc<Inbox>,
    metrics: Arc<WorkerMetrics>,
    pipelines: RefCell<HashMap<(SocketAddr, Transport), Pipeline>>,
    tls: Arc<rustls::ClientConfig>,
    /// The same for HTTPS, which names its protocol (RFC 8484, 5.2).
    https: Arc<rustls::ClientConfig>,
}

/// A fetch that has not been finished.
enum Open {
    /// Over UDP, to be sent at the end of the turn.
    Queued,
    /// Over UDP.
    Datagram(udp::Exchange),
    /// Over a transport that keeps connections, by this place in the metrics.
    Task(AbortHandle, usize),
    /// It could not be sent, and its report is on its way.
    Unsent(usize),
}

/// The upstream side of one worker.
pub struct Upstream {
    shared: Rc<Shared>,
    ports: Ports,
    /// Queries of this turn. They are sent together: a server that each of them woke would go back to sleep before
    /// the next.
    queued: Vec<Fetch>,
    open: HashMap<FetchId, Open>,
}

impl Upstream {
    /// An upstream side that reports into `inbox`.
    #[must_use]
    pub fn new(
        inbox: Rc<Inbox>,
        metrics: Arc<WorkerMetrics>,
        tls: Arc<rustls::ClientConfig>,
    ) -> Self {
        let mut https = rustls::ClientConfig::clone(&tls);
        https.alpn_protocols = vec![b"h2".to_vec()];
        let shared = Rc::new(Shared {
            inbox,
            metrics,
            pipelines: RefCell::default(),
            tls,
            https: Arc::new(https),
        });
        let told: Rc<dyn Told> = Rc::<Shared>::clone(&shared);
        Self {
            shared,
            ports: Ports::new(told),
            queued: Vec::new(),
            open: HashMap::new(),
        }
    }

    /// How many fetches are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Sends a query, at the next [`poll`](Self::poll) if it goes over UDP. Must run within the worker's runtime.
    pub fn send(&mut self, fetch: Fetch) {
        let (id, transport) = (fetch.fetch, transport_index(&fetch.transport));
        if self.open.len() >= FETCHES_MAX {
            return self.unsent(id, transport, FetchFailure::Exhausted);
        }
        if fetch.transport == Transport::Udp {
            self.open.insert(id, Open::Queued);
            return self.queued.push(fetch);
        }
        let shared = Rc::clone(&self.shared);
        let task = tokio::task::spawn_local(async move {
            let started = Instant::now();
            let outcome = exchange(&shared, &fetch).await;
            if outcome.is_ok() {
                shared.metrics.upstream_duration.observe(started.elapsed());
            }
            shared.report(fetch.fetch, transport, outcome);
        });
        self.open
            .insert(id, Open::Task(task.abort_handle(), transport));
    }

    fn unsent(&mut self, fetch: FetchId, transport: usize, failure: FetchFailure) {
        self.open.insert(fetch, Open::Unsent(transport));
        self.shared.report(fetch, transport, Err(failure));
    }

    /// Sends what the turn queued and ends fetches whose time is over; to be called at the end of every turn of the
    /// driver.
    pub fn poll(&mut self, context: &mut Context<'_>) {
        self.send_queued();
        self.ports.poll(context);
    }

    fn send_queued(&mut self) {
        if self.queued.is_empty() {
            return;
        }
        let mut queued = std::mem::take(&mut self.queued);
        let now = Instant::now();
        for fetch in queued.drain(..) {
            let id = fetch.fetch;
            // One that was cancelled since is not sent.
            if !matches!(self.open.get(&id), Some(Open::Queued)) {
                continue;
            }
            match self.ports.send(&fetch, now) {
                Ok(exchange) => {
                    self.open.insert(id, Open::Datagram(exchange));
                }
                Err(failure) => self.unsent(id, transport_index(&Transport::Udp), failure),
            }
        }
        if queued.capacity() <= QUEUED_KEPT {
            self.queued = queued;
        }
    }

    /// Forgets a fetch that reported; whether it was still open, so that its report counts.
    pub fn finish(&mut self, fetch: FetchId) -> bool {
        let open = self.open.remove(&fetch);
        if let Some(Open::Datagram(exchange)) = &open {
            self.ports.forget(fetch, exchange);
        }
        open.is_some()
    }

    /// Ends a fetch without a report. A cancelled query leaves its port or connection alone.
    pub fn cancel(&mut self, fetch: FetchId) {
        let transport = match self.open.remove(&fetch) {
            None => return,
            Some(Open::Queued) => transport_index(&Transport::Udp),
            Some(Open::Datagram(exchange)) => {
                self.ports.cancel(fetch, &exchange);
                transport_index(&Transport::Udp)
            }
            Some(Open::Task(task, transport)) => {
                task.abort();
                transport
            }
            Some(Open::Unsent(transport)) => transport,
        };
        let queries = &self.shared.metrics.upstream_queries;
        queries.count(transport, CANCELLED);
    }

    /// Ends every fetch without a report: the mesh that asked is gone.
    pub fn cancel_all(&mut self) {
        let open: Vec<FetchId> = self.open.keys().copied().collect();
        for fetch in open {
            self.cancel(fetch);
        }
        // The numbers of the next mesh begin anew.
        self.queued.clear();
    }
}

impl Shared {
    fn report(&self, fetch: FetchId, transport: usize, outcome: Outcome) {
        self.metrics
            .upstream_queries
            .count(transport, outcome_index(&outcome));
        self.inbox.put(Note::Event(match outcome {
            Ok(message) => Event::Reply { fetch, message },
            Err(failure) => Event::FetchFailed { fetch, failure },
        }));
    }

    /// A connection to the server that may take another query, opened if there is none.
    fn pipeline(self: &Rc<Self>, fetch: &Fetch, fresh: bool) -> Pipeline {
        let key = (fetch.server, fetch.transport.clone());
        let mut pipelines = self.pipelines.borrow_mut();
        if !fresh && let Some(known) = pipelines.get(&key).filter(|known| known.is_open()) {
            return known.clone();
        }
        let pipeline = Pipeline::default();
        pipelines.insert(key.clone(), pipeline.clone());
        drop(pipelines);
        let (shared, carried, timeout) = (Rc::clone(self), pipeline.clone(), fetch.timeout);
        tokio::task::spawn_local(async move {
            carry(&shared, &key, &carried, timeout).await;
            let mut pipelines = shared.pipelines.borrow_mut();
            if pipelines.get(&key).is_some_and(|known| !known.is_open()) {
                pipelines.remove(&key);
            }
        });
        pipeline
    }
}

impl Told for Shared {
    fn replied(&self, fetch: FetchId, reply: Bytes, took: Duration) {
        self.metrics.upstream_duration.observe(took);
        self.report(fetch, transport_index(&Transport::Udp), Ok(reply));
    }

    fn failed(&self, fetch: FetchId, failure: FetchFailure) {
        self.report(fetch, transport_index(&Transport::Udp), Err(failure));
    }

    fn stray(&self) {
        self.metrics.late.count(LATE_DATAGRAM);
    }
}

async fn exchange(shared: &Rc<Shared>, fetch: &Fetch) -> Outcome {
    let asked = async {
        let pipeline = shared.pipeline(fetch, false);
        let reused = pipeline.is_used();
        let outcome = pipeline.put(fetch.message.clone()).await;
        match outcome.unwrap_or(Err(FetchFailure::Unreachable)) {
            // RFC 7766, 6.2.4: the server may close an idle connection at any time.
            Err(FetchFailure::Unreachable) if reused => {
                let again = shared
                    .pipeline(fetch, true)
                    .put(fetch.message.clone())
                    .await;
                again.unwrap_or(Err(FetchFailure::Unreachable))
            }
            outcome => outcome,
        }
    };
    tokio::time::timeout(fetch.timeout, asked)
        .await
        .unwrap_or(Err(FetchFailure::Timeout))
}

/// Opens a connection and carries a pipeline over it until it ends.
async fn carry(
    shared: &Rc<Shared>,
    (server, transport): &(SocketAddr, Transport),
    pipeline: &Pipeline,
    timeout: Duration,
) {
    let connected = tokio::time::timeout(timeout, TcpStream::connect(server)).await;
    let io = match connected {
        Ok(Ok(io)) => io,
        Ok(Err(error)) => return pipeline.fail(udp::failure(&error)),
        Err(_) => return pipeline.fail(FetchFailure::Timeout),
    };
    // Queries are small and must not wait for each other's acknowledgement.
    let _ = io.set_nodelay(true);
    match transport {
        Transport::Udp | Transport::Tcp => stream::run(pipeline, io, || shared.stray()).await,
        Transport::Tls(name) => match handshake(&shared.tls, *server, name, io, timeout).await {
            Ok(io) => stream::run(pipeline, io, || shared.stray()).await,
            Err(failure) => pipeline.fail(failure),
        },
        Transport::Https { host, path } => {
            let io = handshake(&shared.https, *server, host, io, timeout).await;
            let (io, target) = match (io, https::target(*server, host, path)) {
                (Ok(io), Some(target)) => (io, target),
                (Err(failure), _) => return pipeline.fail(failure),
                // The configuration was checked to make a URI.
                (Ok(_), None) => return pipeline.fail(FetchFailure::HttpFailed),
            };
            if io.get_ref().1.alpn_protocol() != Some(b"h2") {
                return pipeline.fail(FetchFailure::TlsFailed);
            }
            let counting = Rc::clone(shared);
            https::run(pipeline, io, target, move || counting.stray()).await;
        }
    }
}

async fn handshake(
    config: &Arc<rustls::ClientConfig>,
    server: SocketAddr,
    name: &str,
    io: TcpStream,
    timeout: Duration,
) -> Result<TlsStream<TcpStream>, FetchFailure> {
    let verified = ServerName::try_from(name.to_owned()).map_err(|_| FetchFailure::TlsFailed)?;
    let connecting = TlsConnector::from(Arc::clone(config)).connect(verified, io);
    match tokio::time::timeout(timeout, connecting).await {
        Ok(Ok(io)) => Ok(io),
        Ok(Err(error)) => {
            tracing::debug!(%server, server_name = name, %error, "no TLS with an upstream");
            Err(FetchFailure::TlsFailed)
        }
        Err(_) => Err(FetchFailure::TlsFailed),
    }
}

const fn transport_index(transport: &Transport) -> usize {
    match transport {
        Transport::Udp => 0,
        Transport::Tcp => 1,
        Transport::Tls(_) => 2,
        Transport::Https { .. } => 3,
    }
}

const fn outcome_index(outcome: &Outcome) -> usize {
    match outcome {
        Ok(_) => 0,
        Err(FetchFailure::Timeout) => 1,
        Err(FetchFailure::Unreachable) => 2,
        Err(FetchFailure::TlsFailed) => 3,
        Err(FetchFailure::Exhausted) => 4,
        Err(FetchFailure::CaseLost) => 6,
        Err(FetchFailure::HttpFailed) => 7,
    }
}
