//! Tests of the frame meter: pieces of any size, limits, clocks and gating.

use std::future::poll_fn;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Octets of the longest header list.
const HEADER_LIST: u32 = 16 << 10;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn opening() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    bytes
}

#[test]
fn frames_are_found_in_pieces_of_any_size() {
    let mut bytes = opening();
    bytes.extend(frame(1, 0x5, 1, &[0x82; 40]));
    bytes.extend(frame(3, 0, 1, &8u32.to_be_bytes()));
    bytes.extend(frame(3, 0, 0x8000_0003, &8u32.to_be_bytes()));
    for size in 1..=bytes.len() {
        let now = Instant::now();
        let meter = Meter::new(now, HEADER_LIST);
        for piece in bytes.chunks(size) {
            meter.borrow_mut().received(piece, now);
        }
        let mut meter = meter.borrow_mut();
        assert_eq!(meter.turn.frames, 4, "pieces of {size}");
        assert_eq!(meter.take_hints(), Some(ResetHints::Streams(vec![1, 3])));
        assert_eq!(meter.take_hints(), None);
        assert_eq!(meter.breach(), None);
    }
}

#[test]
fn each_flood_breaks_its_own_limit() {
    let cases = [
        (0x2, FrameLimit::Priority),
        (0x4, FrameLimit::Settings),
        (0x6, FrameLimit::Ping),
        (0x8, FrameLimit::WindowUpdate),
        (0x9, FrameLimit::Continuation),
        (0x10, FrameLimit::Priority),
        (0x77, FrameLimit::Unknown),
    ];
    for (kind, limit) in cases {
        let now = Instant::now();
        let meter = Meter::new(now, HEADER_LIST);
        let mut meter = meter.borrow_mut();
        meter.received(&opening(), now);
        for _ in 0..2000 {
            meter.received(&frame(kind, 0, 0, &[0; 4]), now);
        }
        assert_eq!(meter.breach(), Some(limit));
    }
}

#[test]
fn resets_that_we_send_are_counted_by_their_code() {
    for (code, limit) in [(7u32, FrameLimit::Refused), (3, FrameLimit::ResetSent)] {
        let meter = Meter::new(Instant::now(), HEADER_LIST);
        let mut meter = meter.borrow_mut();
        for stream in 0..300 {
            meter.sent(&frame(3, 0, stream * 2 + 1, &code.to_be_bytes()));
        }
        assert_eq!(meter.breach(), Some(limit));
    }
}

#[test]
fn an_unfinished_header_block_times_out() {
    let now = Instant::now();
    let meter = Meter::new(now, HEADER_LIST);
    let mut meter = meter.borrow_mut();
    meter.received(&opening(), now);
    meter.received(&frame(1, 0, 1, &[0x82]), now);
    let limit = Duration::from_secs(5);
    meter.check_clocks(now + Duration::from_secs(4), limit, limit);
    assert_eq!(meter.breach(), None);
    meter.check_clocks(now + Duration::from_secs(5), limit, limit);
    assert_eq!(meter.breach(), Some(FrameLimit::HeadersTimeout));
}

#[tokio::test]
async fn a_turn_ends_and_arms_itself_again() {
    let meter = Meter::new(Instant::now(), HEADER_LIST);
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let mut metered = FrameMeter::new(ours, Rc::clone(&meter));
    let mut bytes = opening();
    for stream in 0..1000u32 {
        bytes.extend(frame(1, 0x5, stream * 2 + 1, &[0x82; 600]));
    }
    theirs.write_all(&bytes).await.unwrap();
    let mut total = 0;
    let mut buffer = vec![0; 8192];
    // Within one turn only so much is handed on, although more is at hand.
    loop {
        let read = poll_fn(|context| {
            let mut target = ReadBuf::new(&mut buffer);
            match Pin::new(&mut metered).poll_read(context, &mut target) {
                Poll::Ready(done) => Poll::Ready(done.map(|()| Some(target.filled().len()))),
                Poll::Pending => Poll::Ready(Ok(None)),
            }
        });
        match read.await.unwrap() {
            Some(count) => total += count,
            None => break,
        }
    }
    assert!((TURN_BYTES..TURN_BYTES + 8192).contains(&total), "{total}");
    // A new turn goes on where the last one ended, until everything has passed.
    while total < bytes.len() {
        meter.borrow_mut().start_turn();
        // As the connection does with the requests of each turn.
        (0..TURN_FRAMES).for_each(|_| meter.borrow_mut().request_in_order(0));
        total += metered.read(&mut buffer).await.unwrap();
    }
    assert_eq!(meter.borrow().bytes().0, bytes.len() as u64);
}

#[tokio::test]
async fn a_peer_that_does_not_read_stalls_the_clock() {
    let meter = Meter::new(Instant::now(), HEADER_LIST);
    let (ours, theirs) = tokio::io::duplex(64);
    let mut metered = FrameMeter::new(ours, Rc::clone(&meter));
    let block = frame(0, 0, 1, &[0; 1000]);
    let stalled = tokio::time::timeout(Duration::from_millis(20), metered.write_all(&block));
    assert!(stalled.await.is_err());
    let limit = Duration::from_secs(10);
    meter
        .borrow_mut()
        .check_clocks(Instant::now() + limit, limit, limit);
    assert_eq!(meter.borrow().breach(), Some(FrameLimit::WriteStall));
    drop(theirs);
}

/// Counts how often it is asked, and has nothing to read and room for everything.
#[derive(Default)]
struct Quiet {
    reads: usize,
    flushes: usize,
}

impl AsyncRead for Quiet {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reads += 1;
        Poll::Pending
    }
}

impl AsyncWrite for Quiet {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn what_is_drained_is_asked_again_in_the_next_turn_only() {
    let meter = Meter::new(Instant::now(), HEADER_LIST);
    let mut metered = FrameMeter::new(Quiet::default(), Rc::clone(&meter));
    let mut context = Context::from_waker(std::task::Waker::noop());
    let mut ask = |metered: &mut FrameMeter<Quiet>| {
        let mut buffer = [0; 16];
        let mut target = ReadBuf::new(&mut buffer);
        assert!(
            Pin::new(&mut *metered)
                .poll_read(&mut context, &mut target)
                .is_pending()
        );
        metered.io.reads
    };
    // Before the first turn the preface is awaited, over several polls of the task.
    assert_eq!((ask(&mut metered), ask(&mut metered)), (1, 2));
    for turn in 3..5 {
        meter.borrow_mut().start_turn();
        assert_eq!((ask(&mut metered), ask(&mut metered)), (turn, turn));
    }
}

#[test]
fn what_was_written_is_flushed_once() {
    let mut metered = FrameMeter::new(Quiet::default(), Meter::new(Instant::now(), HEADER_LIST));
    let mut context = Context::from_waker(std::task::Waker::noop());
    for count in 1..4 {
        let written = Pin::new(&mut metered).poll_write(&mut context, &frame(6, 0, 0, &[0; 8]));
        assert!(matches!(written, Poll::Ready(Ok(17))));
        for _ in 0..2 {
            assert!(Pin::new(&mut metered).poll_flush(&mut context).is_ready());
            assert_eq!(metered.io.flushes, count);
        }
    }
}
