//! A duplex in memory whose every read and write goes as a seed wants: in pieces, later, or not at all.
//!
//! Owns the octets on their way in both directions. Never looks into them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::simulate::seed::Draw;

/// How the server's end fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// It does not.
    Whole,
    /// The client has closed its side.
    Closed,
    /// Reads and writes fail.
    Reset,
    /// The next read panics, as a defect in the connection would.
    Panic,
}

/// What both ends share.
#[derive(Debug)]
pub struct Wire {
    /// Octets on their way to the server.
    pub inbound: VecDeque<u8>,
    /// Octets that the server wrote.
    pub outbound: Vec<u8>,
    /// How many octets more the server may write before it stalls.
    pub room: usize,
    /// How it fails.
    pub broken: Break,
    draw: Draw,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The server's end.
#[derive(Clone, Debug)]
pub struct ServerEnd(pub Rc<RefCell<Wire>>);

impl Wire {
    /// A duplex that goes as this seed wants.
    #[must_use]
    pub fn new(draw: Draw) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            inbound: VecDeque::new(),
            outbound: Vec::new(),
            room: 64,
            broken: Break::Whole,
            draw,
            reader: None,
            writer: None,
        }))
    }

    /// Wakes whoever waits for octets or for room.
    pub fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }
}

impl AsyncRead for ServerEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.borrow_mut();
        match wire.broken {
            Break::Reset => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Break::Panic => {
                wire.broken = Break::Reset;
                std::panic::resume_unwind(Box::new("the simulated panic of a connection"));
            }
            Break::Whole | Break::Closed => {}
        }
        if wire.inbound.is_empty() && wire.broken == Break::Closed {
            return Poll::Ready(Ok(()));
        }
        if wire.inbound.is_empty() || wire.draw.chance(25) {
            wire.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let most = if wire.draw.chance(50) { 9 } else { 4096 };
        let wanted = wire.draw.between(1, most) as usize;
        let length = wanted.min(wire.inbound.len()).min(buffer.remaining());
        for octet in wire.inbound.drain(..length) {
            buffer.put_slice(&[octet]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ServerEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wire = &mut *self.0.borrow_mut();
        if wire.broken == Break::Reset {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if wire.room == 0 || wire.draw.chance(20) {
            wire.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let length = octets
            .len()
            .min(wire.room)
            .min(wire.draw.between(1, 600) as usize);
        wire.outbound
            .extend_from_slice(octets.get(..length).unwrap_or_default());
        wire.room -= length;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
