//! The code that crosses threads, under loom: every interleaving of its locks, with a lost wake-up as a deadlock.
//!
//! This is the file of the data plane itself, with loom's lock in the place of the system's.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "the file of the data plane is a module here"
)]

use std::task::Poll;

use loom::sync::Arc;
use weir_resolver::action::Refusal;
use weir_resolver::event::CloseCause;
use weir_resolver::key::{ConnectionId, StreamKey};

mod sync {
    pub(crate) use loom::sync::Mutex;
}

#[path = "../../dataplane/src/route.rs"]
mod route;

use route::{RouteMessage, Routes};

fn stream(connection: u64) -> StreamKey {
    StreamKey {
        connection: ConnectionId(connection),
        stream: 1,
    }
}

fn closed(connection: u64) -> RouteMessage {
    RouteMessage::Closed {
        connection: ConnectionId(connection),
    }
}

/// What a message is, and whose.
fn read(message: &RouteMessage) -> (u8, u64) {
    match message {
        RouteMessage::Written { stream } => (0, stream.connection.0),
        RouteMessage::StreamClosed { stream, .. } => (1, stream.connection.0),
        RouteMessage::Closed { connection } => (2, connection.0),
        RouteMessage::Refuse { stream, .. } => (3, stream.connection.0),
        other => panic!("nobody sent {other:?}"),
    }
}

/// Receives as a driver does, sleeping whenever there is nothing, until so many messages came.
fn receive(routes: &Routes, worker: u16, wanted: usize) -> Vec<(u8, u64)> {
    let mut received = Vec::new();
    let mut batch = Vec::new();
    loom::future::block_on(std::future::poll_fn(|context| {
        routes.take(worker, context, &mut batch);
        received.extend(batch.drain(..).map(|message| read(&message)));
        if received.len() >= wanted {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }));
    received
}

#[test]
fn no_wake_up_is_lost_between_two_senders() {
    loom::model(|| {
        let routes = Arc::new(Routes::new(3, [0, 0]));
        let senders: Vec<_> = [1, 2]
            .into_iter()
            .map(|number| {
                let routes = Arc::clone(&routes);
                loom::thread::spawn(move || {
                    // One way that may be full, and one that never is.
                    assert!(routes.ask(0, closed(number)).is_ok());
                    routes.send(0, closed(number + 10));
                })
            })
            .collect();
        let mut received = receive(&routes, 0, 4);
        for sender in senders {
            sender.join().unwrap();
        }
        received.sort_unstable();
        assert_eq!(received, [(2, 1), (2, 2), (2, 11), (2, 12)]);
    });
}

#[test]
fn what_one_worker_says_of_a_stream_stays_in_order() {
    loom::model(|| {
        let routes = Arc::new(Routes::new(2, [0, 0]));
        let sending = Arc::clone(&routes);
        let sender = loom::thread::spawn(move || {
            let stream = stream(1);
            assert!(sending.ask(0, RouteMessage::Written { stream }).is_ok());
            let cause = CloseCause::Reset(8);
            sending.send(0, RouteMessage::StreamClosed { stream, cause });
            sending.send(0, closed(1));
        });
        let received = receive(&routes, 0, 3);
        sender.join().unwrap();
        assert_eq!(received, [(0, 1), (1, 1), (2, 1)]);
    });
}

#[test]
fn answers_and_ends_may_cross_and_both_arrive() {
    loom::model(|| {
        let routes = Arc::new(Routes::new(2, [0, 0]));
        let owner = Arc::clone(&routes);
        let owner = loom::thread::spawn(move || {
            let question = receive(&owner, 1, 1);
            assert_eq!(question.first(), Some(&(0, 1)));
            let (stream, refusal) = (stream(1), Refusal::Full);
            owner.send(0, RouteMessage::Refuse { stream, refusal });
            // The end of the stream may have come with its question.
            match question.len() {
                1 => assert_eq!(receive(&owner, 1, 1), [(1, 1)]),
                _ => assert_eq!(question, [(0, 1), (1, 1)]),
            }
        });
        let stream = stream(1);
        assert!(routes.ask(1, RouteMessage::Written { stream }).is_ok());
        let cause = CloseCause::Reset(8);
        routes.send(1, RouteMessage::StreamClosed { stream, cause });
        assert_eq!(receive(&routes, 0, 1), [(3, 1)]);
        owner.join().unwrap();
    });
}
