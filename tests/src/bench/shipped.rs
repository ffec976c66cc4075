//! The data plane as pushed images contain it: profile `shipped`, and none of the features that tests switch on.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Builds it, which takes minutes the first time, and says where it is.
///
/// # Errors
/// When cargo is not there or the build fails; what it says goes to the terminal.
pub fn build() -> io::Result<PathBuf> {
    let output = Command::new("cargo")
        .args(["build", "--profile", "shipped", "-p", "weir-dataplane"])
        .args(["--bin", "weir-dataplane"])
        .arg("--message-format=json-render-diagnostics")
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
