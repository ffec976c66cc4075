//! Every attack that a DoH server meets, bounded, against the real binary on loopback, with a well-behaved
//! client beside it.
//!
//! Each asks the same: the good client's p99 at most doubles (with a floor, since the machine is shared),
//! memory grows by no more than the bound, the upstream sees no more than the attacker's own budget, and
//! where abuse is plain the connection ends with ENHANCE_YOUR_CALM.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was measured is for --nocapture")]

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_tests::bench::process::pin_to_client_core;
use weir_tests::edge::{Edge, Forwarder, GoodClient};
use weir_tests::raw_h2::{
    END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End, RawConnection, frame, frame_type, get_headers,
};

#[path = "attacks/clocks.rs"]
mod clocks;
#[path = "attacks/connections.rs"]
mod connections;
#[path = "attacks/frames.rs"]
mod frames;
#[path = "attacks/requests.rs"]
mod requests;

/// Below this a p99 says more about the machine than about Weir, which other tests use at the same time.
const FLOOR: Duration = Duration::from_millis(30);
/// The same on a quiet machine, where `WEIR_ATTACKS_STRICT` is set and the tests run one by one.
const STRICT_FLOOR: Duration = Duration::from_millis(2);
/// How long the calm before an attack is measured.
const CALM: Duration = Duration::from_millis(500);
const STRICT_CALM: Duration = Duration::from_secs(2);
/// What one attacking client may add to resident memory.
const MEMORY_MAX: u64 = 24 << 20;

/// What an attack is made on.
struct Scene {
    edge: Edge,
    forwarder: Forwarder,
}

/// Runs an attack, again and again where it is measured strictly, after a calm, and checks what holds for all of them.
fn attack<A, F>(upstream_max: u64, attack: A) -> End
where
    A: Fn(SocketAddr) -> F,
    F: Future<Output = End>,
{
    attack_on(&json!({}), upstream_max, |scene| {
        attack(scene.edge.address())
    })
}

/// The same on a listener with these bounds.
fn attack_on<A, F>(http2: &Value, upstream_max: u64, attack: A) -> End
where
    A: Fn(Rc<Scene>) -> F,
    F: Future<Output = End>,
{
    let strict = std::env::var_os("WEIR_ATTACKS_STRICT").is_some();
    if strict {
        // The attacker stands for another machine: it leaves the server's core alone.
        pin_to_client_core().unwrap();
    }
    on_local_set(async {
        let forwarder = Forwarder::start().await.unwrap();
        let edge = Edge::start(&forwarder, http2).unwrap();
        let scene = Rc::new(Scene { edge, forwarder });
        let calm = GoodClient::start(scene.edge.address()).unwrap();
        tokio::time::sleep(if strict { STRICT_CALM } else { CALM }).await;
        let calm = calm.p99().await.unwrap();
        let (memory, queries) = (scene.edge.resident().unwrap(), scene.forwarder.queries());

        let good = GoodClient::start(scene.edge.address()).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let start = Instant::now();
        let (mut end, mut times) = (attack(Rc::clone(&scene)).await, 1);
        // Of as many waits as in the calm: the p99 of a short attack is its second longest wait, whatever that was.
        while strict && start.elapsed() < STRICT_CALM {
            end = attack(Rc::clone(&scene)).await;
            times += 1;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (under_attack, measured) = (good.p99().await.unwrap(), start.elapsed());

        let grown = scene.edge.resident().unwrap().saturating_sub(memory);
        let caused = scene.forwarder.queries() - queries;
        // A row of the table in docs/src/testing.md.
        let test = std::thread::current();
        println!(
            "| {} | {times} | {:.1} | {:.1} | {} | {caused} | {end:?} |",
            test.name().unwrap_or_default().replace("::", ": "),
            calm.as_secs_f64() * 1e3,
            under_attack.as_secs_f64() * 1e3,
            grown >> 10
        );
        let floor = if strict { STRICT_FLOOR } else { FLOOR };
        assert!(
            under_attack <= (calm * 2).max(floor),
            "p99 went from {calm:?} to {under_attack:?}"
        );
        assert!(grown <= MEMORY_MAX, "memory grew by {} KiB", grown >> 10);
        // A client that comes back gets no more than as much again in each second.
        let due = upstream_max * times.min(1 + measured.as_secs());
        assert!(
            caused <= due,
            "{caused} upstream queries, at most {due} were due"
        );
        let violations = scene.edge.metric("weir_invariant_violations_total").await;
        assert!(violations.unwrap().abs() < f64::EPSILON);
        end
    })
}

fn on_local_set<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

/// Sends the same burst `times` times or until the server hangs up; tells how it ended.
async fn repeat(
    mut connection: RawConnection,
    times: u32,
    mut burst: impl FnMut(u32) -> Vec<u8>,
) -> End {
    for round in 0..times {
        if connection.send(&burst(round)).await.is_err() {
            return connection.end(Duration::from_secs(2)).await;
        }
        if round % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
    connection.end(Duration::from_secs(3)).await
}

const fn stream(number: u32) -> u32 {
    number * 2 + 1
}

fn get(number: u32, name: &str) -> Vec<u8> {
    frame(
        frame_type::HEADERS,
        END_STREAM | END_HEADERS,
        stream(number),
        &get_headers(name),
    )
}

fn was_calmed(end: End) {
    assert_eq!(end, End::Goaway(ENHANCE_YOUR_CALM));
}
