//! The authoritative servers: NSD, BIND and Knot DNS from Debian, one of each level.
//!
//! Owns their configurations and processes.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::internet::plan::{LOW, ROOT, TOP, Zone};
use crate::internet::sign;

/// A process that ends when this is dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended needs no ending.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where a program lies, if it is installed.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut folders = path.split(':').chain(["/usr/sbin", "/sbin"]);
    folders.find_map(|folder| Some(Path::new(folder).join(program)).filter(|file| file.is_file()))
}

/// A copy of a program in the folder: profiles of AppArmor hold servers at their own paths to their own folders.
fn copy(folder: &Path, program: &str) -> io::Result<PathBuf> {
    if program.contains('/') {
        return Ok(PathBuf::from(program));
    }
    let to = folder.join(program);
    if !to.exists() {
        let from =
            find(program).ok_or_else(|| io::Error::other(format!("{program} is not installed")))?;
        std::fs::copy(from, &to)?;
    }
    Ok(to)
}

/// Starts a program, its output in `name.log`.
///
/// # Errors
/// When it cannot be started.
pub fn start(folder: &Path, name: &str, program: &str, arguments: &[&str]) -> io::Result<Process> {
    let log = std::fs::File::create(folder.join(format!("{name}.log")))?;
    Command::new(copy(folder, program)?)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .map(Process)
        .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))
}

/// Starts all servers with the zones of their level.
///
/// # Errors
/// When one cannot be started.
pub fn start_all(zones: &[Zone], folder: &Path) -> io::Result<Vec<Process>> {
    Ok(vec![
        nsd(zones, 0, ROOT[0], folder)?,
        bind(zones, 0, ROOT[1], folder)?,
        nsd(zones, 1, TOP[0], folder)?,
        bind(zones, 1, TOP[1], folder)?,
        knot(zones, 1, TOP[2], folder)?,
        nsd(zones, 2, LOW[0], folder)?,
        bind(zones, 2, LOW[1], folder)?,
        knot(zones, 2, LOW[2], folder)?,
    ])
}

fn of_level(zones: &[Zone], level: usize) -> impl Iterator<Item = &Zone> {
    zones.iter().filter(move |zone| zone.level == level)
}

fn nsd(zones: &[Zone], level: usize, address: &str, folder: &Path) -> io::Result<Process> {
    let mut text = format!(
        "server:\n ip-address: {address}\n port: 53\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n database: \"\"\n zonesdir: \"{folder}\"\n xfrdfile: \"{folder}/xfrd.{level}\"\n zonelistfile: \"{folder}/zones.{level}\"\n server-count: 1\n minimal-responses: yes\n rrl-ratelimit: 0\nremote-control:\n control-enable: no\n",
        folder = folder.display()
    );
    for zone in of_level(zones, level) {
        let file = sign::file(folder, &zone.name);
        let _ = writeln!(
            text,
            "zone:\n name: \"{}.\"\n zonefile: \"{}\"",
            zone.name,
            file.display()
        );
    }
    let config = folder.join(format!("nsd{level}.conf"));
    std::fs::write(&config, text)?;
    let name = format!("nsd{level}");
    start(
        folder,
        &name,
        "nsd",
        &["-d", "-c", &config.to_string_lossy()],
    )
}

fn bind(zones: &[Zone], level: usize, address: &str, folder: &Path) -> io::Result<Process> {
    let mut text = format!(
        "options {{ directory \"{folder}\"; pid-file none; session-keyfile \"{folder}/session.{level}\"; listen-on port 53 {{ {address}; }}; listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; empty-zones-enable no; allow-query {{ any; }}; notify no; }};\ncontrols {{ }};\n",
        folder = folder.display()
    );
    for zone in of_level(zones, level) {
        let file = sign::file(folder, &zone.name);
        let _ = writeln!(
            text,
            "zone \"{}.\" {{ type primary; file \"{}\"; }};",
            zone.name,
            file.display()
        );
    }
    let config = folder.join(format!("bind{level}.conf"));
    std::fs::write(&config, text)?;
    let name = format!("bind{level}");
    let config = config.to_string_lossy();
    start(
        folder,
        &name,
        "named",
        &["-g", "-4", "-n", "1", "-c", &config],
    )
}

fn knot(zones: &[Zone], level: usize, address: &str, folder: &Path) -> io::Result<Process> {
    let state = folder.join(format!("knot{level}"));
    std::fs::create_dir_all(&state)?;
    let mut text = format!(
        "server:\n    rundir: {state}\n    listen: {address}@53\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\ndatabase:\n    storage: {state}\ntemplate:\n  - id: default\n    storage: {folder}\n    zonefile-sync: -1\n    journal-content: none\n    semantic-checks: off\nzone:\n",
        state = state.display(),
        folder = folder.display()
    );
    for zone in of_level(zones, level) {
        let file = sign::file(folder, &zone.name);
        let _ = writeln!(
            text,
            "  - domain: {}.\n    file: {}",
            zone.name,
            file.display()
        );
    }
    let config = folder.join(format!("knot{level}.conf"));
    std::fs::write(&config, text)?;
    let name = format!("knot{level}");
    start(folder, &name, "knotd", &["-c", &config.to_string_lossy()])
}
