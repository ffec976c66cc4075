//! One exchange over UDP: a socket of its own on a fresh random port (RFC 5452, 9.2), connected so
//! that the kernel passes on only what comes from the server asked. Whatever does not match the
//! query is passed over and counted.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use weir_resolver::fetch::FetchFailure;
use weir_resolver::wire::{self, ReplyMatch};

use crate::entropy;

/// Larger than any datagram that a server sends for the payload size we offer.
const DATAGRAM_MAX: usize = 65_535;
/// Ports tried before the kernel chooses.
const PORTS_TRIED: usize = 4;

thread_local! {
    static DATAGRAM: RefCell<Box<[u8]>> = RefCell::new(vec![0; DATAGRAM_MAX].into_boxed_slice());
}

/// Sends `query` to `server` and waits for its reply; calls `stray` for each datagram that is not.
///
/// # Errors
/// No reply in time, no way to the server, or no socket left.
pub async fn exchange(
    server: SocketAddr,
    query: &[u8],
    timeout: Duration,
    stray: impl Fn(),
) -> Result<Bytes, FetchFailure> {
    let socket = open(server).map_err(|error| failure(&error))?;
    socket.send(query).await.map_err(|error| failure(&error))?;
    let case_lost = Cell::new(false);
    let reply = receive(&socket, query, |how| {
        case_lost.set(case_lost.get() || how == ReplyMatch::CaseDiffers);
        stray();
    });
    match tokio::time::timeout(timeout, reply).await {
        Ok(outcome) => outcome.map_err(|error| failure(&error)),
        Err(_) if case_lost.get() => Err(FetchFailure::CaseLost),
        Err(_) => Err(FetchFailure::Timeout),
    }
}

async fn receive(
    socket: &UdpSocket,
    query: &[u8],
    stray: impl Fn(ReplyMatch),
) -> io::Result<Bytes> {
    loop {
        // An ICMP error that the kernel matched to this socket shows as an error alone.
        if socket
            .ready(Interest::READABLE | Interest::ERROR)
            .await?
            .is_error()
        {
            let pending = socket.take_error()?;
            return Err(pending.unwrap_or_else(|| io::ErrorKind::ConnectionRefused.into()));
        }
        let received = DATAGRAM.with_borrow_mut(|buffer| {
            socket.try_recv(buffer).map(|length| {
                let datagram = buffer.get(..length).unwrap_or_default();
                match wire::match_reply(query, datagram) {
                    ReplyMatch::Same => Ok(Bytes::copy_from_slice(datagram)),
                    other => Err(other),
                }
            })
        });
        match received {
            Ok(Ok(reply)) => return Ok(reply),
            Ok(Err(how)) => stray(how),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn open(server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(server),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    bind_random(&socket, server)?;
    socket.connect(&server.into())?;
    UdpSocket::from_std(socket.into())
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

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x00\x00\x00\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";

    fn reply() -> Vec<u8> {
        let mut reply = QUERY.to_vec();
        reply[2] |= 0x80;
        reply
    }

    #[tokio::test]
    async fn strays_do_not_end_an_exchange() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let strays = Cell::new(0);
        let serve = async {
            let mut buffer = [0; 512];
            let (length, client) = server.recv_from(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], QUERY);
            for stray in [&b"x"[..], QUERY, &reply()[..12]] {
                server.send_to(stray, client).await.unwrap();
            }
            let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            other.send_to(&reply(), client).await.unwrap();
            server.send_to(&reply(), client).await.unwrap();
        };
        let ask = exchange(address, QUERY, Duration::from_secs(5), || {
            strays.set(strays.get() + 1)
        });
        let (outcome, ()) = tokio::join!(ask, serve);
        assert_eq!(outcome.unwrap(), reply());
        assert_eq!(strays.get(), 3);
    }

    #[tokio::test]
    async fn silence_is_a_timeout_and_a_closed_port_is_not() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let outcome = exchange(address, QUERY, Duration::from_millis(20), || ()).await;
        assert_eq!(outcome, Err(FetchFailure::Timeout));
        drop(server);
        let outcome = exchange(address, QUERY, Duration::from_secs(5), || ()).await;
        assert_eq!(outcome, Err(FetchFailure::Unreachable));
    }
}
