//! Load: `h2load` for plain request patterns, and an own client where resets, handshakes or idle
//! connections are the point. All of it runs on the client's core and talks to loopback alone.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::process::CLIENT_CORE;

/// What a load came to, seen from the client.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Requests that got status 2xx.
    pub succeeded: u64,
    /// Requests that did not.
    pub failed: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// How long single requests took, where that was asked for.
    pub latency: Option<Latency>,
}

/// From a request to the end of its response, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// Half of the requests took at most this.
    pub p50: f64,
    /// All but one in a hundred did.
    pub p99: f64,
}

impl Latency {
    /// Reads the log of `h2load`: the third column is the time of one request in microseconds.
    ///
    /// # Errors
    /// When it cannot be read or holds no request.
    pub fn of_log(file: &Path) -> io::Result<Self> {
        Self::of(&std::fs::read_to_string(file)?)
    }

    fn of(log: &str) -> io::Result<Self> {
        let column = |line: &str| line.split('\t').nth(2)?.trim().parse::<f64>().ok();
        let mut times: Vec<f64> = log.lines().filter_map(column).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times.get(times.len() * share / 100).copied();
        match (at(50), at(99)) {
            (Some(p50), Some(p99)) => Ok(Self { p50, p99 }),
            _ => Err(io::Error::other("h2load logged no request")),
        }
    }
}

/// A DNS query message for an A record, identifier 0, RD set.
#[must_use]
pub fn query(name: &str) -> Vec<u8> {
    let mut message = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).unwrap_or(63));
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

/// Writes a list of GET requests for `h2load`.
///
/// # Errors
/// When the file cannot be written.
pub fn write_requests(
    folder: &Path,
    file: &str,
    address: SocketAddr,
    names: impl Iterator<Item = String>,
) -> io::Result<PathBuf> {
    let mut text = String::new();
    for name in names {
        let _ = writeln!(
            text,
            "https://{address}/dns-query?dns={}",
            BASE64URL_NOPAD.encode(&query(&name))
        );
    }
    let path = folder.join(file);
    std::fs::write(&path, text)?;
    Ok(path)
}

/// Runs `h2load` for at most `limit` and reads its summary.
///
/// # Errors
/// When it is not installed, does not end in time, or prints no summary.
pub fn h2load(arguments: &[String], limit: Duration) -> io::Result<Outcome> {
    let start = Instant::now();
    let mut child = Command::new("taskset")
        .args(["-c", CLIENT_CORE, "h2load"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // Its few lines fit the pipes, so that it never waits to be read.
    while child.try_wait()?.is_none() {
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            let message = format!("h2load was not answered in {} s", limit.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let elapsed = start.elapsed();
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let status = text.lines().find(|line| line.starts_with("status codes:"));
    let succeeded = status
        .and_then(|line| line.split_whitespace().nth(2))
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| {
            io::Error::other(format!(
                "h2load: {text}{}",
                String::from_utf8_lossy(&output.stderr)
            ))
        })?;
    let requests = text.lines().find(|line| line.starts_with("requests:"));
    let total: u64 = requests
        .and_then(|line| line.split_whitespace().nth(1))
        .and_then(|number| number.parse().ok())
        .unwrap_or(succeeded);
    Ok(Outcome {
        succeeded,
        failed: total - succeeded.min(total),
        elapsed,
        latency: None,
    })
}

/// How the own client behaves.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// Connections at once.
    pub connections: usize,
    /// Streams at once on each.
    pub streams: usize,
    /// Requests on each connection.
    pub requests: usize,
    /// One in this many streams is reset right after its request; 0 for none.
    pub reset_every: usize,
}

/// A client configuration that trusts any certificate: what is measured is the server. It offers X25519 alone,
/// so that every server does the same key exchange; those from Debian know no post-quantum one.
#[must_use]
pub fn trusting_client(resumption: bool) -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::CryptoProvider {
        kx_groups: vec![rustls::crypto::aws_lc_rs::kx_group::X25519],
        ..rustls::crypto::aws_lc_rs::default_provider()
    });
    let verifier = Arc::new(super::trusting::Trusting::new(&provider));
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap_or_else(|_| unreachable!("the provider supports TLS 1.3"));
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    if !resumption {
        config.resumption = rustls::client::Resumption::disabled();
    }
    Arc::new(config)
}

/// One connection on which streams can be opened.
pub type Sender = h2::client::SendRequest<Bytes>;

/// Opens one connection; its driver runs on the local set.
///
/// # Errors
/// When the server cannot be reached or does not speak HTTP/2.
pub async fn connect(address: SocketAddr, config: Arc<rustls::ClientConfig>) -> io::Result<Sender> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let name = rustls_pki_types::ServerName::IpAddress(address.ip().into());
    let stream = TlsConnector::from(config).connect(name, socket).await?;
    let (sender, connection) = h2::client::handshake(stream)
        .await
        .map_err(io::Error::other)?;
    tokio::task::spawn_local(async move {
        // Its end shows at the streams.
        let _ = connection.await;
    });
    Ok(sender)
}

/// Asks once by GET and reads the answer to its end; gives its status and the message.
///
/// # Errors
/// When the stream or connection ends early.
pub async fn ask(sender: &Sender, address: SocketAddr, name: &str) -> io::Result<(u16, Vec<u8>)> {
    ask_message(sender, address, &query(name)).await
}

/// Sends this query and reads the answer to its end; gives its status and the message.
///
/// # Errors
/// When the stream or connection ends early.
pub async fn ask_message(
    sender: &Sender,
    address: SocketAddr,
    query: &[u8],
) -> io::Result<(u16, Vec<u8>)> {
    let (response, _) = begin(sender, address, query).await?;
    let response = response.await.map_err(io::Error::other)?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut message = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(io::Error::other)?;
        message.extend_from_slice(&chunk);
        body.flow_control()
            .release_capacity(chunk.len())
            .map_err(io::Error::other)?;
    }
    Ok((status, message))
}

/// Sends this query by GET; the response comes when it comes, and the stream is there to be reset.
///
/// # Errors
/// When the connection has ended.
pub async fn begin(
    sender: &Sender,
    address: SocketAddr,
    query: &[u8],
) -> io::Result<(h2::client::ResponseFuture, h2::SendStream<Bytes>)> {
    let mut sender = sender.clone().ready().await.map_err(io::Error::other)?;
    sender
        .send_request(get(address, query)?, true)
        .map_err(io::Error::other)
}

fn get(address: SocketAddr, query: &[u8]) -> io::Result<http::Request<()>> {
    let uri = format!(
        "https://{address}/dns-query?dns={}",
        BASE64URL_NOPAD.encode(query)
    );
    http::Request::get(uri).body(()).map_err(io::Error::other)
}

/// Runs a pattern; `name` gives the name of each request by its number.
///
/// # Errors
/// When a connection cannot be opened.
pub async fn run(
    address: SocketAddr,
    pattern: Pattern,
    name: fn(usize) -> String,
) -> io::Result<Outcome> {
    let start = Instant::now();
    let config = trusting_client(false);
    let mut connections = Vec::new();
    for number in 0..pattern.connections {
        let sender = connect(address, config.clone()).await?;
        connections.push(tokio::task::spawn_local(connection_load(
            address, sender, pattern, number, name,
        )));
    }
    let mut outcome = Outcome::default();
    for connection in connections {
        let (succeeded, failed) = connection.await.map_err(io::Error::other)?;
        outcome.succeeded += succeeded;
        outcome.failed += failed;
    }
    outcome.elapsed = start.elapsed();
    Ok(outcome)
}

async fn connection_load(
    address: SocketAddr,
    sender: Sender,
    pattern: Pattern,
    number: usize,
    name: fn(usize) -> String,
) -> (u64, u64) {
    let mut workers = Vec::new();
    for worker in 0..pattern.streams {
        let sender = sender.clone();
        workers.push(tokio::task::spawn_local(async move {
            let (mut succeeded, mut failed) = (0, 0);
            for request in (worker..pattern.requests).step_by(pattern.streams) {
                let name = name(number * pattern.requests + request);
                if pattern.reset_every > 0 && request % pattern.reset_every == 0 {
                    match reset(&sender, address, &name).await {
                        Ok(()) => succeeded += 1,
                        Err(_) => failed += 1,
                    }
                    continue;
                }
                match ask(&sender, address, &name).await {
                    Ok((200, _)) => succeeded += 1,
                    _ => failed += 1,
                }
            }
            (succeeded, failed)
        }));
    }
    let mut sums = (0, 0);
    for worker in workers {
        if let Ok((succeeded, failed)) = worker.await {
            sums.0 += succeeded;
            sums.1 += failed;
        }
    }
    sums
}

/// Sends a request and resets its stream at once.
async fn reset(sender: &Sender, address: SocketAddr, name: &str) -> io::Result<()> {
    let (_response, mut stream) = begin(sender, address, &query(name)).await?;
    stream.send_reset(h2::Reason::CANCEL);
    tokio::task::yield_now().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_whole_messages() {
        let message = query("a.test");
        assert_eq!(message.len(), 12 + 8 + 4);
        assert!(message.ends_with(&[1, b'a', 4, b't', b'e', b's', b't', 0, 0, 1, 0, 1]));
    }

    #[test]
    fn latencies_are_those_of_the_log() {
        let log: String = (1..=200)
            .rev()
            .map(|n| format!("17{n}\t200\t{n}\n"))
            .collect();
        let latency = Latency::of(&log).unwrap();
        assert_eq!((latency.p50 as u32, latency.p99 as u32), (101, 199));
        assert!(Latency::of("").is_err());
    }
}
