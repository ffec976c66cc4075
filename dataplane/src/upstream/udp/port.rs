//! `Port`: one UDP socket on a random source port, connected to one server so that the kernel passes on
//! only what comes from there, and the exchanges that wait on it.
//!
//! Owns matching replies with exchanges (RFC 5452, 9.1 and 9.2); whatever matches none is passed over and
//! counted once. Never chooses a port for a query and keeps no time.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;
use weir_resolver::fetch::FetchFailure;
use weir_resolver::key::FetchId;
use weir_resolver::wire::{self, ReplyMatch};

use crate::entropy;

/// Larger than any datagram that a server sends for the payload size we offer.
const DATAGRAM_MAX: usize = 65_535;
/// Datagrams read in one turn, before other tasks get theirs.
const DATAGRAMS_PER_TURN: usize = 64;
/// Ports tried before the kernel chooses.
const PORTS_TRIED: usize = 4;

thread_local! {
    static DATAGRAM: RefCell<Box<[u8]>> = RefCell::new(vec![0; DATAGRAM_MAX].into_boxed_slice());
}

/// Who is told what becomes of exchanges.
pub trait Told {
    /// A reply came, so long after its query was sent.
    fn replied(&self, fetch: FetchId, reply: Bytes, took: Duration);
    /// No reply will come.
    fn failed(&self, fetch: FetchId, failure: FetchFailure);
    /// A datagram came that answers nothing.
    fn stray(&self);
}

struct Waiting {
    fetch: FetchId,
    query: Bytes,
    sent: Instant,
    /// A reply came that differs in the case of the name alone.
    case_lost: bool,
}

/// A socket, and who waits for what comes out of it.
pub struct Port {
    socket: AsyncFd<UdpSocket>,
    waiting: RefCell<Vec<Waiting>>,
    queries: Cell<u32>,
    retired: Cell<bool>,
    listener: RefCell<Option<AbortHandle>>,
}

impl Port {
    /// Opens a port toward `server` and listens until it is retired and nothing waits any more. Must run
    /// within the worker's runtime.
    ///
    /// # Errors
    /// There is no socket left, or no way to the server.
    pub fn open(server: SocketAddr, told: Rc<dyn Told>) -> io::Result<Rc<Self>> {
        let port = Rc::new(Self {
            socket: register(connect(server)?)?,
            waiting: RefCell::default(),
            queries: Cell::new(0),
            retired: Cell::new(false),
            listener: RefCell::default(),
        });
        let task = tokio::task::spawn_local(listen(Rc::clone(&port), told));
        *port.listener.borrow_mut() = Some(task.abort_handle());
        Ok(port)
    }

    /// How many queries were sent from here.
    pub fn queries(&self) -> u32 {
        self.queries.get()
    }

    /// Whether a query may be sent from here. Identifiers of those that wait differ, because an error without
    /// a question finds its query by the identifier alone.
    pub fn takes(&self, query: &[u8]) -> bool {
        let same = |waiting: &Waiting| waiting.query.get(..2) == query.get(..2);
        !self.retired.get() && !self.waiting.borrow().iter().any(same)
    }

    /// Sends a query, whose exchange then waits here.
    ///
    /// # Errors
    /// The system's, for this query or for what an earlier one met on its way (ICMP).
    pub fn send(&self, fetch: FetchId, query: Bytes, now: Instant) -> io::Result<()> {
        // Readiness to write is not awaited: queries are few and small beside the socket's buffer.
        self.socket.get_ref().send(&query)?;
        self.queries.set(self.queries.get().saturating_add(1));
        self.waiting.borrow_mut().push(Waiting {
            fetch,
            query,
            sent: now,
            case_lost: false,
        });
        Ok(())
    }

    /// Ends the wait of an exchange, if it still waits; gives why it had no reply.
    pub fn give_up(&self, fetch: FetchId) -> Option<FetchFailure> {
        let mut waiting = self.waiting.borrow_mut();
        let index = waiting.iter().position(|waiting| waiting.fetch == fetch)?;
        let given_up = waiting.swap_remove(index);
        drop(waiting);
        self.close_if_over();
        Some(if given_up.case_lost {
            FetchFailure::CaseLost
        } else {
            FetchFailure::Timeout
        })
    }

    /// Lets it take no more queries; it closes when nothing waits any more.
    pub fn retire(&self) {
        self.retired.set(true);
        self.close_if_over();
    }

    /// Ends every exchange that waits, and takes no more.
    pub fn fail(&self, failure: FetchFailure, told: &dyn Told) {
        self.retired.set(true);
        for waiting in self.waiting.take() {
            told.failed(waiting.fetch, failure);
        }
        self.close_if_over();
    }

    fn is_over(&self) -> bool {
        self.retired.get() && self.waiting.borrow().is_empty()
    }

    fn close_if_over(&self) {
        if self.is_over()
            && let Some(listener) = self.listener.take()
        {
            listener.abort();
        }
    }

    /// Reads what has come; false when there may be more.
    fn drain(&self, told: &dyn Told) -> io::Result<bool> {
        DATAGRAM.with_borrow_mut(|buffer| {
            for _ in 0..DATAGRAMS_PER_TURN {
                match self.socket.get_ref().recv(buffer) {
                    Ok(length) => self.take(buffer.get(..length).unwrap_or_default(), told),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                    Err(error) => return Err(error),
                }
                // Each datagram that comes wakes again, so what lies here unread can only be a stray.
                if self.waiting.borrow().is_empty() {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    fn take(&self, datagram: &[u8], told: &dyn Told) {
        let mut waiting = self.waiting.borrow_mut();
        let found = waiting.iter_mut().position(|waiting| {
            let how = wire::match_reply(&waiting.query, datagram);
            waiting.case_lost |= how == ReplyMatch::CaseDiffers;
            how == ReplyMatch::Same
        });
        let Some(index) = found else {
            return told.stray();
        };
        let answered = waiting.swap_remove(index);
        drop(waiting);
        let reply = Bytes::copy_from_slice(datagram);
        told.replied(answered.fetch, reply, answered.sent.elapsed());
    }
}

async fn listen(port: Rc<Port>, told: Rc<dyn Told>) {
    while !port.is_over() {
        let ready = port.socket.ready(Interest::READABLE | Interest::ERROR);
        let Ok(mut guard) = ready.await else {
            return port.fail(FetchFailure::Unreachable, &*told);
        };
        // An ICMP error that the kernel matched to this socket shows as an error alone. It does not say which
        // query it is about, and concerns them all: they go to one address and port.
        if guard.ready().is_error() {
            let pending = port.socket.get_ref().take_error();
            let error = pending.ok().flatten();
            let failure = error.map_or(FetchFailure::Unreachable, |error| failure(&error));
            return port.fail(failure, &*told);
        }
        match port.drain(&*told) {
            Ok(true) => guard.clear_ready(),
            Ok(false) => {
                drop(guard);
                tokio::task::yield_now().await;
            }
            Err(error) => return port.fail(failure(&error), &*told),
        }
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe to call, for descriptors that change hands; this one's owner goes in with it"
)]
fn register(socket: UdpSocket) -> io::Result<AsyncFd<UdpSocket>> {
    AsyncFd::with_interest(socket, Interest::READABLE | Interest::ERROR)
}

fn connect(server: SocketAddr) -> io::Result<UdpSocket> {
    let kind = Type::DGRAM.nonblocking();
    let socket = Socket::new(Domain::for_address(server), kind, Some(Protocol::UDP))?;
    bind_random(&socket, server)?;
    socket.connect(&server.into())?;
    Ok(socket.into())
}

fn bind_random(socket: &Socket, server: SocketAddr) -> io::Result<()> {
    let address = |port| match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
    };
    for _ in 0..PORTS_TRIED {
        match socket.bind(&address(entropy::port()).into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            outcome => return outcome,
        }
    }
    socket.bind(&address(0).into())
}

/// EMFILE and ENFILE: the process or the system has no descriptor left.
pub fn failure(error: &io::Error) -> FetchFailure {
    match error.raw_os_error() {
        Some(23 | 24 | 12 | 105) => FetchFailure::Exhausted,
        _ => FetchFailure::Unreachable,
    }
}
