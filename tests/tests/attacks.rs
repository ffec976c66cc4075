//! Every attack that a DoH server meets, bounded, against the real binary on loopback, with a well-behaved
//! client beside it.
//!
//! Each asks the same: the good client's p99 at most doubles (with a floor, since the machine is shared),
//! memory grows by no more than the bound, the upstream sees no more than the attacker's own budget, and
//! where abuse is plain the connection ends with ENHANCE_YOUR_CALM.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use serde_json::json;
use weir_tests::edge::{Edge, Forwarder, GoodClient};
use weir_tests::raw_h2::{
    END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End, RawConnection, frame, frame_type, get_headers,
    post_headers, push_string,
};

/// Below this a p99 says more about the machine than about Weir.
const FLOOR: Duration = Duration::from_millis(40);
/// What one attacking connection may add to resident memory.
const MEMORY_MAX: u64 = 24 << 20;

struct Scene {
    edge: Edge,
    forwarder: Forwarder,
}

/// Runs an attack between two measurements and checks what holds for all of them.
fn attack<A, F>(upstream_max: u64, attack: A) -> End
where
    A: FnOnce(std::net::SocketAddr) -> F,
    F: Future<Output = End>,
{
    on_local_set(async {
        let forwarder = Forwarder::start().await.unwrap();
        let edge = Edge::start(&forwarder, &json!({})).unwrap();
        let scene = Scene { edge, forwarder };
        let calm = GoodClient::start(scene.edge.address());
        tokio::time::sleep(Duration::from_millis(500)).await;
        let calm = calm.p99().await.unwrap();
        let (memory, queries) = (scene.edge.resident().unwrap(), scene.forwarder.queries());

        let good = GoodClient::start(scene.edge.address());
        tokio::time::sleep(Duration::from_millis(100)).await;
        let end = attack(scene.edge.address()).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let under_attack = good.p99().await.unwrap();

        assert!(
            under_attack <= (calm * 2).max(FLOOR),
            "p99 went from {calm:?} to {under_attack:?}"
        );
        let grown = scene.edge.resident().unwrap().saturating_sub(memory);
        assert!(grown <= MEMORY_MAX, "memory grew by {} KiB", grown >> 10);
        let caused = scene.forwarder.queries() - queries;
        assert!(
            caused <= upstream_max,
            "{caused} upstream queries, at most {upstream_max} were due"
        );
        let violations = scene
            .edge
            .metric("weir_invariant_violations_total")
            .await
            .unwrap();
        assert!(
            violations.abs() < f64::EPSILON,
            "{violations} invariants did not hold"
        );
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

#[test]
fn rapid_reset() {
    // CVE-2023-44487. The orphan debt of one client is what it may have running: at most its own limit.
    was_calmed(attack(1100, |address| async move {
        let connection = RawConnection::open(address, &[]).await.unwrap();
        repeat(connection, 1000, |round| {
            let mut burst = Vec::new();
            for number in round * 100..round * 100 + 100 {
                burst.extend(get(number, &format!("slow{number}.example")));
                burst.extend(frame(
                    frame_type::RST_STREAM,
                    0,
                    stream(number),
                    &8u32.to_be_bytes(),
                ));
            }
            burst
        })
        .await
    }));
}

/// The server is provoked into resetting streams itself (CVE-2025-8671).
fn made_you_reset(provoke: fn(u32) -> Vec<u8>) -> End {
    attack(1100, |address| async move {
        let connection = RawConnection::open(address, &[]).await.unwrap();
        repeat(connection, 1000, |round| {
            let mut burst = Vec::new();
            for number in round * 10..round * 10 + 10 {
                burst.extend(get(number, &format!("slow{number}.example")));
                burst.extend(provoke(stream(number)));
            }
            burst
        })
        .await
    })
}

fn ended_by_server(end: End) {
    assert_ne!(end, End::Open);
}

#[test]
fn made_you_reset_by_window_overflow() {
    ended_by_server(made_you_reset(|id| {
        frame(
            frame_type::WINDOW_UPDATE,
            0,
            id,
            &0x7fff_ffffu32.to_be_bytes(),
        )
    }));
}

#[test]
fn made_you_reset_by_empty_window_update() {
    ended_by_server(made_you_reset(|id| {
        frame(frame_type::WINDOW_UPDATE, 0, id, &[0; 4])
    }));
}

#[test]
fn made_you_reset_by_dependency_on_itself() {
    ended_by_server(made_you_reset(|id| {
        let mut payload = id.to_be_bytes().to_vec();
        payload.push(16);
        frame(frame_type::PRIORITY, 0, id, &payload)
    }));
}

#[test]
fn made_you_reset_by_priority_of_wrong_length() {
    ended_by_server(made_you_reset(|id| {
        frame(frame_type::PRIORITY, 0, id, &[0; 4])
    }));
}

#[test]
fn made_you_reset_by_headers_after_the_end() {
    ended_by_server(made_you_reset(|id| {
        frame(
            frame_type::HEADERS,
            END_STREAM | END_HEADERS,
            id,
            &get_headers("slow.example"),
        )
    }));
}

#[test]
fn made_you_reset_by_data_after_the_end() {
    ended_by_server(made_you_reset(|id| {
        frame(frame_type::DATA, END_STREAM, id, &[0; 8])
    }));
}

#[test]
fn continuation_flood() {
    // CVE-2024-27316: headers that never end.
    ended_by_server(attack(0, |address| async move {
        let mut connection = RawConnection::open(address, &[]).await.unwrap();
        connection
            .send(&frame(
                frame_type::HEADERS,
                END_STREAM,
                1,
                &get_headers("a.example"),
            ))
            .await
            .unwrap();
        repeat(connection, 1024, |_| {
            let mut block = vec![0x00];
            push_string(&mut block, b"x");
            push_string(&mut block, &[b'a'; 1000]);
            frame(frame_type::CONTINUATION, 0, 1, &block)
        })
        .await
    }));
}

#[test]
fn header_compression_bomb() {
    // One large entry in the dynamic table, referred to over and over: few octets, many decoded.
    ended_by_server(attack(0, |address| async move {
        let connection = RawConnection::open(address, &[]).await.unwrap();
        repeat(connection, 100, |round| {
            let mut block = get_headers("a.example");
            if round == 0 {
                block.push(0x40);
                push_string(&mut block, b"x");
                push_string(&mut block, &[b'a'; 4000]);
            }
            block.extend(std::iter::repeat_n(0xbe, 12_000));
            frame(
                frame_type::HEADERS,
                END_STREAM | END_HEADERS,
                stream(round),
                &block,
            )
        })
        .await
    }));
}

/// A frame that is cheap to send and costs the server something each time.
fn flood(burst: fn() -> Vec<u8>) -> End {
    attack(0, |address| async move {
        let connection = RawConnection::open(address, &[]).await.unwrap();
        repeat(connection, 2000, |_| burst().repeat(20)).await
    })
}

#[test]
fn settings_flood() {
    was_calmed(flood(|| frame(frame_type::SETTINGS, 0, 0, &[])));
}

#[test]
fn ping_flood() {
    was_calmed(flood(|| frame(frame_type::PING, 0, 0, &[0; 8])));
}

#[test]
fn priority_flood() {
    was_calmed(flood(|| {
        frame(frame_type::PRIORITY, 0, 9, &[0, 0, 0, 0, 16])
    }));
}

#[test]
fn window_update_flood() {
    was_calmed(flood(|| {
        frame(frame_type::WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes())
    }));
}

#[test]
fn unknown_frames_flood() {
    was_calmed(flood(|| frame(0x77, 0, 0, &[])));
}

#[test]
fn window_size_toggled_while_responding() {
    // CVE-2026-3593 of BIND: arithmetic over all streams for each SETTINGS frame.
    was_calmed(attack(200, |address| async move {
        let mut connection = RawConnection::open(address, &[(4, 0)]).await.unwrap();
        let burst: Vec<u8> = (0..90)
            .flat_map(|number| get(number, "good.example"))
            .collect();
        connection.send(&burst).await.unwrap();
        repeat(connection, 2000, |round| {
            let value = if round % 2 == 0 { 1u32 } else { 0 };
            let mut payload = 4u16.to_be_bytes().to_vec();
            payload.extend_from_slice(&value.to_be_bytes());
            frame(frame_type::SETTINGS, 0, 0, &payload).repeat(10)
        })
        .await
    }));
}

#[test]
fn empty_and_tiny_data_floods() {
    ended_by_server(attack(0, |address| async move {
        let mut connection = RawConnection::open(address, &[]).await.unwrap();
        connection
            .send(&frame(frame_type::HEADERS, END_HEADERS, 1, &post_headers()))
            .await
            .unwrap();
        repeat(connection, 2000, |round| {
            let payload: &[u8] = if round % 2 == 0 { &[] } else { &[0] };
            frame(frame_type::DATA, 0, 1, payload).repeat(20)
        })
        .await
    }));
}

#[test]
fn answers_that_are_never_read() {
    // CVE-2019-9517: a window of zero. Each stream has a deadline of its own, and the connection too.
    let end = attack(200, |address| async move {
        let mut connection = RawConnection::open(address, &[(4, 0)]).await.unwrap();
        let burst: Vec<u8> = (0..90)
            .flat_map(|number| get(number, "good.example"))
            .collect();
        connection.send(&burst).await.unwrap();
        let end = connection.end(Duration::from_secs(20)).await;
        assert!(
            end != End::Open || connection.resets == 90,
            "{end:?}, {} resets",
            connection.resets
        );
        end
    });
    assert!(matches!(end, End::Open | End::Closed | End::Goaway(_)));
}

#[test]
fn more_streams_than_agreed() {
    ended_by_server(attack(1100, |address| async move {
        let connection = RawConnection::open(address, &[]).await.unwrap();
        repeat(connection, 500, |round| {
            (round * 20..round * 20 + 20)
                .flat_map(|number| get(number, &format!("slow{number}.example")))
                .collect()
        })
        .await
    }));
}

#[test]
fn requests_that_never_end() {
    // Slowloris: headers are begun and never finished. The body's turn is `empty_and_tiny_data_floods`.
    ended_by_server(attack(0, |address| async move {
        let mut connection = RawConnection::open(address, &[]).await.unwrap();
        connection
            .send(&frame(
                frame_type::HEADERS,
                END_STREAM,
                1,
                &get_headers("a.example"),
            ))
            .await
            .unwrap();
        connection.end(Duration::from_secs(12)).await
    }));
}

#[test]
fn a_handshake_that_never_ends() {
    use tokio::io::AsyncReadExt as _;
    let end = attack(0, |address| async move {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let mut octet = [0];
        match tokio::time::timeout(Duration::from_secs(10), socket.read(&mut octet)).await {
            Ok(_) => End::Closed,
            Err(_) => End::Open,
        }
    });
    assert_eq!(end, End::Closed);
}
