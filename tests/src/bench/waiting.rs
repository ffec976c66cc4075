//! Streams that wait in Weir's mesh while something else is measured: for names of a zone whose servers are
//! there and never answer.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use h2::client::ResponseFuture;

use super::load::{self, Sender};

/// The zone, which Weir forwards to [`servers`].
pub const ZONE: &str = "held.test";
/// A server that does not answer is given up after some questions: with so many of them none is, within seconds.
const SERVERS: u8 = 16;
const PORT: u16 = 5399;
/// Streams of one connection, which all wait for one name.
const STREAMS: usize = 100;

/// Who never answers.
pub fn servers() -> impl Iterator<Item = SocketAddr> {
    (1..=SERVERS).map(|last| (Ipv4Addr::new(127, 0, 77, last), PORT).into())
}

/// Streams that wait.
pub struct Waiting {
    _silent: Vec<UdpSocket>,
    _senders: Vec<Sender>,
    responses: Vec<ResponseFuture>,
}

impl Waiting {
    /// Opens `count` streams at `address` and lets them come to wait. Must run on a local set.
    ///
    /// # Errors
    /// When an address is taken or a connection fails.
    pub async fn open(address: SocketAddr, count: usize) -> io::Result<Self> {
        let silent = servers().map(UdpSocket::bind).collect::<io::Result<_>>()?;
        let config = load::trusting_client(false);
        let (mut senders, mut responses) = (Vec::new(), Vec::with_capacity(count));
        while responses.len() < count {
            let sender = load::connect(address, config.clone()).await?;
            let name = format!("h{}.{ZONE}", senders.len());
            for _ in 0..STREAMS.min(count - responses.len()) {
                let (response, _) = load::begin(&sender, address, &load::query(&name)).await?;
                responses.push(response);
            }
            senders.push(sender);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok(Self {
            _silent: silent,
            _senders: senders,
            responses,
        })
    }

    /// Makes sure that all of them wait still.
    ///
    /// # Errors
    /// When one was answered or refused.
    pub async fn still(mut self) -> io::Result<()> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut context = Context::from_waker(Waker::noop());
        let ready = |response: &mut ResponseFuture| {
            matches!(Pin::new(response).poll(&mut context), Poll::Ready(_))
        };
        let ended = self.responses.iter_mut().map(ready).filter(|ready| *ready);
        match ended.count() {
            0 => Ok(()),
            ended => Err(io::Error::other(format!("{ended} streams did not wait"))),
        }
    }
}
