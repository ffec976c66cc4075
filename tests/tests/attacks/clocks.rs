//! Clients that are slow on purpose: what never comes, and what is never read.

use std::time::Duration;

use serde_json::json;
use weir_tests::raw_h2::{
    END_HEADERS, END_STREAM, RawConnection, frame, frame_type, get_headers, post_headers,
};

use crate::{End, attack, attack_on, get, stream, was_calmed};

/// GOAWAY of a connection that nobody complains of (RFC 9113, 7).
const NO_ERROR: u32 = 0;

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
fn requests_that_never_end() {
    // Slowloris: headers are begun and never finished. The body's turn is `empty_and_tiny_data_floods`.
    was_calmed(attack(0, |address| async move {
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

#[test]
fn a_preface_that_never_comes() {
    // TLS is up, and then nothing: RFC 9113, 3.4 asks for the preface at once.
    let end = attack(0, |address| async move {
        let mut connection = RawConnection::open_silently(address).await.unwrap();
        connection.end(Duration::from_secs(8)).await
    });
    assert_eq!(end, End::Closed);
}

#[test]
fn bodies_that_never_end() {
    // Slowloris in bodies: an octet now and then. Each is answered 408 after five seconds.
    let end = attack(0, |address| async move {
        let mut connection = RawConnection::open(address, &[]).await.unwrap();
        for number in 0..90 {
            let head = frame(
                frame_type::HEADERS,
                END_HEADERS,
                stream(number),
                &post_headers(),
            );
            connection.send(&head).await.unwrap();
        }
        for _ in 0..6 {
            for number in 0..90 {
                // After its answer a stream takes no more, but what comes late is no reason to hang up.
                let _ = connection
                    .send(&frame(frame_type::DATA, 0, stream(number), b"x"))
                    .await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        for number in 0..90 {
            let whole = |response: &weir_tests::raw_h2::Response| response.ended;
            let response = connection.response(stream(number), Duration::from_secs(3), whole);
            let response = response.await.unwrap();
            assert_eq!(response.ok, Some(false), "stream {number}");
            assert_eq!(response.body, b"send the body without delay\n");
        }
        // Each left a stream half open, which the server reset: that many are too many.
        connection.end(Duration::from_secs(1)).await
    });
    was_calmed(end);
}

#[test]
fn octets_that_are_never_read() {
    // The windows of HTTP/2 are wide open, and the client never reads from its socket.
    let end = attack(0, |address| async move {
        let widest = [(4, 0x7fff_ffff)];
        let mut connection = RawConnection::open_unread(address, &widest).await.unwrap();
        let more = 0x7fff_0000u32.to_be_bytes();
        let update = frame(frame_type::WINDOW_UPDATE, 0, 0, &more);
        let mut sent = connection.send_unread(&update).await;
        let mut number = 0;
        while sent.is_ok() && number < 400_000 {
            let burst: Vec<u8> = (number..number + 50)
                .flat_map(|number| get(number, "good.example"))
                .collect();
            number += 50;
            sent = connection.send_unread(&burst).await;
        }
        assert!(
            sent.is_err(),
            "{number} requests were taken from a client that reads nothing"
        );
        End::Closed
    });
    assert_eq!(end, End::Closed);
}

#[test]
fn a_connection_that_asks_nothing() {
    // Idle, but for an octet now and then: PING within its rate keeps nothing alive.
    let bounds = json!({ "idleTimeout": "2s" });
    let end = attack_on(&bounds, 0, |scene| async move {
        let address = scene.edge.address();
        let mut connection = RawConnection::open(address, &[]).await.unwrap();
        let mut end = End::Open;
        for _ in 0..20 {
            if end != End::Open {
                break;
            }
            let _ = connection
                .send(&frame(frame_type::PING, 0, 0, &[0; 8]))
                .await;
            end = connection.end(Duration::from_millis(500)).await;
        }
        end
    });
    assert_eq!(end, End::Goaway(NO_ERROR));
}
