//! `Metrics`: every number that the operator tells.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// How a reconciliation or a push ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// As it should.
    Ok,
    /// The user must change something.
    Refused,
    /// It will be tried again.
    Failed,
}

/// The label of a counter by outcome.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// How it ended.
    pub outcome: Outcome,
}

/// Every number that the operator tells.
#[derive(Clone, Default)]
pub struct Metrics {
    /// `weir_operator_reconciles_total`
    pub reconciles: Family<OutcomeLabel, Counter>,
    /// `weir_operator_pushes_total`
    pub pushes: Family<OutcomeLabel, Counter>,
    /// `weir_operator_reconcile_duration_seconds`
    pub reconcile_duration: Option<Histogram>,
    /// `weir_operator_leader`
    pub leader: Gauge<i64>,
    /// `weir_operator_watch_errors_total`
    pub watch_errors: Counter<u64, AtomicU64>,
}

/// Upper bounds of the buckets of a reconciliation, in seconds.
const RECONCILE_BUCKETS: [f64; 9] = [0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0];

impl Metrics {
    /// Makes them, and a registry that tells them.
    #[must_use]
    pub fn register() -> (Self, Registry) {
        let histogram = Histogram::new(RECONCILE_BUCKETS);
        let metrics = Self {
            reconcile_duration: Some(histogram.clone()),
            ..Self::default()
        };
        let mut registry = Registry::with_prefix("weir_operator");
        registry.register("reconciles", "Reconciliations", metrics.reconciles.clone());
        registry.register("pushes", "Pushes to pods", metrics.pushes.clone());
        registry.register(
            "reconcile_duration_seconds",
            "Time of a reconciliation",
            histogram,
        );
        registry.register(
            "leader",
            "1 while this operator leads",
            metrics.leader.clone(),
        );
        registry.register(
            "watch_errors",
            "Watches that broke",
            metrics.watch_errors.clone(),
        );
        (metrics, registry)
    }
}
