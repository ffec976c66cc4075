//! Accepts the connections of one listener on one worker: TCP with `SO_REUSEPORT`, so that the
//! kernel spreads them over the workers, then TLS with ALPN `h2`, each step with its deadline.
//! Never reads a request.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

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
    /// Connections open, over all workers.
    pub open: AtomicU32,
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

/// Holds the place of one connection among `maxConnections`.
struct Place(Arc<ListenerState>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
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
        while state.open.load(Ordering::Relaxed) >= state.edge.load().http2.max_connections {
            tokio::time::sleep(FULL_PAUSE).await;
        }
        match listener.accept().await {
            Ok((io, peer)) => {
                failing.set(false);
                state.open.fetch_add(1, Ordering::Relaxed);
                let place = Place(Arc::clone(&state));
                start(io, peer, place, Rc::clone(&worker));
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
        let state = Arc::clone(&place.0);
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
