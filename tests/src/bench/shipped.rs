//! The data plane as pushed images contain it: linked as a whole, without the features that tests switch on, and
//! laid out by the compiler for what it does under load.
//!
//! It is built twice. The first build counts which ways its code takes while it serves the scenarios of
//! [`TRAINING`] on loopback; the second is optimised by these counts, which changes the layout of the code and
//! nothing that it does. All of it stays in one folder, so that a change costs a few minutes and the first time
//! three times as many.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::authority::Internet;
use super::catalogue::{SCENARIOS, Scenario};
use super::packages;
use super::peers::{Ground, Peer};
use super::process;
use super::scenario::{self, Scale};

/// What a resolver spends its time with: hits by both methods, misses, validation, handshakes, resets.
pub const TRAINING: &[&str] = &[
    "cached-20x20",
    "cached-50x1",
    "cached-post",
    "negative",
    "unique",
    "waiting-1000",
    "cold",
    "cold-validated",
    "mixed",
    "handshake",
    "handshake-resumed",
    "reset-30",
    "traced-1",
];

/// Builds it and says where it is. What cargo says goes to the terminal.
///
/// # Errors
/// When a build fails, a tool is missing, or the training does; the message says what to do.
pub fn build() -> io::Result<PathBuf> {
    Internet::expect_rights()?;
    packages::install(packages::AROUND)?;
    let profdata = profdata()?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target/trained");
    let (raw, profile) = (folder.join("counts"), folder.join("weir.profdata"));
    let instrumented = compile(
        &folder.join("instrumented"),
        &format!("-Cprofile-generate={}", raw.display()),
    )?;
    let _ = std::fs::remove_dir_all(&raw);
    train(&instrumented, &folder)?;
    let mut merge = Command::new(profdata);
    merge.args(["merge", "-o"]).arg(&profile).arg(&raw);
    if !merge.stdin(Stdio::null()).status()?.success() {
        return Err(io::Error::other(
            "the counts of the training cannot be merged",
        ));
    }
    let optimised = compile(
        &folder.join("optimised"),
        &format!("-Cprofile-use={}", profile.display()),
    )?;
    let place = folder.join("weir-dataplane");
    std::fs::copy(optimised, &place)?;
    Ok(place)
}

/// Builds into a folder of its own with one more flag, whose value is the same each time: cargo then builds anew
/// only what changed.
fn compile(folder: &Path, flag: &str) -> io::Result<PathBuf> {
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags.push(' ');
    flags.push_str(flag);
    let target = std::env::var("CARGO_BUILD_TARGET").unwrap_or_else(|_| "host-tuple".to_owned());
    let output = Command::new("cargo")
        .args(["build", "--profile", "shipped", "-p", "weir-dataplane"])
        .args(["--bin", "weir-dataplane", "--target-dir"])
        .arg(folder)
        .arg("--message-format=json-render-diagnostics")
        // Named, so that the flags stay away from build scripts and procedural macros.
        .env("CARGO_BUILD_TARGET", target)
        .env("RUSTFLAGS", flags)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other("the data plane does not build"));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)))
        .next_back()
        .ok_or_else(|| io::Error::other("cargo does not say where the data plane is"))
}

/// Has `program` serve each scenario once; it leaves its counts as it ends.
fn train(program: &Path, folder: &Path) -> io::Result<()> {
    let _lock = process::only_one()?;
    process::pin_to_client_core()?;
    let folder = folder.join("training");
    let _ = std::fs::remove_dir_all(&folder);
    let ground = Ground::make(folder, Some(program.to_path_buf()), None)?;
    let scale = Scale {
        quick: false,
        times: 1,
    };
    for signed in [false, true] {
        let zones = ground
            .folder()
            .join(if signed { "signed" } else { "plain" });
        let internet = Internet::start(&zones, signed)?;
        for scenario in training().filter(|scenario| scenario.signed == signed) {
            let stage = ground.stage(&internet, scenario.traced);
            let sample = scenario::measure(scenario, Peer::Weir, &stage, scale)
                .map_err(|error| io::Error::other(format!("{}: {error}", scenario.name)))?;
            if sample.failed > 0 {
                let message = format!("{}: {} requests failed", scenario.name, sample.failed);
                return Err(io::Error::other(message));
            }
        }
    }
    Ok(())
}

fn training() -> impl Iterator<Item = &'static Scenario> {
    SCENARIOS
        .iter()
        .filter(|scenario| TRAINING.contains(&scenario.name))
}

/// The tool of the compiler's own LLVM that merges counts; rustup adds it where it is missing.
fn profdata() -> io::Result<PathBuf> {
    let asked = Command::new("rustc")
        .args(["--print", "target-libdir"])
        .output()?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    let tool = libraries.with_file_name("bin").join("llvm-profdata");
    if !tool.exists() {
        let added = Command::new("rustup")
            .args(["component", "add", "llvm-tools"])
            .status();
        if !added.is_ok_and(|status| status.success()) || !tool.exists() {
            return Err(io::Error::other(
                "llvm-profdata is missing: run `rustup component add llvm-tools` and try again",
            ));
        }
    }
    Ok(tool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weir_is_trained_by_scenarios_that_there_are() {
        assert_eq!(training().count(), TRAINING.len());
        assert!(training().all(|scenario| scenario.peers.contains(&Peer::Weir)));
    }
}
