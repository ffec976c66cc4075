//! Medians, ratios, the table and the JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::catalogue::Scenario;
use super::load::Latency;
use super::peers::Peer;
use super::scenario::Sample;

/// The samples of one scenario by peer, in rounds.
pub type Samples = BTreeMap<Peer, Vec<Sample>>;

/// What one scenario came to.
#[derive(Debug)]
pub struct Measured<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Its samples.
    pub samples: Samples,
    /// What did not come to an end, and why.
    pub lost: Vec<String>,
}

/// The median CPU per query of a peer, if it was measured.
#[must_use]
pub fn cpu(samples: &Samples, peer: Peer) -> Option<f64> {
    let samples = samples.get(&peer)?;
    Some(of(samples, |sample| sample.cpu_ns)).filter(|cpu| *cpu > 0.0)
}

/// The middle value; 0 of none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn of(samples: &[Sample], figure: fn(&Sample) -> f64) -> f64 {
    median(samples.iter().map(figure).collect())
}

/// The medians of what single requests took in each round, where that was measured.
fn latency(samples: &[Sample]) -> Option<Latency> {
    let all: Vec<Latency> = samples.iter().filter_map(|sample| sample.latency).collect();
    (!all.is_empty()).then(|| Latency {
        p50: median(all.iter().map(|latency| latency.p50).collect()),
        p99: median(all.iter().map(|latency| latency.p99).collect()),
    })
}

/// One scenario's part of the table.
#[must_use]
pub fn table(measured: &Measured<'_>) -> String {
    let Measured {
        scenario,
        samples,
        lost,
    } = measured;
    let mut text = format!("\n{}: {}\n", scenario.name, scenario.what);
    let _ = writeln!(
        text,
        "  {:<14} {:>12} {:>12} {:>10} {:>12} {:>8}",
        "peer", "CPU us/query", "Weir/peer", "answers/s", "memory KiB", "failed"
    );
    let weir = samples
        .iter()
        .find(|(peer, _)| matches!(peer, Peer::Weir | Peer::WeirTwoWorkers));
    let weir = weir.map_or(0.0, |(_, samples)| of(samples, |sample| sample.cpu_ns));
    for (peer, samples) in samples {
        let cpu = of(samples, |sample| sample.cpu_ns);
        let failed: u64 = samples.iter().map(|sample| sample.failed).sum();
        let _ = writeln!(
            text,
            "  {:<14} {:>12.2} {:>12.2} {:>10.0} {:>12.2} {:>8}",
            peer.name(),
            cpu / 1000.0,
            weir / cpu.max(1.0),
            of(samples, |sample| sample.rate),
            of(samples, |sample| sample.memory) / 1024.0,
            failed
        );
    }
    for (peer, samples) in samples {
        if let Some(latency) = latency(samples) {
            let _ = writeln!(
                text,
                "  {:<14} p50 {:.1} ms, p99 {:.1} ms",
                peer.name(),
                latency.p50 / 1000.0,
                latency.p99 / 1000.0
            );
        }
    }
    for lost in lost {
        let _ = writeln!(text, "  lost: {lost}");
    }
    text
}

/// The same as data, every round kept.
#[must_use]
pub fn data(measured: &Measured<'_>) -> Value {
    let Measured {
        scenario,
        samples,
        lost,
    } = measured;
    let peers: BTreeMap<&str, Value> = samples
        .iter()
        .map(|(peer, samples)| {
            let rounds: Vec<Value> = samples
                .iter()
                .map(|sample| {
                    json!({ "cpuNanosecondsPerQuery": sample.cpu_ns, "answersPerSecond": sample.rate,
                            "memoryOctets": sample.memory, "failed": sample.failed,
                            "latencyMicroseconds": sample.latency.map(|latency| json!({ "p50": latency.p50, "p99": latency.p99 })) })
                })
                .collect();
            (peer.name(), json!({ "rounds": rounds, "medianCpuNanosecondsPerQuery": of(samples, |sample| sample.cpu_ns) }))
        })
        .collect();
    json!({ "scenario": scenario.name, "what": scenario.what, "peers": peers, "lost": lost })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).abs() < f64::EPSILON);
    }
}
