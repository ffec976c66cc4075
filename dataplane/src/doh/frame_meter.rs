//! `FrameMeter`: sits between TLS and `h2`, reads the nine bytes that open each HTTP/2 frame in
//! both directions (RFC 9113, 4.1), and tells the connection what `h2` does not: which streams the
//! peer reset, which limit it broke, when it last spoke and since when it does not read.
//!
//! It never changes, drops or copies a byte, and it allocates only for hints.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame_limits::{FrameBudget, FrameLimit};
use crate::turn::again_after_others;

/// RFC 9113, 3.4: the client's connection preface.
const PREFACE_LENGTH: u32 = 24;
const HEADER_LENGTH: usize = 9;
/// Frames that one turn of a connection may read before it yields to the others of its thread.
const TURN_FRAMES: u32 = 128;
/// Bytes that one turn may read.
const TURN_BYTES: usize = 64 * 1024;
/// Hints kept between two turns; beyond it the connection looks at all its streams.
const HINTS_MAX: usize = 256;
const END_HEADERS: u8 = 0x4;
const REFUSED_STREAM: u32 = 0x7;

/// One opened frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct FrameHead {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// Finds the frames in a byte stream that arrives in arbitrary pieces.
struct FrameParser {
    /// Bytes of preface or payload that are still to be passed over.
    skip: u32,
    head: [u8; HEADER_LENGTH],
    filled: usize,
}

impl FrameParser {
    fn new(skip: u32) -> Self {
        Self {
            skip,
            head: [0; HEADER_LENGTH],
            filled: 0,
        }
    }

    /// Calls `each` with every frame whose head ends in `bytes`, and with the part of its payload
    /// that is at hand.
    fn parse(&mut self, mut bytes: &[u8], mut each: impl FnMut(FrameHead, &[u8])) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let passed = usize::try_from(self.skip)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                bytes = bytes.get(passed..).unwrap_or_default();
                self.skip -= u32::try_from(passed).unwrap_or(self.skip);
                continue;
            }
            let wanted = HEADER_LENGTH - self.filled;
            let taken = wanted.min(bytes.len());
            let (now, rest) = bytes.split_at(taken);
            if let Some(target) = self.head.get_mut(self.filled..self.filled + taken) {
                target.copy_from_slice(now);
            }
            self.filled += taken;
            bytes = rest;
            if self.filled == HEADER_LENGTH {
                self.filled = 0;
                let [a, b, c, kind, flags, s0, s1, s2, s3] = self.head;
                let head = FrameHead {
                    length: u32::from_be_bytes([0, a, b, c]),
                    kind,
                    flags,
                    stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
                };
                self.skip = head.length;
                let payload = bytes
                    .len()
                    .min(usize::try_from(head.length).unwrap_or(usize::MAX));
                each(head, bytes.get(..payload).unwrap_or_default());
            }
        }
    }
}

/// What one turn of a connection has read.
#[derive(Default)]
struct Turn {
    /// Whether the connection takes turns yet: it does not while the preface is awaited.
    begun: bool,
    frames: u32,
    bytes: usize,
    /// Nothing more is there. What comes meanwhile is not seen before the next turn, because the runtime looks
    /// at sockets between turns only, and it wakes the task that asked once.
    drained: bool,
}

/// What a meter has seen; shared by the meter inside `h2` and by the connection's task.
pub struct Meter {
    inbound: FrameParser,
    outbound: FrameParser,
    budget: FrameBudget,
    breach: Option<FrameLimit>,
    hints: Vec<u32>,
    hints_overflowed: bool,
    turn: Turn,
    headers_open_since: Option<Instant>,
    write_stalled_since: Option<Instant>,
    last_read: Instant,
    bytes_read: u64,
    bytes_written: u64,
}

/// The streams that the peer said it reset since the last look.
#[derive(Debug, Eq, PartialEq)]
pub enum ResetHints {
    /// Exactly these stream identifiers.
    Streams(Vec<u32>),
    /// More than are kept: look at all.
    All,
}

/// The meter of one connection. Shared within one thread.
pub type SharedMeter = Rc<RefCell<Meter>>;

impl Meter {
    /// A meter for a connection that opens at `now`, whose header lists have up to `header_list` octets.
    #[must_use]
    pub fn new(now: Instant, header_list: u32) -> SharedMeter {
        Rc::new(RefCell::new(Self {
            inbound: FrameParser::new(PREFACE_LENGTH),
            outbound: FrameParser::new(0),
            budget: FrameBudget::new(now, header_list),
            breach: None,
            hints: Vec::new(),
            hints_overflowed: false,
            turn: Turn::default(),
            headers_open_since: None,
            write_stalled_since: None,
            last_read: now,
            bytes_read: 0,
            bytes_written: 0,
        }))
    }

    /// Counts a request whose head was in order; `target` is the length of its path and query.
    pub fn request_in_order(&mut self, target: usize) {
        let target = u32::try_from(target).unwrap_or(u32::MAX);
        self.budget.request_in_order(target);
    }

    /// Grants a new turn's worth of reading.
    pub fn start_turn(&mut self) {
        self.turn = Turn {
            begun: true,
            ..Turn::default()
        };
    }

    /// The limit that the peer broke, if any. From then on nothing more is read.
    #[must_use]
    pub fn breach(&self) -> Option<FrameLimit> {
        self.breach
    }

    /// Takes what is known of resets; `None` when nothing was reset.
    pub fn take_hints(&mut self) -> Option<ResetHints> {
        if std::mem::take(&mut self.hints_overflowed) {
            self.hints.clear();
            return Some(ResetHints::All);
        }
        if self.hints.is_empty() {
            return None;
        }
        Some(ResetHints::Streams(std::mem::take(&mut self.hints)))
    }

    /// Puts back a hint whose frame `h2` has not read yet.
    pub fn put_back(&mut self, stream: u32) {
        self.hint(stream);
    }

    /// When the peer last sent a byte.
    #[must_use]
    pub fn last_read(&self) -> Instant {
        self.last_read
    }

    /// Bytes read and written above TLS.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes_read, self.bytes_written)
    }

    /// Marks a breach of one of the two clocks: an unfinished header block older than
    /// `headers_timeout`, or bytes that wait longer than `write_timeout` to leave.
    pub fn check_clocks(
        &mut self,
        now: Instant,
        headers_timeout: Duration,
        write_timeout: Duration,
    ) {
        let older = |since: Option<Instant>, limit: Duration| {
            since.is_some_and(|since| now.saturating_duration_since(since) >= limit)
        };
        if older(self.headers_open_since, headers_timeout) {
            self.breach.get_or_insert(FrameLimit::HeadersTimeout);
        }
        if older(self.write_stalled_since, write_timeout) {
            self.breach.get_or_insert(FrameLimit::WriteStall);
        }
    }

    /// Whether something waits for a clock, so that the connection must look again soon.
    #[must_use]
    pub fn has_open_clock(&self) -> bool {
        self.headers_open_since.is_some() || self.write_stalled_since.is_some()
    }

    fn hint(&mut self, stream: u32) {
        if self.hints.len() < HINTS_MAX {
            self.hints.push(stream);
        } else {
            self.hints_overflowed = true;
        }
    }

    fn received(&mut self, bytes: &[u8], now: Instant) {
        self.last_read = now;
        self.bytes_read += bytes.len() as u64;
        self.turn.bytes += bytes.len();
        let mut parser = std::mem::replace(&mut self.inbound, FrameParser::new(0));
        parser.parse(bytes, |head, _| self.received_frame(head, now));
        self.inbound = parser;
    }

    fn received_frame(&mut self, head: FrameHead, now: Instant) {
        self.turn.frames += 1;
        let (limit, granted) = match head.kind {
            0x0 => return,
            0x1 => {
                self.budget.request();
                self.header_block(head, now);
                return;
            }
            0x3 => {
                self.hint(head.stream);
                (FrameLimit::ResetReceived, self.budget.reset_received(now))
            }
            0x9 => {
                self.header_block(head, now);
                let limit = FrameLimit::Continuation;
                (limit, self.budget.take(limit, now))
            }
            kind => {
                let limit = match kind {
                    0x2 | 0x10 => FrameLimit::Priority,
                    0x4 => FrameLimit::Settings,
                    0x6 => FrameLimit::Ping,
                    0x8 => FrameLimit::WindowUpdate,
                    _ => FrameLimit::Unknown,
                };
                (limit, self.budget.take(limit, now))
            }
        };
        if !granted {
            self.breach.get_or_insert(limit);
        }
    }

    fn header_block(&mut self, head: FrameHead, now: Instant) {
        if !self.budget.header_block(head.length, now) {
            self.breach.get_or_insert(FrameLimit::HeaderBlocks);
        }
        if head.flags & END_HEADERS == 0 {
            self.headers_open_since.get_or_insert(now);
        } else {
            self.headers_open_since = None;
        }
    }

    fn sent(&mut self, bytes: &[u8]) {
        self.write_stalled_since = None;
        self.bytes_written += bytes.len() as u64;
        let mut parser = std::mem::replace(&mut self.outbound, FrameParser::new(0));
        parser.parse(bytes, |head, payload| match head.kind {
            0x0 => self.budget.credit(FrameLimit::WindowUpdate, 2),
            0x3 => {
                let refused = payload.first_chunk().map(|code| u32::from_be_bytes(*code))
                    == Some(REFUSED_STREAM);
                let limit = if refused {
                    FrameLimit::Refused
                } else {
                    FrameLimit::ResetSent
                };
                if !self.budget.take(limit, Instant::now()) {
                    self.breach.get_or_insert(limit);
                }
            }
            _ => {}
        });
        self.outbound = parser;
    }
}

/// The byte stream under `h2`, metered.
pub struct FrameMeter<S> {
    io: S,
    meter: SharedMeter,
    /// Whether something was written that may not have left.
    unflushed: bool,
}

impl<S> FrameMeter<S> {
    /// Meters `io` into `meter`.
    pub fn new(io: S, meter: SharedMeter) -> Self {
        Self {
            io,
            meter,
            unflushed: true,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FrameMeter<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        {
            let meter = this.meter.borrow();
            if meter.breach.is_some() {
                // The connection's task is the one that polls this; it looks at the breach when
                // `h2` returns to it, and nothing more is to be read.
                return Poll::Pending;
            }
            if meter.turn.frames >= TURN_FRAMES || meter.turn.bytes >= TURN_BYTES {
                // TLS may hold more bytes that no socket event will announce.
                again_after_others(context);
                return Poll::Pending;
            }
            // `h2` asks again for each request that it hands over.
            if meter.turn.drained {
                return Poll::Pending;
            }
        }
        let before = buffer.filled().len();
        let Poll::Ready(read) = Pin::new(&mut this.io).poll_read(context, buffer) else {
            let mut meter = this.meter.borrow_mut();
            meter.turn.drained = meter.turn.begun;
            return Poll::Pending;
        };
        read?;
        if let Some(fresh) = buffer
            .filled()
            .get(before..)
            .filter(|fresh| !fresh.is_empty())
        {
            this.meter.borrow_mut().received(fresh, Instant::now());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FrameMeter<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.io).poll_write(context, bytes) {
            Poll::Pending => {
                this.meter
                    .borrow_mut()
                    .write_stalled_since
                    .get_or_insert_with(Instant::now);
                Poll::Pending
            }
            Poll::Ready(Ok(written)) => {
                this.unflushed = true;
                this.meter
                    .borrow_mut()
                    .sent(bytes.get(..written).unwrap_or_default());
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }

    // Not vectored: `h2` then copies small DATA frames behind their heads into one buffer, so that
    // the answers of one turn leave as one TLS record instead of one each.
    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // `h2` flushes for each request that it hands over.
        if !this.unflushed {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut this.io).poll_flush(context);
        this.unflushed = !matches!(flushed, Poll::Ready(Ok(())));
        let mut meter = this.meter.borrow_mut();
        if flushed.is_pending() {
            meter.write_stalled_since.get_or_insert_with(Instant::now);
        } else {
            meter.write_stalled_since = None;
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}

#[cfg(test)]
#[path = "frame_meter_tests.rs"]
mod tests;
