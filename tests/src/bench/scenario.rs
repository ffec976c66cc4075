//! Running a scenario: what load a peer gets, and what is read of it.
//!
//! Each runs in rounds with its peers interleaved, a fresh process for each peer and round, so that a slow
//! moment of the machine hits all of them alike.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::authority::ZONE_COUNT;
use super::catalogue::{Cached, Kind, Scenario};
use super::load::{self, Latency, Outcome, Pattern};
use super::peers::{Peer, Stage};
use super::process::Server;
use super::waiting::Waiting;

/// How long the own client waits for a server to do all that is asked.
const OWN_LIMIT: Duration = Duration::from_secs(120);
/// Spans leave every half second; what the last of them cost belongs to the load too.
const SETTLING: Duration = Duration::from_millis(1200);

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
    /// How many times as many requests a load of one kind of question has, at least 1: what is close needs more.
    pub times: usize,
}

impl Scale {
    const fn of(self, full: usize) -> usize {
        if self.quick { full / 10 } else { full }
    }
}

/// Runs one peer through one scenario once.
///
/// # Errors
/// When the peer does not start, the load tool fails, or a scenario that traces brings the collector no span.
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
    let run = Run {
        server: &server,
        folder: stage.folder,
        scale,
        settling: stage.traces.map_or(Duration::ZERO, |_| SETTLING),
    };
    let spans = || stage.traces.map_or(0, |(_, collector)| collector.spans());
    let before = spans();
    let sample = match scenario.kind {
        Kind::Cached(cached) => run.cached(cached),
        Kind::Unique => run.unique(),
        Kind::Waiting { streams } => run.waiting(streams),
        Kind::Cold => run.cold(),
        Kind::Mixed => run.mixed(),
        Kind::Handshake { resumed } => run.handshake(resumed),
        Kind::Idle => run.idle(),
        Kind::Reset { every } => run.reset(every),
        Kind::Names => run.names(),
    }?;
    let wants_spans = stage.traces.is_some_and(|(share, _)| share > 0.0);
    if wants_spans && spans() == before {
        return Err(io::Error::other("the collector got no span"));
    }
    Ok(sample)
}

/// One peer's run of one scenario.
struct Run<'a> {
    server: &'a Server,
    folder: &'a Path,
    scale: Scale,
    /// How long what follows a load is waited for.
    settling: Duration,
}

impl Run<'_> {
    fn cached(&self, load: Cached) -> io::Result<Sample> {
        let names = if self.scale.quick {
            load.names.min(1000)
        } else {
            load.names
        };
        // Each connection of `h2load` walks the list from its start: only one alone asks for all of it once.
        self.fill(unique_names(names, load.negative), names)?;
        // The accounting has ticks of ten milliseconds; this is half a second and more.
        let full = if load.streams == 1 { 50_000 } else { 150_000 };
        let count = self.scale.of(full) * self.scale.times;
        let (connections, streams) = (load.connections, load.streams);
        if load.post {
            let body = self.folder.join("query.bin");
            std::fs::write(&body, load::query("n1.bench.test"))?;
            let mut options = self.arguments(count, connections, streams, None);
            options.extend([
                "-d".to_owned(),
                body.to_string_lossy().into_owned(),
                "-H".to_owned(),
                "content-type: application/dns-message".to_owned(),
            ]);
            return self.by_cpu(|| asked(&options));
        }
        let list = zipf(names, self.scale.of(200_000), load.negative);
        self.ask_for(list.into_iter(), count, connections, streams)
    }

    fn unique(&self) -> io::Result<Sample> {
        let count = self.scale.of(60_000) * self.scale.times;
        self.warm_up()?;
        let names = (0..count).map(|n| format!("q{n}.u.bench.test"));
        self.ask_for(names, count, 1, 90)
    }

    fn waiting(&self, streams: usize) -> io::Result<Sample> {
        self.warm_up()?;
        // Whoever waits is given up after ten seconds: this takes three.
        let count = self.scale.of(40_000);
        on_runtime(async {
            let waiting = Waiting::open(self.server.address, streams).await?;
            let names = (0..count).map(|n| format!("q{n}.u.bench.test"));
            let sample = self.ask_for(names, count, 1, 90)?;
            waiting.still().await?;
            Ok(sample)
        })
    }

    fn cold(&self) -> io::Result<Sample> {
        let names = (0..ZONE_COUNT)
            .flat_map(|zone| (0..20).map(move |host| format!("n{host}.z{zone}.test")));
        let count = self.scale.of(ZONE_COUNT * 20);
        let requests = self.write_requests("load.txt", names.take(count))?;
        let log = self.folder.join("times.log");
        let mut options = self.arguments(count, 1, 50, Some(&requests));
        options.push(format!("--log-file={}", log.display()));
        self.by_cpu(|| {
            let mut outcome = asked(&options)?;
            outcome.latency = Some(Latency::of_log(&log)?);
            Ok(outcome)
        })
    }

    fn mixed(&self) -> io::Result<Sample> {
        let count = self.scale.of(100_000);
        let cached = zipf(1000, count, false);
        let names = cached.into_iter().enumerate().map(|(n, name)| {
            if n % 10 == 9 {
                format!("m{n}.u.bench.test")
            } else {
                name
            }
        });
        self.fill(unique_names(1000, false), 1000)?;
        self.ask_for(names, count, 1, 90)
    }

    fn handshake(&self, resumed: bool) -> io::Result<Sample> {
        self.warm_up()?;
        let count = self.scale.of(3000);
        let config = load::trusting_client(resumed);
        let address = self.server.address;
        self.by_cpu(|| {
            on_runtime(async {
                let start = Instant::now();
                let mut outcome = Outcome::default();
                for _ in 0..count {
                    let sender = load::connect(address, config.clone()).await?;
                    match load::ask(&sender, address, "n1.bench.test").await? {
                        (200, _) => outcome.succeeded += 1,
                        _ => outcome.failed += 1,
                    }
                }
                outcome.elapsed = start.elapsed();
                Ok(outcome)
            })
        })
    }

    fn idle(&self) -> io::Result<Sample> {
        self.warm_up()?;
        let count = self.scale.of(5000);
        let before = self.server.usage()?;
        let config = load::trusting_client(false);
        let address = self.server.address;
        let (memory, failed) = on_runtime(async {
            let mut senders = Vec::with_capacity(count);
            let mut failed = 0;
            for _ in 0..count {
                let sender = load::connect(address, config.clone()).await?;
                if load::ask(&sender, address, "n1.bench.test").await?.0 != 200 {
                    failed += 1;
                }
                senders.push(sender);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            let memory = self
                .server
                .usage()?
                .resident
                .saturating_sub(before.resident);
            drop(senders);
            Ok((memory as f64 / count as f64, failed))
        })?;
        let cpu_ns = (self.server.usage()?.cpu_ns - before.cpu_ns) as f64 / count as f64;
        Ok(Sample {
            cpu_ns,
            rate: 0.0,
            memory,
            failed,
            latency: None,
        })
    }

    fn reset(&self, every: usize) -> io::Result<Sample> {
        self.warm_up()?;
        let pattern = Pattern {
            connections: 20,
            streams: 20,
            requests: self.scale.of(5000) * self.scale.times,
            reset_every: every,
        };
        self.by_cpu(|| {
            on_runtime(load::run(self.server.address, pattern, |n| {
                format!("n{}.bench.test", n % 20)
            }))
        })
    }

    fn names(&self) -> io::Result<Sample> {
        self.warm_up()?;
        let count = self.scale.of(1_000_000);
        let before = self.server.usage()?.resident;
        let names = (0..count).map(|n| format!("name-number-{n}.m.bench.test"));
        let mut sample = self.ask_for(names, count, 1, 90)?;
        let grown = self.server.usage()?.resident.saturating_sub(before);
        sample.memory = grown as f64 / count as f64;
        Ok(sample)
    }

    /// Asks for these names by GET, over and over until `count` were asked.
    fn ask_for(
        &self,
        names: impl Iterator<Item = String>,
        count: usize,
        connections: u32,
        streams: u32,
    ) -> io::Result<Sample> {
        let requests = self.write_requests("load.txt", names)?;
        let options = self.arguments(count, connections, streams, Some(&requests));
        self.by_cpu(|| asked(&options))
    }

    /// Asks for each of these `count` names once, before anything is measured.
    fn fill(&self, names: impl Iterator<Item = String>, count: usize) -> io::Result<()> {
        let once = self.write_requests("warm.txt", names)?;
        asked(&self.arguments(count, 1, 90, Some(&once))).map(drop)
    }

    /// The zone cut is known, and one connection was served.
    fn warm_up(&self) -> io::Result<()> {
        let names = ["n1.bench.test", "q.u.bench.test", "q.m.bench.test"].map(str::to_owned);
        let once = self.write_requests("warm.txt", names.into_iter())?;
        asked(&self.arguments(3, 1, 1, Some(&once))).map(drop)
    }

    fn write_requests(
        &self,
        file: &str,
        names: impl Iterator<Item = String>,
    ) -> io::Result<PathBuf> {
        load::write_requests(self.folder, file, self.server.address, names)
    }

    /// Runs a load and divides the server's CPU by the answers.
    fn by_cpu(&self, load: impl FnOnce() -> io::Result<Outcome>) -> io::Result<Sample> {
        let before = self.server.usage()?;
        let outcome = load()?;
        std::thread::sleep(self.settling);
        let after = self.server.usage()?;
        let count = outcome.succeeded.max(1) as f64;
        Ok(Sample {
            cpu_ns: (after.cpu_ns - before.cpu_ns) as f64 / count,
            rate: count / outcome.elapsed.as_secs_f64().max(1e-6),
            memory: after.resident_peak as f64,
            failed: outcome.failed,
            latency: outcome.latency,
        })
    }

    fn arguments(
        &self,
        count: usize,
        connections: u32,
        streams: u32,
        list: Option<&Path>,
    ) -> Vec<String> {
        let mut arguments: Vec<String> = [
            "-n",
            &count.to_string(),
            "-c",
            &connections.to_string(),
            "-m",
            &streams.to_string(),
            "-t",
            "1",
        ]
        .map(str::to_owned)
        .to_vec();
        match list {
            Some(list) => arguments.extend(["-i".to_owned(), list.to_string_lossy().into_owned()]),
            None => arguments.push(format!("https://{}/dns-query", self.server.address)),
        }
        arguments
    }
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
