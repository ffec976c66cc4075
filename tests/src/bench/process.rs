//! Servers under measurement: started on one core, read from the process's own accounting, ended by pid.
//!
//! Never measures from outside: CPU comes from `/proc/PID/stat`, memory from `/proc/PID/status`.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The core that servers run on; the load runs on the other.
pub const SERVER_CORE: &str = "0";
/// The core that load generators run on.
pub const CLIENT_CORE: &str = "1";

/// What the operator sets for the allocator of pods. The peers have other allocators, so that it changes nothing for
/// them; without it the kernel clears two megabytes, for some milliseconds, when one octet of them is touched.
const POD_ENVIRONMENT: (&str, &str) = ("MIMALLOC_ALLOW_THP", "0");

/// Keeps a second benchmark from the same addresses, for as long as the result is held.
///
/// # Errors
/// When one runs already.
pub fn only_one() -> io::Result<std::fs::File> {
    let path = std::env::temp_dir().join("weir-bench.lock");
    let lock = std::fs::File::create(&path)?;
    lock.try_lock().map_err(|error| {
        let message = format!(
            "another benchmark runs ({}: {error}); wait for it",
            path.display()
        );
        io::Error::other(message)
    })?;
    Ok(lock)
}

/// Pins this process with all its threads, and so the own load generator, to [`CLIENT_CORE`].
///
/// # Errors
/// When `taskset` is not there.
pub fn pin_to_client_core() -> io::Result<()> {
    let pid = std::process::id().to_string();
    let status = Command::new("taskset")
        .args(["-a", "-c", "-p", CLIENT_CORE, &pid])
        .stdout(Stdio::null())
        .status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other("taskset could not pin the benchmark"))
}

/// A running server; ended when dropped.
#[derive(Debug)]
pub struct Server {
    /// What the tables call it.
    pub name: String,
    /// Where it answers DoH.
    pub address: SocketAddr,
    child: Child,
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time so far, in nanoseconds.
    pub cpu_ns: u64,
    /// Resident memory now, in octets.
    pub resident: u64,
    /// The most resident memory so far, in octets.
    pub resident_peak: u64,
}

impl Server {
    /// Starts a program pinned to [`SERVER_CORE`] and waits until it accepts connections at `address`.
    ///
    /// # Errors
    /// When the program cannot be started, ends at once, or does not listen within ten seconds.
    pub fn start(
        name: &str,
        address: SocketAddr,
        program: &str,
        arguments: &[&str],
        log: &Path,
    ) -> io::Result<Self> {
        Self::start_on(SERVER_CORE, name, address, program, arguments, log)
    }

    /// The same on other cores, named as `taskset` names them.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_on(
        cores: &str,
        name: &str,
        address: SocketAddr,
        program: &str,
        arguments: &[&str],
        log: &Path,
    ) -> io::Result<Self> {
        if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
            // With SO_REUSEPORT both would answer, and each other's load would be measured.
            let message = format!("something listens at {address} already: end it first");
            return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
        }
        let output = std::fs::File::create(log)?;
        let (variable, value) = POD_ENVIRONMENT;
        let child = Command::new("taskset")
            .args(["-c", cores, program])
            .args(arguments)
            .env(variable, value)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let mut server = Self {
            name: name.to_owned(),
            address,
            child,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait()? {
                let message = format!(
                    "{name} ended at once ({status}); its log is {}",
                    log.display()
                );
                return Err(io::Error::other(message));
            }
            if Instant::now() > deadline {
                let message = format!(
                    "{name} does not listen at {address}; its log is {}",
                    log.display()
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks the server to end, as Kubernetes does.
    ///
    /// # Errors
    /// When no signal can be sent.
    pub fn terminate(&self) -> io::Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").arg(pid).status().map(drop)
    }

    fn ask_to_end(&self) {
        let family = family(self.child.id()).unwrap_or_default();
        for pid in family.iter().rev() {
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
    }

    /// How the server ended, if it has.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn ended(&mut self) -> io::Result<Option<std::process::ExitStatus>> {
        self.child.try_wait()
    }

    /// What the server and its children have used.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn usage(&self) -> io::Result<Usage> {
        let mut usage = Usage::default();
        for pid in family(self.child.id())? {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
            // The command may hold spaces; the fields after its closing bracket do not.
            let fields: Vec<&str> = stat
                .rsplit_once(')')
                .map_or("", |(_, rest)| rest)
                .split_whitespace()
                .collect();
            let ticks = |index: usize| -> u64 {
                fields
                    .get(index)
                    .and_then(|field| field.parse().ok())
                    .unwrap_or(0)
            };
            // utime and stime are the fields 14 and 15 of proc(5), in ticks of a hundredth second.
            usage.cpu_ns += (ticks(11) + ticks(12)) * 10_000_000;
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            usage.resident += kibibytes(&status, "VmRSS:") * 1024;
            usage.resident_peak += kibibytes(&status, "VmHWM:") * 1024;
        }
        Ok(usage)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that was built for a sanitizer says what it found as it ends, and has to come to that.
        let sanitized = std::env::var_os("WEIR_DATAPLANE").is_some() && self.name == "weir";
        let patience = Duration::from_secs(if sanitized { 30 } else { 1 });
        let start = Instant::now();
        let mut ended = false;
        while !ended && start.elapsed() < patience {
            // The second time cuts short what the first began, such as a drain.
            self.ask_to_end();
            for _ in 0..15 {
                std::thread::sleep(Duration::from_millis(20));
                ended = ended || matches!(self.child.try_wait(), Ok(Some(_)));
                if ended {
                    break;
                }
            }
        }
        if !ended {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        let in_order = ended || !sanitized || std::thread::panicking();
        assert!(in_order, "{} did not end by itself", self.name);
    }
}

/// A process and its children, the parent first.
fn family(pid: u32) -> io::Result<Vec<u32>> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(&parent) = all.get(next) {
        next += 1;
        for task in std::fs::read_dir(format!("/proc/{parent}/task"))?.flatten() {
            let children =
                std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(
                children
                    .split_whitespace()
                    .filter_map(|child| child.parse::<u32>().ok()),
            );
        }
    }
    Ok(all)
}

fn kibibytes(status: &str, key: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_at_once_is_an_error_that_names_its_log() {
        let log = std::env::temp_dir().join(format!("weir-bench-{}.log", std::process::id()));
        let address = "127.0.0.1:1".parse().unwrap();
        let error = Server::start("false", address, "false", &[], &log).unwrap_err();
        assert!(
            error.to_string().contains(&log.display().to_string()),
            "{error}"
        );
        std::fs::remove_file(log).unwrap();
    }

    #[test]
    fn usage_reads_this_kernel() {
        let own = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(kibibytes(&own, "VmRSS:") > 100);
        assert!(
            family(std::process::id())
                .unwrap()
                .contains(&std::process::id())
        );
    }
}
