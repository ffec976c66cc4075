//! One HTTP/2 connection: one task, its streams in one map. Works in turns, because answering each
//! request as it arrives enters the kernel once for each: a turn collects everything that arrived,
//! then answers all of it, and `h2` writes that as a few TLS records in a turn of its own, behind the turns of
//! other connections: written back to back, the answers of many wake a waiting client once.
//!
//! Every stream that `h2` hands over ends with exactly one disposition, and the end of the
//! connection is told exactly once, whatever ends it.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;

use super::books::{Books, Peer};
use super::frame_limits::FrameLimit;
use super::frame_meter::{FrameMeter, Meter, ResetHints, SharedMeter};
use super::pace::PACE;
use super::request::{self, Accepted, HttpFault, QueryPlace};
use super::stream::Message;
use super::streams::Streams;
use crate::context::WorkerContext;
use crate::edge::{self, Edge};
use crate::mailbox::{Completion, Ending};
use crate::turn::again_after_others;

/// Requests collected before they are answered; the rest waits for the next pass.
const COLLECTED_MAX: usize = 256;

/// One connection.
pub struct Connection<S> {
    h2: h2::server::Connection<FrameMeter<S>, Bytes>,
    meter: SharedMeter,
    worker: Rc<WorkerContext>,
    live: Arc<ArcSwap<Edge>>,
    edge: Arc<Edge>,
    streams: Streams,
    completions: Vec<Completion>,
    sleep: Pin<Box<Sleep>>,
    /// When a stream last opened, or a client last had one open.
    active: Instant,
    /// When it is asked to end because it is old.
    ages: Instant,
    ending: Ending,
    /// When it is dropped, once it is ending.
    ends: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Takes the client's preface and begins to serve; `None` when it did not come in time.
    pub async fn open(
        io: S,
        peer: Peer,
        worker: Rc<WorkerContext>,
        live: Arc<ArcSwap<Edge>>,
    ) -> Option<Self> {
        let now = Instant::now();
        let edge = live.load_full();
        let meter = Meter::new(now, edge.header_list());
        let handshake = edge.h2().handshake(FrameMeter::new(io, Rc::clone(&meter)));
        let h2 = tokio::time::timeout(edge::PREFACE_TIMEOUT, handshake)
            .await
            .ok()?
            .ok()?;
        let books = Books::open(peer, Rc::clone(&worker));
        // Connections opened together must not be asked to end together.
        let spread = 900 + u32::try_from(books.connection.0 * 7919 % 201).unwrap_or_default();
        let ages = now + edge.http2.max_connection_age * spread / 1000;
        let sleep = Box::pin(tokio::time::sleep(edge.http2.idle_timeout));
        Some(Self {
            h2,
            meter,
            streams: Streams::new(books, Rc::clone(&worker), Arc::clone(&edge)),
            worker,
            live,
            edge,
            completions: Vec::new(),
            sleep,
            active: now,
            ages,
            ending: Ending::None,
            ends: None,
        })
    }

    /// Serves until the connection ends.
    pub async fn serve(mut self) {
        std::future::poll_fn(|context| self.turn(context)).await;
    }

    /// One turn: everything that can be done now.
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        self.worker.turn.set(self.worker.clock.now_at(now));
        self.meter.borrow_mut().start_turn();
        self.follow_settings();
        self.obey(now);
        let open = self.collect(context, now);
        self.streams.read_bodies(context);
        self.look_for_resets(context);
        self.streams.send_on(context);
        self.take_completions(context, now);
        if !open {
            return Poll::Ready(());
        }
        if self.streams.ready() > 0 {
            self.streams.answer(Instant::now());
            // Written in a turn of its own, behind the turns of the other connections.
            context.waker().wake_by_ref();
        }
        self.watch(context, now)
    }

    fn follow_settings(&mut self) {
        let live = self.live.load();
        if !Arc::ptr_eq(&live, &self.edge) {
            self.edge = Arc::clone(&live);
            self.streams.replace_edge(Arc::clone(&self.edge));
        }
    }

    /// Takes requests from `h2` until there is none left; whether the connection goes on.
    fn collect(&mut self, context: &mut Context<'_>, now: Instant) -> bool {
        loop {
            if self.streams.ready() >= COLLECTED_MAX {
                again_after_others(context);
                break;
            }
            match self.h2.poll_accept(context) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.active = now;
                    self.accept(request, respond, now);
                }
                Poll::Ready(Some(Err(_)) | None) => return false,
            }
        }
        let breach = self.meter.borrow().breach();
        match breach.filter(|_| self.ending < Ending::Abrupt) {
            Some(limit) => self.calm(limit, now, context),
            None => true,
        }
    }

    /// Takes one request: most are answered or asked at once.
    fn accept(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>, now: Instant) {
        let (parts, body) = request.into_parts();
        let number = respond.stream_id().as_u32();
        let mut asked = self.streams.books().admit(&self.edge, number, &parts, now);
        if !self.edge.serves(parts.uri.host()) {
            return self.streams.refuse(respond, asked, HttpFault::Authority);
        }
        let mut buffer = self.worker.take_query_buffer();
        let (method, uri, headers) = (&parts.method, &parts.uri, &parts.headers);
        match request::read(method, uri, headers, &self.edge.paths, &mut buffer) {
            Err(fault) if body.is_end_stream() || fault == HttpFault::BodyLength => {
                self.streams.refuse(respond, asked, fault);
            }
            Err(fault) => {
                self.streams
                    .receive(respond, body, asked, Message::Empty, Some(fault));
            }
            Ok(Accepted {
                endpoint,
                head_only,
                query,
            }) => {
                asked.endpoint = endpoint;
                asked.head_only = head_only;
                let target = uri.path_and_query().map_or(0, |it| it.as_str().len());
                self.meter.borrow_mut().request_in_order(target);
                match query {
                    QueryPlace::Parameter(message) if body.is_end_stream() => {
                        self.streams.ask(respond, asked, message);
                    }
                    QueryPlace::Parameter(message) => {
                        let message = Message::Whole(Bytes::copy_from_slice(message));
                        self.streams.receive(respond, body, asked, message, None);
                    }
                    QueryPlace::Body => {
                        self.streams
                            .receive(respond, body, asked, Message::Empty, None);
                    }
                }
            }
        }
        self.worker.query_buffer.set(Some(buffer));
    }

    /// Ends a connection that broke a limit (RFC 9113, 10.5); whether there is any use in saying
    /// so.
    fn calm(&mut self, limit: FrameLimit, now: Instant, context: &Context<'_>) -> bool {
        self.worker.metrics.frame_limits.count(limit as usize);
        let peer = self.streams.books().peer.address;
        tracing::debug!(%peer, limit = limit.label(), "connection broke a limit");
        self.end(
            Ending::Abrupt,
            Reason::ENHANCE_YOUR_CALM,
            now + edge::ABRUPT_GRACE,
        );
        context.waker().wake_by_ref();
        limit != FrameLimit::WriteStall
    }

    /// Does what the worker asked for.
    fn obey(&mut self, now: Instant) {
        match self.streams.books().outbox.ending() {
            Ending::None => {}
            Ending::Graceful => self.end(Ending::Graceful, Reason::NO_ERROR, now + edge::GRACE),
            Ending::Abrupt => self.end(Ending::Abrupt, Reason::NO_ERROR, now + edge::ABRUPT_GRACE),
        }
    }

    /// Begins to end, unless it is ending as firmly already.
    fn end(&mut self, ending: Ending, reason: Reason, by: Instant) {
        if ending <= self.ending {
            return;
        }
        self.ending = ending;
        self.ends = Some(by);
        if ending == Ending::Graceful {
            self.h2.graceful_shutdown();
        } else {
            self.h2.abrupt_shutdown(reason);
        }
    }

    fn look_for_resets(&mut self, context: &mut Context<'_>) {
        let hints = self.meter.borrow_mut().take_hints();
        match hints {
            None => {}
            Some(ResetHints::All) => self.streams.look_for_resets(context),
            Some(ResetHints::Streams(hinted)) => {
                for number in hinted {
                    // The head of the frame has passed, the rest of it may still be on its way.
                    if !self.streams.look_for_reset(number, context) {
                        self.meter.borrow_mut().put_back(number);
                    }
                }
            }
        }
    }

    fn take_completions(&mut self, context: &Context<'_>, now: Instant) {
        self.streams.release(now);
        let mut batch = std::mem::take(&mut self.completions);
        self.streams.books().outbox.take(context, &mut batch);
        for completion in batch.drain(..) {
            self.streams.complete(completion, now);
        }
        self.completions = batch;
    }

    /// Arms the one timer of the connection for what is due next, and does what is due.
    fn watch(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<()> {
        let busy = !self.streams.is_empty() || self.streams.holds_room();
        let soon = busy || self.ends.is_some() || self.meter.borrow().has_open_clock();
        let tick = if self.streams.holds_back() {
            PACE
        } else {
            edge::TICK
        };
        // Set again only when the next look is due earlier than planned: traffic costs no timer.
        if soon && self.sleep.deadline().into_std() > now + tick {
            self.sleep.as_mut().reset((now + tick).into());
        }
        while self.sleep.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            if self.ends.is_some_and(|ends| ends <= now) {
                if self.ending == Ending::Abrupt {
                    return Poll::Ready(());
                }
                self.end(Ending::Abrupt, Reason::NO_ERROR, now + edge::ABRUPT_GRACE);
            }
            let next = self.look_at_clocks(context, now);
            self.sleep.as_mut().reset((now + next).into());
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Does what is due; how long until the next look.
    fn look_at_clocks(&mut self, context: &mut Context<'_>, now: Instant) -> Duration {
        self.meter
            .borrow_mut()
            .check_clocks(now, edge::HEADERS_TIMEOUT, edge::WRITE_TIMEOUT);
        self.streams.expire(now);
        self.streams.look_for_resets(context);
        if self.streams.is_empty() {
            // What a burst needed does not stay with a connection that rests.
            self.streams.shrink();
            self.completions = Vec::new();
        } else {
            self.active = now;
        }
        let idle_at = self.active + self.edge.http2.idle_timeout;
        if idle_at <= now && self.streams.is_empty() {
            self.end(Ending::Graceful, Reason::NO_ERROR, now + edge::ABRUPT_GRACE);
        } else if self.ages <= now {
            self.end(Ending::Graceful, Reason::NO_ERROR, now + edge::GRACE);
        }
        if self.streams.is_empty() && self.ends.is_none() {
            let next = idle_at.min(self.ages).saturating_duration_since(now);
            next.max(edge::TICK)
        } else {
            edge::TICK
        }
    }
}
