//! Frames that are cheap to send and make the server work: resets, provocations, header blocks, floods.

use std::time::Duration;

use serde_json::json;
use weir_tests::raw_h2::{
    END_HEADERS, END_STREAM, RawConnection, frame, frame_type, get_headers, post_headers,
    push_string,
};

use crate::{End, attack, attack_on, get, repeat, stream, was_calmed};

/// RFC 9218, 7.1.
const PRIORITY_UPDATE: u8 = 0x10;
/// RFC 9113, 7.
const PROTOCOL_ERROR: u32 = 1;

/// What RFC 9113 makes an error of the whole connection ends it at the first frame.
fn broke_the_protocol(end: End) {
    assert_eq!(end, End::Goaway(PROTOCOL_ERROR));
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

#[test]
fn made_you_reset_by_window_overflow() {
    was_calmed(made_you_reset(|id| {
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
    broke_the_protocol(made_you_reset(|id| {
        frame(frame_type::WINDOW_UPDATE, 0, id, &[0; 4])
    }));
}

#[test]
fn made_you_reset_by_dependency_on_itself() {
    was_calmed(made_you_reset(|id| {
        let mut payload = id.to_be_bytes().to_vec();
        payload.push(16);
        frame(frame_type::PRIORITY, 0, id, &payload)
    }));
}

#[test]
fn made_you_reset_by_priority_of_wrong_length() {
    broke_the_protocol(made_you_reset(|id| {
        frame(frame_type::PRIORITY, 0, id, &[0; 4])
    }));
}

#[test]
fn made_you_reset_by_headers_after_the_end() {
    broke_the_protocol(made_you_reset(|id| {
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
    broke_the_protocol(made_you_reset(|id| {
        frame(frame_type::DATA, END_STREAM, id, &[0; 8])
    }));
}

#[test]
fn continuation_flood() {
    // CVE-2024-27316: headers that never end.
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
    was_calmed(attack(0, |address| async move {
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

#[test]
fn headers_that_are_no_request() {
    // Each header list is just short enough, and for a path that nobody serves: 240 octets that decode to 14 000, again
    // and again, each answered before the next twenty. A connection gets so much before its first request.
    was_calmed(attack_on(&json!({}), 0, |scene| async move {
        let address = scene.edge.address();
        let mut block = vec![0x82, 0x87, 0x04];
        push_string(&mut block, b"/nothing");
        block.push(0x01);
        push_string(&mut block, b"127.0.0.1");
        // accept-encoding: gzip, deflate (RFC 7541, Appendix A).
        block.extend(std::iter::repeat_n(0x90, 220));
        let used = scene.edge.server.usage().unwrap().cpu_ns;
        let limited = || async {
            let scrape = scene.edge.scrape().await.unwrap();
            scrape.count("weir_connection_limits_total", "header_blocks")
        };
        let limited_before = limited().await;
        let mut connection = RawConnection::open(address, &[]).await.unwrap();
        let mut answered = 0;
        for number in 0..5000 {
            let flags = END_STREAM | END_HEADERS;
            let request = frame(frame_type::HEADERS, flags, stream(number), &block);
            if connection.send(&request).await.is_err() {
                break;
            }
            if number % 20 == 19 {
                let wait = Duration::from_secs(2);
                let last = connection.response(stream(number), wait, |response| response.ended);
                if !last.await.is_ok_and(|response| response.ended) {
                    break;
                }
                answered = number;
            }
        }
        let used = (scene.edge.server.usage().unwrap().cpu_ns - used) / 1_000_000;
        println!("{answered} answered, {used} ms of CPU");
        assert!((400..600).contains(&answered), "{answered} were answered");
        // The handshake, the well-behaved client and all that is measured are in it.
        assert!(used <= 250, "{used} ms of CPU");
        assert_eq!(limited().await, limited_before + 1);
        connection.end(Duration::from_secs(2)).await
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
fn priority_update_flood() {
    // RFC 9218, 7.1: they name streams that may never open.
    was_calmed(flood(|| {
        frame(PRIORITY_UPDATE, 0, 0, b"\x00\x00\x00\x09u=1,i")
    }));
}

#[test]
fn settings_acknowledgement_flood() {
    broke_the_protocol(flood(|| frame(frame_type::SETTINGS, 1, 0, &[])));
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
    was_calmed(attack(0, |address| async move {
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
fn more_streams_than_agreed() {
    was_calmed(attack(1100, |address| async move {
        let connection = RawConnection::open(address, &[]).await.unwrap();
        repeat(connection, 500, |round| {
            (round * 20..round * 20 + 20)
                .flat_map(|number| get(number, &format!("slow{number}.example")))
                .collect()
        })
        .await
    }));
}
