//! Every metric of the data plane, by name, with its labels. A worker counts in its own
//! [`WorkerMetrics`]; a scrape sums them. Nothing is labelled by client, name or server address.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Unit;
use weir_resolver::tracking::key::KeyState;

pub use super::label::*;

use super::cell::{BOUNDS, Cell, Durations, Row, Table};

/// What one worker counts.
#[derive(Debug, Default)]
#[allow(
    missing_docs,
    reason = "each field is documented by the help text of its metric below"
)]
pub struct WorkerMetrics {
    pub requests: Table<4, 14>,
    pub queries: Table<14, 7>,
    pub origins: Row<7>,
    pub streams: Cell,
    pub dispositions: Row<4>,
    pub connections_opened: Cell,
    pub connections_closed: Cell,
    pub handshakes: Table<2, 2>,
    pub handshake_faults: Row<3>,
    pub frame_limits: Row<12>,
    pub late: Row<4>,
    pub answers_paced: Cell,
    pub upstream_queries: Table<4, 8>,
    pub upstream_duration: Durations,
    pub resolution_duration: Durations,
    pub request_duration: Durations,
    pub mesh_states: Cell,
    pub mesh_waiters: Cell,
    pub mesh_fetches: Cell,
    pub routed: Row<2>,
    pub panics: Row<2>,
    pub invariant_violations: Cell,
}

/// What the process counts, and the workers whose cells a scrape sums.
#[derive(Debug, Default)]
pub struct Metrics {
    workers: Mutex<Vec<Arc<WorkerMetrics>>>,
    /// Configurations applied and rejected.
    pub config_applied: AtomicU64,
    /// Configurations that were not taken.
    pub config_rejected: AtomicU64,
    /// When the served certificate ends, in seconds since 1970.
    pub certificate_not_after: AtomicI64,
    /// Keys of tracked trust anchors, in the order of `KeyState::ALL`.
    pub trust_anchor_keys: [AtomicU64; 4],
    /// Probes of tracked trust anchors that were verified, and that failed.
    pub trust_anchor_probes: [AtomicU64; 2],
    /// Spans that were dropped because the exporter's queue was full.
    pub spans_dropped: AtomicU64,
    /// Octets that the cache holds.
    pub cache_bytes: AtomicU64,
    /// Answers that the cache holds.
    pub cache_entries: AtomicU64,
}

impl Metrics {
    /// A worker's cells; they are summed from now on.
    pub fn worker(&self) -> Arc<WorkerMetrics> {
        let cells = Arc::new(WorkerMetrics::default());
        self.workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&cells));
        cells
    }

    /// The sum of one number over all workers.
    pub fn sum(&self, read: impl Fn(&WorkerMetrics) -> u64) -> u64 {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.iter().map(|worker| read(worker)).sum()
    }

    /// The text of a scrape, in OpenMetrics form.
    #[must_use]
    pub fn exposition(self: &Arc<Self>) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(Exposition(Arc::clone(self))));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }
}

type ReadCell = fn(&WorkerMetrics) -> &Cell;

#[derive(Debug)]
struct Exposition(Arc<Metrics>);

type Encoded = Result<(), std::fmt::Error>;

/// Writes the families of one scrape.
struct Writer<'a, 'e> {
    encoder: &'a mut DescriptorEncoder<'e>,
    metrics: &'a Metrics,
}

const NO_EXEMPLAR: Option<&Exemplar<[(&str, &str); 0], u64>> = None;

impl Writer<'_, '_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> Encoded {
        let mut family = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        family.encode_counter(&value, NO_EXEMPLAR)
    }

    fn gauge(&mut self, name: &str, help: &str, value: i64) -> Encoded {
        let mut family = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        family.encode_gauge(&value)
    }

    fn family<L: prometheus_client::encoding::EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        cells: impl IntoIterator<Item = (L, u64)>,
    ) -> Encoded {
        let mut family = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in cells {
            family
                .encode_family(&labels)?
                .encode_counter(&value, NO_EXEMPLAR)?;
        }
        Ok(())
    }

    fn row<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        (label, values): (&'static str, &[&'static str; N]),
        read: impl Fn(&WorkerMetrics) -> &Row<N>,
    ) -> Encoded {
        let metrics = self.metrics;
        let cells = values.iter().enumerate().map(|(index, value)| {
            (
                [(label, *value)],
                metrics.sum(|worker| read(worker).get(index)),
            )
        });
        self.family(name, help, cells.collect::<Vec<_>>())
    }

    fn table<const R: usize, const C: usize>(
        &mut self,
        name: &str,
        help: &str,
        (label_row, rows): (&'static str, &[&'static str; R]),
        (label_column, columns): (&'static str, &[&'static str; C]),
        read: impl Fn(&WorkerMetrics) -> &Table<R, C>,
    ) -> Encoded {
        let mut cells = Vec::with_capacity(R * C);
        for (row, row_value) in rows.iter().enumerate() {
            for (column, column_value) in columns.iter().enumerate() {
                let sum = self.metrics.sum(|worker| read(worker).get(row, column));
                if sum > 0 {
                    let labels = [(label_row, *row_value), (label_column, *column_value)];
                    cells.push((labels, sum));
                }
            }
        }
        self.family(name, help, cells)
    }

    fn durations(
        &mut self,
        name: &str,
        help: &str,
        read: impl Fn(&WorkerMetrics) -> &Durations,
    ) -> Encoded {
        let mut buckets: Vec<(f64, u64)> = BOUNDS
            .iter()
            .map(|bound| (*bound as f64 / 1e6, 0))
            .collect();
        buckets.push((f64::MAX, 0));
        let (mut sum, mut count) = (0, 0);
        let workers = self
            .metrics
            .workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for worker in workers.iter() {
            let (counts, microseconds) = read(worker).read();
            sum += microseconds;
            for (bucket, more) in buckets.iter_mut().zip(counts) {
                bucket.1 += more;
                count += more;
            }
        }
        drop(workers);
        let mut family = self.encoder.encode_descriptor(
            name,
            help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        let family: &mut MetricEncoder<'_> = &mut family;
        family.encode_histogram::<[(&str, &str); 0]>(sum as f64 / 1e6, count, &buckets, None)
    }

    fn edge(&mut self) -> Encoded {
        self.table(
            "weir_http_requests",
            "HTTP requests answered, by method and status.",
            ("method", &METHODS),
            ("code", &CODES),
            |worker| &worker.requests,
        )?;
        self.durations(
            "http_server_request_duration",
            "From the head of a request to its answer.",
            |worker| &worker.request_duration,
        )?;
        self.counter(
            "weir_streams",
            "HTTP/2 streams taken.",
            self.metrics.sum(|worker| worker.streams.get()),
        )?;
        self.row(
            "weir_stream_dispositions",
            "HTTP/2 streams ended, by their one disposition.",
            ("disposition", &DISPOSITIONS),
            |worker| &worker.dispositions,
        )?;
        let open = self
            .metrics
            .sum(|worker| worker.streams.get().wrapping_sub(worker.dispositions.sum()));
        self.gauge("weir_streams_active", "HTTP/2 streams open.", open as i64)?;
        let opened = self.metrics.sum(|worker| worker.connections_opened.get());
        let closed = self.metrics.sum(|worker| worker.connections_closed.get());
        self.counter("weir_connections_opened", "Connections opened.", opened)?;
        self.gauge(
            "weir_connections",
            "Connections open.",
            opened.wrapping_sub(closed) as i64,
        )?;
        self.table(
            "weir_tls_handshakes",
            "TLS handshakes completed.",
            ("version", &["1.3", "1.2"]),
            ("resumed", &["false", "true"]),
            |worker| &worker.handshakes,
        )?;
        self.row(
            "weir_tls_handshake_faults",
            "Connections that did not come to a TLS session.",
            ("reason", &HANDSHAKE_FAULTS),
            |worker| &worker.handshake_faults,
        )?;
        self.row(
            "weir_connection_limits",
            "Connections ended because they broke a limit.",
            ("limit", &FRAME_LIMITS),
            |worker| &worker.frame_limits,
        )
    }

    fn resolution(&mut self) -> Encoded {
        self.table(
            "weir_dns_queries",
            "DNS answers given, by record type and response code.",
            ("qtype", &RECORD_TYPES),
            ("rcode", &RESPONSE_CODES),
            |worker| &worker.queries,
        )?;
        self.row(
            "weir_dns_answers",
            "DNS answers given, by where they came from.",
            ("origin", &ORIGINS),
            |worker| &worker.origins,
        )?;
        let sum = |index| self.metrics.sum(|worker| worker.origins.get(index));
        let (hits, stale, misses) = (sum(0) + sum(1), sum(2), sum(3) + sum(4));
        self.counter("weir_cache_hits", "Answers from the cache.", hits)?;
        self.counter(
            "weir_cache_stale",
            "Expired answers served (RFC 8767).",
            stale,
        )?;
        self.counter(
            "weir_cache_misses",
            "Answers that had to be resolved.",
            misses,
        )?;
        self.table(
            "weir_upstream_queries",
            "Queries to other servers, by transport and outcome.",
            ("transport", &TRANSPORTS),
            ("outcome", &OUTCOMES),
            |worker| &worker.upstream_queries,
        )?;
        self.durations(
            "weir_upstream_duration",
            "Round trips to other servers.",
            |worker| &worker.upstream_duration,
        )?;
        self.durations(
            "weir_resolution_duration",
            "From a miss to its answer.",
            |worker| &worker.resolution_duration,
        )?;
        let gauges: [(&str, &str, ReadCell); 3] = [
            ("weir_mesh_states", "Questions being resolved.", |worker| {
                &worker.mesh_states
            }),
            (
                "weir_mesh_waiters",
                "Streams that wait for one.",
                |worker| &worker.mesh_waiters,
            ),
            ("weir_mesh_fetches", "Queries to servers open.", |worker| {
                &worker.mesh_fetches
            }),
        ];
        for (name, help, read) in gauges {
            let value = self.metrics.sum(|worker| read(worker).get());
            self.gauge(name, help, value as i64)?;
        }
        self.row(
            "weir_late",
            "Things that came for something that was gone.",
            ("what", &LATE),
            |worker| &worker.late,
        )?;
        self.counter(
            "weir_answers_paced",
            "Answers held back for some milliseconds, because their client got very many at once.",
            self.metrics.sum(|worker| worker.answers_paced.get()),
        )?;
        self.row(
            "weir_routed",
            "Misses resolved by the worker that owns the question, and by the one that was asked \
             because the way to the owner was full.",
            ("way", &["owner", "local"]),
            |worker| &worker.routed,
        )
    }

    fn trust_anchors(&mut self) -> Encoded {
        let mut keys = self.encoder.encode_descriptor(
            "weir_trust_anchor_keys",
            "Keys of tracked trust anchors, by state (RFC 5011).",
            None,
            MetricType::Gauge,
        )?;
        for (state, count) in KeyState::ALL.iter().zip(&self.metrics.trust_anchor_keys) {
            keys.encode_family(&[("state", state.label())])?
                .encode_gauge(&(count.load(Ordering::Relaxed) as i64))?;
        }
        let [verified, failed] = &self.metrics.trust_anchor_probes;
        self.family(
            "weir_trust_anchor_probes",
            "Probes of tracked trust anchors, by result.",
            [
                ([("result", "verified")], verified.load(Ordering::Relaxed)),
                ([("result", "failed")], failed.load(Ordering::Relaxed)),
            ],
        )
    }

    fn process(&mut self) -> Encoded {
        self.row(
            "weir_panics",
            "Panics that were contained, by where.",
            ("where", &["connection", "mesh"]),
            |worker| &worker.panics,
        )?;
        self.counter(
            "weir_invariant_violations",
            "Invariants of the mesh that did not hold; anything but 0 is a defect of Weir.",
            self.metrics.sum(|worker| worker.invariant_violations.get()),
        )?;
        let applied = self.metrics.config_applied.load(Ordering::Relaxed);
        let rejected = self.metrics.config_rejected.load(Ordering::Relaxed);
        self.family(
            "weir_config_reload",
            "Configurations received, by what became of them.",
            [
                ([("result", "applied")], applied),
                ([("result", "rejected")], rejected),
            ],
        )?;
        self.gauge(
            "weir_tls_certificate_not_after_timestamp_seconds",
            "When the served certificate ends.",
            self.metrics.certificate_not_after.load(Ordering::Relaxed),
        )?;
        self.trust_anchors()?;
        self.counter(
            "weir_telemetry_spans_dropped",
            "Spans dropped because the exporter did not keep up.",
            self.metrics.spans_dropped.load(Ordering::Relaxed),
        )?;
        self.gauge(
            "weir_cache_bytes",
            "Octets that the cache holds.",
            self.metrics.cache_bytes.load(Ordering::Relaxed) as i64,
        )?;
        self.gauge(
            "weir_cache_entries",
            "Answers that the cache holds.",
            self.metrics.cache_entries.load(Ordering::Relaxed) as i64,
        )?;
        let mut info = self.encoder.encode_descriptor(
            "weir_build",
            "The version that runs.",
            None,
            MetricType::Info,
        )?;
        info.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Encoded {
        let mut writer = Writer {
            encoder: &mut encoder,
            metrics: &self.0,
        };
        writer.edge()?;
        writer.resolution()?;
        writer.process()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_sums_the_workers() {
        let metrics = Arc::new(Metrics::default());
        let (one, two) = (metrics.worker(), metrics.worker());
        one.requests.count(0, code_index(200));
        two.requests.count(0, code_index(200));
        two.streams.add(3);
        two.dispositions.count(0);
        two.request_duration
            .observe(std::time::Duration::from_micros(70));
        let text = metrics.exposition();
        for line in [
            "weir_http_requests_total{method=\"GET\",code=\"200\"} 2",
            "weir_streams_total 3",
            "weir_streams_active 2",
            "weir_stream_dispositions_total{disposition=\"answered\"} 1",
            "http_server_request_duration_seconds_bucket{le=\"0.0001\"} 1",
            "weir_invariant_violations_total 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} in\n{text}");
        }
    }
}
