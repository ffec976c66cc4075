//! One connection of a storm, frame by frame (RFC 9113): opens streams, resets some, checks every answer against
//! its own question, and keeps the count of how each stream ended. Follows the protocol, but not its manners.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::raw_h2::{END_HEADERS, END_STREAM, frame, frame_type, query_headers};
use crate::simulate::seed::Draw;
use crate::storm::plan::{self, Manner, Plan, Reset};
use crate::storm::tally::Tally;

/// Streams open at once.
const WINDOW: usize = 100;
/// How often a connection looks at what is due.
const TICK: Duration = Duration::from_millis(10);
/// How long windows stay shut on a connection that opens them late.
const SHUT: Duration = Duration::from_millis(400);
/// A mesh answers within 10 s; the rest is for a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// Where no window opens, the server keeps an answer for another 10 s.
const GIVE_UP_MAX: Duration = Duration::from_secs(26);
/// `:status: 200` in the static table (RFC 7541, A).
const STATUS_200: u8 = 0x88;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ACK: u8 = 1;

struct Open {
    query: Vec<u8>,
    ok: bool,
    body: Vec<u8>,
    since: Instant,
}

/// Where connections go.
#[derive(Clone, Debug)]
pub struct Target {
    /// The server.
    pub address: SocketAddr,
    /// The address that is connected from: each is a client of its own.
    pub source: Ipv4Addr,
    /// The clients' TLS.
    pub tls: Arc<rustls::ClientConfig>,
}

/// One connection.
pub struct Connection<'a> {
    io: TlsStream<TcpStream>,
    plan: Plan,
    draw: &'a mut Draw,
    fresh: &'a mut u64,
    tally: Tally,
    out: Vec<u8>,
    written: usize,
    unflushed: bool,
    received: Vec<u8>,
    open: HashMap<u32, Open>,
    given_up: HashSet<u32>,
    resets: Vec<(Instant, u32)>,
    next: u32,
    last_name: String,
    to_release: u32,
    shut_until: Option<Instant>,
    pauses_until: Option<Instant>,
    going_away: bool,
    tick: Pin<Box<Sleep>>,
}

/// Opens a connection, carries the plan out, and tells how its streams ended.
pub async fn carry_out(target: &Target, plan: Plan, draw: &mut Draw, fresh: &mut u64) -> Tally {
    let Ok(io) = connect(target).await else {
        return Tally {
            connections_failed: 1,
            ..Tally::default()
        };
    };
    let mut connection = Connection::new(io, plan, draw, fresh);
    let ended = connection.run().await;
    let mut tally = connection.tally;
    let left = connection.open.len() as u64;
    match ended {
        Ended::Done => {}
        Ended::Aborted => {
            tally.connections_aborted += 1;
            tally.aborted += left;
            // Without a word: the kernel sends a reset instead of an end.
            let (socket, _) = connection.io.get_ref();
            let _ = socket.set_zero_linger();
        }
        Ended::Stuck => tally.stuck += left,
        Ended::Lost => {
            tally.connections_lost += 1;
            tally.lost += left;
        }
    }
    tally
}

async fn connect(target: &Target) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((target.source, 0).into())?;
    let socket = socket.connect(target.address).await?;
    socket.set_nodelay(true)?;
    let name = rustls_pki_types::ServerName::IpAddress(target.address.ip().into());
    TlsConnector::from(Arc::clone(&target.tls))
        .connect(name, socket)
        .await
}

enum Ended {
    Done,
    Aborted,
    Stuck,
    Lost,
}

impl<'a> Connection<'a> {
    fn new(io: TlsStream<TcpStream>, plan: Plan, draw: &'a mut Draw, fresh: &'a mut u64) -> Self {
        let window: u32 = match plan.manner {
            Manner::OpensLate | Manner::NeverOpens => 0,
            Manner::Plain | Manner::Pauses => 65_535,
        };
        let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        out.extend(frame(frame_type::SETTINGS, 0, 0, &window_setting(window)));
        Self {
            io,
            plan,
            draw,
            fresh,
            tally: Tally {
                connections: 1,
                ..Tally::default()
            },
            out,
            written: 0,
            unflushed: true,
            received: Vec::new(),
            open: HashMap::new(),
            given_up: HashSet::new(),
            resets: Vec::new(),
            next: 1,
            last_name: String::new(),
            to_release: 0,
            shut_until: (plan.manner == Manner::OpensLate).then(|| Instant::now() + SHUT),
            pauses_until: None,
            going_away: false,
            tick: Box::pin(tokio::time::sleep(TICK)),
        }
    }

    async fn run(&mut self) -> Ended {
        let mut chunk = vec![0; 16_384];
        loop {
            let now = Instant::now();
            self.ask(now);
            self.do_what_is_due(now);
            if self
                .plan
                .aborts_after
                .is_some_and(|after| self.tally.opened >= after)
            {
                // What was asked leaves with the abort, or not at all.
                let _ = self.turn(&mut chunk).await;
                return Ended::Aborted;
            }
            let asked_all = self.tally.opened >= self.plan.streams || self.going_away;
            if asked_all && self.open.is_empty() {
                self.say_goodbye(&mut chunk).await;
                return Ended::Done;
            }
            if self.is_stuck(now) {
                return Ended::Stuck;
            }
            match self.turn(&mut chunk).await {
                Ok(None) => {}
                Ok(Some(0)) | Err(_) => return Ended::Lost,
                Ok(Some(length)) => {
                    self.received
                        .extend_from_slice(chunk.get(..length).unwrap_or_default());
                    self.take_frames();
                }
            }
        }
    }

    /// Opens as many streams as there is room for.
    fn ask(&mut self, now: Instant) {
        while self.open.len() < WINDOW
            && self.tally.opened < self.plan.streams
            && !self.going_away
            && self.out.len() < 32_768
        {
            let name = if !self.last_name.is_empty() && self.draw.chance(30) {
                self.tally.pairs += 1;
                self.last_name.clone()
            } else {
                plan::draw_name(self.draw, self.fresh)
            };
            let spelt = plan::spell(self.draw, &name);
            self.last_name = name;
            let query = plan::query(self.draw.next() as u16, &spelt);
            let number = self.next;
            self.next += 2;
            let flags = END_STREAM | END_HEADERS;
            let head = query_headers(&query);
            self.out
                .extend(frame(frame_type::HEADERS, flags, number, &head));
            self.tally.opened += 1;
            self.tally.windowless += u64::from(self.plan.manner != Manner::Plain);
            self.open.insert(
                number,
                Open {
                    query,
                    ok: false,
                    body: Vec::new(),
                    since: now,
                },
            );
            match plan::draw_reset(self.draw) {
                Reset::Never => {}
                Reset::AtOnce => self.reset(number),
                Reset::After(delay) => self
                    .resets
                    .push((now + Duration::from_millis(delay), number)),
            }
        }
    }

    fn reset(&mut self, number: u32) {
        let code = CANCEL.to_be_bytes();
        self.out
            .extend(frame(frame_type::RST_STREAM, 0, number, &code));
        self.tally.resets_sent += 1;
        self.given_up.insert(number);
        if self.open.remove(&number).is_some() {
            self.tally.reset += 1;
        }
    }

    fn do_what_is_due(&mut self, now: Instant) {
        let mut at = 0;
        while let Some(&(due, number)) = self.resets.get(at) {
            if due <= now {
                self.resets.swap_remove(at);
                self.reset(number);
            } else {
                at += 1;
            }
        }
        if self.shut_until.is_some_and(|until| until <= now) {
            self.shut_until = None;
            let payload = window_setting(65_535);
            self.out.extend(frame(frame_type::SETTINGS, 0, 0, &payload));
        }
        if self.plan.manner == Manner::Pauses && self.draw.chance(2) {
            let pause = Duration::from_millis(self.draw.below(300));
            self.pauses_until = Some(now + pause);
        }
        if self.to_release > 16_384 {
            let payload = self.to_release.to_be_bytes();
            self.out
                .extend(frame(frame_type::WINDOW_UPDATE, 0, 0, &payload));
            self.to_release = 0;
        }
    }

    fn is_stuck(&self, now: Instant) -> bool {
        let limit = match self.plan.manner {
            Manner::NeverOpens => GIVE_UP_MAX,
            _ => ANSWER_MAX,
        };
        self.open
            .values()
            .any(|open| now.duration_since(open.since) > limit)
    }

    /// Writes what there is, and reads once; `None` when only time has passed.
    async fn turn(&mut self, chunk: &mut [u8]) -> io::Result<Option<usize>> {
        std::future::poll_fn(|context| self.poll_turn(context, chunk)).await
    }

    fn poll_turn(
        &mut self,
        context: &mut Context<'_>,
        chunk: &mut [u8],
    ) -> Poll<io::Result<Option<usize>>> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.io).poll_write(context, rest) {
                Poll::Ready(Ok(length)) => {
                    self.written += length;
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
        if self.unflushed && Pin::new(&mut self.io).poll_flush(context)?.is_ready() {
            self.unflushed = false;
        }
        if self
            .pauses_until
            .is_none_or(|until| until <= Instant::now())
        {
            let mut buffer = ReadBuf::new(chunk);
            if Pin::new(&mut self.io)
                .poll_read(context, &mut buffer)?
                .is_ready()
            {
                return Poll::Ready(Ok(Some(buffer.filled().len())));
            }
        }
        if self.tick.as_mut().poll(context).is_ready() {
            self.tick.as_mut().reset(tokio::time::Instant::now() + TICK);
            return Poll::Ready(Ok(None));
        }
        Poll::Pending
    }

    /// Ends a connection as a client should: GOAWAY, then the end of TLS.
    async fn say_goodbye(&mut self, chunk: &mut [u8]) {
        self.out.extend(frame(frame_type::GOAWAY, 0, 0, &[0; 8]));
        let _ = self.turn(chunk).await;
        let shutdown = tokio::io::AsyncWriteExt::shutdown(&mut self.io);
        let _ = tokio::time::timeout(Duration::from_secs(1), shutdown).await;
    }

    fn take_frames(&mut self) {
        let received = std::mem::take(&mut self.received);
        let mut rest = received.as_slice();
        while let Some((head, after)) = rest.split_first_chunk::<9>() {
            let [a, b, c, kind, flags, stream @ ..] = *head;
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            let Some((payload, after)) = after.split_at_checked(length) else {
                break;
            };
            rest = after;
            let number = u32::from_be_bytes(stream) & 0x7fff_ffff;
            self.take_frame(kind, flags, number, payload);
        }
        self.received = rest.to_vec();
    }

    fn take_frame(&mut self, kind: u8, flags: u8, number: u32, payload: &[u8]) {
        match kind {
            frame_type::SETTINGS if flags & ACK == 0 => {
                self.out.extend(frame(frame_type::SETTINGS, ACK, 0, &[]));
            }
            frame_type::PING if flags & ACK == 0 => {
                self.out.extend(frame(frame_type::PING, ACK, 0, payload));
            }
            frame_type::GOAWAY => {
                self.going_away = true;
                let last = first_number(payload) & 0x7fff_ffff;
                let before = self.open.len();
                self.open.retain(|number, _| *number <= last);
                self.tally.lost += (before - self.open.len()) as u64;
            }
            frame_type::RST_STREAM => {
                if self.open.remove(&number).is_some() {
                    self.tally.reset_by_server += 1;
                    let refused = first_number(payload) == REFUSED_STREAM;
                    self.tally.not_taken += u64::from(refused);
                } else if !self.given_up.contains(&number) {
                    self.tally.surplus += 1;
                }
            }
            frame_type::HEADERS | frame_type::DATA => {
                self.take_answer(kind, flags, number, payload)
            }
            _ => {}
        }
    }

    fn take_answer(&mut self, kind: u8, flags: u8, number: u32, payload: &[u8]) {
        if kind == frame_type::DATA {
            self.to_release += payload.len() as u32;
        }
        let Some(open) = self.open.get_mut(&number) else {
            // An answer may cross the reset of its stream; nothing else may come.
            self.tally.surplus += u64::from(!self.given_up.contains(&number));
            return;
        };
        if kind == frame_type::HEADERS {
            open.ok = payload.first() == Some(&STATUS_200);
        } else {
            open.body.extend_from_slice(payload);
        }
        if flags & END_STREAM == 0 {
            return;
        }
        let Some(Open {
            query, ok, body, ..
        }) = self.open.remove(&number)
        else {
            return;
        };
        if !ok {
            self.tally.refused += 1;
            return;
        }
        self.tally.answered += 1;
        let rcode = body.get(3).map(|octet| octet & 15);
        self.tally.failed += u64::from(rcode != Some(0));
        // Identifier and question as they were asked, to the letter.
        let same = body.get(..2) == query.get(..2) && body.get(12..query.len()) == query.get(12..);
        self.tally.crossed += u64::from(!same);
    }
}

fn first_number(payload: &[u8]) -> u32 {
    payload
        .first_chunk::<4>()
        .map_or(0, |octets| u32::from_be_bytes(*octets))
}

/// SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113, 6.5.2).
fn window_setting(size: u32) -> Vec<u8> {
    let mut payload = 4u16.to_be_bytes().to_vec();
    payload.extend_from_slice(&size.to_be_bytes());
    payload
}
