//! The streams of one connection: begun, answered, reset, given up. The only place where a stream
//! is removed, and each removal gives it its disposition.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use weir_resolver::action::Refusal;
use weir_resolver::answer::{Origin, ResponseCode, Security, Shaped};
use weir_resolver::event::CloseCause;

use super::books::Books;
use super::lookup::{self, Found};
use super::request::{HttpFault, QUERY_MAX};
use super::response;
use super::stream::{
    Asked, Awaiting, DnsOutcome, Message, Phase, Receiving, Sending, Stream, question_part,
    servfail,
};
use crate::context::WorkerContext;
use crate::edge::{self, Edge};
use crate::mailbox::Completion;
use crate::telemetry::record::Disposition;

/// What a stream is to be answered.
enum Reply {
    Fault(HttpFault),
    Answer { answer: Shaped, owner: Option<u16> },
}

/// A stream whose answer is at hand.
struct Ready {
    respond: SendResponse<Bytes>,
    asked: Asked,
    reply: Reply,
}

/// The streams of one connection.
pub struct Streams {
    open: BTreeMap<u32, Stream>,
    ready: Vec<Ready>,
    edge: Arc<Edge>,
    books: Books,
    worker: Rc<WorkerContext>,
}

impl Streams {
    /// No streams yet.
    #[must_use]
    pub fn new(books: Books, worker: Rc<WorkerContext>, edge: Arc<Edge>) -> Self {
        Self {
            open: BTreeMap::new(),
            ready: Vec::new(),
            edge,
            books,
            worker,
        }
    }

    /// The books of the connection.
    #[must_use]
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Goes by other settings from now on.
    pub fn replace_edge(&mut self, edge: Arc<Edge>) {
        self.edge = edge;
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.ready.is_empty()
    }

    /// How many are to be answered in this turn.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Notes that a request is to be answered with a fault.
    pub fn refuse(&mut self, respond: SendResponse<Bytes>, asked: Asked, fault: HttpFault) {
        self.ready.push(Ready {
            respond,
            asked,
            reply: Reply::Fault(fault),
        });
    }

    /// Answers a whole query from the cache, or asks the mesh.
    pub fn ask(&mut self, respond: SendResponse<Bytes>, mut asked: Asked, message: &[u8]) {
        match lookup::look_up(&self.worker, &mut asked, message) {
            Found::Answer(answer) => {
                let reply = Reply::Answer {
                    answer,
                    owner: None,
                };
                self.ready.push(Ready {
                    respond,
                    asked,
                    reply,
                });
            }
            Found::Fault(fault) => self.refuse(respond, asked, fault),
            Found::Ask(query) => {
                asked.resolved = true;
                let owner = self.books.ask(&asked, query);
                let (query, since) = (question_part(message), asked.started);
                let phase = Phase::Awaiting(Awaiting {
                    respond,
                    owner,
                    query,
                    since,
                });
                self.open.insert(asked.stream, Stream { asked, phase });
            }
        }
    }

    /// Begins to read the body of a request. `fault` is what it is answered when its body has
    /// ended; `message` is its query when that came otherwise.
    pub fn receive(
        &mut self,
        respond: SendResponse<Bytes>,
        body: RecvStream,
        asked: Asked,
        message: Message,
        fault: Option<HttpFault>,
    ) {
        let deadline = asked.started + edge::BODY_TIMEOUT;
        let held = message.as_slice().len();
        let whole = !message.as_slice().is_empty();
        let receiving = Receiving {
            respond,
            body,
            message,
            whole,
            fault,
            deadline,
            passed: 0,
        };
        self.hold_query(held as u64);
        self.open.insert(
            asked.stream,
            Stream {
                asked,
                phase: Phase::Receiving(receiving),
            },
        );
    }

    /// Reads what has come of the bodies.
    pub fn read_bodies(&mut self, context: &mut Context<'_>) {
        let receiving: Vec<u32> = self
            .open
            .iter()
            .filter(|(_, stream)| matches!(stream.phase, Phase::Receiving(_)))
            .map(|(number, _)| *number)
            .collect();
        for number in receiving {
            self.read_body(number, context);
        }
    }

    fn read_body(&mut self, number: u32, context: &mut Context<'_>) {
        let Some(Stream {
            phase: Phase::Receiving(receiving),
            ..
        }) = self.open.get_mut(&number)
        else {
            return;
        };
        let before = receiving.message.as_slice().len();
        let outcome = receiving.read(context);
        let after = receiving.message.as_slice().len();
        self.hold_query((after - before) as u64);
        let over = self.worker.query_bytes.get() > self.edge.http2.query_buffer_limit;
        match outcome {
            Poll::Pending if !over => {}
            Poll::Pending => self.end_body(number, Some(HttpFault::Full)),
            Poll::Ready(Ok(fault)) => self.end_body(number, fault),
            Poll::Ready(Err(disposition)) => {
                if let Some(Stream {
                    asked,
                    phase: Phase::Receiving(receiving),
                }) = self.open.remove(&number)
                {
                    self.release_query(&receiving.message);
                    self.books
                        .dispose(&self.edge, asked, None, None, disposition);
                }
            }
        }
    }

    /// A body is whole, or is not wanted any more.
    fn end_body(&mut self, number: u32, fault: Option<HttpFault>) {
        let Some(Stream {
            asked,
            phase: Phase::Receiving(receiving),
        }) = self.open.remove(&number)
        else {
            return;
        };
        self.release_query(&receiving.message);
        let Receiving {
            respond, message, ..
        } = receiving;
        match fault {
            Some(fault) => self.refuse(respond, asked, fault),
            None => self.ask(respond, asked, message.as_slice()),
        }
    }

    /// Takes what the driver says of a stream; what is gone is counted.
    pub fn complete(&mut self, completion: Completion) {
        let (number, reply) = match completion {
            Completion::Answer {
                stream,
                answer,
                owner,
            } => (
                stream,
                Reply::Answer {
                    answer,
                    owner: Some(owner),
                },
            ),
            Completion::Refuse { stream, refusal } => (stream, Reply::Fault(fault_of(refusal))),
            Completion::Lost { owner } => return self.lose(owner),
        };
        match self.open.remove(&number) {
            Some(Stream {
                asked,
                phase: Phase::Awaiting(awaiting),
            }) => {
                let waited = awaiting.since.elapsed();
                self.worker.metrics.resolution_duration.observe(waited);
                self.ready.push(Ready {
                    respond: awaiting.respond,
                    asked,
                    reply,
                });
            }
            Some(other) => {
                self.open.insert(number, other);
                self.books.late();
            }
            None => self.books.late(),
        }
    }

    /// The mesh of a worker was lost: whoever waits for it is answered SERVFAIL.
    fn lose(&mut self, owner: u16) {
        let waits = |stream: &Stream| match &stream.phase {
            Phase::Awaiting(awaiting) => awaiting.owner == owner,
            Phase::Receiving(_) | Phase::Sending(_) => false,
        };
        let lost: Vec<u32> = self
            .open
            .iter()
            .filter(|(_, stream)| waits(stream))
            .map(|(number, _)| *number)
            .collect();
        for number in lost {
            if let Some(Stream {
                asked,
                phase: Phase::Awaiting(awaiting),
            }) = self.open.remove(&number)
            {
                let answer = Shaped {
                    message: servfail(&awaiting.query),
                    max_age: None,
                    rcode: ResponseCode::SERVFAIL,
                    extended_error: None,
                    origin: Origin::Refused,
                    security: Security::Unchecked,
                };
                let reply = Reply::Answer {
                    answer,
                    owner: None,
                };
                self.ready.push(Ready {
                    respond: awaiting.respond,
                    asked,
                    reply,
                });
            }
        }
    }

    /// Looks whether a stream was reset; `false` when `h2` has not read the reset yet.
    pub fn look_for_reset(&mut self, number: u32, context: &mut Context<'_>) -> bool {
        let Some(stream) = self.open.get_mut(&number) else {
            return true;
        };
        let reset = match &mut stream.phase {
            // Reading its body tells.
            Phase::Receiving(_) => return true,
            Phase::Awaiting(awaiting) => awaiting.respond.poll_reset(context),
            Phase::Sending(sending) => sending.send.poll_reset(context),
        };
        match reset {
            Poll::Pending => false,
            Poll::Ready(outcome) => {
                let disposition = outcome.map_or(Disposition::ConnectionLost, |reason| {
                    Disposition::PeerCancelled(reason.into())
                });
                self.remove(number, disposition);
                true
            }
        }
    }

    /// Looks at every stream that waits; the hints of the frame meter make this rare.
    pub fn look_for_resets(&mut self, context: &mut Context<'_>) {
        let all: Vec<u32> = self.open.keys().copied().collect();
        for number in all {
            self.look_for_reset(number, context);
        }
    }

    /// Gives answers on to streams whose clients have made room.
    pub fn send_on(&mut self, context: &mut Context<'_>) {
        let sending: Vec<u32> = self
            .open
            .iter()
            .filter(|(_, stream)| matches!(stream.phase, Phase::Sending(_)))
            .map(|(number, _)| *number)
            .collect();
        for number in sending {
            let Some(Stream {
                phase: Phase::Sending(sending),
                ..
            }) = self.open.get_mut(&number)
            else {
                continue;
            };
            let before = sending.rest.len() as u64;
            let outcome = sending.send_on(context);
            let sent = before - sending.rest.len() as u64;
            self.worker
                .response_bytes
                .set(self.worker.response_bytes.get() - sent);
            match outcome {
                Poll::Pending => {}
                Poll::Ready(Some(disposition)) => self.remove(number, disposition),
                Poll::Ready(None) => self.remove(number, Disposition::Answered),
            }
        }
    }

    /// Answers everything that is ready. Never called between two looks for requests of one pass.
    pub fn answer(&mut self, now: Instant) {
        let mut ready = std::mem::take(&mut self.ready);
        for Ready {
            respond,
            asked,
            reply,
        } in ready.drain(..)
        {
            match reply {
                Reply::Fault(fault) => {
                    let head = response::fault(fault);
                    let body = Bytes::from_static(fault.sentence().as_bytes());
                    self.send(respond, asked, head, body, None, None, now);
                }
                Reply::Answer { answer, owner } => {
                    let freshness = self
                        .worker
                        .scratch
                        .borrow_mut()
                        .freshness
                        .value(answer.max_age);
                    let dns = DnsOutcome {
                        rcode: answer.rcode,
                        extended_error: answer.extended_error,
                        origin: answer.origin,
                    };
                    let head = response::answer(freshness);
                    self.send(respond, asked, head, answer.message, Some(dns), owner, now);
                }
            }
        }
        // Keeps the room for the next turn, but not what a burst made of it.
        if ready.capacity() <= 128 {
            self.ready = ready;
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one call for each part of one response"
    )]
    fn send(
        &mut self,
        mut respond: SendResponse<Bytes>,
        asked: Asked,
        head: http::Response<()>,
        body: Bytes,
        dns: Option<DnsOutcome>,
        owner: Option<u16>,
        now: Instant,
    ) {
        let status = head.status().as_u16();
        let headless = asked.head_only || body.is_empty();
        let Ok(mut send) = respond.send_response(head, headless) else {
            // The client reset it in this turn, or the connection is ending.
            return self.fail(asked, owner, reset_of(&mut respond));
        };
        self.books.respond(&asked, status, dns, now);
        if headless {
            return self.finish(asked, status, dns, owner);
        }
        send.reserve_capacity(body.len());
        if send.capacity() >= body.len() {
            return match send.send_data(body, true) {
                Ok(()) => self.finish(asked, status, dns, owner),
                Err(_) => self.fail(asked, owner, Disposition::ConnectionLost),
            };
        }
        let held = self.worker.response_bytes.get() + body.len() as u64;
        if held > self.edge.http2.response_buffer_limit {
            send.send_reset(Reason::ENHANCE_YOUR_CALM);
            let disposition = Disposition::Reset(Reason::ENHANCE_YOUR_CALM.into());
            return self.fail(asked, owner, disposition);
        }
        self.worker.response_bytes.set(held);
        let deadline = now + edge::SEND_TIMEOUT;
        let sending = Sending {
            send,
            rest: body,
            deadline,
            owner,
            status,
            dns,
        };
        self.open.insert(
            asked.stream,
            Stream {
                asked,
                phase: Phase::Sending(sending),
            },
        );
    }

    fn finish(&self, asked: Asked, status: u16, dns: Option<DnsOutcome>, owner: Option<u16>) {
        if let Some(owner) = owner {
            self.books.written(asked.stream, owner);
        }
        self.books
            .dispose(&self.edge, asked, Some(status), dns, Disposition::Answered);
    }

    fn fail(&self, asked: Asked, owner: Option<u16>, disposition: Disposition) {
        if let Some(owner) = owner {
            self.books
                .leave(asked.stream, owner, CloseCause::WriteFailed);
        }
        self.books
            .dispose(&self.edge, asked, None, None, disposition);
    }

    /// Gives up what is over its deadline.
    pub fn expire(&mut self, now: Instant) {
        let late = |stream: &Stream| match &stream.phase {
            Phase::Receiving(receiving) => receiving.deadline <= now,
            Phase::Sending(sending) => sending.deadline <= now,
            // The mesh has its own deadlines.
            Phase::Awaiting(_) => false,
        };
        let late: Vec<u32> = self
            .open
            .iter()
            .filter(|(_, stream)| late(stream))
            .map(|(number, _)| *number)
            .collect();
        for number in late {
            match self.open.get_mut(&number).map(|stream| &mut stream.phase) {
                Some(Phase::Receiving(_)) => self.end_body(number, Some(HttpFault::BodyTimeout)),
                Some(Phase::Sending(sending)) => {
                    sending.send.send_reset(Reason::CANCEL);
                    self.remove(number, Disposition::Reset(Reason::CANCEL.into()));
                }
                Some(Phase::Awaiting(_)) | None => {}
            }
        }
    }

    /// Removes an open stream for good.
    fn remove(&mut self, number: u32, disposition: Disposition) {
        let Some(Stream { asked, phase }) = self.open.remove(&number) else {
            return;
        };
        let answered = disposition == Disposition::Answered;
        let cause = match disposition {
            Disposition::PeerCancelled(code) => CloseCause::Reset(code),
            Disposition::Reset(code) => CloseCause::LocalReset(code),
            Disposition::ConnectionLost | Disposition::Answered => CloseCause::ConnectionLost,
        };
        let (status, dns) = match phase {
            Phase::Receiving(receiving) => {
                self.release_query(&receiving.message);
                (None, None)
            }
            Phase::Awaiting(awaiting) => {
                // The end of the connection tells of all its streams at once.
                if disposition != Disposition::ConnectionLost {
                    self.books.leave(number, awaiting.owner, cause);
                }
                (None, None)
            }
            Phase::Sending(sending) => {
                let rest = sending.rest.len() as u64;
                self.worker
                    .response_bytes
                    .set(self.worker.response_bytes.get() - rest);
                if let Some(owner) = sending.owner {
                    if answered {
                        self.books.written(number, owner);
                    } else {
                        self.books.leave(number, owner, cause);
                    }
                }
                (Some(sending.status), sending.dns)
            }
        };
        self.books
            .dispose(&self.edge, asked, status, dns, disposition);
    }

    fn hold_query(&self, octets: u64) {
        self.worker
            .query_bytes
            .set(self.worker.query_bytes.get() + octets);
    }

    fn release_query(&self, message: &Message) {
        let held = message.as_slice().len() as u64;
        self.worker
            .query_bytes
            .set(self.worker.query_bytes.get() - held);
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        let open: Vec<u32> = self.open.keys().copied().collect();
        for number in open {
            self.remove(number, Disposition::ConnectionLost);
        }
        for Ready { asked, .. } in std::mem::take(&mut self.ready) {
            self.books
                .dispose(&self.edge, asked, None, None, Disposition::ConnectionLost);
        }
    }
}

fn fault_of(refusal: Refusal) -> HttpFault {
    match refusal {
        Refusal::ClientLimit => HttpFault::ClientLimit,
        Refusal::Full => HttpFault::Full,
        Refusal::Denied => HttpFault::Denied,
    }
}

/// What ended a stream that takes no response any more.
fn reset_of(respond: &mut SendResponse<Bytes>) -> Disposition {
    let mut context = Context::from_waker(std::task::Waker::noop());
    match respond.poll_reset(&mut context) {
        Poll::Ready(Ok(reason)) => Disposition::PeerCancelled(reason.into()),
        Poll::Ready(Err(_)) | Poll::Pending => Disposition::ConnectionLost,
    }
}

impl Receiving {
    /// Reads what has come. Ready with what it is to be answered when the body has ended, or with
    /// its disposition when the stream has.
    fn read(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<HttpFault>, Disposition>> {
        loop {
            match std::task::ready!(self.body.poll_data(context)) {
                None => return Poll::Ready(Ok(self.fault)),
                Some(Err(error)) => {
                    let reason = error.reason().filter(|_| error.is_reset());
                    return Poll::Ready(Err(match reason {
                        Some(reason) if error.is_remote() => {
                            Disposition::PeerCancelled(reason.into())
                        }
                        Some(reason) => Disposition::Reset(reason.into()),
                        None => Disposition::ConnectionLost,
                    }));
                }
                Some(Ok(piece)) => {
                    self.passed += piece.len();
                    // Nothing is held back by the window: what is too long is refused below.
                    let _ = self.body.flow_control().release_capacity(piece.len());
                    let wanted = self.fault.is_none() && !self.whole;
                    if self.passed > QUERY_MAX || (wanted && !self.message.push(piece)) {
                        return Poll::Ready(Ok(Some(self.fault.unwrap_or(HttpFault::BodyLength))));
                    }
                }
            }
        }
    }
}

impl Sending {
    /// Hands over what there is room for. Ready with no disposition when all has been handed over.
    fn send_on(&mut self, context: &mut Context<'_>) -> Poll<Option<Disposition>> {
        loop {
            let room = match std::task::ready!(self.send.poll_capacity(context)) {
                Some(Ok(room)) => room,
                Some(Err(error)) => {
                    let reason = error
                        .reason()
                        .filter(|_| error.is_reset() && error.is_remote());
                    return Poll::Ready(Some(
                        reason.map_or(Disposition::ConnectionLost, |reason| {
                            Disposition::PeerCancelled(reason.into())
                        }),
                    ));
                }
                None => return Poll::Ready(Some(Disposition::ConnectionLost)),
            };
            let piece = self.rest.split_to(room.min(self.rest.len()));
            let last = self.rest.is_empty();
            if self.send.send_data(piece, last).is_err() {
                return Poll::Ready(Some(Disposition::ConnectionLost));
            }
            if last {
                return Poll::Ready(None);
            }
        }
    }
}
