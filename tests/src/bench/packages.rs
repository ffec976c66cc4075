//! Programs of others that a benchmark or a training needs, from Debian.

use std::io;
use std::process::{Command, Stdio};

/// A program and the package that holds it.
pub type Packaged = (&'static str, &'static str);

/// What plays the internet and the clients.
pub const AROUND: &[Packaged] = &[
    ("dnssec-signzone", "bind9-utils"),
    ("nsd", "nsd"),
    ("h2load", "nghttp2-client"),
];
/// The peers.
pub const PEERS: &[Packaged] = &[
    ("unbound", "unbound"),
    ("dnsdist", "dnsdist"),
    ("kresd", "knot-resolver"),
    ("named", "bind9"),
];

/// Installs what is missing.
///
/// # Errors
/// When a package cannot be installed; the message names it.
pub fn install(wanted: &[Packaged]) -> io::Result<()> {
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    // A list that is old or was never fetched is brought up to date; where that fails it may still do.
    let _ = apt(&["update", "-qq"]);
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(&missing);
    if apt(&arguments)? {
        return Ok(());
    }
    let message = format!(
        "install these packages and try again: {}",
        missing.join(" ")
    );
    Err(io::Error::other(message))
}

fn is_there(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("command -v {program} >/dev/null")])
        .status()
        .is_ok_and(|status| status.success())
}

fn apt(arguments: &[&str]) -> io::Result<bool> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null())
        .status()?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_installed() {
        assert!(is_there("sh") && !is_there("no-such-program"));
        install(&[("sh", "no-such-package")]).unwrap();
    }
}
