//! One question asked on several threads at once is one question: the workers of the real binary share it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use serde_json::json;
use weir_tests::bench::load::{ask, connect, trusting_client};
use weir_tests::edge::Edge;
use weir_tests::held_upstream::{HeldUpstream, Hold};
use weir_tests::local_task::block_on;

const STREAMS: u64 = 50;
const NAME: &str = "together.example";
/// The first retry of a query to a server that nothing is known of comes later than this (RFC 6298, 2).
const FIRST_RETRY: Duration = Duration::from_millis(370);

#[test]
fn fifty_streams_on_three_workers_make_one_upstream_query() {
    block_on(async {
        let upstream = HeldUpstream::start(3600, false).await.unwrap();
        let servers = upstream.addresses.iter();
        let servers: Vec<_> = servers
            .map(|address| json!({ "address": address.ip(), "port": address.port() }))
            .collect();
        let zone = json!({ "name": ".", "validate": false, "upstreams": servers });
        let edge = Edge::launch_on(
            "0,1",
            json!({
                "workers": 3,
                "listeners": [{ "name": "doh" }],
                "resolution": { "forwardZones": [zone] },
                "dnssec": { "mode": "Off" },
            }),
        )
        .unwrap();
        let address = edge.address();
        let mut senders = Vec::new();
        for _ in 0..STREAMS {
            senders.push(connect(address, trusting_client(false)).await.unwrap());
        }
        upstream.hold(Hold::Everything);
        let start = Instant::now();
        let asking: Vec<_> = senders
            .into_iter()
            .map(|sender| {
                tokio::task::spawn_local(async move { ask(&sender, address, NAME).await })
            })
            .collect();
        let together = loop {
            let scrape = edge.scrape().await.unwrap();
            if scrape.count("weir_mesh_waiters", "") == STREAMS {
                break scrape;
            }
            assert!(
                start.elapsed() < Duration::from_secs(8),
                "not all waited together"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert_eq!(together.count("weir_mesh_states", ""), 1);
        assert!(together.count("weir_mesh_fetches", "") <= 1);
        let held = upstream.held(NAME);
        if start.elapsed() < FIRST_RETRY {
            assert_eq!(held, 1);
        }
        upstream.release_all().await;
        for asked in asking {
            let (status, message) = asked.await.unwrap().unwrap();
            assert_eq!(status, 200);
            assert!(message.ends_with(&[192, 0, 2, 1]), "{message:?}");
        }
        let after = edge.scrape().await.unwrap();
        // Three workers took the connections, and one of them the question.
        assert!(after.count("weir_routed_total", "") > 0);
        assert_eq!(
            after.count("weir_dns_answers_total", "origin=\"resolved\""),
            1
        );
        assert_eq!(
            after.count("weir_dns_answers_total", "origin=\"joined\""),
            STREAMS - 1
        );
        assert_eq!(after.count("weir_invariant_violations_total", ""), 0);
    })
    .unwrap();
}
