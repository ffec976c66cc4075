//! The real data plane on loopback, a forwarder behind it that counts, and a well-behaved client beside.
//!
//! Owns what every test of the edge needs: attacks, storm, conformance. Never leaves 127.0.0.0/8.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::oneshot;

use crate::bench::load::{ask, connect, trusting_client};
use crate::bench::process::{SERVER_CORE, Server};

/// Ports looked at before there is none.
const PORTS_TRIED: usize = 64;

/// A reply, and whom it is for.
type Reply = (Vec<u8>, SocketAddr);

/// A forwarder that answers every A question with 192.0.2.1, but is silent on names that begin `slow`, and keeps
/// those that begin `held` until it is told to answer them.
#[derive(Clone, Debug)]
pub struct Forwarder {
    /// Where it listens.
    pub address: SocketAddr,
    queries: Arc<AtomicU64>,
    socket: Arc<UdpSocket>,
    held: Arc<Mutex<Vec<Reply>>>,
}

impl Forwarder {
    /// Starts it on the current local set.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
        let forwarder = Self {
            address: socket.local_addr()?,
            queries: Arc::default(),
            socket,
            held: Arc::default(),
        };
        let own = forwarder.clone();
        tokio::task::spawn_local(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, client)) = own.socket.recv_from(&mut buffer).await {
                own.queries.fetch_add(1, Ordering::Relaxed);
                let Some(reply) = buffer.get(..length).and_then(reply) else {
                    continue;
                };
                if name_begins(&reply, "held") {
                    own.held().push((reply, client));
                } else {
                    let _ = own.socket.send_to(&reply, client).await;
                }
            }
        });
        Ok(forwarder)
    }

    /// Answers what was held, at once.
    pub fn release(&self) {
        for (reply, client) in self.held().drain(..) {
            let _ = self.socket.try_send_to(&reply, client);
        }
    }

    fn held(&self) -> MutexGuard<'_, Vec<Reply>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many queries came so far.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }
}

/// Whether the name that a message asks for begins with this, however it is spelled.
#[must_use]
pub fn name_begins(message: &[u8], start: &str) -> bool {
    let label = message.get(13..13 + start.len());
    label.is_some_and(|label| label.eq_ignore_ascii_case(start.as_bytes()))
}

/// The answer to a query, none for slow names.
#[must_use]
pub fn reply(query: &[u8]) -> Option<Vec<u8>> {
    if name_begins(query, "slow") {
        return None;
    }
    let mut end = 12;
    while let Some(&length @ 1..) = query.get(end) {
        end += usize::from(length) + 1;
    }
    let question = query.get(12..end + 5)?;
    let mut message = query.get(..2)?.to_vec();
    message.extend_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    message.extend_from_slice(question);
    message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 1]);
    Some(message)
}

/// A data plane that was built beside the tests, with one worker on one core.
#[derive(Debug)]
pub struct Edge {
    /// The process.
    pub server: Server,
    /// Where its metrics are.
    pub metrics: SocketAddr,
    /// How many violations of invariants there are when it is dropped: more or fewer fail the test.
    pub violations: u64,
    folder: PathBuf,
}

impl Edge {
    /// Starts it in front of a forwarder; `http2` are its listener's bounds.
    ///
    /// # Errors
    /// When it was not built or does not come up.
    pub fn start(forwarder: &Forwarder, http2: &serde_json::Value) -> io::Result<Self> {
        Self::launch(json!({
            "workers": 1,
            "listeners": [{ "name": "doh", "http2": http2 }],
            "resolution": { "forwardZones": [forward_everything(forwarder.address)] },
            "dnssec": { "mode": "Off" },
        }))
    }

    /// Starts it with a document, whose addresses for metrics and listeners are put in here.
    ///
    /// # Errors
    /// When the document could ask a server of the real internet, or when the program was not built or does not
    /// come up.
    pub fn launch(config: serde_json::Value) -> io::Result<Self> {
        Self::launch_on(SERVER_CORE, config)
    }

    /// The same on these cores, named as `taskset` names them.
    ///
    /// # Errors
    /// As [`Self::launch`].
    pub fn launch_on(cores: &str, config: serde_json::Value) -> io::Result<Self> {
        Self::launch_with(cores, config, &[])
    }

    /// The same with more environment, each as `NAME=value`.
    ///
    /// # Errors
    /// As [`Self::launch`].
    pub fn launch_with(
        cores: &str,
        config: serde_json::Value,
        environment: &[String],
    ) -> io::Result<Self> {
        Self::launch_program("weir-dataplane", cores, config, environment)
    }

    /// The same with another program that takes `--config`.
    ///
    /// # Errors
    /// As [`Self::launch`].
    pub fn launch_program(
        program: &str,
        cores: &str,
        mut config: serde_json::Value,
        environment: &[String],
    ) -> io::Result<Self> {
        let (port, metrics) = (free_port()?, free_port()?);
        let folder = std::env::temp_dir().join(format!("weir-edge-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certified = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        std::fs::write(&certificate, certified.cert.pem())?;
        std::fs::write(&key, certified.signing_key.serialize_pem())?;
        let address: SocketAddr = ([127, 0, 0, 1], port).into();
        if config["listeners"].is_null() {
            config["listeners"] = json!([{}]);
        }
        config["listeners"][0]["address"] = json!(address);
        config["listeners"][0]["tls"] = json!({ "certificateFile": certificate, "keyFile": key });
        config["metrics"] = json!({ "address": format!("127.0.0.1:{metrics}") });
        let config = config.to_string();
        crate::closed_world::check(&config)?;
        let file = folder.join("config.json");
        std::fs::write(&file, &config)?;
        let program = crate::program(program)?;
        let (program, file) = (program.to_string_lossy(), file.to_string_lossy());
        let mut arguments: Vec<&str> = environment.iter().map(String::as_str).collect();
        arguments.extend_from_slice(&[&program, "--config", &file]);
        let log = folder.join("log");
        let server = Server::start_on(cores, "weir", address, "env", &arguments, &log)?;
        Ok(Self {
            server,
            metrics: ([127, 0, 0, 1], metrics).into(),
            violations: 0,
            folder,
        })
    }

    /// The file of the certificate that it shows, for 127.0.0.1 and localhost; self-signed, so also what to trust.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("tls.crt")
    }

    /// The document that it was started with.
    ///
    /// # Errors
    /// When its file is gone.
    pub fn document(&self) -> io::Result<String> {
        std::fs::read_to_string(self.folder.join("config.json"))
    }

    /// A folder that goes away with it, for what a test writes.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where it answers.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Resident memory now, in octets.
    ///
    /// # Errors
    /// When the process is gone, which is a failure of what was tested.
    pub fn resident(&self) -> io::Result<u64> {
        Ok(self.server.usage()?.resident)
    }

    /// The sum of a metric over all its label sets; 0 when it is not there.
    ///
    /// # Errors
    /// When the metrics cannot be read.
    pub async fn metric(&self, name: &str) -> io::Result<f64> {
        Ok(self.scrape().await?.sum(name, ""))
    }

    /// Everything that the metrics say now.
    ///
    /// # Errors
    /// When the metrics cannot be read.
    pub async fn scrape(&self) -> io::Result<Scrape> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = TcpStream::connect(self.metrics).await?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n")
            .await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(Scrape(text))
    }
}

/// The metrics at one moment.
#[derive(Clone, Debug, Default)]
pub struct Scrape(String);

impl Scrape {
    /// The sum of a metric over the label sets that contain `label` (`code="200"`); 0 when there is none.
    #[must_use]
    pub fn sum(&self, name: &str, label: &str) -> f64 {
        let values = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            if !rest.starts_with(['{', ' ']) || !rest.contains(label) {
                return None;
            }
            rest.rsplit(' ').next()?.parse::<f64>().ok()
        });
        values.sum()
    }

    /// The same as a whole number.
    #[must_use]
    pub fn count(&self, name: &str, label: &str) -> u64 {
        self.sum(name, label) as u64
    }
}

impl Edge {
    /// The metrics once more, without a runtime; none when the process has ended.
    fn last_scrape(&self) -> io::Result<Scrape> {
        use std::io::{Read as _, Write as _};
        let patience = Duration::from_secs(2);
        let mut stream = std::net::TcpStream::connect_timeout(&self.metrics, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(Scrape(text))
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // Whatever a test was about, no invariant may have been hit.
        if let Ok(last) = self.last_scrape() {
            let violations = last.count("weir_invariant_violations_total", "");
            assert_eq!(violations, self.violations, "violations of invariants");
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A forward zone that sends every question to this server and validates nothing.
#[must_use]
pub fn forward_everything(server: SocketAddr) -> serde_json::Value {
    json!({
        "name": ".", "validate": false,
        "upstreams": [{ "address": server.ip(), "port": server.port() }],
    })
}

/// Connects from this address of the loopback.
///
/// # Errors
/// When the server cannot be reached from there.
pub async fn connect_from(source: Ipv4Addr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((IpAddr::V4(source), 0).into())?;
    socket.connect(address).await
}

/// A port of the loopback that was free a moment ago, and that nobody else in this process was given.
///
/// # Errors
/// When there is none.
pub fn free_port() -> io::Result<u16> {
    // Tests run at once, and after many connections few ports are left to choose from: none is given twice.
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    for _ in 0..PORTS_TRIED {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if given.insert(port) {
            return Ok(port);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// What a percentile is taken of at least.
const ANSWERS_MIN: usize = 100;
/// How long it rests between an answer and its next question.
const REST: Duration = Duration::from_millis(2);
/// After this it counts as never answered.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client that asks for one cached name every two milliseconds, over one connection.
///
/// It has a thread of its own, which goes before all others where the system allows it: it stands for somebody on
/// another machine, so it must not wait for the attacker's computing, only for the server.
#[derive(Debug)]
pub struct GoodClient {
    stop: Arc<AtomicBool>,
    waits: oneshot::Receiver<io::Result<Vec<Duration>>>,
}

impl GoodClient {
    /// Starts asking.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(address: SocketAddr) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let (result, waits) = oneshot::channel();
        let name = "good-client".to_owned();
        let thread = std::thread::Builder::new().name(name);
        thread.spawn(move || {
            go_before_others();
            // Who asked for it may have failed meanwhile.
            let _ = result.send(ask_until(&stopped, address));
        })?;
        Ok(Self { stop, waits })
    }

    /// Stops and gives the 99th percentile of its waits.
    ///
    /// # Errors
    /// When any of its questions was not answered with 200.
    pub async fn p99(self) -> io::Result<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let waits = tokio::time::timeout(PATIENCE, self.waits);
        let mut waits = waits.await?.map_err(io::Error::other)??;
        waits.sort();
        let at = waits.len() * 99 / 100;
        waits
            .get(at.min(waits.len().saturating_sub(1)))
            .copied()
            .ok_or_else(|| io::Error::other("the good client never got an answer"))
    }
}

/// Lets this thread run whenever it can. Without the right to it, it waits as others do, and longer waits are measured.
fn go_before_others() {
    let Ok(thread) = std::fs::read_link("/proc/thread-self") else {
        return;
    };
    let number = thread.file_name().unwrap_or_default();
    let _ = Command::new("chrt")
        .args(["--rr", "--pid", "1"])
        .arg(number)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

fn ask_until(stopped: &AtomicBool, address: SocketAddr) -> io::Result<Vec<Duration>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let sender = connect(address, trusting_client(false)).await?;
        let mut waits = Vec::new();
        // On a machine that is busy, the handshake alone may take as long as the measurement should.
        while !stopped.load(Ordering::Relaxed) || waits.len() < ANSWERS_MIN {
            let start = Instant::now();
            let (status, _) = ask(&sender, address, "good.example").await?;
            waits.push(start.elapsed());
            if status != 200 {
                return Err(io::Error::other(format!("the good client got {status}")));
            }
            tokio::time::sleep(REST).await;
        }
        Ok(waits)
    })
}
