//! The conformance suite of HTTP/2 against the real binary: all of its 145 cases pass.
//!
//! `make test` builds h2spec and names it in `WEIR_H2SPEC`; without it the test says that it was skipped.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use data_encoding::BASE64URL_NOPAD;
use serde_json::json;
use weir_tests::bench::load::query;
use weir_tests::edge::{Edge, Forwarder};
use weir_tests::local_task::block_on;

#[test]
fn all_of_h2spec_passes() {
    let Ok(h2spec) = std::env::var("WEIR_H2SPEC") else {
        println!("skipped: WEIR_H2SPEC does not name h2spec; `make test` builds it");
        return;
    };
    block_on(async {
        let forwarder = Forwarder::start().await.unwrap();
        let edge = Edge::start(&forwarder, &json!({})).unwrap();
        let address = edge.address();
        let path = format!(
            "/dns-query?dns={}",
            BASE64URL_NOPAD.encode(&query("good.example"))
        );
        let output = tokio::process::Command::new(h2spec)
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &address.port().to_string(),
                "-t",
                "-k",
                "-P",
                &path,
            ])
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let summary = text
            .lines()
            .rev()
            .find(|line| line.contains(" tests, "))
            .unwrap_or_default();
        assert_eq!(
            summary, "145 tests, 145 passed, 0 skipped, 0 failed",
            "{text}"
        );
        let violations = edge
            .metric("weir_invariant_violations_total")
            .await
            .unwrap();
        assert!(violations.abs() < f64::EPSILON);
    })
    .unwrap();
}
