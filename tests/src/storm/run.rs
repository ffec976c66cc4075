//! Whole storms: starts a data plane and its upstreams, warms them up with a smaller storm, lets the others go over
//! them one after the other, waits for quiet after each, and checks that every count closes and nothing is kept.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::bench::load::{ask, connect, trusting_client};
use crate::edge::{Edge, Scrape};
use crate::simulate::seed::Draw;
use crate::storm::connection::{self, Target};
use crate::storm::heap::{self, Heap};
use crate::storm::kept::{self, Kept};
use crate::storm::plan::Plan;
use crate::storm::tally::Tally;
use crate::storm::upstream::{FILLING, Upstreams};

/// Connections at once.
const CONNECTIONS: u32 = 100;
/// The most names that are asked to fill the cache, how many at a time, and after how many it is looked at.
const FILLING_MAX: usize = 50_000;
const FILLING_AT_ONCE: usize = 20;
const FILLING_LOOK: usize = 1000;
/// How long everything may take to end after the last client has left.
const QUIET_MAX: Duration = Duration::from_secs(15);
/// What has to be zero when all is over.
const GAUGES: [&str; 5] = [
    "weir_connections",
    "weir_streams_active",
    "weir_mesh_waiters",
    "weir_mesh_states",
    "weir_mesh_fetches",
];

/// How big storms are.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Storms in a row, over one data plane.
    pub rounds: u64,
    /// Streams of each, beside those of the warm-up.
    pub streams: u64,
    /// Streams of the warm-up.
    pub warm_up: u64,
    /// What is drawn, begins here. The network is real, so the same seed gives the same storm only in its plan.
    pub seed: u64,
    /// Workers of the data plane.
    pub workers: u32,
    /// By how many hundredths what is kept may grow. Resident memory: from the least after an earlier storm to the least
    /// after a later one. Counted: from the least after any storm to the last. The first storm is
    /// left out where at least two follow it.
    pub growth_max: u64,
    /// Counts what lives on the heap, with a data plane built for that, instead of resident memory.
    pub counting: bool,
}

/// What one storm came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the clients saw.
    pub tally: Tally,
    /// How long it took, without the quiet after it.
    pub elapsed: Duration,
    /// How long it was until everything had ended.
    pub quiet_after: Option<Duration>,
    /// Queries that the upstreams got.
    pub upstream_queries: u64,
    /// Each thing that had to hold.
    pub checks: Vec<Check>,
}

/// A thing that had to hold: what, whether it did, and the numbers.
pub type Check = (&'static str, bool, String);

/// What all of them came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Each storm.
    pub rounds: Vec<Outcome>,
    /// What the data plane held when all was quiet: after the warm-up, and after each storm.
    pub kept: Vec<Kept>,
    /// What had to hold over all of them.
    pub checks: Vec<Check>,
}

/// A data plane under storms, and what it takes to make them.
struct Sky {
    options: Options,
    upstreams: Upstreams,
    edge: Edge,
    /// The names that nobody has asked yet begin here.
    fresh: Rc<Cell<u64>>,
}

/// Lets storms go over a fresh data plane. Runs on a local set.
///
/// # Errors
/// When the data plane cannot be started or is gone.
pub async fn storm(options: Options) -> io::Result<Report> {
    let sky = Sky::new(options)?;
    fill_cache(&sky.edge).await?;
    // The socket that `Edge` looks with is gone before anything is counted.
    blow(&sky.edge, options.warm_up, options.seed, &sky.fresh).await?;
    let mut report = Report {
        rounds: Vec::new(),
        kept: vec![sky.kept().await?],
        checks: Vec::new(),
    };
    for round in 1..=options.rounds.max(1) {
        report.rounds.push(sky.round(round).await?);
        report.kept.push(sky.kept().await?);
    }
    report.checks.push((
        "memory went back to where it was",
        kept::is_steady(&report.kept, options.growth_max),
        kept::told(&report.kept),
    ));
    Ok(report)
}

impl Sky {
    fn new(options: Options) -> io::Result<Self> {
        let upstreams = Upstreams::start(8, options.seed)?;
        let addresses = upstreams.addresses.iter();
        let servers: Vec<serde_json::Value> = addresses
            .map(|address| json!({ "address": address.ip(), "port": address.port() }))
            .collect();
        let zone = json!({ "name": ".", "validate": false, "upstreams": servers });
        let settings = json!({
            "workers": options.workers,
            "resolution": { "forwardZones": [zone] },
            "dnssec": { "mode": "Off" },
            "listeners": [{ "name": "doh" }],
            "cache": { "size": "1Mi" },
            "mesh": {
                // So few that questions yield to others all the time.
                "maxStates": 48 * options.workers,
                "maxWaitingReplies": 4096,
                "jostleTimeout": "20ms",
                "perClientWaitLimit": { "default": 60 },
            },
        });
        let program = if options.counting {
            "dataplane-counting-heap"
        } else {
            "weir-dataplane"
        };
        Ok(Self {
            options,
            upstreams,
            edge: Edge::launch_program(program, "0,1", settings, &[])?,
            fresh: Rc::new(Cell::new(0)),
        })
    }

    /// One storm, with all that it is checked for but memory.
    async fn round(&self, round: u64) -> io::Result<Outcome> {
        let Options { streams, seed, .. } = self.options;
        let before = self.edge.scrape().await?;
        let asked_before = self.upstreams.queries();
        let start = Instant::now();
        let tally = blow(&self.edge, streams, seed + 1000 * round, &self.fresh).await?;
        let elapsed = start.elapsed();
        let quiet_after = wait_for_quiet(&self.edge).await?;
        let after = self.edge.scrape().await?;
        let mut outcome = Outcome {
            tally,
            elapsed,
            quiet_after,
            upstream_queries: self.upstreams.queries() - asked_before,
            checks: Vec::new(),
        };
        outcome.checks = check(&outcome, &before, &after);
        Ok(outcome)
    }

    /// What the data plane holds when it is quiet and has given back what it gives back.
    async fn kept(&self) -> io::Result<Kept> {
        wait_for_quiet(&self.edge).await?;
        let resident = at_rest(&self.edge).await?;
        wait_for_quiet(&self.edge).await?;
        if !self.options.counting {
            return Ok(Kept::Resident(resident));
        }
        let file = heap::file(&self.edge.folder().join("config.json"));
        let mut least = Heap::read(&file)?;
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = Heap::read(&file)?;
            least.blocks = least.blocks.min(now.blocks);
            least.octets = least.octets.min(now.octets);
        }
        // A cache that fills is no leak; each of its entries is one block.
        let cached = self.edge.scrape().await?;
        let less = |value: u64, name: &str| value.saturating_sub(cached.count(name, ""));
        Ok(Kept::Heap(Heap {
            blocks: less(least.blocks, "weir_cache_entries"),
            octets: less(least.octets, "weir_cache_bytes"),
        }))
    }
}

/// Asks names until the cache takes no more: one that fills during the storms would look like a leak.
async fn fill_cache(edge: &Edge) -> io::Result<()> {
    let sender = connect(edge.address(), trusting_client(false)).await?;
    let (mut names, mut before) = (0..FILLING_MAX, 0);
    while !names.is_empty() {
        let batch = names.by_ref().take(FILLING_AT_ONCE);
        let asked = batch.map(|name| {
            let name = format!("{FILLING}{name}.storm.example");
            let sender = sender.clone();
            async move { ask(&sender, edge.address(), &name).await }
        });
        for answer in futures_util::future::join_all(asked).await {
            answer?;
        }
        if names.start % FILLING_LOOK == 0 {
            let now = edge.scrape().await?.count("weir_cache_bytes", "");
            if now <= before {
                break;
            }
            before = now;
        }
    }
    Ok(())
}

/// Lets so many streams go over it, and waits until the last connection has ended.
async fn blow(edge: &Edge, streams: u64, seed: u64, fresh: &Rc<Cell<u64>>) -> io::Result<Tally> {
    let left = Rc::new(Cell::new(streams));
    let sum = Rc::new(RefCell::new(Tally::default()));
    let tls = trusting_client(false);
    let mut slots = Vec::new();
    for slot in 0..CONNECTIONS {
        let target = Target {
            address: edge.address(),
            source: Ipv4Addr::from(0x7f00_0101 + slot),
            tls: tls.clone(),
        };
        let (left, sum, fresh) = (Rc::clone(&left), Rc::clone(&sum), Rc::clone(fresh));
        let mut draw = Draw::new(seed << 16 | u64::from(slot));
        slots.push(tokio::task::spawn_local(async move {
            // Names are new for each slot, because each counts for itself.
            let mut names = fresh.get() + (u64::from(slot) << 40);
            while left.get() > 0 {
                let plan = Plan::draw(&mut draw, left.get());
                left.set(left.get() - plan.streams);
                let seen = connection::carry_out(&target, plan, &mut draw, &mut names).await;
                // What an aborted connection did not open, others do.
                left.set(left.get() + plan.streams.saturating_sub(seen.opened.max(1)));
                sum.borrow_mut().add(&seen);
            }
            fresh.set(fresh.get().max(names & 0xff_ffff_ffff));
        }));
    }
    for slot in slots {
        slot.await.map_err(io::Error::other)?;
    }
    Ok(sum.take())
}

/// Waits until nothing is open any more; how long it took, `None` when it took too long.
async fn wait_for_quiet(edge: &Edge) -> io::Result<Option<Duration>> {
    let start = Instant::now();
    while start.elapsed() < QUIET_MAX {
        let scrape = edge.scrape().await?;
        if GAUGES.iter().all(|gauge| scrape.count(gauge, "") == 0) {
            return Ok(Some(start.elapsed()));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(None)
}

/// Resident memory when it falls no more.
///
/// A worker that sleeps gives nothing back: what the last answers freed stays with its part of the allocator until it
/// works again, so it is asked a little meanwhile. Measured at the first quiet moment, the same process showed 72 MiB
/// after a long wait and 85 MiB after none.
async fn at_rest(edge: &Edge) -> io::Result<u64> {
    let tls = trusting_client(false);
    let (start, mut least, mut fell) = (Instant::now(), u64::MAX, Instant::now());
    while start.elapsed() < QUIET_MAX && fell.elapsed() < Duration::from_secs(3) {
        for _ in 0..8 {
            let sender = connect(edge.address(), tls.clone()).await?;
            ask(&sender, edge.address(), "hot1.storm.example").await?;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let resident = edge.resident()?;
        if resident < least {
            (least, fell) = (resident, Instant::now());
        }
    }
    Ok(least)
}

fn check(outcome: &Outcome, before: &Scrape, after: &Scrape) -> Vec<Check> {
    let tally = &outcome.tally;
    let grown = |name: &str, label: &str| after.count(name, label) - before.count(name, label);
    let disposed = |label: &str| grown("weir_stream_dispositions_total", label);
    let mut checks = Vec::new();
    let mut check = |what, holds, numbers: String| checks.push((what, holds, numbers));
    let within = |low: u64, value: u64, high: u64| {
        (
            low <= value && value <= high,
            format!("{low} <= {value} <= {high}"),
        )
    };
    check(
        "every stream ended, each in one way",
        tally.opened == tally.ended() && tally.stuck == 0,
        format!(
            "{} opened, {} ended, {} stuck",
            tally.opened,
            tally.ended(),
            tally.stuck
        ),
    );
    check(
        "every answer was to its own question, and nothing came twice",
        tally.crossed == 0 && tally.surplus == 0,
        format!("{} crossed, {} surplus", tally.crossed, tally.surplus),
    );
    check(
        "every connection was opened",
        tally.connections_failed == 0,
        format!(
            "{} of {} failed",
            tally.connections_failed, tally.connections
        ),
    );
    let taken = grown("weir_streams_total", "");
    check(
        "the server gave every stream that it took one disposition",
        taken == disposed(""),
        format!("{taken} taken, {} disposed", disposed("")),
    );
    // What a client sent just before its connection ended may never have been read.
    let known = tally.opened - tally.not_taken;
    let (holds, numbers) = within(known - tally.aborted - tally.lost, taken, known);
    check(
        "the server took the streams that were opened",
        holds,
        numbers,
    );
    let code = |code: &str| grown("weir_http_requests_total", &format!("code=\"{code}\""));
    let open = tally.undecided();
    let (holds, numbers) = within(tally.answered, code("200"), tally.answered + open);
    check("both sides count the same answers", holds, numbers);
    let (holds, numbers) = within(
        tally.refused,
        code("429") + code("503"),
        tally.refused + open,
    );
    check("both sides count the same refusals", holds, numbers);
    let whole = tally.answered + tally.refused;
    let (holds, numbers) = within(whole, disposed("\"answered\""), whole + open);
    check("both sides count the same ends", holds, numbers);
    let (holds, numbers) = within(
        0,
        disposed("\"peer_cancelled\""),
        tally.reset + tally.aborted + tally.lost,
    );
    check(
        "no more streams were cancelled than clients reset",
        holds,
        numbers,
    );
    let (holds, numbers) = within(
        0,
        disposed("\"connection_lost\""),
        tally.reset + tally.aborted + tally.lost,
    );
    check(
        "no more streams were lost than their clients left",
        holds,
        numbers,
    );
    check(
        "names were resolved, not failed",
        outcome.upstream_queries > tally.opened / 100 && tally.failed < tally.answered / 2,
        format!(
            "{} answered, {} of them SERVFAIL, {} queries upstream",
            tally.answered, tally.failed, outcome.upstream_queries
        ),
    );
    let violations = after.count("weir_invariant_violations_total", "");
    let panics = after.count("weir_panics_total", "");
    check(
        "no invariant was hit",
        violations == 0 && panics == 0,
        format!("{violations} violations, {panics} panics"),
    );
    check(
        "all was quiet within 15 s",
        outcome.quiet_after.is_some(),
        outcome.quiet_after.map_or_else(
            || format!("{:?}", GAUGES.map(|gauge| (gauge, after.count(gauge, "")))),
            |took| format!("{:.1} s", took.as_secs_f64()),
        ),
    );
    let permille = tally.resets_sent * 1000 / tally.opened.max(1);
    check(
        "the storm was one",
        (200..=400).contains(&permille)
            && tally.refused > 0
            && (tally.connections < 200 || tally.connections_aborted > 0 && tally.windowless > 0)
            && tally.pairs > tally.opened / 5,
        format!(
            "{permille} of 1000 streams reset, {} refused, {} of {} connections aborted, {} streams without a window, {} in pairs",
            tally.refused,
            tally.connections_aborted,
            tally.connections,
            tally.windowless,
            tally.pairs
        ),
    );
    checks
}
