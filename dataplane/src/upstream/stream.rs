//! DNS over a byte stream (RFC 7766, RFC 7858): the queries of a pipeline on one connection to one
//! server. Replies come in any order and find their query by identifier and question. Never opens
//! the connection itself: it is handed any byte stream.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weir_resolver::fetch::FetchFailure;
use weir_resolver::wire;

use crate::upstream::pipeline::{IDLE_TIMEOUT, Pending, Pipeline};

/// What a read makes room for.
const READ_SIZE: usize = 4096;

/// Carries queries and replies over `io` until it ends or is idle for long; calls `stray` for
/// each message that answers nothing.
pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    pipeline: &Pipeline,
    mut io: S,
    stray: impl Fn(),
) {
    let mut carrier = Carrier {
        waiting: Vec::new(),
        inbound: BytesMut::new(),
        outbound: BytesMut::new(),
    };
    loop {
        let turn = poll_fn(|context| carrier.poll(pipeline, &mut io, context, &stray));
        match tokio::time::timeout(IDLE_TIMEOUT, turn).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => break,
            Err(_) => {
                carrier.give_up(pipeline);
                if pipeline.close_if_idle() {
                    break;
                }
            }
        }
    }
    for pending in carrier.waiting {
        pipeline.end(pending, Err(FetchFailure::Unreachable));
    }
    pipeline.fail(FetchFailure::Unreachable);
}

/// Queries that wait for a reply, and the octets on their way.
struct Carrier {
    waiting: Vec<Pending>,
    inbound: BytesMut,
    outbound: BytesMut,
}

impl Carrier {
    /// Ready after each progress, so that the idle clock starts again.
    fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        pipeline: &Pipeline,
        io: &mut S,
        context: &mut Context<'_>,
        stray: &impl Fn(),
    ) -> Poll<io::Result<()>> {
        self.take_queued(pipeline, context);
        let mut progress = false;
        while !self.outbound.is_empty() {
            match Pin::new(&mut *io).poll_write(context, &self.outbound) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => self.outbound.advance(written),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
            progress = true;
        }
        // TLS keeps what it could not write until it is flushed.
        if let Poll::Ready(Err(error)) = Pin::new(&mut *io).poll_flush(context) {
            return Poll::Ready(Err(error));
        }
        loop {
            self.inbound.resize_for_read();
            match poll_read(io, context, &mut self.inbound) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Ok(_)) => progress = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
            self.deliver(pipeline, stray);
        }
        if progress {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn take_queued(&mut self, pipeline: &Pipeline, context: &Context<'_>) {
        while let Poll::Ready(pending) = pipeline.poll_take(context) {
            // RFC 1035, 4.2.2: the length goes first, in two octets.
            let Ok(length) = u16::try_from(pending.query.len()) else {
                pipeline.end(pending, Err(FetchFailure::Exhausted));
                continue;
            };
            self.outbound.extend_from_slice(&length.to_be_bytes());
            self.outbound.extend_from_slice(&pending.query);
            self.waiting.push(pending);
        }
    }

    /// Ends queries that nobody waits for.
    fn give_up(&mut self, pipeline: &Pipeline) {
        for pending in self
            .waiting
            .extract_if(.., |pending| pending.reply.is_closed())
        {
            pipeline.end(pending, Err(FetchFailure::Timeout));
        }
    }

    fn deliver(&mut self, pipeline: &Pipeline, stray: &impl Fn()) {
        while let Some(prefix) = self.inbound.first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*prefix));
            if self.inbound.len() < 2 + length {
                return;
            }
            self.inbound.advance(2);
            let reply = self.inbound.split_to(length).freeze();
            let found = self
                .waiting
                .iter()
                .position(|sent| wire::reply_matches(&sent.query, &reply));
            match found {
                Some(index) => {
                    let sent = self.waiting.swap_remove(index);
                    pipeline.answer(sent, reply);
                }
                None => stray(),
            }
        }
    }
}

trait ResizeForRead {
    fn resize_for_read(&mut self);
}

impl ResizeForRead for BytesMut {
    fn resize_for_read(&mut self) {
        if self.capacity() - self.len() < READ_SIZE / 2 {
            self.reserve(READ_SIZE);
        }
    }
}

fn poll_read<S: AsyncRead + Unpin>(
    io: &mut S,
    context: &mut Context<'_>,
    target: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    let mut scratch = [0; READ_SIZE];
    let mut buffer = ReadBuf::new(&mut scratch);
    std::task::ready!(Pin::new(io).poll_read(context, &mut buffer))?;
    target.extend_from_slice(buffer.filled());
    Poll::Ready(Ok(buffer.filled().len()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn query(id: u16) -> Bytes {
        let mut query = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01".to_vec();
        query[..2].copy_from_slice(&id.to_be_bytes());
        query.into()
    }

    async fn read_query(server: &mut DuplexStream) -> Vec<u8> {
        let length = server.read_u16().await.unwrap();
        let mut message = vec![0; usize::from(length)];
        server.read_exact(&mut message).await.unwrap();
        message
    }

    async fn reply(server: &mut DuplexStream, mut message: Vec<u8>) {
        message[2] |= 0x80;
        let mut framed = u16::try_from(message.len()).unwrap().to_be_bytes().to_vec();
        framed.extend(message);
        // In two pieces, to show that frames need not arrive whole.
        let (head, tail) = framed.split_at(5);
        server.write_all(head).await.unwrap();
        tokio::task::yield_now().await;
        server.write_all(tail).await.unwrap();
    }

    #[tokio::test]
    async fn replies_in_any_order_find_their_queries() {
        let (ours, mut theirs) = duplex(4096);
        let pipeline = Pipeline::default();
        let strays = std::cell::Cell::new(0);
        let (one, two) = (pipeline.put(query(1)), pipeline.put(query(2)));
        let serve = async {
            let first = read_query(&mut theirs).await;
            let second = read_query(&mut theirs).await;
            reply(&mut theirs, second).await;
            reply(&mut theirs, query(9).to_vec()).await;
            reply(&mut theirs, first).await;
            drop(theirs);
        };
        let run = run(&pipeline, ours, || strays.set(strays.get() + 1));
        let ((), ()) = tokio::join!(run, serve);
        assert_eq!(one.await.unwrap().unwrap()[..2], [0, 1]);
        assert_eq!(two.await.unwrap().unwrap()[..2], [0, 2]);
        assert_eq!(strays.get(), 1);
        assert!(!pipeline.is_open());
    }

    #[tokio::test]
    async fn an_end_fails_what_waits() {
        let (ours, mut theirs) = duplex(4096);
        let pipeline = Pipeline::default();
        let waiting = pipeline.put(query(1));
        let serve = async {
            read_query(&mut theirs).await;
            drop(theirs);
        };
        tokio::join!(run(&pipeline, ours, || ()), serve);
        assert_eq!(waiting.await.unwrap(), Err(FetchFailure::Unreachable));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_closed() {
        let (ours, theirs) = duplex(4096);
        let pipeline = Pipeline::default();
        let started = tokio::time::Instant::now();
        run(&pipeline, ours, || ()).await;
        assert_eq!(started.elapsed(), IDLE_TIMEOUT);
        assert!(!pipeline.is_open());
        drop(theirs);
    }
}
