//! The real binary over real TLS and HTTP/2 on loopback, with a server behind it that counts what
//! it is asked: RFC 8484 by section, how streams end, certificates that change, the drain.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use data_encoding::BASE64URL_NOPAD;
use h2::client::SendRequest;
use http::{Method, Request, Response};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use weir_dataplane::tls;

/// A server that answers every A question with 192.0.2.1, and names that begin with `slow` or
/// `wait` after a while.
fn authority() -> (SocketAddr, Arc<AtomicU64>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (socket.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
    let counter = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            counter.fetch_add(1, Ordering::Relaxed);
            let query = &buffer[..length];
            let mut end = 12;
            while query[end] != 0 {
                end += usize::from(query[end]) + 1;
            }
            let mut reply = query[..2].to_vec();
            reply.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            reply.extend(&query[12..end + 5]);
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 1]);
            let delay = match query[13..17].to_ascii_lowercase().as_slice() {
                b"slow" => 700,
                // Sooner than a server that is not known yet is asked again.
                b"wait" => 200,
                _ => 0,
            };
            let socket = socket.try_clone().unwrap();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(delay));
                let _ = socket.send_to(&reply, client);
            });
        }
    });
    (address, asked)
}

/// The binary, its folder and its ports.
struct Weir {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
    metrics: SocketAddr,
}

/// A port that nobody listens at, and that no other test was given.
fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        if GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

fn write_pair(folder: &Path) {
    let pair = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("tls.crt"), pair.cert.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), pair.signing_key.serialize_pem()).unwrap();
}

impl Weir {
    fn start(upstream: SocketAddr, workers: u32) -> Self {
        let upstream = serde_json::json!({"address": upstream.ip(), "port": upstream.port()});
        Self::forwarding(&upstream, workers, None)
    }

    /// One that forwards everything to an upstream, trusting the authorities of a file.
    fn forwarding(upstream: &serde_json::Value, workers: u32, authorities: Option<&Path>) -> Self {
        let (port, metrics) = (free_port(), free_port());
        let folder =
            std::env::temp_dir().join(format!("weir-sockets-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        write_pair(&folder);
        let config = serde_json::json!({
            "workers": workers,
            "resolution": {"forwardZones": [{
                "name": ".", "validate": false, "upstreams": [upstream],
            }]},
            "dnssec": {"mode": "Off"},
            "metrics": {"address": format!("127.0.0.1:{metrics}")},
            "drain": {"notice": "0s", "timeout": "5s"},
        });
        std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_weir-dataplane"))
            .arg("--config")
            .arg(folder.join("config.json"))
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .arg("--tls-cert")
            .arg(folder.join("tls.crt"))
            .arg("--tls-key")
            .arg(folder.join("tls.key"))
            .envs(authorities.map(|file| ("SSL_CERT_FILE", file)))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let weir = Self {
            child,
            folder,
            address,
            metrics: ([127, 0, 0, 1], metrics).into(),
        };
        let by = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < by, "it does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        weir
    }

    /// A connection, and the certificate that its handshake saw.
    async fn connect(&self) -> (SendRequest<Bytes>, Vec<u8>) {
        let expected = CertificateDer::from_pem_file(self.folder.join("tls.crt")).unwrap();
        let mut trusted = rustls::RootCertStore::empty();
        trusted.add(expected).unwrap();
        let mut config = tls::client(trusted).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let io = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let io = connector.connect(name, io).await.unwrap();
        let seen = io.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        let (client, connection) = h2::client::handshake(io).await.unwrap();
        tokio::spawn(connection);
        (client, seen)
    }

    async fn metric(&self, name: &str) -> f64 {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut io = TcpStream::connect(self.metrics).await.unwrap();
        let head = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        io.write_all(head).await.unwrap();
        let mut text = String::new();
        io.read_to_string(&mut text).await.unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Waits until a metric has this value.
    async fn settles(&self, name: &str, value: f64) {
        let by = Instant::now() + Duration::from_secs(5);
        loop {
            let found = self.metric(name).await;
            if (found - value).abs() < 0.5 {
                return;
            }
            assert!(Instant::now() < by, "{name} is {found}, not {value}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn query(name: &str) -> Vec<u8> {
    let mut message = b"\0\0\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.as_bytes());
    }
    message.extend(b"\0\0\x01\0\x01");
    message
}

fn get(name: &str) -> String {
    format!(
        "https://127.0.0.1/dns-query?dns={}",
        BASE64URL_NOPAD.encode(&query(name))
    )
}

async fn send(
    client: &SendRequest<Bytes>,
    method: Method,
    target: &str,
    media: Option<&str>,
    body: Option<Vec<u8>>,
) -> (Response<()>, Bytes) {
    let mut request = Request::builder().method(method).uri(target);
    if let Some(media) = media {
        request = request.header("content-type", media);
    }
    let mut ready = client.clone().ready().await.unwrap();
    let (response, mut stream) = ready
        .send_request(request.body(()).unwrap(), body.is_none())
        .unwrap();
    if let Some(body) = body {
        stream.send_data(body.into(), true).unwrap();
    }
    let (parts, mut body) = response.await.unwrap().into_parts();
    let mut whole = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        whole.extend_from_slice(&piece);
    }
    (Response::from_parts(parts, ()), whole.freeze())
}

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
        let target = if body.is_some() {
            "https://127.0.0.1/dns-query".to_owned()
        } else {
            get("get.example")
        };
        let (response, answer) = send(&client, method, &target, dns, body).await;
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
    let short = format!(
        "https://127.0.0.1/dns-query?dns={}",
        BASE64URL_NOPAD.encode(&[0; 5])
    );
    let response_bit = {
        let mut message = query("x.example");
        message[2] |= 0x80;
        format!(
            "https://127.0.0.1/dns-query?dns={}",
            BASE64URL_NOPAD.encode(&message)
        )
    };
    type Case<'a> = (Method, &'a str, Option<&'a str>, Option<Vec<u8>>, u16);
    let cases: [Case<'_>; 8] = [
        (Method::GET, "https://127.0.0.1/other", None, None, 404),
        (Method::GET, "https://127.0.0.1/dns-query", None, None, 400),
        (Method::GET, &short, None, None, 400),
        (Method::GET, &response_bit, None, None, 400),
        (
            Method::PUT,
            "https://127.0.0.1/dns-query",
            dns,
            Some(query("x.example")),
            405,
        ),
        (
            Method::POST,
            "https://127.0.0.1/dns-query",
            Some("text/plain"),
            Some(query("x.example")),
            415,
        ),
        (
            Method::POST,
            "https://127.0.0.1/dns-query",
            dns,
            Some(vec![0; 5000]),
            413,
        ),
        (
            Method::POST,
            "https://127.0.0.1/dns-query",
            dns,
            Some(vec![0; 3]),
            400,
        ),
    ];
    for (method, target, media, body, status) in cases {
        let (response, _) = send(&client, method.clone(), target, media, body).await;
        assert_eq!(response.status().as_u16(), status, "{method} {target:.50}");
    }
    // A message that parses and asks nothing is answered by the DNS (RFC 9619).
    let empty = format!(
        "https://127.0.0.1/dns-query?dns={}",
        BASE64URL_NOPAD.encode(&[0; 12])
    );
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
    let mut open = Vec::new();
    for client in &clients {
        for _ in 0..6 {
            let request = Request::get(&target).body(()).unwrap();
            open.push(
                client
                    .clone()
                    .ready()
                    .await
                    .unwrap()
                    .send_request(request, true)
                    .unwrap()
                    .0,
            );
        }
    }
    for response in open {
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
    let (stays, _) = client
        .clone()
        .ready()
        .await
        .unwrap()
        .send_request(request(), true)
        .unwrap();
    let (leaves, mut handle) = client
        .clone()
        .ready()
        .await
        .unwrap()
        .send_request(request(), true)
        .unwrap();
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
    let (lost, _) = client
        .clone()
        .ready()
        .await
        .unwrap()
        .send_request(request(), true)
        .unwrap();
    let (kept, _) = other
        .clone()
        .ready()
        .await
        .unwrap()
        .send_request(request(), true)
        .unwrap();
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
    let (open, _) = client
        .clone()
        .ready()
        .await
        .unwrap()
        .send_request(request, true)
        .unwrap();
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
