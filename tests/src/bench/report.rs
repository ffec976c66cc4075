//! Medians, ratios, the table and the JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter, Write as _};

use serde_json::{Value, json};

use super::catalogue::{Kind, Scenario};
use super::load::Latency;
use super::peers::Peer;
use super::scenario::Sample;

/// The samples of one scenario by peer and round.
pub type Samples = BTreeMap<Peer, BTreeMap<usize, Sample>>;

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

impl Measured<'_> {
    /// What the scenario is about: CPU per query, or memory.
    fn figure(&self) -> fn(&Sample) -> f64 {
        match self.scenario.kind {
            Kind::Idle | Kind::Names => |sample| sample.memory,
            _ => |sample| sample.cpu_ns,
        }
    }

    /// The rounds of Weir, with whatever number of workers.
    fn own(&self) -> Option<&BTreeMap<usize, Sample>> {
        let own = [Peer::Weir, Peer::WeirTwoWorkers];
        own.iter().find_map(|peer| self.samples.get(peer))
    }

    /// Weir's figure over a peer's.
    fn over(&self, peer: Peer) -> Option<Ratio> {
        Ratio::of(self.own()?, self.samples.get(&peer)?, self.figure())
    }

    /// Weir's figure over that of the scenario that this one is a variant of.
    fn over_base(&self, all: &[Measured<'_>]) -> Option<(&'static str, Ratio)> {
        let name = self.scenario.variant_of?;
        let base = all.iter().find(|other| other.scenario.name == name)?;
        Some((name, Ratio::of(self.own()?, base.own()?, self.figure())?))
    }
}

/// A ratio within each round, over the rounds: a slow moment of the machine hits both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ratio {
    median: f64,
    least: f64,
    most: f64,
}

impl Ratio {
    fn of(
        above: &BTreeMap<usize, Sample>,
        below: &BTreeMap<usize, Sample>,
        figure: fn(&Sample) -> f64,
    ) -> Option<Self> {
        let in_round = |(round, above): (&usize, &Sample)| {
            let below = below.get(round).map(figure).filter(|below| *below > 0.0)?;
            Some(figure(above) / below)
        };
        let ratios: Vec<f64> = above.iter().filter_map(in_round).collect();
        Some(Self {
            least: ratios.iter().copied().min_by(f64::total_cmp)?,
            most: ratios.iter().copied().max_by(f64::total_cmp)?,
            median: median(ratios),
        })
    }

    fn data(self) -> Value {
        json!({ "median": self.median, "least": self.least, "most": self.most })
    }
}

impl Display for Ratio {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            median,
            least,
            most,
        } = self;
        write!(formatter, "{median:.2} ({least:.2} to {most:.2})")
    }
}

/// The median CPU per query of a peer, if it was measured.
#[must_use]
pub fn cpu(samples: &Samples, peer: Peer) -> Option<f64> {
    let samples = samples.get(&peer)?;
    Some(of(samples, |sample| sample.cpu_ns)).filter(|cpu| *cpu > 0.0)
}

/// The middle value, between two the mean of both; 0 of none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
    f64::midpoint(at(values.len().saturating_sub(1) / 2), at(values.len() / 2))
}

fn of(samples: &BTreeMap<usize, Sample>, figure: fn(&Sample) -> f64) -> f64 {
    median(samples.values().map(figure).collect())
}

/// The medians of what single requests took in each round, where that was measured.
fn latency(samples: &BTreeMap<usize, Sample>) -> Option<Latency> {
    let all: Vec<Latency> = samples
        .values()
        .filter_map(|sample| sample.latency)
        .collect();
    (!all.is_empty()).then(|| Latency {
        p50: median(all.iter().map(|latency| latency.p50).collect()),
        p99: median(all.iter().map(|latency| latency.p99).collect()),
    })
}

/// One scenario's part of the table; `all` is what was measured beside it.
#[must_use]
pub fn table(measured: &Measured<'_>, all: &[Measured<'_>]) -> String {
    let Measured {
        scenario,
        samples,
        lost,
    } = measured;
    let mut text = format!("\n{}: {}\n", scenario.name, scenario.what);
    let _ = writeln!(
        text,
        "  {:<14} {:>12} {:>20} {:>10} {:>12} {:>8}",
        "peer", "CPU us/query", "Weir/peer", "answers/s", "memory KiB", "failed"
    );
    for (&peer, samples) in samples {
        let failed: u64 = samples.values().map(|sample| sample.failed).sum();
        let over = measured
            .over(peer)
            .map_or_else(String::new, |over| over.to_string());
        let _ = writeln!(
            text,
            "  {:<14} {:>12.2} {over:>20} {:>10.0} {:>12.2} {failed:>8}",
            peer.name(),
            of(samples, |sample| sample.cpu_ns) / 1000.0,
            of(samples, |sample| sample.rate),
            of(samples, |sample| sample.memory) / 1024.0,
        );
    }
    if let Some((base, over)) = measured.over_base(all) {
        let _ = writeln!(text, "  over {base}: {over}");
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
pub fn data(measured: &Measured<'_>, all: &[Measured<'_>]) -> Value {
    let Measured {
        scenario,
        samples,
        lost,
    } = measured;
    let peers: BTreeMap<&str, Value> = samples
        .iter()
        .map(|(&peer, samples)| {
            let rounds: Vec<Value> = samples
                .values()
                .map(|sample| {
                    json!({ "cpuNanosecondsPerQuery": sample.cpu_ns, "answersPerSecond": sample.rate,
                            "memoryOctets": sample.memory, "failed": sample.failed,
                            "latencyMicroseconds": sample.latency.map(|latency| json!({ "p50": latency.p50, "p99": latency.p99 })) })
                })
                .collect();
            (peer.name(), json!({ "rounds": rounds, "weirOverPeer": measured.over(peer).map(Ratio::data),
                                  "medianCpuNanosecondsPerQuery": of(samples, |sample| sample.cpu_ns) }))
        })
        .collect();
    let base = measured
        .over_base(all)
        .map(|(base, over)| json!({ "scenario": base, "ratio": over.data() }));
    json!({ "scenario": scenario.name, "what": scenario.what, "peers": peers, "overScenario": base, "lost": lost })
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::SCENARIOS;
    use super::*;

    fn sample(cpu_ns: f64) -> Sample {
        Sample {
            cpu_ns,
            rate: 1.0,
            memory: 10.0 * cpu_ns,
            failed: 0,
            latency: None,
        }
    }

    fn measured(name: &str, peers: &[(Peer, &[(usize, f64)])]) -> Measured<'static> {
        let rounds = |rounds: &[(usize, f64)]| {
            let rounds = rounds.iter();
            rounds.map(|&(round, cpu)| (round, sample(cpu))).collect()
        };
        Measured {
            scenario: SCENARIOS.iter().find(|it| it.name == name).unwrap(),
            samples: peers.iter().map(|(peer, of)| (*peer, rounds(of))).collect(),
            lost: Vec::new(),
        }
    }

    #[test]
    fn medians() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![3.0, 1.0, 2.0, 9.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(Vec::new()).abs() < f64::EPSILON);
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        // Round 1 is slow for both, the peer was lost in round 2.
        let weir: &[_] = &[(0, 2.0), (1, 9.0), (2, 100.0), (3, 1.0)];
        let base = measured(
            "cached-20x20",
            &[
                (Peer::Weir, weir),
                (Peer::Unbound, &[(0, 4.0), (1, 10.0), (3, 4.0)]),
            ],
        );
        let over = base.over(Peer::Unbound).unwrap();
        assert_eq!(over.to_string(), "0.50 (0.25 to 0.90)");
        let traced = measured("traced-1", &[(Peer::Weir, &[(0, 2.0), (3, 2.0)])]);
        let all = [base, traced];
        let text = table(&all[1], &all);
        assert!(
            text.contains("over cached-20x20: 1.50 (1.00 to 2.00)"),
            "{text}"
        );
        assert_eq!(data(&all[1], &all)["overScenario"]["ratio"]["most"], 2.0);
        assert!(table(&all[0], &all).contains("0.50 (0.25 to 0.90)"));
    }

    #[test]
    fn memory_is_compared_where_it_is_the_point() {
        let idle = measured(
            "idle",
            &[(Peer::Weir, &[(0, 1.0)]), (Peer::Bind, &[(0, 4.0)])],
        );
        assert_eq!(
            idle.over(Peer::Bind).unwrap().to_string(),
            "0.25 (0.25 to 0.25)"
        );
    }

    #[test]
    fn a_variant_is_of_a_scenario_that_there_is() {
        for scenario in SCENARIOS {
            let known = |name| SCENARIOS.iter().any(|other| other.name == name);
            assert!(scenario.variant_of.is_none_or(known), "{}", scenario.name);
        }
    }
}
