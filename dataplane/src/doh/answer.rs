//! Answers streams: heads and bodies to `h2`, and what a client has no room for, piece by piece.
//! The other half of `streams`, which says when.

use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use weir_resolver::event::CloseCause;

use super::response;
use super::stream::{Asked, DnsOutcome, Phase, Sending, Stream};
use super::streams::{Ready, Reply, Streams};
use crate::edge;
use crate::telemetry::record::Disposition;

impl Streams {
    /// Gives answers on to streams whose clients have made room.
    pub fn send_on(&mut self, context: &mut Context<'_>) {
        for number in self.open.sending() {
            let Some(Phase::Sending(sending)) = self.open.phase_mut(number) else {
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
            return self.fail(asked, owner, reset_of(&mut respond), now);
        };
        self.books.respond(&asked, status, dns, now);
        if headless {
            return self.finish(asked, status, dns, owner, now);
        }
        send.reserve_capacity(body.len());
        if send.capacity() >= body.len() {
            return match send.send_data(body, true) {
                Ok(()) => self.finish(asked, status, dns, owner, now),
                Err(_) => self.fail(asked, owner, Disposition::ConnectionLost, now),
            };
        }
        let held = self.worker.response_bytes.get() + body.len() as u64;
        if held > self.edge.http2.response_buffer_limit {
            send.send_reset(Reason::ENHANCE_YOUR_CALM);
            let disposition = Disposition::Reset(Reason::ENHANCE_YOUR_CALM.into());
            return self.fail(asked, owner, disposition, now);
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
        self.open.insert(Stream {
            asked,
            phase: Phase::Sending(sending),
        });
    }

    fn finish(
        &self,
        asked: Asked,
        status: u16,
        dns: Option<DnsOutcome>,
        owner: Option<u16>,
        now: Instant,
    ) {
        if let Some(owner) = owner {
            self.books.written(asked.stream, owner);
        }
        self.books.dispose(
            &self.edge,
            asked,
            Some(status),
            dns,
            Disposition::Answered,
            || now,
        );
    }

    fn fail(&self, asked: Asked, owner: Option<u16>, disposition: Disposition, now: Instant) {
        if let Some(owner) = owner {
            self.books
                .leave(asked.stream, owner, CloseCause::WriteFailed);
        }
        self.books
            .dispose(&self.edge, asked, None, None, disposition, || now);
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
