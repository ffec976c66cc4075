//! Signs the zones of a plan with the tools of BIND, children before parents.
//!
//! Owns the zone files and keys in its folder. Gives the DNSKEY record of the root's key.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::internet::plan::{Denial, Signing, Zone};

fn run(program: &str, arguments: &[&str]) -> io::Result<String> {
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!(
        "{program} {}: {error}",
        arguments.join(" ")
    )))
}

/// The file of a zone.
#[must_use]
pub fn file(folder: &Path, zone: &str) -> PathBuf {
    let name = if zone.is_empty() { "root" } else { zone };
    folder.join(format!("{name}.zone"))
}

/// Writes and signs every zone; gives the DS records of the root.
///
/// # Errors
/// When a tool refuses a zone; the message is its own.
pub fn sign_all(zones: &[Zone], folder: &Path) -> io::Result<String> {
    let mut delegations: BTreeMap<String, String> = BTreeMap::new();
    // Children stand behind their parents.
    for zone in zones.iter().rev() {
        let mut text = zone.text.clone();
        text.push_str(&delegations.remove(&zone.name).unwrap_or_default());
        let path = file(folder, &zone.name);
        let Some(signing) = zone.signing else {
            std::fs::write(path, text)?;
            continue;
        };
        let ds = sign(&zone.name, &text, signing, folder)?;
        match &zone.parent {
            Some(parent) if zone.secure_delegation => {
                delegations.entry(parent.clone()).or_default().push_str(&ds);
            }
            Some(_) => {}
            None => return Ok(ds),
        }
    }
    Err(io::Error::other("the plan has no signed root"))
}

fn sign(name: &str, text: &str, signing: Signing, folder: &Path) -> io::Result<String> {
    let origin = format!("{name}.");
    let keys = folder.to_string_lossy().into_owned();
    let algorithm = signing.algorithm.to_string();
    let mut arguments = vec!["-q", "-K", &keys, "-a", &algorithm, "-f", "KSK"];
    if signing.algorithm == 8 {
        arguments.extend(["-b", "1024"]);
    }
    arguments.push(&origin);
    let key = run("dnssec-keygen", &arguments)?.trim().to_owned();
    let public = std::fs::read_to_string(folder.join(format!("{key}.key")))?;
    let path = file(folder, name);
    let plain = path.with_extension("plain");
    std::fs::write(&plain, format!("{text}\n{public}"))?;
    let (plain, out) = (plain.to_string_lossy(), path.to_string_lossy());
    let mut arguments = vec![
        "-q", "-P", "-z", "-K", &keys, "-d", &keys, "-o", &origin, "-f", &out,
    ];
    match signing.denial {
        Denial::Nsec => {}
        Denial::Nsec3 => arguments.extend(["-3", "-", "-H", "0"]),
        Denial::OptOut => arguments.extend(["-3", "-", "-H", "0", "-A"]),
    }
    if signing.expired {
        arguments.extend(["-s", "20200101000000", "-e", "20200201000000"]);
    }
    let private = folder.join(&key).to_string_lossy().into_owned();
    arguments.extend([&*plain, &private]);
    run("dnssec-signzone", &arguments)?;
    let ds = run("dnssec-dsfromkey", &["-2", &format!("{private}.key")])?;
    if !signing.wrong_ds {
        return Ok(ds);
    }
    // Another digest of the same length.
    let mut wrong = String::new();
    for line in ds.lines() {
        let (head, digest) = line.rsplit_once(' ').unwrap_or((line, ""));
        let turned: String = digest.chars().rev().collect();
        let _ = writeln!(wrong, "{head} {turned}");
    }
    Ok(wrong)
}
