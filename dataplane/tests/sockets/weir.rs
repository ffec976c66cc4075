//! The real binary as a process: its document, its ports, its certificate.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weir_dataplane::tls;

/// The binary, its folder and its ports.
pub(crate) struct Weir {
    pub(crate) child: Child,
    pub(crate) folder: PathBuf,
    pub(crate) address: SocketAddr,
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

/// Writes a new certificate and its key.
pub(crate) fn write_pair(folder: &Path) {
    let pair = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("tls.crt"), pair.cert.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), pair.signing_key.serialize_pem()).unwrap();
}

impl Weir {
    pub(crate) fn start(upstream: SocketAddr, workers: u32) -> Self {
        let upstream = serde_json::json!({"address": upstream.ip(), "port": upstream.port()});
        Self::forwarding(&upstream, workers, None)
    }

    /// One that forwards everything to an upstream, trusting the authorities of a file.
    pub(crate) fn forwarding(
        upstream: &serde_json::Value,
        workers: u32,
        authorities: Option<&Path>,
    ) -> Self {
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
    pub(crate) async fn connect(&self) -> (SendRequest<Bytes>, Vec<u8>) {
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

    pub(crate) async fn metric(&self, name: &str) -> f64 {
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
    pub(crate) async fn settles(&self, name: &str, value: f64) {
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
