//! `/livez`, `/readyz` and `/metrics` of the operator, over HTTP/1.1.
//!
//! Owns the three answers; never knows how a resolver is.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

/// The form of the metrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the three answers depend on.
pub struct Health {
    /// Whether the operator can reach the API server, and leads or waits to.
    pub ready: AtomicBool,
    /// The numbers.
    pub registry: Registry,
}

/// Answers until the process ends.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(listener: TcpListener, health: Arc<Health>) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let health = Arc::clone(&health);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = answer(&request, &health);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            if let Err(fault) = connection.await {
                tracing::debug!(%fault, "a health connection broke");
            }
        });
    }
}

fn answer(request: &Request<Incoming>, health: &Health) -> Response<Full<Bytes>> {
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n"),
        "/readyz" if health.ready.load(Ordering::Relaxed) => text(StatusCode::OK, "ok\n"),
        "/readyz" => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "the API server was not reached yet\n",
        ),
        "/metrics" => {
            let mut page = String::new();
            if encode(&mut page, &health.registry).is_err() {
                return text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "metrics cannot be written\n",
                );
            }
            with_type(StatusCode::OK, OPEN_METRICS, Bytes::from(page))
        }
        _ => text(StatusCode::NOT_FOUND, "try /livez, /readyz or /metrics\n"),
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    with_type(status, "text/plain", Bytes::from_static(text.as_bytes()))
}

fn with_type(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
