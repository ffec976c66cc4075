//! What a violated invariant does to the running data plane: the state concerned is fenced off, whoever waits for it
//! is answered SERVFAIL, it is counted, and everything else goes on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use weir_tests::bench::load::{ask, ask_message, connect, query, trusting_client};
use weir_tests::bench::process::SERVER_CORE;
use weir_tests::edge::{Edge, Forwarder, forward_everything};
use weir_tests::local_task::block_on;

/// What the switch says of what it does; in every program that has it.
const SWITCH: &[u8] = b"injected by a test";

fn holds(program: &Path, text: &[u8]) -> bool {
    let octets = std::fs::read(program).unwrap();
    octets.windows(text.len()).any(|window| window == text)
}

#[test]
fn a_violation_is_fenced_counted_and_answered() {
    block_on(async {
        let forwarder = Forwarder::start().await.unwrap();
        let document = json!({
            "workers": 1,
            "listeners": [{ "name": "doh" }],
            "resolution": { "forwardZones": [forward_everything(forwarder.address)] },
            "dnssec": { "mode": "Off" },
        });
        let program = "dataplane-with-injection";
        let mut edge = Edge::launch_program(program, SERVER_CORE, document, &[]).unwrap();
        edge.violations = 1;
        let address = edge.address();
        let sender = connect(address, trusting_client(false)).await.unwrap();
        let waiting = |name: &'static str| {
            let sender = sender.clone();
            tokio::task::spawn_local(async move { ask(&sender, address, name).await })
        };
        let struck = [
            waiting("held.violate.example"),
            waiting("held.violate.example"),
        ];
        let spared = [
            waiting("held.spared.example"),
            waiting("heldtoo.spared.example"),
        ];
        let deadline = Instant::now() + Duration::from_secs(5);
        while edge.metric("weir_mesh_waiters").await.unwrap() < 4.0 {
            assert!(Instant::now() < deadline, "not all waited together");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The third to join spells the name so that the switch strikes.
        let message = query("held.VIOLATE.example");
        let (status, answer) = ask_message(&sender, address, &message).await.unwrap();
        assert_eq!((status, answer[3] & 15), (200, 2));
        assert_eq!(answer[12..message.len()], message[12..]);
        for one in struck {
            let (status, answer) = one.await.unwrap().unwrap();
            assert_eq!((status, answer[3] & 15), (200, 2));
        }
        let scrape = edge.scrape().await.unwrap();
        assert_eq!(scrape.count("weir_invariant_violations_total", ""), 1);
        assert_eq!(scrape.count("weir_panics_total", ""), 0);
        assert_eq!(scrape.count("weir_mesh_states", ""), 2);
        assert_eq!(scrape.count("weir_mesh_waiters", ""), 2);

        forwarder.release();
        for one in spared {
            let (status, answer) = one.await.unwrap().unwrap();
            assert_eq!((status, answer[3] & 15), (200, 0));
        }
        // The same connection asks on, also for what was struck.
        let (status, answer) = ask(&sender, address, "violate.example").await.unwrap();
        assert_eq!((status, answer[3] & 15), (200, 0));
        let again = waiting("held.violate.example");
        tokio::time::sleep(Duration::from_millis(100)).await;
        forwarder.release();
        let (status, answer) = again.await.unwrap().unwrap();
        assert_eq!((status, answer[3] & 15), (200, 0));
        let scrape = edge.scrape().await.unwrap();
        assert_eq!(scrape.count("weir_invariant_violations_total", ""), 1);
        assert_eq!(scrape.count("weir_mesh_states", ""), 0);
        assert_eq!(scrape.count("weir_mesh_fetches", ""), 0);
    })
    .unwrap();
}

#[test]
fn only_the_program_of_this_test_has_the_switch() {
    assert!(holds(
        &weir_tests::program("dataplane-with-injection").unwrap(),
        SWITCH
    ));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    // Off unless asked for, and asked for by the tests alone.
    let own = manifest("dataplane/Cargo.toml");
    assert!(own.contains("injection = [\"weir-resolver/check\"]") && !own.contains("default = ["));
    for other in ["Cargo.toml", "crds/Cargo.toml", "operator/Cargo.toml"] {
        assert!(!manifest(other).contains("injection"), "{other}");
    }
    // What `make images` laid out is what is shipped.
    let shipped = root.join("target/image/weir-dataplane/weir-dataplane");
    if shipped.exists() {
        assert!(!holds(&shipped, SWITCH));
    } else {
        println!("no image was laid out, so that none was searched: run `make images` before");
    }
}
