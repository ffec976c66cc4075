//! Logs and traces of the operator.
//!
//! Logs go to standard error as JSON. Spans go to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT`
//! names, by gRPC; without it none are made. Owns how they are set up.

use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// Why logs and traces cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryFault {
    /// The level is not one.
    #[error("the log level cannot be read: use error, warn, info, debug or trace")]
    Level(#[from] ParseError),
    /// The exporter cannot be made.
    #[error("the exporter of traces cannot be made: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// Something else was set up before.
    #[error("logs are set up already")]
    Twice(#[from] TryInitError),
}

/// Traces that are still to be sent when the operator ends.
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sends what is left. Blocks for at most a few seconds.
    pub fn shut_down(&self) {
        if let Some(Err(fault)) = self.provider.as_ref().map(SdkTracerProvider::shutdown) {
            tracing::warn!(%fault, "the last traces were not sent");
        }
    }
}

/// Sets logs and traces up. It needs a runtime around it.
///
/// # Errors
/// When the level or the collector's address cannot be used.
pub fn set_up(level: &str) -> Result<Telemetry, TelemetryFault> {
    let provider = match std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT") {
        Ok(endpoint) if !endpoint.is_empty() => {
            let exporter = SpanExporter::builder().with_tonic().build()?;
            let resource = Resource::builder()
                .with_service_name("weir-operator")
                .build();
            let builder = SdkTracerProvider::builder().with_resource(resource);
            Some(builder.with_batch_exporter(exporter).build())
        }
        _ => None,
    };
    let spans = provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("weir")));
    tracing_subscriber::registry()
        .with(EnvFilter::try_new(level)?)
        .with(
            tracing_subscriber::fmt::layer()
                .json()
                .with_writer(std::io::stderr),
        )
        .with(spans)
        .try_init()?;
    Ok(Telemetry { provider })
}

/// The current span as the header `traceparent` names it (W3C Trace Context), if it is recorded.
#[must_use]
pub fn traceparent() -> Option<String> {
    let context = tracing::Span::current().context();
    let span = context.span().span_context().clone();
    span.is_valid().then(|| {
        let flags = span.trace_flags().to_u8();
        format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id())
    })
}
