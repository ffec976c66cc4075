//! The streams of one connection: begun, answered, reset, given up. The only place where a stream
//! is removed, and each removal gives it its disposition.

use std::collections::VecDeque;
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
use super::open_streams::OpenStreams;
use super::request::HttpFault;
use super::stream::{Asked, Awaiting, Message, Phase, Receiving, Stream, question_part, servfail};
use crate::context::WorkerContext;
use crate::edge::{self, Edge};
use crate::mailbox::Completion;
use crate::telemetry::record::Disposition;

/// What a stream is to be answered.
pub(super) enum Reply {
    Fault(HttpFault),
    Answer { answer: Shaped, owner: Option<u16> },
}

/// A stream whose answer is at hand.
pub(super) struct Ready {
    pub(super) respond: SendResponse<Bytes>,
    pub(super) asked: Asked,
    pub(super) reply: Reply,
}

/// The streams of one connection.
pub struct Streams {
    pub(super) open: OpenStreams,
    pub(super) ready: Vec<Ready>,
    /// What the driver said that is held back, because the client has had enough answers for now. Its streams
    /// stay open, so that they can still end otherwise.
    held: VecDeque<Completion>,
    pub(super) edge: Arc<Edge>,
    pub(super) books: Books,
    pub(super) worker: Rc<WorkerContext>,
}

impl Streams {
    /// No streams yet.
    #[must_use]
    pub fn new(books: Books, worker: Rc<WorkerContext>, edge: Arc<Edge>) -> Self {
        Self {
            open: OpenStreams::default(),
            ready: Vec::new(),
            held: VecDeque::new(),
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

    /// Whether there is room to give back.
    #[must_use]
    pub fn holds_room(&self) -> bool {
        self.ready.capacity() > 0
    }

    /// Gives back the room that answers were gathered in.
    pub fn shrink(&mut self) {
        self.ready.shrink_to_fit();
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
                self.open.insert(Stream { asked, phase });
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
        self.open.insert(Stream {
            asked,
            phase: Phase::Receiving(receiving),
        });
    }

    /// Reads what has come of the bodies.
    pub fn read_bodies(&mut self, context: &mut Context<'_>) {
        for number in self.open.receiving() {
            self.read_body(number, context);
        }
    }

    fn read_body(&mut self, number: u32, context: &mut Context<'_>) {
        let Some(Phase::Receiving(receiving)) = self.open.phase_mut(number) else {
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
                }) = self.open.remove(number)
                {
                    self.release_query(&receiving.message);
                    self.books
                        .dispose(&self.edge, asked, None, None, disposition, Instant::now);
                }
            }
        }
    }

    /// A body is whole, or is not wanted any more.
    fn end_body(&mut self, number: u32, fault: Option<HttpFault>) {
        let Some(Stream {
            asked,
            phase: Phase::Receiving(receiving),
        }) = self.open.remove(number)
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

    /// Takes what the driver says of a stream, or holds it back until the client may have it.
    pub fn complete(&mut self, completion: Completion, now: Instant) {
        if self.held.is_empty() && self.may_have(&completion, now) {
            return self.obey(completion);
        }
        self.worker.metrics.answers_paced.add(1);
        self.held.push_back(completion);
    }

    /// Goes on with what was held back, as far as its clients may have it now.
    pub fn release(&mut self, now: Instant) {
        while let Some(completion) = self.held.pop_front() {
            if !self.may_have(&completion, now) {
                return self.held.push_front(completion);
            }
            self.obey(completion);
        }
    }

    /// Whether something is held back.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        !self.held.is_empty()
    }

    fn may_have(&self, completion: &Completion, now: Instant) -> bool {
        let Completion::Answer { stream, .. } = completion else {
            return true;
        };
        let client = self.open.get(*stream).map(|stream| stream.asked.client);
        client.is_none_or(|client| self.worker.pace.borrow_mut().admit(client, now))
    }

    /// Does what the driver says of a stream; what is gone is counted.
    fn obey(&mut self, completion: Completion) {
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
        match self.open.remove(number) {
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
                self.open.insert(other);
                self.books.late();
            }
            None => self.books.late(),
        }
    }

    /// The mesh of a worker was lost: whoever waits for it is answered SERVFAIL.
    fn lose(&mut self, owner: u16) {
        let waits = |phase: &Phase| match phase {
            Phase::Awaiting(awaiting) => awaiting.owner == owner,
            Phase::Receiving(_) | Phase::Sending(_) => false,
        };
        for number in self.open.numbers_where(waits) {
            if let Some(Stream {
                asked,
                phase: Phase::Awaiting(awaiting),
            }) = self.open.remove(number)
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
        let Some(phase) = self.open.phase_mut(number) else {
            return true;
        };
        let reset = match phase {
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
        for number in self.open.numbers() {
            self.look_for_reset(number, context);
        }
    }

    /// Gives up what is over its deadline.
    pub fn expire(&mut self, now: Instant) {
        let late = |phase: &Phase| match phase {
            Phase::Receiving(receiving) => receiving.deadline <= now,
            Phase::Sending(sending) => sending.deadline <= now,
            // The mesh has its own deadlines.
            Phase::Awaiting(_) => false,
        };
        for number in self.open.numbers_where(late) {
            match self.open.phase_mut(number) {
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
    pub(super) fn remove(&mut self, number: u32, disposition: Disposition) {
        let Some(Stream { asked, phase }) = self.open.remove(number) else {
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
            .dispose(&self.edge, asked, status, dns, disposition, Instant::now);
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
        for number in self.open.numbers() {
            self.remove(number, Disposition::ConnectionLost);
        }
        for Ready { asked, .. } in std::mem::take(&mut self.ready) {
            self.books.dispose(
                &self.edge,
                asked,
                None,
                None,
                Disposition::ConnectionLost,
                Instant::now,
            );
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
