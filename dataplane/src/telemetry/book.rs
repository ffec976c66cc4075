//! Keeps the trace book: takes records from the workers, and exports complete spans by OTLP.
//! Everything about traces that costs time happens here, on the runtime of the admin side.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use tokio::sync::{mpsc, watch};
use weir_config::telemetry::Traces;
use weir_resolver::random::Random;

use super::ledger::Ledger;
use super::record::Record;
use super::span::Anchor;
use crate::clock::Clock;
use crate::entropy;

/// How long the book rests when it has read all that came. A record that finds it resting wakes no thread, and
/// waking one costs a worker more than the span does. The way to the book has room for several rests of a busy worker.
const REST: Duration = Duration::from_millis(50);
/// How often spans are exported.
const INTERVAL: Duration = Duration::from_millis(500);
/// Spans exported at once.
const BATCH: usize = 512;
/// The variable of OpenTelemetry that names a collector's authority, in PEM.
const AUTHORITY: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
/// For one export.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Takes records until every worker has ended; goes by the latest of `settings`.
pub async fn keep(
    mut records: mpsc::Receiver<Record>,
    mut settings: watch::Receiver<Option<Traces>>,
    clock: Clock,
) {
    let mut ledger = Ledger::new(Random::from_seed(entropy::seed()));
    let first = settings.borrow_and_update().clone();
    let mut exporter = open(first.as_ref(), &mut ledger);
    let mut batch = Vec::new();
    let mut tick = tokio::time::interval(INTERVAL);
    let mut rest = pin!(tokio::time::sleep(Duration::ZERO));
    let (mut failing, mut resting) = (false, false);
    loop {
        let mut due = false;
        let mut ended = false;
        tokio::select! {
            count = records.recv_many(&mut batch, BATCH), if !resting => {
                ended = count == 0;
                resting = count < BATCH && !records.is_closed();
                if resting {
                    rest.as_mut().reset(tokio::time::Instant::now() + REST);
                }
            }
            () = &mut rest, if resting => resting = false,
            _ = tick.tick() => due = true,
            changed = settings.changed(), if settings.has_changed().is_ok() => {
                if changed.is_ok() {
                    let traces = settings.borrow_and_update().clone();
                    exporter = open(traces.as_ref(), &mut ledger);
                }
            }
        }
        let now = clock.now().instant;
        let anchor = Anchor {
            calendar: SystemTime::now(),
            instant: now,
        };
        for record in batch.drain(..) {
            ledger.take(record, anchor);
        }
        if due || ended {
            ledger.sweep(now, anchor);
        }
        if due || ended || ledger.complete() >= BATCH {
            export(exporter.as_ref(), &mut ledger, &mut failing).await;
        }
        if ended {
            return;
        }
    }
}

async fn export(exporter: Option<&SpanExporter>, ledger: &mut Ledger, failing: &mut bool) {
    let spans = ledger.take_spans();
    let Some(exporter) = exporter.filter(|_| !spans.is_empty()) else {
        return;
    };
    let outcome = tokio::time::timeout(TIMEOUT, exporter.export(spans)).await;
    let fault = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("the collector does not answer".to_owned()),
    };
    // Said once for each time that it begins, not for each batch.
    match (&fault, *failing) {
        (Some(fault), false) => tracing::warn!(fault, "traces are not exported"),
        (None, true) => tracing::info!("traces are exported again"),
        _ => {}
    }
    *failing = fault.is_some();
}

fn open(traces: Option<&Traces>, ledger: &mut Ledger) -> Option<SpanExporter> {
    let traces = traces?;
    ledger.include_names(traces.include_names);
    let builder = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(traces.endpoint.clone())
        .with_timeout(TIMEOUT);
    let built = if traces.endpoint.starts_with("https://") {
        builder.with_tls_config(collector_tls()).build()
    } else {
        builder.build()
    };
    match built {
        Ok(mut exporter) => {
            exporter.set_resource(&resource());
            Some(exporter)
        }
        Err(error) => {
            tracing::warn!(%error, endpoint = traces.endpoint, "traces cannot be exported");
            None
        }
    }
}

/// Trusts the authority that `OTEL_EXPORTER_OTLP_CERTIFICATE` names, or the public ones: the image has none of its own.
fn collector_tls() -> ClientTlsConfig {
    let tls = ClientTlsConfig::new();
    let Some(file) = std::env::var_os(AUTHORITY).filter(|file| !file.is_empty()) else {
        return tls.trust_anchors(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    };
    match std::fs::read(&file) {
        Ok(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
        Err(error) => {
            tracing::warn!(%error, file = %file.display(), "no collector is trusted: give {AUTHORITY} a readable PEM file");
            tls
        }
    }
}

/// Who the spans are of; Kubernetes says more through `OTEL_RESOURCE_ATTRIBUTES`.
fn resource() -> Resource {
    let builder = Resource::builder();
    let builder = if std::env::var_os("OTEL_SERVICE_NAME").is_some() {
        builder
    } else {
        builder.with_service_name("weir-dataplane")
    };
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    builder.with_attribute(version).build()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use super::super::record::ApplyRecord;
    use super::super::sample::TraceParent;
    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Wakes {
        fn since_last(&self) -> usize {
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    fn record(clock: Clock) -> Record {
        let now = clock.now().instant;
        Record::Apply(Box::new(ApplyRecord {
            parent: TraceParent {
                trace: 1,
                span: 1,
                sampled: true,
                trusted: true,
            },
            started: now,
            ended: now,
            revision: String::new(),
            refused: None,
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_resting_book_is_not_woken_by_records() {
        let clock = Clock::start();
        let (sender, receiver) = mpsc::channel(64);
        let (_settings, followed) = watch::channel(None);
        let wakes = Arc::<Wakes>::default();
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        let mut book = pin!(keep(receiver, followed, clock));
        let send_ten = || (0..10).for_each(|_| sender.try_send(record(clock)).unwrap());
        let waiting = || sender.max_capacity() - sender.capacity();

        assert!(book.as_mut().poll(&mut context).is_pending());
        wakes.since_last();
        send_ten();
        assert_eq!(wakes.since_last(), 1, "nobody had come for a while");
        assert!(book.as_mut().poll(&mut context).is_pending());
        assert_eq!(waiting(), 0);

        send_ten();
        send_ten();
        assert_eq!((wakes.since_last(), waiting()), (0, 20));
        tokio::time::advance(REST + Duration::from_millis(1)).await;
        assert_eq!(wakes.since_last(), 1, "the rest is over");
        assert!(book.as_mut().poll(&mut context).is_pending());
        assert_eq!(waiting(), 0);

        // The end of all workers is seen at the end of a rest.
        send_ten();
        drop(sender);
        tokio::time::advance(REST + Duration::from_millis(1)).await;
        assert_eq!(book.as_mut().poll(&mut context), Poll::Ready(()));
    }
}
