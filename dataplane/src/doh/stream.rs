//! One HTTP/2 stream that outlives the turn in which its head arrived: what it waits for, and what
//! it owns meanwhile. A stream that is answered in its first turn never becomes one.

use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use weir_resolver::answer::{ExtendedError, Origin, ResponseCode};
use weir_resolver::name::Name;

use super::request::{HttpFault, QUERY_MAX};
use crate::telemetry::record::Disposition;
use crate::telemetry::sample::Decision;

/// What is remembered of a request until its stream ends.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The stream's number within its connection.
    pub stream: u32,
    /// When its head arrived.
    pub started: Instant,
    /// The place of its method in the metrics.
    pub method: usize,
    /// Which endpoint it was sent to.
    pub endpoint: usize,
    /// HEAD: the answer has no body.
    pub head_only: bool,
    /// The client, named by a trusted proxy or by the connection.
    pub client: IpAddr,
    /// The type asked for, 0 until the query is read.
    pub record_type: u16,
    /// The name asked for, kept for streams that are traced.
    pub name: Option<Name>,
    /// Whether a mesh was asked.
    pub resolved: bool,
    /// Whether it is traced.
    pub decision: Decision,
}

/// A stream that is open after its first turn.
///
/// ```text
/// Receiving --body whole--> Awaiting --answer--> Sending --room for all--> (gone)
///      \______________________________________________/
///        a fault or a cached answer goes straight on
/// ```
pub enum Phase {
    /// Its body is still to come.
    Receiving(Receiving),
    /// The mesh was asked.
    Awaiting(Awaiting),
    /// Its answer is written and the client has not made room for it.
    Sending(Sending),
}

/// A body that is being received.
pub struct Receiving {
    /// Where the response will go.
    pub respond: SendResponse<Bytes>,
    /// Where the body comes from.
    pub body: RecvStream,
    /// What has come, or the query of a GET.
    pub message: Message,
    /// Whether the query came otherwise and the body is passed over.
    pub whole: bool,
    /// Octets of the body so far.
    pub passed: usize,
    /// What is to be answered when the body has ended, whatever it holds.
    pub fault: Option<HttpFault>,
    /// When it is given up.
    pub deadline: Instant,
}

/// A question that the mesh resolves.
pub struct Awaiting {
    /// Where the response will go.
    pub respond: SendResponse<Bytes>,
    /// The worker that resolves it.
    pub owner: u16,
    /// The query up to the end of its question, to answer SERVFAIL if the mesh is lost.
    pub query: Box<[u8]>,
    /// When the mesh was asked.
    pub since: Instant,
}

/// An answer that is on its way.
pub struct Sending {
    /// Where the rest goes.
    pub send: SendStream<Bytes>,
    /// What is left.
    pub rest: Bytes,
    /// When it is given up.
    pub deadline: Instant,
    /// The worker to be told when all has left, if one resolved it.
    pub owner: Option<u16>,
    /// The HTTP status that was sent.
    pub status: u16,
    /// What the DNS said, if it was asked.
    pub dns: Option<DnsOutcome>,
}

/// What the DNS said.
#[derive(Clone, Copy, Debug)]
pub struct DnsOutcome {
    /// The response code.
    pub rcode: ResponseCode,
    /// The extended error.
    pub extended_error: Option<ExtendedError>,
    /// Where the answer came from.
    pub origin: Origin,
}

/// An open stream.
pub struct Stream {
    /// What was asked.
    pub asked: Asked,
    /// What it waits for.
    pub phase: Phase,
}

impl Receiving {
    /// Reads what has come. Ready with what it is to be answered when the body has ended, or with
    /// its disposition when the stream has.
    pub fn read(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<HttpFault>, Disposition>> {
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
    pub fn send_on(&mut self, context: &mut Context<'_>) -> Poll<Option<Disposition>> {
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

/// A body in one piece if it came so, which is what clients do, else joined.
#[derive(Debug, Default)]
pub enum Message {
    /// Nothing yet, or the query of a GET whose body is passed over.
    #[default]
    Empty,
    /// One piece.
    Whole(Bytes),
    /// Several.
    Joined(BytesMut),
}

impl Message {
    /// Adds a piece; `false` when the body is longer than any query.
    pub fn push(&mut self, piece: Bytes) -> bool {
        if self.as_slice().len() + piece.len() > QUERY_MAX {
            return false;
        }
        *self = match std::mem::take(self) {
            Self::Empty => Self::Whole(piece),
            Self::Whole(first) => {
                let mut joined = BytesMut::with_capacity(first.len() + piece.len());
                joined.extend_from_slice(&first);
                joined.extend_from_slice(&piece);
                Self::Joined(joined)
            }
            Self::Joined(mut joined) => {
                joined.extend_from_slice(&piece);
                Self::Joined(joined)
            }
        };
        true
    }

    /// What has come so far.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Whole(bytes) => bytes,
            Self::Joined(bytes) => bytes,
        }
    }
}

/// The query up to the end of its question, or all of it when it has none.
#[must_use]
pub fn question_part(query: &[u8]) -> Box<[u8]> {
    question_end(query)
        .and_then(|end| query.get(..end))
        .unwrap_or(query)
        .into()
}

fn question_end(query: &[u8]) -> Option<usize> {
    let mut at = 12;
    loop {
        let label = usize::from(*query.get(at)?);
        at += label + 1;
        if label == 0 {
            return (at + 4 <= query.len()).then_some(at + 4);
        }
        if label > 63 {
            return None;
        }
    }
}

/// SERVFAIL for a query whose mesh was lost: its identifier, opcode, RD, CD and question, nothing
/// else (RFC 1035, 4.1.1).
#[must_use]
pub fn servfail(query: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(query.len().max(12));
    message.extend_from_slice(&question_part(query));
    message.resize(message.len().max(12), 0);
    let has_question = question_end(&message).is_some();
    if let Some([_, _, high, low, counts @ ..]) = message.first_chunk_mut::<12>() {
        *high = 0x80 | (*high & 0x79);
        *low = 0x80 | (*low & 0x10) | 2;
        *counts = [0, u8::from(has_question), 0, 0, 0, 0, 0, 0];
    }
    message.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] =
        b"\x12\x34\x01\x10\x00\x01\0\0\0\0\0\x01\x03wWw\x07example\0\0\x1c\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0";

    #[test]
    fn the_question_is_found() {
        assert_eq!(question_part(QUERY).len(), QUERY.len() - 11);
        assert_eq!(question_part(&QUERY[..20]), QUERY[..20].into());
    }

    #[test]
    fn servfail_echoes_what_was_asked() {
        let answer = servfail(QUERY);
        assert_eq!(&answer[..12], b"\x12\x34\x81\x92\x00\x01\0\0\0\0\0\0");
        assert_eq!(&answer[12..], &QUERY[12..QUERY.len() - 11]);
        assert_eq!(servfail(b"\x12\x34").len(), 12);
    }

    #[test]
    fn pieces_are_joined_up_to_the_limit() {
        let mut message = Message::default();
        assert!(message.push(Bytes::from_static(b"ab")));
        assert!(message.push(Bytes::from_static(b"c")));
        assert!(message.push(Bytes::from_static(b"d")));
        assert_eq!(message.as_slice(), b"abcd");
        assert!(!message.push(vec![0; QUERY_MAX - 3].into()));
        assert!(message.push(vec![0; QUERY_MAX - 4].into()));
    }
}
