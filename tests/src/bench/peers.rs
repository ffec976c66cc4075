//! The servers that are compared: Weir, its peers from Debian, and the constant responder.
//!
//! Owns each one's configuration: one thread, the same certificate, the same root, the same validation.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::authority::{Internet, ROOT, ZONES};
use super::collector::Collector;
use super::process::Server;
use super::waiting;

/// A server that the benchmark knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// This project's data plane.
    Weir,
    /// Another build of it, to compare with.
    WeirBefore,
    /// Weir with two workers.
    WeirTwoWorkers,
    /// `h2` and `rustls` answering a constant, batched: the physical limit.
    Constant,
    /// NLnet Labs Unbound.
    Unbound,
    /// dnsdist with its packet cache, in front of the authority.
    Dnsdist,
    /// Knot Resolver.
    KnotResolver,
    /// ISC BIND.
    Bind,
}

/// All of them.
pub const PEERS: [Peer; 8] = [
    Peer::Weir,
    Peer::WeirBefore,
    Peer::WeirTwoWorkers,
    Peer::Constant,
    Peer::Unbound,
    Peer::Dnsdist,
    Peer::KnotResolver,
    Peer::Bind,
];

impl Peer {
    /// What the tables call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir",
            Self::WeirBefore => "weir-before",
            Self::WeirTwoWorkers => "weir-2",
            Self::Constant => "constant",
            Self::Unbound => "unbound",
            Self::Dnsdist => "dnsdist",
            Self::KnotResolver => "knot-resolver",
            Self::Bind => "bind",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Weir => 9441,
            Self::WeirTwoWorkers => 9442,
            Self::Constant => 9443,
            Self::Unbound => 9444,
            Self::Dnsdist => 9445,
            Self::KnotResolver => 9446,
            Self::Bind => 9447,
            Self::WeirBefore => 9448,
        }
    }

    /// Where it answers DoH.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port()))
    }
}

/// Octets of cache for every peer that has a setting.
const CACHE_SIZE: usize = 1 << 30;

/// What a benchmark or a training has ready for every server and round.
#[derive(Debug)]
pub struct Ground {
    folder: PathBuf,
    certificate: Certificate,
    collector: Collector,
    weir: Option<PathBuf>,
    before: Option<PathBuf>,
}

impl Ground {
    /// Makes it in this folder: for the data plane to measure, the one beside this program when there is none, and
    /// for the build of it that it is compared with.
    ///
    /// # Errors
    /// When the folder cannot be written, or there is no thread or port for the collector.
    pub fn make(
        folder: PathBuf,
        weir: Option<PathBuf>,
        before: Option<PathBuf>,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            certificate: Certificate::make(&folder)?,
            collector: Collector::start()?,
            folder,
            weir,
            before,
        })
    }

    /// Where configurations, zones and logs go.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What servers are started with before these zones, Weir tracing this share of its streams, 0 to 1.
    #[must_use]
    pub fn stage<'a>(&'a self, internet: &'a Internet, traced: Option<f64>) -> Stage<'a> {
        Stage {
            folder: &self.folder,
            certificate: &self.certificate,
            internet,
            traces: traced.map(|share| (share, &self.collector)),
            weir: self.weir.as_deref(),
            before: self.before.as_deref(),
        }
    }
}

/// A certificate of our own making, in PEM files.
#[derive(Debug)]
struct Certificate {
    chain: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// Makes one for loopback.
    fn make(folder: &Path) -> io::Result<Self> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        let (chain, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        std::fs::write(&chain, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        Ok(Self { chain, key })
    }
}

/// What every peer is started with.
#[derive(Debug)]
pub struct Stage<'a> {
    /// Where configurations and logs go.
    pub folder: &'a Path,
    certificate: &'a Certificate,
    internet: &'a Internet,
    /// The share of streams that Weir traces, 0 to 1, and who collects the spans.
    pub traces: Option<(f64, &'a Collector)>,
    weir: Option<&'a Path>,
    before: Option<&'a Path>,
}

impl Stage<'_> {
    /// Starts a peer.
    ///
    /// # Errors
    /// When its package is not installed, or it does not come up; the message names its log.
    pub fn start(&self, peer: Peer) -> io::Result<Server> {
        let (program, arguments) = match peer {
            Peer::Weir => self.weir(peer, self.weir, 1)?,
            Peer::WeirBefore => self.weir(peer, self.before, 1)?,
            Peer::WeirTwoWorkers => self.weir(peer, self.weir, 2)?,
            Peer::Constant => self.constant(peer)?,
            Peer::Unbound => self.unbound(peer)?,
            Peer::Dnsdist => self.dnsdist(peer)?,
            Peer::KnotResolver => self.knot_resolver(peer)?,
            Peer::Bind => self.bind(peer)?,
        };
        let log = self.folder.join(format!("{}.log", peer.name()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Server::start(peer.name(), peer.address(), &program, &arguments, &log)
    }

    fn write(&self, name: &str, text: &str) -> io::Result<String> {
        let file = self.folder.join(name);
        std::fs::write(&file, text)?;
        Ok(file.to_string_lossy().into_owned())
    }

    fn weir(
        &self,
        peer: Peer,
        program: Option<&Path>,
        workers: u32,
    ) -> io::Result<(String, Vec<String>)> {
        let anchor = self.internet.trust_anchor.trim();
        let dnssec = if anchor.is_empty() {
            serde_json::json!({ "mode": "Off" })
        } else {
            serde_json::json!({ "mode": "Validate", "trustAnchors": { "records": [anchor] } })
        };
        let silent: Vec<_> = waiting::servers()
            .map(|server| serde_json::json!({ "address": server.ip(), "port": server.port() }))
            .collect();
        let mut config = serde_json::json!({
            "workers": workers,
            // One address may hold three quarters of them.
            "listeners": [{ "http2": { "maxConnections": 8192 } }],
            "resolution": {
                "rootHints": { "servers": [{ "name": "ns.root-servers.test-root", "addresses": [ROOT] }] },
                "localZones": [{ "name": "test", "type": "Transparent" }],
                "forwardZones": [{ "name": waiting::ZONE, "upstreams": silent }],
                "ipFamilies": ["IPv4"],
            },
            "dnssec": dnssec,
            "cache": { "size": CACHE_SIZE.to_string() },
            "mesh": { "maxStates": 20_000, "perClientWaitLimit": { "default": 20_000 } },
            "metrics": { "address": "127.0.0.1:0" },
        });
        if let Some((ratio, collector)) = self.traces {
            config["telemetry"] = serde_json::json!({
                "traces": { "endpoint": format!("http://{}", collector.address()), "sampleRatio": ratio.to_string() }
            });
        }
        crate::closed_world::check(&config.to_string())?;
        let file = self.write(&format!("{}.json", peer.name()), &config.to_string())?;
        let program = match program {
            Some(program) => program.to_path_buf(),
            None => crate::program("weir-dataplane")?,
        };
        let program = program.to_string_lossy().into_owned();
        Ok((
            program,
            vec![
                "--config".to_owned(),
                file,
                "--listen".to_owned(),
                peer.address().to_string(),
                "--tls-cert".to_owned(),
                self.certificate.chain.to_string_lossy().into_owned(),
                "--tls-key".to_owned(),
                self.certificate.key.to_string_lossy().into_owned(),
            ],
        ))
    }

    fn constant(&self, peer: Peer) -> io::Result<(String, Vec<String>)> {
        let own = std::env::current_exe()?.to_string_lossy().into_owned();
        Ok((
            own,
            vec![
                "serve-constant".to_owned(),
                peer.address().to_string(),
                self.certificate.chain.to_string_lossy().into_owned(),
                self.certificate.key.to_string_lossy().into_owned(),
            ],
        ))
    }

    fn unbound(&self, peer: Peer) -> io::Result<(String, Vec<String>)> {
        let hints = self.hints()?;
        let anchor = self.internet.trust_anchor.trim();
        let (modules, anchor) = if anchor.is_empty() {
            ("iterator", String::new())
        } else {
            (
                "validator iterator",
                format!(" trust-anchor: \"{anchor}\"\n"),
            )
        };
        let text = format!(
            "server:\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n directory: \"{folder}\"\n use-syslog: no\n num-threads: 1\n interface: 127.0.0.1@{port}\n https-port: {port}\n tls-service-key: \"{key}\"\n tls-service-pem: \"{certificate}\"\n do-not-query-localhost: no\n local-zone: \"test.\" nodefault\n root-hints: \"{hints}\"\n module-config: \"{modules}\"\n{anchor} do-ip6: no\n msg-cache-size: {half}\n rrset-cache-size: {cache}\n incoming-num-tcp: 6000\n access-control: 127.0.0.0/8 allow\n http-max-streams: 100\n tcp-idle-timeout: 60000\n trust-anchor-signaling: no\n",
            folder = self.folder.display(),
            port = peer.port(),
            key = self.certificate.key.display(),
            certificate = self.certificate.chain.display(),
            cache = CACHE_SIZE,
            half = CACHE_SIZE / 2,
        );
        let file = self.write("unbound.conf", &text)?;
        Ok((
            "unbound".to_owned(),
            vec!["-d".to_owned(), "-c".to_owned(), file],
        ))
    }

    fn dnsdist(&self, peer: Peer) -> io::Result<(String, Vec<String>)> {
        let text = format!(
            "setSecurityPollSuffix('')\nnewServer({{address='{ZONES}:53', healthCheckMode='up'}})\npc = newPacketCache(1500000, {{maxTTL=86400}})\ngetPool(''):setCache(pc)\naddDOHLocal('{address}', '{certificate}', '{key}', {{'/dns-query'}}, {{idleTimeout=60, maxConcurrentTCPConnections=6000, internalPipeBufferSize=1048576}})\n",
            address = peer.address(),
            certificate = self.certificate.chain.display(),
            key = self.certificate.key.display(),
        );
        let file = self.write("dnsdist.conf", &text)?;
        Ok((
            "dnsdist".to_owned(),
            vec![
                "--supervised".to_owned(),
                "--disable-syslog".to_owned(),
                "-C".to_owned(),
                file,
            ],
        ))
    }

    fn knot_resolver(&self, peer: Peer) -> io::Result<(String, Vec<String>)> {
        let folder = self.folder.join("kresd");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        let anchor = self.internet.trust_anchor.trim();
        let anchor = if anchor.is_empty() {
            "trust_anchors.remove('.')".to_owned()
        } else {
            format!("trust_anchors.remove('.')\ntrust_anchors.add('{anchor}')")
        };
        let text = format!(
            "net.listen('127.0.0.1', {port}, {{ kind = 'doh2' }})\nnet.tls('{certificate}', '{key}')\nnet.ipv6 = false\noption('ALLOW_LOCAL', true)\ncache.size = {cache}\nmodules.unload('ta_signal_query')\nmodules.unload('priming')\nmodules.unload('ta_update')\nhints.root({{ ['ns.root-servers.test-root.'] = {{ '{ROOT}' }} }})\npolicy.add(policy.suffix(policy.PASS, {{todname('test.')}}))\n{anchor}\n",
            port = peer.port(),
            certificate = self.certificate.chain.display(),
            key = self.certificate.key.display(),
            cache = CACHE_SIZE,
        );
        let file = self.write(
            "kresd.conf",
            &format!("modules = {{ 'hints > iterate', 'policy' }}\n{text}"),
        )?;
        Ok((
            "kresd".to_owned(),
            vec![
                "-n".to_owned(),
                "-c".to_owned(),
                file,
                folder.to_string_lossy().into_owned(),
            ],
        ))
    }

    fn bind(&self, peer: Peer) -> io::Result<(String, Vec<String>)> {
        let hints = self.hints()?;
        let anchor = self.internet.trust_anchor.trim();
        let mut fields = anchor.split_whitespace().skip(3);
        let (validation, anchors) = if anchor.is_empty() {
            ("no", String::new())
        } else {
            let mut next = || fields.next().unwrap_or_default();
            let (tag, algorithm, digest) = (next(), next(), next());
            let data: String = fields.collect();
            (
                "yes",
                format!(
                    "trust-anchors {{ \".\" static-ds {tag} {algorithm} {digest} \"{data}\"; }};\n"
                ),
            )
        };
        let text = format!(
            "tls t {{ key-file \"{key}\"; cert-file \"{certificate}\"; }};\nhttp h {{ endpoints {{ \"/dns-query\"; }}; listener-clients 6000; streams-per-connection 200; }};\noptions {{ directory \"{folder}\"; pid-file none; session-keyfile \"{folder}/session.key\"; listen-on port {port} tls t http h {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion yes; dnssec-validation {validation}; max-cache-size {cache}; empty-zones-enable no; allow-query {{ any; }}; tcp-clients 6000; }};\nzone \".\" {{ type hint; file \"{hints}\"; }};\n{anchors}controls {{ }};\n",
            key = self.certificate.key.display(),
            certificate = self.certificate.chain.display(),
            folder = self.folder.display(),
            port = peer.port(),
            cache = CACHE_SIZE,
        );
        let file = self.write("named.conf", &text)?;
        Ok((
            "named".to_owned(),
            ["-g", "-4", "-n", "1", "-c", &file]
                .map(str::to_owned)
                .to_vec(),
        ))
    }

    fn hints(&self) -> io::Result<String> {
        self.write(
            "hints.zone",
            &format!(
                ". 86400 NS ns.root-servers.test-root.\nns.root-servers.test-root. 86400 A {ROOT}\n"
            ),
        )
    }
}
