//! The ways between workers, on real threads; `tests/tests/routes.rs` runs the same code under loom.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::task::{Context, Waker};

use weir_dataplane::route::{ASKS_MAX, RouteMessage, Routes};
use weir_resolver::key::ConnectionId;
use weir_resolver::name::Name;
use weir_resolver::question::Question;
use weir_resolver::rrset::{Class, RecordType};

fn question(name: &str) -> Question {
    Question {
        name: Name::from_text(name).unwrap(),
        record_type: RecordType(1),
        class: Class(1),
    }
}

fn closed(number: u64) -> RouteMessage {
    RouteMessage::Closed {
        connection: ConnectionId(number),
    }
}

#[test]
fn questions_spread_and_stay_with_their_owner() {
    let routes = Routes::new(4, [1, 2]);
    let mut counts = [0; 4];
    for number in 0..1000 {
        let asked = question(&format!("host{number}.example"));
        let owner = routes.owner(&asked);
        assert_eq!(owner, routes.owner(&asked));
        counts[usize::from(owner)] += 1;
    }
    assert!(counts.iter().all(|count| *count > 180), "{counts:?}");
    assert_eq!(Routes::new(1, [1, 2]).owner(&question("a")), 0);
}

#[test]
fn a_full_way_gives_the_question_back_and_takes_ends() {
    let routes = Routes::new(2, [0, 0]);
    for number in 0..ASKS_MAX {
        assert!(routes.ask(1, closed(number as u64)).is_ok());
    }
    assert!(routes.ask(1, closed(9)).is_err());
    routes.send(1, closed(10));
    let mut batch = Vec::new();
    let context = Context::from_waker(Waker::noop());
    routes.take(1, &context, &mut batch);
    assert_eq!(batch.len(), ASKS_MAX + 1);
    assert!(routes.ask(1, closed(11)).is_ok());
}

#[test]
fn a_worker_wakes_for_what_comes_from_another_thread() {
    let routes = std::sync::Arc::new(Routes::new(2, [0, 0]));
    let sender = std::sync::Arc::clone(&routes);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let thread = std::thread::spawn(move || {
        for number in 0..10_000 {
            sender.send(1, closed(number));
        }
    });
    let received = runtime.block_on(async {
        let mut received = 0;
        let mut batch = Vec::new();
        std::future::poll_fn(|context| {
            routes.take(1, context, &mut batch);
            received += batch.drain(..).count();
            if received == 10_000 {
                std::task::Poll::Ready(received)
            } else {
                std::task::Poll::Pending
            }
        })
        .await
    });
    thread.join().unwrap();
    assert_eq!(received, 10_000);
}
