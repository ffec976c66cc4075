//! Clients that people really use, against the real binary on loopback: kdig, curl and dnsperf.
//!
//! kdig and curl verify the certificate, and each is also shown one that it must not accept. dnsperf 2.10 has no
//! means to verify (it calls nothing that loads an authority), so it counts as load alone; it asks one question at a
//! time on each connection, because it forgets answers that come in one read (DNS-OARC/dnsperf issue 240). `make test`
//! installs the tools; elsewhere a test whose tool is missing says that it was skipped.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Output;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Command;
use weir_tests::edge::{Edge, Forwarder, forward_everything};
use weir_tests::local_task::block_on;

/// Names that dnsperf asks for.
const NAMES: usize = 300;
/// Threads of dnsperf, each with one connection and one question on its way.
const THREADS: &str = "4";

/// Whether a tool can be run; where CI has a cluster it must be there.
fn is_missing(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    assert!(
        found || std::env::var_os("WEIR_CLUSTER").is_none(),
        "{tool} is not installed, though tests/run.sh installs it"
    );
    if !found {
        println!("skipped: {tool} is not installed; `make test` installs it");
    }
    !found
}

/// A data plane in front of a forwarder, with one local zone whose `page.weir.example` is this machine.
async fn edge() -> Edge {
    let forwarder = Forwarder::start().await.unwrap();
    Edge::launch(json!({
        "workers": 2,
        "resolution": {
            "forwardZones": [forward_everything(forwarder.address)],
            "localZones": [{
                "name": "weir.example",
                "records": ["page A 127.0.0.1", "page AAAA ::ffff:127.0.0.1"],
            }],
        },
        "dnssec": { "mode": "Off" },
    }))
    .unwrap()
}

async fn output(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program)
        .args(arguments)
        .kill_on_drop(true)
        .output();
    let limit = std::time::Duration::from_secs(60);
    tokio::time::timeout(limit, output).await.unwrap().unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// A certificate that nobody's server shows.
fn stranger(edge: &Edge) -> String {
    let pair = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let file = edge.folder().join("stranger.crt");
    std::fs::write(&file, pair.cert.pem()).unwrap();
    file.display().to_string()
}

async fn unharmed(edge: &Edge) {
    let violations = edge.metric("weir_invariant_violations_total").await;
    assert!(violations.unwrap().abs() < f64::EPSILON);
}

#[test]
fn kdig_verifies_and_asks_by_post_and_get() {
    if is_missing("kdig") {
        return;
    }
    block_on(async {
        let edge = edge().await;
        let port = edge.address().port().to_string();
        let trusted = format!("+tls-ca={}", edge.certificate().display());
        let other_ca = format!("+tls-ca={}", stranger(&edge));
        let ask = async |more: &[&str]| {
            let mut arguments = vec!["@127.0.0.1", "-p", &port, "+https=/dns-query", "+retry=0"];
            arguments.extend_from_slice(more);
            arguments.extend_from_slice(&["harbour.example", "A"]);
            text(&output("kdig", &arguments).await.stdout)
        };
        let host = "+tls-hostname=localhost";
        for method in [[].as_slice(), ["+https-get"].as_slice()] {
            let answer = ask(&[&[trusted.as_str(), host], method].concat()).await;
            assert!(answer.contains("status: NOERROR"), "{method:?}: {answer}");
            assert!(answer.contains("192.0.2.1"), "{method:?}: {answer}");
            let status = "HTTP/2";
            assert!(answer.contains(status), "{method:?}: {answer}");
        }
        let answers = edge.metric("weir_dns_answers_total").await.unwrap();
        for wrong in [
            [trusted.as_str(), "+tls-hostname=other.example"],
            [&other_ca, host],
        ] {
            let answer = ask(&wrong).await;
            assert!(!answer.contains("192.0.2.1"), "{wrong:?}: {answer}");
        }
        let still = edge.metric("weir_dns_answers_total").await.unwrap();
        assert!(
            (still - answers).abs() < f64::EPSILON,
            "it asked all the same"
        );
        unharmed(&edge).await;
    })
    .unwrap();
}

/// A web server that says one word.
async fn page() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = [0; 2048];
            let _ = client.read(&mut head).await;
            let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nmooring";
            let _ = client.write_all(reply).await;
        }
    });
    address
}

#[test]
fn curl_verifies_and_finds_a_page_that_only_weir_knows() {
    if is_missing("curl") {
        return;
    }
    block_on(async {
        let edge = edge().await;
        let doh = format!("https://localhost:{}/dns-query", edge.address().port());
        let url = format!("http://page.weir.example:{}/", page().await.port());
        let fetch = async |authority: &str| {
            let arguments = [
                "--silent",
                "--show-error",
                "--max-time",
                "10",
                "--noproxy",
                "*",
                "--ipv4",
                "--cacert",
                authority,
                "--doh-url",
                &doh,
                &url,
            ];
            output("curl", &arguments).await
        };
        let trusted = edge.certificate().display().to_string();
        let got = fetch(&trusted).await;
        assert_eq!(text(&got.stdout), "mooring", "{}", text(&got.stderr));
        let refused = fetch(&stranger(&edge)).await;
        assert!(!refused.status.success(), "{}", text(&refused.stdout));
        assert!(refused.stdout.is_empty());
        unharmed(&edge).await;
    })
    .unwrap();
}

/// The value of a line of dnsperf's report, such as `Queries lost:`.
fn reported(report: &str, what: &str) -> String {
    let line = report
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(what));
    line.unwrap_or_else(|| panic!("no {what} in {report}"))
        .trim()
        .to_owned()
}

#[test]
fn dnsperf_loses_nothing_by_get_and_post() {
    if is_missing("dnsperf") {
        return;
    }
    block_on(async {
        let edge = edge().await;
        let mut names = String::new();
        for number in 0..NAMES {
            let _ = writeln!(names, "berth{number}.example A");
        }
        let file = edge.folder().join("names.txt");
        std::fs::write(&file, names).unwrap();
        let (file, port) = (
            file.display().to_string(),
            edge.address().port().to_string(),
        );
        for method in ["GET", "POST"] {
            // Twice through the file: from the forwarder, then from the cache.
            let method = format!("doh-method={method}");
            let arguments = [
                "-m",
                "doh",
                "-s",
                "127.0.0.1",
                "-p",
                &port,
                "-O",
                "doh-uri=https://localhost/dns-query",
                "-O",
                &method,
                "-d",
                &file,
                "-n",
                "2",
                "-T",
                THREADS,
                "-c",
                THREADS,
                "-q",
                THREADS,
                "-t",
                "10",
            ];
            let output = output("dnsperf", &arguments).await;
            let report = format!("{}{}", text(&output.stdout), text(&output.stderr));
            assert!(output.status.success(), "{report}");
            let all = 2 * NAMES;
            assert_eq!(
                reported(&report, "Queries sent:"),
                all.to_string(),
                "{report}"
            );
            assert_eq!(
                reported(&report, "Queries completed:"),
                format!("{all} (100.00%)"),
                "{report}"
            );
            assert!(
                reported(&report, "Queries lost:").starts_with("0 "),
                "{report}"
            );
            assert_eq!(
                reported(&report, "Response codes:"),
                format!("NOERROR {all} (100.00%)"),
                "{report}"
            );
        }
        assert!(edge.metric("weir_cache_hits_total").await.unwrap() >= 3.0 * NAMES as f64);
        unharmed(&edge).await;
    })
    .unwrap();
}
