//! The loopback internet of the benchmark: NSD as root, top-level domain and zones, plain or signed.
//!
//! Owns zone files and their servers on 127.1.0.0/24. Never asks or serves anything outside loopback.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where the servers of the root answer.
pub const ROOT: &str = "127.1.0.1";
/// Where the servers of `test.` answer.
pub const TOP_LEVEL: &str = "127.1.0.2";
/// Where all zones below `test.` answer.
pub const ZONES: &str = "127.1.0.3";

/// How many zones stand below `test.`, each with its own delegation (and DS when signed).
pub const ZONE_COUNT: usize = 300;

/// The running servers.
#[derive(Debug)]
pub struct Internet {
    servers: Vec<Child>,
    folder: PathBuf,
    /// The DS records of the root in presentation form; empty when nothing is signed.
    pub trust_anchor: String,
}

impl Internet {
    /// Makes sure that its servers can be started, before anything else takes time.
    ///
    /// # Errors
    /// When this user may not listen at port 53, or something does already.
    pub fn expect_rights() -> io::Result<()> {
        std::net::UdpSocket::bind((ROOT, 53)).map(drop).map_err(|error| {
            let message = format!("cannot listen at {ROOT} port 53, as name servers do here: {error}; run as root, and end what listens there");
            io::Error::new(error.kind(), message)
        })
    }

    /// Writes the zones below `folder`, signs them if asked, and starts three NSD processes.
    ///
    /// # Errors
    /// When a tool is missing (nsd, dnssec-keygen, dnssec-signzone) or fails.
    pub fn start(folder: &Path, signed: bool) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut internet = Self {
            servers: Vec::new(),
            folder: folder.to_path_buf(),
            trust_anchor: String::new(),
        };
        let mut zone_names: Vec<String> = (0..ZONE_COUNT).map(|n| format!("z{n}.test")).collect();
        zone_names.push("bench.test".to_owned());

        let mut delegations = String::new();
        for name in &zone_names {
            internet.write_zone(name, &zone_body())?;
            let ds = internet.sign(name, signed)?;
            let _ = write!(
                delegations,
                "{name}. NS ns.{name}.\nns.{name}. A {ZONES}\n{ds}"
            );
        }
        internet.write_zone(
            "test",
            &format!("@ NS ns.test.\nns.test. A {TOP_LEVEL}\n{delegations}"),
        )?;
        let ds = internet.sign("test", signed)?;
        let body = format!(
            "@ NS ns.root-servers.test-root.\nns.root-servers.test-root. A {ROOT}\ntest. NS ns.test.\nns.test. A {TOP_LEVEL}\n{ds}"
        );
        internet.write_zone("", &body)?;
        internet.trust_anchor = internet.sign("", signed)?;

        internet.serve(ROOT, &[String::new()])?;
        internet.serve(TOP_LEVEL, &["test".to_owned()])?;
        internet.serve(ZONES, &zone_names)?;
        std::thread::sleep(std::time::Duration::from_millis(1500));
        Ok(internet)
    }

    fn file(&self, zone: &str) -> PathBuf {
        self.folder.join(if zone.is_empty() {
            "root.zone".to_owned()
        } else {
            format!("{zone}.zone")
        })
    }

    fn write_zone(&self, zone: &str, body: &str) -> io::Result<()> {
        let text = format!(
            "$ORIGIN {zone}.\n$TTL 86400\n@ SOA ns.{dot} hostmaster.{dot} 1 7200 3600 1209600 3600\n{body}",
            dot = if zone.is_empty() {
                "test.".to_owned()
            } else {
                format!("{zone}.")
            }
        );
        std::fs::write(self.file(zone), text)
    }

    /// Signs a zone with a fresh ECDSA P-256 key; gives its DS records for the parent.
    fn sign(&self, zone: &str, signed: bool) -> io::Result<String> {
        if !signed {
            return Ok(String::new());
        }
        let origin = format!("{zone}.");
        let key = run(Command::new("dnssec-keygen")
            .current_dir(&self.folder)
            .args(["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", &origin]))?;
        let key = key.trim();
        let public = std::fs::read_to_string(self.folder.join(format!("{key}.key")))?;
        let file = self.file(zone);
        std::fs::write(
            &file,
            format!("{}\n{public}", std::fs::read_to_string(&file)?),
        )?;
        let signed_file = file.with_extension("signed");
        let path = |path: &Path| path.to_string_lossy().into_owned();
        run(Command::new("dnssec-signzone")
            .current_dir(&self.folder)
            .args([
                "-q",
                "-P",
                "-z",
                "-x",
                "-k",
                key,
                "-o",
                &origin,
                "-f",
                &path(&signed_file),
                &path(&file),
            ]))?;
        std::fs::rename(&signed_file, &file)?;
        run(Command::new("dnssec-dsfromkey")
            .current_dir(&self.folder)
            .args(["-2", &format!("{key}.key")]))
    }

    fn serve(&mut self, address: &str, zones: &[String]) -> io::Result<()> {
        let mut text = format!(
            "server:\n ip-address: {address}\n username: \"\"\n chroot: \"\"\n zonesdir: \"\"\n database: \"\"\n pidfile: \"\"\n server-count: 1\n zonelistfile: \"{folder}/{address}.list\"\n xfrdfile: \"{folder}/{address}.xfrd\"\n rrl-ratelimit: 0\n minimal-responses: yes\nremote-control:\n control-enable: no\n",
            folder = self.folder.display()
        );
        for zone in zones {
            let _ = write!(
                text,
                "zone:\n name: \"{zone}.\"\n zonefile: \"{}\"\n",
                self.file(zone).display()
            );
        }
        let file = self.folder.join(format!("{address}.conf"));
        std::fs::write(&file, text)?;
        let log = std::fs::File::create(self.folder.join(format!("{address}.log")))?;
        let server = Command::new("taskset")
            .args(["-c", super::process::CLIENT_CORE, "nsd", "-d", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.servers.push(server);
        Ok(())
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = Command::new("kill").arg(server.id().to_string()).status();
            let _ = server.wait();
        }
    }
}

/// What every zone below `test.` holds: a thousand names and wildcards for as many as wanted.
fn zone_body() -> String {
    let mut body = format!(
        "@ NS ns\nns A {ZONES}\nwww A 192.0.2.1\nwww AAAA 2001:db8::1\n*.u A 192.0.2.2\n*.m A 192.0.2.3\n"
    );
    for n in 0..20 {
        let _ = writeln!(body, "n{n} A 192.0.2.{}", n + 10);
    }
    body
}

/// Runs a tool to its end and gives what it printed.
fn run(command: &mut Command) -> io::Result<String> {
    let output = command.output().map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("{}: {error}", command.get_program().to_string_lossy()),
        )
    })?;
    if !output.status.success() {
        let message = format!(
            "{} failed: {}",
            command.get_program().to_string_lossy(),
            String::from_utf8_lossy(&output.stderr)
        );
        return Err(io::Error::other(message));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
