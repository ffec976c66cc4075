//! The three resolvers that are asked: Weir over DoH, Unbound and BIND over TCP.
//!
//! Owns their configurations and processes: the same root, the same trust anchor, validation, all else as it comes.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::internet::authorities::{Process, start};
use crate::internet::plan::ROOT;

/// Where Weir answers DoH.
pub const WEIR: SocketAddr = address(1, 8443);
/// Where Unbound answers.
pub const UNBOUND: SocketAddr = address(2, 53);
/// Where BIND answers.
pub const BIND: SocketAddr = address(3, 53);

const fn address(last: u8, port: u16) -> SocketAddr {
    let ip = std::net::Ipv4Addr::new(10, 53, 9, last);
    SocketAddr::new(std::net::IpAddr::V4(ip), port)
}

/// The addresses of all three.
#[must_use]
pub fn addresses() -> Vec<&'static str> {
    vec!["10.53.9.1", "10.53.9.2", "10.53.9.3"]
}

/// Starts all three with the root's DS records as trust anchor.
///
/// # Errors
/// When one cannot be started, or does not listen within ten seconds.
pub fn start_all(ds: &str, folder: &Path) -> io::Result<Vec<Process>> {
    let processes = vec![weir(ds, folder)?, unbound(ds, folder)?, bind(ds, folder)?];
    for address in [WEIR, UNBOUND, BIND] {
        wait_for(address)?;
    }
    Ok(processes)
}

/// Waits until an address accepts connections.
///
/// # Errors
/// When it does not within ten seconds.
pub fn wait_for(address: SocketAddr) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
        if Instant::now() > deadline {
            return Err(io::Error::new(
                error.kind(),
                format!("nothing listens at {address}"),
            ));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn weir(ds: &str, folder: &Path) -> io::Result<Process> {
    let records: Vec<&str> = ds.lines().filter(|line| !line.is_empty()).collect();
    let servers: Vec<serde_json::Value> = ROOT
        .iter()
        .enumerate()
        .map(|(index, ip)| serde_json::json!({ "name": format!("ns{index}"), "addresses": [ip] }))
        .collect();
    let config = serde_json::json!({
        "workers": 1,
        "resolution": {
            "rootHints": { "servers": servers },
            "ipFamilies": ["IPv4"],
            "privateAddresses": [],
        },
        "dnssec": { "trustAnchors": { "records": records } },
        "metrics": { "address": "127.0.0.1:0" },
    });
    crate::closed_world::check(&config.to_string())?;
    let file = folder.join("weir.json");
    std::fs::write(&file, config.to_string())?;
    let program = crate::program("weir-dataplane")?;
    let listen = WEIR.to_string();
    let (program, file) = (program.to_string_lossy(), file.to_string_lossy());
    start(
        folder,
        "weir",
        &program,
        &["--config", &file, "--listen", &listen],
    )
}

fn hints(folder: &Path) -> io::Result<String> {
    let servers = ROOT.iter().enumerate();
    let text: String = servers
        .map(|(index, ip)| format!(". 86400 NS ns{index}.\nns{index}. 86400 A {ip}\n"))
        .collect();
    let file = folder.join("hints");
    std::fs::write(&file, text)?;
    Ok(file.to_string_lossy().into_owned())
}

fn unbound(ds: &str, folder: &Path) -> io::Result<Process> {
    let anchors: String = ds
        .lines()
        .map(|line| format!(" trust-anchor: \"{line}\"\n"))
        .collect();
    let text = format!(
        "server:\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n directory: \"{folder}\"\n use-syslog: no\n interface: {ip}\n root-hints: \"{hints}\"\n{anchors} do-ip6: no\n access-control: 10.0.0.0/8 allow\n incoming-num-tcp: 200\n tcp-idle-timeout: 60000\n trust-anchor-signaling: no\n minimal-responses: yes\nremote-control:\n control-enable: no\n",
        folder = folder.display(),
        ip = UNBOUND.ip(),
        hints = hints(folder)?,
    );
    let file = folder.join("unbound.conf");
    std::fs::write(&file, text)?;
    start(
        folder,
        "unbound",
        "unbound",
        &["-d", "-c", &file.to_string_lossy()],
    )
}

fn bind(ds: &str, folder: &Path) -> io::Result<Process> {
    let mut anchors = String::new();
    for line in ds.lines() {
        let fields: Vec<&str> = line
            .split_whitespace()
            .skip_while(|word| *word != "DS")
            .collect();
        if let [_, tag, algorithm, digest, data @ ..] = fields.as_slice() {
            anchors.push_str(&format!(
                "\".\" static-ds {tag} {algorithm} {digest} \"{}\"; ",
                data.concat()
            ));
        }
    }
    let text = format!(
        "options {{ directory \"{folder}\"; pid-file none; session-keyfile \"{folder}/session.key\"; listen-on port 53 {{ {ip}; }}; listen-on-v6 {{ none; }}; recursion yes; dnssec-validation yes; empty-zones-enable no; allow-query {{ any; }}; minimal-responses yes; }};\nzone \".\" {{ type hint; file \"{hints}\"; }};\ntrust-anchors {{ {anchors} }};\ncontrols {{ }};\n",
        folder = folder.display(),
        ip = BIND.ip(),
        hints = hints(folder)?,
    );
    let file = folder.join("resolver.conf");
    std::fs::write(&file, text)?;
    let file = file.to_string_lossy();
    start(
        folder,
        "bind",
        "named",
        &["-g", "-4", "-n", "1", "-c", &file],
    )
}
