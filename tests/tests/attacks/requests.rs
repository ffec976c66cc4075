//! Requests that ask for what no query needs: too long, of no question, or more than anybody else may ask.

use std::time::{Duration, Instant};

use serde_json::json;
use weir_tests::bench::load::{Pattern, ask_message, connect, query, run, trusting_client};
use weir_tests::raw_h2::{
    END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, RawConnection, Response, frame, frame_type,
    post_headers, query_headers,
};

use crate::{End, attack, attack_on, get, repeat, stream, was_calmed};

/// One more octet than a query may have.
const TOO_LONG: usize = 4097;
/// Response codes (RFC 1035, 4.1.1).
const FORMERR: u8 = 1;
const NOTIMP: u8 = 4;
const REFUSED: u8 = 5;
/// RFC 9113, 7.
const FLOW_CONTROL_ERROR: u32 = 3;

fn whole(response: &Response) -> bool {
    response.ended
}

#[test]
fn a_huge_dns_parameter() {
    // CVE-2024-32936 of CoreDNS. The length is looked at before anything is decoded.
    let end = attack(0, |address| async move {
        let sender = connect(address, trusting_client(false)).await.unwrap();
        for length in [TOO_LONG, 8000] {
            let (status, _) = ask_message(&sender, address, &vec![0; length])
                .await
                .unwrap();
            assert_eq!(status, 414, "{length} octets");
        }
        // More than the whole list of headers may have: h2 refuses the request itself.
        let mut connection = RawConnection::open(address, &[(4, 1 << 20)]).await.unwrap();
        let long = query_headers(&[0; 12_250]);
        let (first, rest) = long.split_at(16_000);
        let mut request = frame(frame_type::HEADERS, END_STREAM, 1, first);
        request.extend(frame(frame_type::CONTINUATION, END_HEADERS, 1, rest));
        connection.send(&request).await.unwrap();
        let refused = connection.response(1, Duration::from_secs(3), |response| {
            response.ok.is_some() || response.reset.is_some()
        });
        assert_ne!(refused.await.unwrap().ok, Some(true));

        // What is no request uses up what a connection may have decoded.
        let long = query_headers(&[0; 8000]);
        repeat(connection, 3000, |round| {
            frame(
                frame_type::HEADERS,
                END_STREAM | END_HEADERS,
                stream(round + 1),
                &long,
            )
        })
        .await
    });
    was_calmed(end);
}

/// A query of this type and class, with these first two octets of flags.
fn odd(flags: [u8; 2], record_type: u16, class: u16) -> Vec<u8> {
    let mut message = query("transfer.example");
    message[2..4].copy_from_slice(&flags);
    let at = message.len() - 4;
    message[at..at + 2].copy_from_slice(&record_type.to_be_bytes());
    message[at + 2..].copy_from_slice(&class.to_be_bytes());
    message
}

#[test]
fn questions_that_no_data_answers() {
    // Zone transfers (CVE-2024-25581 of dnsdist), types for messages only, opcodes: none reaches the mesh.
    let end = attack(0, |address| async move {
        let sender = connect(address, trusting_client(false)).await.unwrap();
        let plain = [1, 0];
        let mut asked = vec![
            (odd(plain, 252, 1), 200, Some(REFUSED)),
            (odd(plain, 251, 1), 200, Some(REFUSED)),
            (odd([0x81, 0], 1, 1), 400, None),
        ];
        asked.extend(
            [0, 41, 249, 250, 253, 254].map(|meta| (odd(plain, meta, 1), 200, Some(FORMERR))),
        );
        asked.extend((1..16).map(|opcode| (odd([opcode << 3, 0], 1, 1), 200, Some(NOTIMP))));
        asked.extend([0, 3, 4, 254].map(|class| (odd(plain, 1, class), 200, Some(REFUSED))));
        for (message, status, rcode) in asked {
            let (got, answer) = ask_message(&sender, address, &message).await.unwrap();
            let code = answer.get(3).filter(|_| got == 200).map(|octet| octet & 15);
            assert_eq!((got, code), (status, rcode), "{message:02x?}");
        }
        let mut connection = RawConnection::open(address, &[(4, 1 << 20)]).await.unwrap();
        let transfer = query_headers(&odd(plain, 252, 1));
        for number in 0..20_000 {
            let request = frame(
                frame_type::HEADERS,
                END_STREAM | END_HEADERS,
                stream(number),
                &transfer,
            );
            connection.send(&request).await.unwrap();
            if number % 50 == 49 {
                // Answers take from the window of the connection.
                let update = frame(frame_type::WINDOW_UPDATE, 0, 0, &5000u32.to_be_bytes());
                connection.send(&update).await.unwrap();
                let last = connection.response(stream(number), Duration::from_secs(3), whole);
                assert_eq!(last.await.unwrap().ok, Some(true));
            }
        }
        connection.end(Duration::from_millis(100)).await
    });
    assert_eq!(end, End::Open);
}

#[test]
fn any_questions() {
    // One small answer each (RFC 8482), and at most one query for it.
    let end = attack(1, |address| async move {
        let sender = connect(address, trusting_client(false)).await.unwrap();
        for _ in 0..2000 {
            let (status, answer) = ask_message(&sender, address, &odd([1, 0], 255, 1))
                .await
                .unwrap();
            assert!(
                status == 200 && answer.len() < 200,
                "{status}, {} octets",
                answer.len()
            );
        }
        End::Open
    });
    assert_eq!(end, End::Open);
}

#[test]
fn bodies_that_are_too_long() {
    // The window of a stream is 16 KiB, the longest query 4 KiB: the rest is refused, never kept.
    // What was not taken is never credited, so that the client soon overruns the window of the connection; or the
    // resets that refuse the rest overrun their own limit, if more of it arrives at once.
    let end = attack(0, |address| async move {
        let connection = RawConnection::open(address, &[]).await.unwrap();
        repeat(connection, 2000, |round| {
            let mut burst = Vec::new();
            for number in round * 5..round * 5 + 5 {
                let id = stream(number);
                burst.extend(frame(frame_type::HEADERS, END_HEADERS, id, &post_headers()));
                burst.extend(frame(frame_type::DATA, 0, id, &[0; 8000]));
            }
            burst
        })
        .await
    });
    let ends = [FLOW_CONTROL_ERROR, ENHANCE_YOUR_CALM].map(End::Goaway);
    assert!(ends.contains(&end), "{end:?}");
}

#[test]
fn one_fast_sender() {
    // Requests without a pause on one connection: nobody else of the thread waits longer for it.
    let end = attack(100, |address| async move {
        let pattern = Pattern {
            connections: 1,
            streams: 90,
            requests: 40_000,
            reset_every: 0,
        };
        let outcome = run(address, pattern, |_| "good.example".to_owned())
            .await
            .unwrap();
        assert_eq!(outcome.succeeded, 40_000);
        End::Open
    });
    assert_eq!(end, End::Open);
}

#[test]
fn answers_that_are_piled_up() {
    // DNSBomb (CVE-2024-33655): as many questions as one client may have waiting, all answered in one instant by a
    // server of its own. 128 may leave at once, and as many in each five milliseconds that follow.
    const CONNECTIONS: u32 = 10;
    const STREAMS: u32 = 95;
    let end = attack_on(&json!({}), 40, |scene| async move {
        let address = scene.edge.address();
        // One that nobody asked before.
        let name = format!("held{}.example", scene.forwarder.queries());
        let paced_before = scene.edge.metric("weir_answers_paced_total").await.unwrap();
        let mut piles = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut connection = RawConnection::open(address, &[(4, 1 << 20)]).await.unwrap();
            let burst: Vec<u8> = (0..STREAMS).flat_map(|number| get(number, &name)).collect();
            connection.send(&burst).await.unwrap();
            piles.push(connection);
        }
        let all = f64::from(CONNECTIONS * STREAMS);
        let deadline = Instant::now() + Duration::from_secs(5);
        while scene.edge.metric("weir_mesh_waiters").await.unwrap() < all {
            assert!(Instant::now() < deadline, "not all waited together");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let start = Instant::now();
        scene.forwarder.release();
        for pile in &mut piles {
            for number in 0..STREAMS {
                let response = pile
                    .response(stream(number), Duration::from_secs(5), whole)
                    .await;
                assert_eq!(response.unwrap().ok, Some(true));
            }
        }
        let took = start.elapsed();
        assert!(
            took >= Duration::from_millis(30),
            "all were answered in {took:?}"
        );
        let paced = scene.edge.metric("weir_answers_paced_total").await.unwrap() - paced_before;
        println!("{all} answers in {took:?}, {paced} of them paced");
        assert!(paced >= all - 256.0, "only {paced} were paced");
        End::Open
    });
    assert_eq!(end, End::Open);
}
