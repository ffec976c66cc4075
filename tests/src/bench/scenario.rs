//! Running a scenario: what load a peer gets, and what is read of it.
//!
//! Each runs in rounds with its peers interleaved, a fresh process for each peer and round, so that a slow
//! moment of the machine hits all of them alike.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::authority::ZONE_COUNT;
use super::catalogue::{Kind, Scenario};
use super::load::{self, Latency, Outcome, Pattern};
use super::peers::{Peer, Stage};
use super::process::Server;

/// How long the own client waits for a server to do all that is asked.
const OWN_LIMIT: Duration = Duration::from_secs(120);

/// What one peer's round came to.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Server CPU per query, in nanoseconds.
    pub cpu_ns: f64,
    /// Answers per second, which on two cores mostly measures the client.
    pub rate: f64,
    /// Octets resident: the figure that the scenario is about, if it is about memory.
    pub memory: f64,
    /// Requests that failed.
    pub failed: u64,
    /// How long single requests took, where the scenario is about that too.
    pub latency: Option<Latency>,
}

/// How much is done: everything is a tenth for `--quick`.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Whether this is the quick run, which only shows that it works.
    pub quick: bool,
}

impl Scale {
    const fn of(self, full: usize) -> usize {
        if self.quick { full / 10 } else { full }
    }
}

/// Runs one peer through one scenario once.
///
/// # Errors
/// When the peer does not start or the load tool fails.
pub fn measure(
    scenario: &Scenario,
    peer: Peer,
    stage: &Stage<'_>,
    scale: Scale,
) -> io::Result<Sample> {
    let server = stage.start(peer)?;
    if peer != Peer::Constant {
        expect_right_answer(&server)?;
    }
    match scenario.kind {
        Kind::Cached {
            connections,
            streams,
            post,
            negative,
            names,
        } => {
            let names = if scale.quick { names.min(1000) } else { names };
            let list = zipf(names, scale.of(200_000), negative);
            let once = load::write_requests(
                stage.folder,
                "warm.txt",
                server.address,
                unique_names(names, negative),
            )?;
            // Each connection of `h2load` walks the list from its start: only one alone asks for all of it once.
            asked(&arguments(names, 1, 90, Some(&once), server.address))?;
            let requests =
                load::write_requests(stage.folder, "load.txt", server.address, list.into_iter())?;
            // The accounting has ticks of ten milliseconds; this is half a second and more.
            let count = scale.of(if streams == 1 { 50_000 } else { 150_000 });
            let mut options =
                arguments(count, connections, streams, Some(&requests), server.address);
            if post {
                let body = stage.folder.join("query.bin");
                std::fs::write(&body, load::query("n1.bench.test"))?;
                options = arguments(count, connections, streams, None, server.address);
                options.extend([
                    "-d".to_owned(),
                    body.to_string_lossy().into_owned(),
                    "-H".to_owned(),
                    "content-type: application/dns-message".to_owned(),
                ]);
            }
            by_cpu(&server, || asked(&options))
        }
        Kind::Unique => {
            let count = scale.of(60_000);
            warm_up(&server, stage.folder)?;
            let requests = load::write_requests(
                stage.folder,
                "load.txt",
                server.address,
                (0..count).map(|n| format!("q{n}.u.bench.test")),
            )?;
            by_cpu(&server, || {
                asked(&arguments(count, 1, 90, Some(&requests), server.address))
            })
        }
        Kind::Waiting {
            connections,
            streams,
        } => {
            warm_up(&server, stage.folder)?;
            let pattern = Pattern {
                connections,
                streams,
                requests: scale.of(60_000).max(connections * streams) / connections,
                reset_every: 0,
            };
            by_cpu(&server, || {
                on_runtime(load::run(server.address, pattern, |n| {
                    format!("q{n}.u.bench.test")
                }))
            })
        }
        Kind::Cold => {
            let names = (0..ZONE_COUNT)
                .flat_map(|zone| (0..20).map(move |host| format!("n{host}.z{zone}.test")));
            let count = scale.of(ZONE_COUNT * 20);
            let requests =
                load::write_requests(stage.folder, "load.txt", server.address, names.take(count))?;
            let log = stage.folder.join("times.log");
            let mut options = arguments(count, 1, 50, Some(&requests), server.address);
            options.push(format!("--log-file={}", log.display()));
            by_cpu(&server, || {
                let mut outcome = asked(&options)?;
                outcome.latency = Some(Latency::of_log(&log)?);
                Ok(outcome)
            })
        }
        Kind::Mixed => {
            let count = scale.of(100_000);
            let cached = zipf(1000, count, false);
            let names = cached.into_iter().enumerate().map(|(n, name)| {
                if n % 10 == 9 {
                    format!("m{n}.u.bench.test")
                } else {
                    name
                }
            });
            let once = load::write_requests(
                stage.folder,
                "warm.txt",
                server.address,
                unique_names(1000, false),
            )?;
            asked(&arguments(1000, 1, 90, Some(&once), server.address))?;
            let requests = load::write_requests(stage.folder, "load.txt", server.address, names)?;
            by_cpu(&server, || {
                asked(&arguments(count, 1, 90, Some(&requests), server.address))
            })
        }
        Kind::Handshake { resumed } => {
            warm_up(&server, stage.folder)?;
            let count = scale.of(3000);
            let config = load::trusting_client(resumed);
            by_cpu(&server, || {
                on_runtime(async {
                    let start = std::time::Instant::now();
                    let mut outcome = Outcome::default();
                    for _ in 0..count {
                        let sender = load::connect(server.address, config.clone()).await?;
                        match load::ask(&sender, server.address, "n1.bench.test").await? {
                            (200, _) => outcome.succeeded += 1,
                            _ => outcome.failed += 1,
                        }
                    }
                    outcome.elapsed = start.elapsed();
                    Ok(outcome)
                })
            })
        }
        Kind::Idle => idle(&server, stage.folder, scale),
        Kind::Reset { every } => {
            warm_up(&server, stage.folder)?;
            let pattern = Pattern {
                connections: 20,
                streams: 20,
                requests: scale.of(5000),
                reset_every: every,
            };
            by_cpu(&server, || {
                on_runtime(load::run(server.address, pattern, |n| {
                    format!("n{}.bench.test", n % 20)
                }))
            })
        }
        Kind::Names => {
            warm_up(&server, stage.folder)?;
            let count = scale.of(1_000_000);
            let before = server.usage()?.resident;
            let requests = load::write_requests(
                stage.folder,
                "load.txt",
                server.address,
                (0..count).map(|n| format!("name-number-{n}.m.bench.test")),
            )?;
            let mut sample = by_cpu(&server, || {
                asked(&arguments(count, 1, 90, Some(&requests), server.address))
            })?;
            sample.memory = server.usage()?.resident.saturating_sub(before) as f64 / count as f64;
            Ok(sample)
        }
    }
}

fn idle(server: &Server, folder: &Path, scale: Scale) -> io::Result<Sample> {
    warm_up(server, folder)?;
    let count = scale.of(5000);
    let before = server.usage()?;
    let config = load::trusting_client(false);
    let (memory, failed) = on_runtime(async {
        let mut senders = Vec::with_capacity(count);
        let mut failed = 0;
        for _ in 0..count {
            let sender = load::connect(server.address, config.clone()).await?;
            if load::ask(&sender, server.address, "n1.bench.test").await?.0 != 200 {
                failed += 1;
            }
            senders.push(sender);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let memory = server.usage()?.resident.saturating_sub(before.resident);
        drop(senders);
        Ok((memory as f64 / count as f64, failed))
    })?;
    let cpu_ns = (server.usage()?.cpu_ns - before.cpu_ns) as f64 / count as f64;
    Ok(Sample {
        cpu_ns,
        rate: 0.0,
        memory,
        failed,
        latency: None,
    })
}

/// Runs a load and divides the server's CPU by the answers.
fn by_cpu(server: &Server, load: impl FnOnce() -> io::Result<Outcome>) -> io::Result<Sample> {
    let before = server.usage()?;
    let outcome = load()?;
    let after = server.usage()?;
    let count = outcome.succeeded.max(1) as f64;
    Ok(Sample {
        cpu_ns: (after.cpu_ns - before.cpu_ns) as f64 / count,
        rate: count / outcome.elapsed.as_secs_f64().max(1e-6),
        memory: after.resident_peak as f64,
        failed: outcome.failed,
        latency: outcome.latency,
    })
}

/// What is fast must also be right: a known name has its known address.
fn expect_right_answer(server: &Server) -> io::Result<()> {
    let (status, message) = on_runtime(async {
        let sender = load::connect(server.address, load::trusting_client(false)).await?;
        load::ask(&sender, server.address, "n0.z0.test").await
    })?;
    let rcode = message.get(3).map_or(0xff, |flags| flags & 0x0f);
    let found = message.windows(4).any(|octets| octets == [192, 0, 2, 10]);
    if status == 200 && rcode == 0 && found {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{} answers wrongly: status {status}, rcode {rcode}",
        server.name
    )))
}

/// The zone cut is known, and one connection was served.
fn warm_up(server: &Server, folder: &Path) -> io::Result<()> {
    let names = ["n1.bench.test", "q.u.bench.test", "q.m.bench.test"]
        .map(str::to_owned)
        .into_iter();
    let once = load::write_requests(folder, "warm.txt", server.address, names)?;
    asked(&arguments(3, 1, 1, Some(&once), server.address)).map(|_| ())
}

fn on_runtime<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(OWN_LIMIT, future)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    })
}

/// Runs `h2load` for at most half a minute and what its requests take at 4000 a second.
fn asked(arguments: &[String]) -> io::Result<Outcome> {
    let count: u64 = arguments
        .get(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(0);
    load::h2load(arguments, Duration::from_secs(30 + count / 4000))
}

fn arguments(
    count: usize,
    connections: u32,
    streams: u32,
    list: Option<&Path>,
    address: std::net::SocketAddr,
) -> Vec<String> {
    let mut arguments = vec![
        "-n".to_owned(),
        count.to_string(),
        "-c".to_owned(),
        connections.to_string(),
        "-m".to_owned(),
        streams.to_string(),
        "-t".to_owned(),
        "1".to_owned(),
    ];
    match list {
        Some(list) => arguments.extend(["-i".to_owned(), list.to_string_lossy().into_owned()]),
        None => arguments.push(format!("https://{address}/dns-query")),
    }
    arguments
}

fn bench_name(number: usize, negative: bool) -> String {
    match (negative, number) {
        (true, _) => format!("absent{number}.bench.test"),
        (false, 0..20) => format!("n{number}.bench.test"),
        (false, _) => format!("w{number}.u.bench.test"),
    }
}

fn unique_names(count: usize, negative: bool) -> impl Iterator<Item = String> {
    (0..count).map(move |number| bench_name(number, negative))
}

/// `draws` names out of `names` by Zipf's law with exponent 1, the same for everyone.
fn zipf(names: usize, draws: usize, negative: bool) -> Vec<String> {
    let mut sums = Vec::with_capacity(names);
    let mut sum = 0.0;
    for rank in 1..=names {
        sum += 1.0 / rank as f64;
        sums.push(sum);
    }
    let mut random = weir_resolver::random::Random::from_seed([7, 7]);
    (0..draws)
        .map(|_| {
            let point = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64 * sum;
            bench_name(
                sums.partition_point(|&edge| edge < point).min(names - 1),
                negative,
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_prefers_the_first() {
        let drawn = zipf(100, 10_000, false);
        let count = |name: &str| drawn.iter().filter(|drawn| *drawn == name).count();
        assert!(
            count("n0.bench.test") > 1500 && count("n0.bench.test") > 5 * count("n9.bench.test")
        );
    }
}
