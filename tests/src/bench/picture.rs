//! Pictures of ratios for the documentation: bars beside a line at 1, as SVG. Draws no bare times: they are the
//! machine's and say nothing elsewhere.

use std::fmt::Write as _;

use super::catalogue::Kind;
use super::peers::Peer;
use super::report::{Measured, cpu};

/// One bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What stands before it.
    pub label: String,
    /// Its length, where 1 is the line.
    pub ratio: f64,
}

const ROW: usize = 22;
const LABELS: f64 = 250.0;
/// Width of a ratio of 1.
const ONE: f64 = 260.0;
/// What is longer is cut, and its number says so.
const RATIO_MAX: f64 = 1.6;

/// Bars below a title.
#[must_use]
pub fn bars(title: &str, bars: &[Bar]) -> String {
    let height = (bars.len() + 2) * ROW;
    let width = LABELS + ONE * RATIO_MAX + 60.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"8\" y=\"16\" font-weight=\"bold\">{title}</text>\n"
    );
    for (row, bar) in bars.iter().enumerate() {
        let top = (row + 1) * ROW + 4;
        let length = bar.ratio.clamp(0.0, RATIO_MAX) * ONE;
        let color = if bar.ratio <= 1.0 {
            "#2a7f62"
        } else {
            "#b5532d"
        };
        let _ = writeln!(
            text,
            "<text x=\"8\" y=\"{base}\">{label}</text><rect x=\"{LABELS}\" y=\"{top}\" width=\"{length:.1}\" height=\"14\" fill=\"{color}\"/><text x=\"{number:.1}\" y=\"{base}\">{ratio:.2}</text>",
            base = top + 12,
            label = bar.label,
            number = LABELS + length + 6.0,
            ratio = bar.ratio,
        );
    }
    let (line, bottom) = (LABELS + ONE, height - ROW / 2);
    let _ = writeln!(
        text,
        "<line x1=\"{line}\" x2=\"{line}\" y1=\"{ROW}\" y2=\"{bottom}\" stroke=\"#444\" stroke-dasharray=\"4 3\"/>\n</svg>"
    );
    text
}

/// Weir's CPU per query over each peer's, in every scenario that has peers.
#[must_use]
pub fn beside_peers(measured: &[Measured<'_>]) -> Vec<Bar> {
    let mut all = Vec::new();
    for one in measured {
        let Some(weir) = cpu(&one.samples, Peer::Weir) else {
            continue;
        };
        // Memory per connection or name is what those two are about.
        if matches!(one.scenario.kind, Kind::Idle | Kind::Names) {
            continue;
        }
        for &peer in one.samples.keys().filter(|&&peer| peer != Peer::Weir) {
            if let Some(cpu) = cpu(&one.samples, peer) {
                all.push(Bar {
                    label: format!("{} / {}", one.scenario.name, peer.name()),
                    ratio: weir / cpu,
                });
            }
        }
    }
    all
}

/// Weir's cost of a hit by names, and of a miss by waiting streams, over the first of each.
#[must_use]
pub fn growth(measured: &[Measured<'_>]) -> Vec<Bar> {
    let mut all = Vec::new();
    for names in [
        &[
            "cached-1000",
            "cached-20x20",
            "cached-100000",
            "cached-1000000",
        ][..],
        &["waiting-10", "waiting-100", "waiting-1000", "waiting-10000"],
    ] {
        let mut first = None;
        for name in names {
            let found = measured.iter().find(|one| one.scenario.name == *name);
            if let Some((one, cpu)) =
                found.and_then(|one| Some((one, cpu(&one.samples, Peer::Weir)?)))
            {
                let first = *first.get_or_insert(cpu);
                all.push(Bar {
                    label: one.scenario.name.to_owned(),
                    ratio: cpu / first,
                });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_ratio() {
        let drawn = bars(
            "t",
            &[
                Bar {
                    label: "a".into(),
                    ratio: 0.5,
                },
                Bar {
                    label: "b".into(),
                    ratio: 9.0,
                },
            ],
        );
        assert!(drawn.contains("width=\"130.0\"") && drawn.contains(">0.50<"));
        assert!(drawn.contains("width=\"416.0\"") && drawn.contains(">9.00<"));
        assert!(drawn.trim_end().ends_with("</svg>"));
    }
}
