//! The real binary over real TLS and HTTP/2 on loopback, with a server behind it that counts what
//! it is asked: RFC 8484 by section, how streams end, certificates that change, the drain.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::{Method, Request};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::authority::authority;
use crate::request::{TARGET, get, open, query, send, target};
use crate::weir::{Weir, write_pair};

#[path = "sockets/authority.rs"]
mod authority;
#[path = "sockets/request.rs"]
mod request;
#[path = "sockets/weir.rs"]
mod weir;

#[tokio::test]
async fn rfc8484_methods_and_statuses() {
    let weir = Weir::start(authority().0, 1);
    let (client, _) = weir.connect().await;
    let dns = Some("application/dns-message");
    // RFC 8484, 4.1 and 5.1: GET and POST, and freshness within the TTL.
    for (method, body) in [
        (Method::GET, None),
        (Method::POST, Some(query("post.example"))),
    ] {
        let asked = if body.is_some() {
            TARGET.to_owned()
        } else {
            get("get.example")
        };
        let (response, answer) = send(&client, method, &asked, dns, body).await;
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()["content-type"],
            "application/dns-message"
        );
        let age = response.headers()["cache-control"].to_str().unwrap();
        let age: u32 = age.strip_prefix("max-age=").unwrap().parse().unwrap();
        assert!(age <= 3600 && age > 3500, "{age}");
        assert_eq!(&answer[answer.len() - 4..], [192, 0, 2, 1]);
    }
    // RFC 9110, 9.3.2: HEAD says the same without a body.
    let (response, body) = send(&client, Method::HEAD, &get("get.example"), None, None).await;
    assert_eq!((response.status().as_u16(), body.len()), (200, 0));
    let short = target(&[0; 5]);
    let response_bit = {
        let mut message = query("x.example");
        message[2] |= 0x80;
        target(&message)
    };
    type Case<'a> = (Method, &'a str, Option<&'a str>, Option<Vec<u8>>, u16);
    let cases: [Case<'_>; 8] = [
        (Method::GET, "https://127.0.0.1/other", None, None, 404),
        (Method::GET, TARGET, None, None, 400),
        (Method::GET, &short, None, None, 400),
        (Method::GET, &response_bit, None, None, 400),
        (Method::PUT, TARGET, dns, Some(query("x.example")), 405),
        (
            Method::POST,
            TARGET,
            Some("text/plain"),
            Some(query("x.example")),
            415,
        ),
        (Method::POST, TARGET, dns, Some(vec![0; 5000]), 413),
        (Method::POST, TARGET, dns, Some(vec![0; 3]), 400),
    ];
    for (method, target, media, body, status) in cases {
        let (response, _) = send(&client, method.clone(), target, media, body).await;
        assert_eq!(response.status().as_u16(), status, "{method} {target:.50}");
    }
    // A message that parses and asks nothing is answered by the DNS (RFC 9619).
    let empty = target(&[0; 12]);
    let (response, answer) = send(&client, Method::GET, &empty, None, None).await;
    assert_eq!((response.status().as_u16(), answer[3] & 0x0f), (200, 1));
    weir.settles("weir_streams_active", 0.0).await;
    assert_eq!(weir.metric("weir_streams_total").await, 12.0);
}

/// Two of them in a row: the second takes what the first sends by RFC 8484.
#[tokio::test]
async fn questions_are_forwarded_over_https() {
    let (upstream, asked) = authority();
    let second = Weir::start(upstream, 1);
    let authorities = second.folder.join("tls.crt");
    let at = |path: &str, name: &str| {
        serde_json::json!({
            "address": "127.0.0.1", "port": second.address.port(), "protocol": "DoH",
            "serverName": name, "path": path,
        })
    };
    let first = Weir::forwarding(&at("/dns-query", "127.0.0.1"), 1, Some(&authorities));
    let (client, _) = first.connect().await;
    let (slow, quick) = (get("wait.example"), get("a.example"));
    let both = tokio::join!(
        send(&client, Method::GET, &slow, None, None),
        send(&client, Method::GET, &quick, None, None),
    );
    for (status, body) in [both.0, both.1].map(|(parts, body)| (parts.status(), body)) {
        assert_eq!(status, 200);
        assert_eq!(body[body.len() - 4..], [192, 0, 2, 1]);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    let replied = r#"weir_upstream_queries_total{transport="https",outcome="replied"}"#;
    first.settles(replied, 2.0).await;
    // One connection carried both.
    second.settles("weir_connections_opened_total", 1.0).await;

    // A wrong path is a 404 there, and another name in the certificate is no server of ours.
    for (upstream, outcome) in [
        (at("/other", "127.0.0.1"), "http_failed"),
        (at("/dns-query", "dns.example"), "tls_failed"),
    ] {
        let lost = Weir::forwarding(&upstream, 1, Some(&authorities));
        let (client, _) = lost.connect().await;
        let (_, body) = send(&client, Method::GET, &get("b.example"), None, None).await;
        assert_eq!(body[3] & 15, 2, "SERVFAIL");
        let failed =
            format!(r#"weir_upstream_queries_total{{transport="https",outcome="{outcome}"}}"#);
        assert!(lost.metric(&failed).await > 0.0);
    }
}

#[tokio::test]
async fn one_question_on_two_workers_is_asked_once() {
    let (address, asked) = authority();
    let weir = Weir::start(address, 2);
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(weir.connect().await.0);
    }
    let target = get("wait.shared.example");
    let mut waiting = Vec::new();
    for client in &clients {
        for _ in 0..6 {
            let request = Request::get(&target).body(()).unwrap();
            waiting.push(open(client, request).await.0);
        }
    }
    for response in waiting {
        assert_eq!(response.await.unwrap().status(), 200);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // From the cache from now on, on every worker.
    for client in &clients {
        send(client, Method::GET, &target, None, None).await;
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(weir.metric("weir_invariant_violations_total").await, 0.0);
}

#[tokio::test]
async fn a_reset_ends_one_stream_and_no_other() {
    let weir = Weir::start(authority().0, 1);
    let (client, _) = weir.connect().await;
    let target = get("slow.reset.example");
    let request = || Request::get(&target).body(()).unwrap();
    let (stays, _) = open(&client, request()).await;
    let (leaves, mut handle) = open(&client, request()).await;
    weir.settles("weir_mesh_waiters", 2.0).await;
    handle.send_reset(h2::Reason::CANCEL);
    drop(leaves);
    weir.settles("weir_mesh_waiters", 1.0).await;
    assert_eq!(stays.await.unwrap().status(), 200);
    weir.settles(
        "weir_stream_dispositions_total{disposition=\"peer_cancelled\"}",
        1.0,
    )
    .await;
    weir.settles(
        "weir_stream_dispositions_total{disposition=\"answered\"}",
        1.0,
    )
    .await;
    weir.settles("weir_streams_active", 0.0).await;
    weir.settles("weir_mesh_states", 0.0).await;
}

#[tokio::test]
async fn a_lost_connection_ends_its_streams() {
    let weir = Weir::start(authority().0, 1);
    let (client, _) = weir.connect().await;
    let (other, _) = weir.connect().await;
    let target = get("slow.lost.example");
    let request = || Request::get(&target).body(()).unwrap();
    // The connection's task ends with its last handle, and TLS and TCP with it.
    let (lost, _) = open(&client, request()).await;
    let (kept, _) = open(&other, request()).await;
    weir.settles("weir_mesh_waiters", 2.0).await;
    drop((lost, client));
    assert_eq!(kept.await.unwrap().status(), 200);
    weir.settles("weir_connections", 1.0).await;
    weir.settles("weir_streams_active", 0.0).await;
    weir.settles("weir_mesh_waiters", 0.0).await;
}

#[tokio::test]
async fn a_new_certificate_is_served_and_old_connections_go_on() {
    let weir = Weir::start(authority().0, 1);
    let (client, first) = weir.connect().await;
    write_pair(&weir.folder);
    let expected = CertificateDer::from_pem_file(weir.folder.join("tls.crt"))
        .unwrap()
        .to_vec();
    assert_ne!(first, expected);
    // Files are looked at each second.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let (_, second) = weir.connect().await;
    assert_eq!(second, expected);
    let (response, _) = send(&client, Method::GET, &get("old.example"), None, None).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn sigterm_lets_open_streams_finish() {
    let mut weir = Weir::start(authority().0, 2);
    let (client, _) = weir.connect().await;
    let request = Request::get(get("slow.drain.example")).body(()).unwrap();
    let (open, _) = open(&client, request).await;
    weir.settles("weir_mesh_waiters", 1.0).await;
    let pid = weir.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(open.await.unwrap().status(), 200);
    let by = Instant::now() + Duration::from_secs(8);
    loop {
        if let Some(status) = weir.child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            break;
        }
        assert!(Instant::now() < by, "it does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_wrong_document_is_told_field_by_field() {
    let file = std::env::temp_dir().join(format!("weir-wrong-{}.yaml", std::process::id()));
    std::fs::write(&file, "workers: 5000\ncache: {size: 1Ki}\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_weir-dataplane"))
        .args(["--check", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("workers: 5000 is out of range: use 0 to 1024"),
        "{text}"
    );
    assert!(text.contains("cache.size: 1Ki is out of range"), "{text}");
}
