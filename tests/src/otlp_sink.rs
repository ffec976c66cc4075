//! An OpenTelemetry collector in the test's own process: takes OTLP over gRPC and keeps or counts the spans.
//!
//! Owns one port on loopback; never judges what it got.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::HEXLOWER;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span as Received;
use tonic::transport::{Identity, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::cluster::spans::Span;

/// The collector.
#[derive(Clone, Debug)]
pub struct OtlpSink {
    /// Where it listens.
    pub address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
    count: Arc<AtomicUsize>,
}

impl OtlpSink {
    /// Starts it on the current runtime.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start() -> io::Result<Self> {
        Self::serve(tonic::transport::Server::builder(), true)
    }

    /// Starts one that counts spans and keeps none, for millions of them.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start_counting() -> io::Result<Self> {
        Self::serve(tonic::transport::Server::builder(), false)
    }

    /// Starts it with TLS and this certificate and key, in PEM.
    ///
    /// # Errors
    /// When no port is free, or they cannot be read.
    pub fn start_tls(certificate: &str, key: &str) -> io::Result<Self> {
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
        let server = tonic::transport::Server::builder().tls_config(tls);
        Self::serve(server.map_err(io::Error::other)?, true)
    }

    fn serve(mut server: tonic::transport::Server, keeps: bool) -> io::Result<Self> {
        let sink = Self {
            address: ([127, 0, 0, 1], crate::edge::free_port()?).into(),
            spans: Arc::default(),
            count: Arc::default(),
        };
        let service = TraceServiceServer::new(Service {
            kept: keeps.then(|| Arc::clone(&sink.spans)),
            count: Arc::clone(&sink.count),
        });
        tokio::spawn(server.add_service(service).serve(sink.address));
        Ok(sink)
    }

    /// What came so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.clone()
    }

    /// How many came so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

struct Service {
    kept: Option<Arc<Mutex<Vec<Span>>>>,
    count: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        let spans: Vec<Received> = scopes.flat_map(|scope| scope.spans).collect();
        self.count.fetch_add(spans.len(), Ordering::Relaxed);
        if let Some(kept) = &self.kept {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend(spans.into_iter().map(span));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn span(from: Received) -> Span {
    let hex = |octets: &[u8]| HEXLOWER.encode(octets);
    let links = from.links.iter();
    let events = from.events.into_iter();
    Span {
        trace: hex(&from.trace_id),
        id: hex(&from.span_id),
        parent: hex(&from.parent_span_id),
        name: from.name,
        links: links
            .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
            .collect(),
        events: events
            .map(|event| (event.name, attributes(event.attributes)))
            .collect(),
        attributes: attributes(from.attributes),
    }
}

fn attributes(from: Vec<KeyValue>) -> HashMap<String, String> {
    let text = |attribute: KeyValue| {
        let value = match attribute.value.and_then(|value| value.value) {
            Some(any_value::Value::StringValue(text)) => text,
            Some(any_value::Value::IntValue(number)) => number.to_string(),
            Some(any_value::Value::BoolValue(yes)) => yes.to_string(),
            Some(any_value::Value::DoubleValue(number)) => number.to_string(),
            _ => String::new(),
        };
        (attribute.key, value)
    };
    from.into_iter().map(text).collect()
}
