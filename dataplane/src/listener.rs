//! Accepts the connections of one listener on one worker: TCP with `SO_REUSEPORT`, so that the
//! kernel spreads them over the workers, then TLS with ALPN `h2`, each step with its deadline.
//! Never reads a request.

use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use weir_resolver::key::Identity;

use crate::context::WorkerContext;
use crate::doh::books::Peer;
use crate::doh::connection::Connection;
use crate::edge::{self, Edge};
use crate::proxy_protocol;

/// Connections that wait in the kernel.
const BACKLOG: i32 = 4096;
/// How long `accept` pauses when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often a listener that is full looks again.
const FULL_PAUSE: Duration = Duration::from_millis(5);
const HANDSHAKE_TIMEOUT: usize = 0;
const HANDSHAKE_TLS: usize = 1;
/// The client has its share of the connections already.
const CLIENT_SHARE: usize = 2;
const IN_CONNECTION: usize = 0;

/// What the workers share of one listener.
#[derive(Debug)]
pub struct ListenerState {
    /// Its name in the configuration.
    pub name: String,
    /// The address that it is bound to.
    pub address: SocketAddr,
    /// What its connections go by.
    pub edge: Arc<ArcSwap<Edge>>,
    /// Its TLS, if it speaks it; replaced when client authentication changes.
    pub tls: Option<ArcSwap<ServerConfig>>,
    /// Peers that send a PROXY protocol header.
    pub proxies: ArcSwap<Vec<weir_config::unit::cidr::Cidr>>,
    /// Descriptors of the process that are for connections; beyond it they wait in the kernel.
    pub descriptors: u32,
    /// Connections open, over all workers, and whose they are.
    pub clients: Shares,
}

/// How many connections there are, and how many of them each client address has.
#[derive(Debug, Default)]
pub struct Shares {
    open: AtomicU32,
    of: Mutex<HashMap<Identity, u32>>,
}

impl Shares {
    /// Takes one more for a client that has fewer than `most`; whether it had.
    fn take(&self, client: Identity, most: u32) -> bool {
        let mut shares = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let share = shares.entry(client).or_default();
        let within = *share < most;
        *share += u32::from(within);
        within
    }

    fn give_back(&self, client: Identity) {
        let mut shares = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut share) = shares.entry(client) {
            *share.get_mut() -= 1;
            if *share.get() == 0 {
                share.remove();
            }
        }
    }
}

/// Binds a socket that other sockets of this process may share the port with.
///
/// # Errors
/// The address is in use by another process, or not an address of this machine.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        // One listener for `::` serves both families, as Kubernetes expects.
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Holds the place of one connection among `maxConnections`, and among those of its client.
struct Place {
    state: Arc<ListenerState>,
    client: Identity,
}

impl Place {
    /// A place for a connection of this client, unless it has its share: three quarters of all, so that a flood
    /// from one address leaves room for the others. Proxies that name their clients speak for many.
    fn take(state: &Arc<ListenerState>, peer: SocketAddr) -> Option<Self> {
        let client = Identity::from(peer.ip());
        let edge = state.edge.load();
        let forwarders = edge.forwarded.iter().flat_map(|(_, trusted)| trusted);
        let for_many = state
            .proxies
            .load()
            .iter()
            .chain(forwarders)
            .any(|network| network.contains(peer.ip()));
        let all = edge.http2.max_connections;
        let most = if for_many { all } else { all - all / 4 };
        if !state.clients.take(client, most) {
            return None;
        }
        state.clients.open.fetch_add(1, Ordering::Relaxed);
        let state = Arc::clone(state);
        Some(Self { state, client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.state.clients.open.fetch_sub(1, Ordering::Relaxed);
        self.state.clients.give_back(self.client);
    }
}

/// Accepts until the worker ends.
pub async fn accept(
    listener: std::net::TcpListener,
    state: Arc<ListenerState>,
    worker: Rc<WorkerContext>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let failing = Cell::new(false);
    loop {
        // More wait in the kernel than were promised a place.
        let most = || {
            state
                .descriptors
                .min(state.edge.load().http2.max_connections)
        };
        while state.clients.open.load(Ordering::Relaxed) >= most() {
            tokio::time::sleep(FULL_PAUSE).await;
        }
        match listener.accept().await {
            Ok((io, peer)) => {
                failing.set(false);
                match Place::take(&state, peer) {
                    Some(place) => start(io, peer, place, Rc::clone(&worker)),
                    // Closed at once: there is no memory for it, and no handshake.
                    None => worker.metrics.handshake_faults.count(CLIENT_SHARE),
                }
            }
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                if !failing.replace(true) {
                    tracing::warn!(listener = state.name, %error, "cannot accept connections");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// How many of the descriptors that the process may have are for connections: the last quarter is for queries to
/// servers, so that a flood of connections cannot take their sockets.
#[must_use]
pub fn descriptors_for_connections() -> u32 {
    share_of_descriptors(&std::fs::read_to_string("/proc/self/limits").unwrap_or_default())
}

fn share_of_descriptors(limits: &str) -> u32 {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse::<u32>().ok());
    soft.map_or(u32::MAX, |soft| soft - soft / 4)
}

/// Errors that end the connection that was being accepted, and nothing else.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::Interrupted
    )
}

/// One task for each connection. A panic in it ends this connection alone: its books are closed
/// as it unwinds.
fn start(io: TcpStream, peer: SocketAddr, place: Place, worker: Rc<WorkerContext>) {
    let metrics = Arc::clone(&worker.metrics);
    let task = tokio::task::spawn_local(async move {
        let state = Arc::clone(&place.state);
        // Boxed, so that what the handshake needs does not stay with the connection.
        match Box::pin(establish(io, peer, &state, &worker)).await {
            Some(Established::Tls(connection)) => connection.serve().await,
            Some(Established::Plain(connection)) => connection.serve().await,
            None => {}
        }
        drop(place);
    });
    tokio::task::spawn_local(async move {
        if task.await.is_err_and(|error| error.is_panic()) {
            tracing::error!(%peer, "a panic in a connection was contained");
            metrics.panics.count(IN_CONNECTION);
        }
    });
}

enum Established {
    Tls(Box<Connection<tokio_rustls::server::TlsStream<TcpStream>>>),
    Plain(Box<Connection<TcpStream>>),
}

async fn establish(
    mut io: TcpStream,
    peer: SocketAddr,
    state: &ListenerState,
    worker: &Rc<WorkerContext>,
) -> Option<Established> {
    // Answers are written whole; waiting for more would only delay them.
    io.set_nodelay(true).ok()?;
    let proxies = state.proxies.load_full();
    let mut address = peer;
    if proxies.iter().any(|network| network.contains(peer.ip())) {
        let header = proxy_protocol::read(&mut io);
        address = match tokio::time::timeout(edge::HANDSHAKE_TIMEOUT, header).await {
            Ok(Ok(named)) => named.unwrap_or(peer),
            Ok(Err(_)) | Err(_) => return None,
        };
    }
    let trusted = worker.sampler.borrow().trusts(address.ip());
    let peer = Peer { address, trusted };
    let Some(tls) = &state.tls else {
        let connection = open(io, peer, state, worker).await?;
        return Some(Established::Plain(connection));
    };
    let handshake = TlsAcceptor::from(tls.load_full()).accept(io);
    match tokio::time::timeout(edge::HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(io)) => {
            let (_, session) = io.get_ref();
            let old = session.protocol_version() != Some(rustls::ProtocolVersion::TLSv1_3);
            let resumed = session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
            worker
                .metrics
                .handshakes
                .count(usize::from(old), usize::from(resumed));
            open(io, peer, state, worker).await.map(Established::Tls)
        }
        Ok(Err(error)) => {
            tracing::debug!(peer = %address, %error, "TLS handshake failed");
            worker.metrics.handshake_faults.count(HANDSHAKE_TLS);
            None
        }
        Err(_) => {
            worker.metrics.handshake_faults.count(HANDSHAKE_TIMEOUT);
            None
        }
    }
}

async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    io: S,
    peer: Peer,
    state: &ListenerState,
    worker: &Rc<WorkerContext>,
) -> Option<Box<Connection<S>>> {
    let opened = Connection::open(io, peer, Rc::clone(worker), Arc::clone(&state.edge)).await;
    if opened.is_none() {
        worker.metrics.handshake_faults.count(HANDSHAKE_TIMEOUT);
    }
    opened.map(Box::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_takes_no_more_than_its_share() {
        let (shares, one, two) = (Shares::default(), Identity(1), Identity(2));
        assert!(shares.take(one, 2) && shares.take(one, 2) && !shares.take(one, 2));
        assert!(shares.take(two, 2));
        shares.give_back(one);
        assert!(shares.take(one, 2));
        shares.give_back(two);
        assert_eq!(shares.of.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_quarter_of_the_descriptors_is_left() {
        let limits =
            "Max cpu time  unlimited unlimited seconds\nMax open files  1024  4096  files\n";
        assert_eq!(share_of_descriptors(limits), 768);
        assert_eq!(share_of_descriptors("Max open files unlimited"), u32::MAX);
    }
}
