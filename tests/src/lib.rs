//! The tests of Weir: five kinds, each with one home.
//!
//! Unit tests stand at the bottom of the file that they test. Here are replays of recorded scenarios,
//! simulation from a seed, real HTTP/2 and TLS on loopback, and the real cluster; with the tools that
//! they share.

pub mod admin_port;
pub mod bench;
pub mod closed_world;
pub mod cluster;
pub mod dataplane;
pub mod duplex;
pub mod edge;
pub mod fuzz;
pub mod held_upstream;
pub mod internet;
pub mod local_task;
pub mod otlp_sink;
pub mod raw_h2;
pub mod replay;
pub mod simulate;
pub mod storm;
pub mod stream_ends;
pub mod tidy;

/// The path of a program of the workspace, built beside the running test; `WEIR_DATAPLANE` names another data plane,
/// such as one that was built for a sanitizer.
///
/// # Errors
/// When it is not there; the message says which command builds it.
pub fn program(name: &str) -> std::io::Result<std::path::PathBuf> {
    if let Some(other) = std::env::var_os("WEIR_DATAPLANE").filter(|_| name == "weir-dataplane") {
        return Ok(other.into());
    }
    let own = std::env::current_exe()?;
    let folders = own.ancestors().skip(1).take(2);
    folders
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
        .ok_or_else(|| {
            let message = format!(
                "{name} is not built: run `cargo build -p {name}` with the profile of the test"
            );
            std::io::Error::new(std::io::ErrorKind::NotFound, message)
        })
}
