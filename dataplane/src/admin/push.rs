//! Takes pushes: `PUT /config` over HTTP/2 and mutual TLS. Answers 200 with what is live, or 422
//! with what to change; nothing that was live is lost by a document that is refused. `GET /state`
//! says what is live; `POST /flush` forgets a name, or all below it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Method, Request, Response, StatusCode};
use rustls::ServerConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use weir_config::Problem;
use weir_config::flush::{Flush, Flushed};
use weir_config::push::{Applied, Push, Rejected};

use crate::telemetry::sample::{TraceParent, trace_parent};

/// Connections served at once; there is one operator.
const CONNECTIONS_MAX: usize = 8;
/// Handshake, and then the whole of one push.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The life of a connection.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Octets of one push; a ConfigMap holds at most 1 MiB.
const PUSH_MAX: usize = 4 << 20;

/// What a push is handed to.
pub trait Apply: Send + Sync + 'static {
    /// Makes a document live, or says what to change.
    ///
    /// # Errors
    /// What to change; nothing has changed.
    fn apply(&self, push: Push) -> Result<Applied, Rejected>;

    /// Tells of a push that came with the operator's trace: its revision, or what to change.
    fn trace(&self, parent: TraceParent, started: Instant, outcome: &Result<Applied, Rejected>);

    /// Forgets what is cached of a name.
    ///
    /// # Errors
    /// When the name is none.
    fn flush(&self, flush: &Flush) -> Result<Flushed, Problem>;

    /// What is live, as JSON.
    fn state(&self) -> String;
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, target: Arc<dyn Apply>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((io, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (tls, target) = (TlsAcceptor::from(Arc::clone(&tls)), Arc::clone(&target));
        tokio::spawn(async move {
            let connection = connection(io, tls, target);
            match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(error)) => tracing::debug!(%peer, %error, "admin connection ended"),
            }
            drop(place);
        });
    }
}

async fn connection(
    io: TcpStream,
    tls: TlsAcceptor,
    target: Arc<dyn Apply>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let io = tokio::time::timeout(TIMEOUT, tls.accept(io)).await??;
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(4)
        .max_header_list_size(16 * 1024)
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 20);
    let mut connection = tokio::time::timeout(TIMEOUT, builder.handshake(io)).await??;
    while let Some(stream) = connection.accept().await {
        let (request, respond) = stream?;
        let target = Arc::clone(&target);
        tokio::spawn(async move { exchange(request, respond, target).await });
    }
    Ok(())
}

async fn exchange(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    target: Arc<dyn Apply>,
) {
    let (parts, body) = request.into_parts();
    let body = match tokio::time::timeout(TIMEOUT, read(body)).await {
        Ok(Ok(Some(body))) => body,
        Ok(Ok(None)) => return answer(&mut respond, StatusCode::PAYLOAD_TOO_LARGE, String::new()),
        Ok(Err(_)) => return,
        Err(_) => return respond.send_reset(Reason::CANCEL),
    };
    // Whoever gets here has shown a certificate of the operator's authority.
    let header = parts.headers.get("traceparent");
    let parent = header.and_then(|header| trace_parent(header.as_bytes(), true));
    let (status, body) = match (&parts.method, parts.uri.path()) {
        (&Method::PUT, "/config") => push(&body, parent, target.as_ref()),
        (&Method::GET, "/state") => (StatusCode::OK, target.state()),
        (&Method::POST, "/flush") => flush(&body, target.as_ref()),
        (_, "/config" | "/state" | "/flush") => (StatusCode::METHOD_NOT_ALLOWED, String::new()),
        _ => (StatusCode::NOT_FOUND, String::new()),
    };
    answer(&mut respond, status, body);
}

async fn read(mut body: RecvStream) -> Result<Option<BytesMut>, h2::Error> {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        if whole.len() + piece.len() > PUSH_MAX {
            return Ok(None);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(Some(whole))
}

/// Reads a push and hands it over.
fn push(body: &[u8], parent: Option<TraceParent>, target: &dyn Apply) -> (StatusCode, String) {
    let started = Instant::now();
    let outcome = match read_json(body) {
        Ok(push) => target.apply(push),
        Err(problem) => Err(Rejected {
            revision: String::new(),
            field: problem.field,
            message: problem.message,
        }),
    };
    if let Some(parent) = parent.filter(|parent| parent.sampled) {
        target.trace(parent, started, &outcome);
    }
    outcome_text(&outcome)
}

/// Reads which name is to be forgotten, and has it done.
fn flush(body: &[u8], target: &dyn Apply) -> (StatusCode, String) {
    outcome_text(&read_json(body).and_then(|wanted| target.flush(&wanted)))
}

fn outcome_text<T: Serialize, E: Serialize>(outcome: &Result<T, E>) -> (StatusCode, String) {
    let (status, text) = match outcome {
        Ok(done) => (StatusCode::OK, serde_json::to_string(done)),
        Err(refused) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            serde_json::to_string(refused),
        ),
    };
    // The documents have string keys only, so that writing them does not fail.
    text.map_or((StatusCode::INTERNAL_SERVER_ERROR, String::new()), |text| {
        (status, text)
    })
}

/// A document of a form that this version does not know is refused with the path of the field.
fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut reader).map_err(|fault| {
        let path = fault.path().to_string();
        let field = if path == "." { String::new() } else { path };
        Problem {
            field,
            message: fault.inner().to_string(),
        }
    })
}

fn answer(respond: &mut SendResponse<Bytes>, status: StatusCode, body: String) {
    let mut head = Response::new(());
    *head.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    head.headers_mut().insert(http::header::CONTENT_TYPE, json);
    // The answer is small and the operator reads it; a peer that is gone has no one to be told.
    if let Ok(mut send) = respond.send_response(head, body.is_empty())
        && !body.is_empty()
    {
        let _ = send.send_data(body.into(), true);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Forgets seven entries of every name but one.
    struct Target;

    impl Apply for Target {
        fn apply(&self, push: Push) -> Result<Applied, Rejected> {
            Err(Rejected {
                revision: push.config.revision(),
                field: String::new(),
                message: String::new(),
            })
        }

        fn flush(&self, flush: &Flush) -> Result<Flushed, Problem> {
            if flush.name == ".." {
                let (field, message) = ("name".to_owned(), "wrong".to_owned());
                return Err(Problem { field, message });
            }
            Ok(Flushed {
                entries: if flush.subtree { 7 } else { 1 },
            })
        }

        fn trace(&self, _: TraceParent, _: Instant, _: &Result<Applied, Rejected>) {}

        fn state(&self) -> String {
            String::new()
        }
    }

    #[test]
    fn a_flush_is_answered() {
        let ask = |body: &str| flush(body.as_bytes(), &Target);
        let (ok, wrong) = (StatusCode::OK, StatusCode::UNPROCESSABLE_ENTITY);
        let all = ask(r#"{"name": "example.com", "subtree": true}"#);
        assert_eq!(all, (ok, r#"{"entries":7}"#.to_owned()));
        assert_eq!(ask(r#"{"name": "a"}"#).1, r#"{"entries":1}"#);
        let refused = ask(r#"{"name": ".."}"#);
        assert_eq!(
            refused,
            (wrong, r#"{"field":"name","message":"wrong"}"#.to_owned())
        );
        let unknown = ask(r#"{"name": "a", "depth": 2}"#);
        assert!(
            unknown.0 == wrong && unknown.1.contains("depth"),
            "{unknown:?}"
        );
    }
}
