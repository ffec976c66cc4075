//! DNS over HTTPS toward another resolver (RFC 8484): the queries of a pipeline on one HTTP/2
//! connection, each a POST on a stream of its own, so that none waits for another. A query that is
//! given up resets its stream and no other. Never opens the connection itself.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use tokio::io::{AsyncRead, AsyncWrite};
use weir_resolver::fetch::FetchFailure;
use weir_resolver::wire;

use crate::upstream::pipeline::{IDLE_TIMEOUT, Outcome, Pending, Pipeline};

/// RFC 8484, 6.
const MEDIA_TYPE: &str = "application/dns-message";
/// The largest message there is (RFC 8484, 6).
const MESSAGE_MAX: usize = 65_535;
/// What a server may have on its way to us on one connection.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// The largest header list that is taken from a server, in octets.
const HEADER_LIST_MAX: u32 = 16 * 1024;
/// How long the end of an idle connection may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// The URI that queries to a server are posted to (RFC 8484, 4.1), if `host` and `path` make one.
#[must_use]
pub fn target(server: SocketAddr, host: &str, path: &str) -> Option<Uri> {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let authority = match server.port() {
        443 => host,
        port => format!("{host}:{port}"),
    };
    Uri::builder()
        .scheme("https")
        .authority(authority)
        .path_and_query(path)
        .build()
        .ok()
}

/// Carries queries and replies over `io` until it ends or is idle for long; calls `stray` for each
/// message that answers something else.
pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    pipeline: &Pipeline,
    io: S,
    target: Uri,
    stray: impl Fn() + Clone + 'static,
) {
    let handshake = h2::client::Builder::new()
        .enable_push(false)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST_MAX)
        .handshake::<_, Bytes>(io);
    let Ok((sender, connection)) = handshake.await else {
        return pipeline.fail(FetchFailure::HttpFailed);
    };
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = &mut connection => {}
        () = open_streams(pipeline, sender, target, stray) => {
            // No handle is left, so it says GOAWAY and ends.
            let _ = tokio::time::timeout(FAREWELL, connection).await;
        }
    }
    pipeline.fail(FetchFailure::Unreachable);
}

/// Opens a stream for each query, until there was none for long.
async fn open_streams(
    pipeline: &Pipeline,
    sender: SendRequest<Bytes>,
    target: Uri,
    stray: impl Fn() + Clone + 'static,
) {
    loop {
        let pending = match tokio::time::timeout(IDLE_TIMEOUT, pipeline.take()).await {
            Ok(pending) => pending,
            Err(_) if pipeline.close_if_idle() => return,
            Err(_) => continue,
        };
        let (pipeline, sender) = (pipeline.clone(), sender.clone());
        let (target, stray) = (target.clone(), stray.clone());
        tokio::task::spawn_local(async move {
            stream(&pipeline, sender, target, pending, stray).await;
        });
    }
}

/// One query from its stream's begin to its end.
async fn stream(
    pipeline: &Pipeline,
    sender: SendRequest<Bytes>,
    target: Uri,
    mut pending: Pending,
    stray: impl Fn(),
) {
    let query = pending.query.clone();
    let outcome = tokio::select! {
        // Dropping the exchange resets its stream with CANCEL (RFC 9113, 8.1).
        () = pending.reply.closed() => Err(FetchFailure::Timeout),
        outcome = exchange(sender, target, query) => outcome,
    };
    match outcome {
        Ok(reply) if wire::reply_matches(&pending.query, &reply) => pipeline.answer(pending, reply),
        Ok(_) => {
            stray();
            pipeline.end(pending, Err(FetchFailure::HttpFailed));
        }
        Err(failure) => {
            if failure == FetchFailure::Unreachable {
                pipeline.close();
            }
            pipeline.end(pending, Err(failure));
        }
    }
}

async fn exchange(sender: SendRequest<Bytes>, target: Uri, query: Bytes) -> Outcome {
    let request = Request::post(target)
        .header(header::CONTENT_TYPE, MEDIA_TYPE)
        .header(header::ACCEPT, MEDIA_TYPE)
        .body(())
        .map_err(|_| FetchFailure::HttpFailed)?;
    let mut sender = sender.ready().await.map_err(|error| failure(&error))?;
    let sent = sender.send_request(request, false);
    let (response, mut body) = sent.map_err(|error| failure(&error))?;
    let sent = body.send_data(query, true);
    sent.map_err(|error| failure(&error))?;
    let response = response.await.map_err(|error| failure(&error))?;
    let age = accept(&response)?;
    let mut reply = read(response.into_body()).await?;
    if age > 0 && wire::age(&mut reply, age).is_err() {
        return Err(FetchFailure::HttpFailed);
    }
    Ok(reply.freeze())
}

/// Whether the response holds a DNS message (RFC 8484, 4.2.1); how many seconds caches had it for.
fn accept(response: &Response<h2::RecvStream>) -> Result<u32, FetchFailure> {
    let headers = response.headers();
    let is_message = text(headers, header::CONTENT_TYPE).is_some_and(|media| {
        let media = media.split(';').next().unwrap_or_default();
        media.trim().eq_ignore_ascii_case(MEDIA_TYPE)
    });
    if response.status() != StatusCode::OK || !is_message {
        return Err(FetchFailure::HttpFailed);
    }
    // RFC 8484, 5.1. RFC 9111, 1.2.2: too large a number counts as the largest.
    let age = text(headers, header::AGE).and_then(|age| age.trim().parse::<u64>().ok());
    Ok(age.map_or(0, |age| u32::try_from(age).unwrap_or(u32::MAX)))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

async fn read(mut body: h2::RecvStream) -> Result<BytesMut, FetchFailure> {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|error| failure(&error))?;
        if whole.len() + piece.len() > MESSAGE_MAX {
            return Err(FetchFailure::HttpFailed);
        }
        let released = body.flow_control().release_capacity(piece.len());
        released.map_err(|error| failure(&error))?;
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

/// A stream that was refused or met the end of its connection was not processed, and may be asked
/// again elsewhere; any other error is the server's answer.
fn failure(error: &h2::Error) -> FetchFailure {
    let gone = error.is_io() || error.is_go_away();
    let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
    let ended = error
        .get_io()
        .is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe);
    if gone || refused || ended {
        FetchFailure::Unreachable
    } else {
        FetchFailure::HttpFailed
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use tokio::io::{DuplexStream, duplex};
    use tokio::task::LocalSet;

    use super::*;

    const QUERY: &[u8] = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
    /// A with a TTL of 300.
    const RECORD: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc0\0\x02\x01";

    fn reply() -> Vec<u8> {
        let mut reply = [QUERY, RECORD].concat();
        reply[2] |= 0x80;
        reply[7] = 1;
        reply
    }

    fn ok() -> http::response::Builder {
        Response::builder().header("content-type", MEDIA_TYPE)
    }

    fn uri() -> Uri {
        target(
            "192.0.2.1:443".parse().unwrap(),
            "dns.example",
            "/dns-query",
        )
        .unwrap()
    }

    /// Takes one request, which must be a right one, and gives the handle to answer it with.
    async fn accept_one(
        server: &mut h2::server::Connection<DuplexStream, Bytes>,
    ) -> (Request<h2::RecvStream>, h2::server::SendResponse<Bytes>) {
        server.accept().await.unwrap().unwrap()
    }

    async fn serve(theirs: DuplexStream, response: http::response::Builder, body: Vec<u8>) {
        let mut server = h2::server::handshake(theirs).await.unwrap();
        let (request, mut respond) = accept_one(&mut server).await;
        assert_eq!(request.method(), "POST");
        assert_eq!(request.uri().to_string(), "https://dns.example/dns-query");
        assert_eq!(request.headers()["content-type"], MEDIA_TYPE);
        assert_eq!(request.headers()["accept"], MEDIA_TYPE);
        let answer = async {
            assert_eq!(read(request.into_body()).await.unwrap(), QUERY);
            let mut stream = respond
                .send_response(response.body(()).unwrap(), false)
                .unwrap();
            stream.send_data(body.into(), true).unwrap();
        };
        tokio::join!(answer, async { while server.accept().await.is_some() {} });
    }

    /// What becomes of a query that a server answers like this, and how many strays were counted.
    async fn outcome(response: http::response::Builder, body: Vec<u8>) -> (Outcome, u32) {
        let (ours, theirs) = duplex(4096);
        let strays = Rc::new(Cell::new(0));
        let counted = Rc::clone(&strays);
        let pipeline = Pipeline::default();
        let outcome = LocalSet::new()
            .run_until(async {
                let waiting = pipeline.put(Bytes::from_static(QUERY));
                let count = move || counted.set(counted.get() + 1);
                tokio::select! {
                    outcome = waiting => outcome.unwrap(),
                    () = run(&pipeline, ours, uri(), count) => panic!("it ended"),
                    () = serve(theirs, response, body) => panic!("it ended"),
                }
            })
            .await;
        (outcome, strays.get())
    }

    #[tokio::test]
    async fn a_query_is_posted_and_its_reply_comes_back() {
        assert_eq!(outcome(ok(), reply()).await, (Ok(reply().into()), 0));
    }

    #[tokio::test]
    async fn time_in_caches_is_taken_off() {
        let (aged, _) = outcome(ok().header("age", "299"), reply()).await;
        assert_eq!(aged.unwrap()[QUERY.len() + 6..][..4], [0, 0, 0, 1]);
        let (old, _) = outcome(ok().header("age", "99999999999"), reply()).await;
        assert_eq!(old.unwrap()[QUERY.len() + 6..][..4], [0; 4]);
    }

    #[tokio::test]
    async fn what_is_no_dns_message_is_no_reply() {
        let failed = (Err(FetchFailure::HttpFailed), 0);
        assert_eq!(outcome(ok().status(403), reply()).await, failed);
        assert_eq!(outcome(Response::builder(), reply()).await, failed);
        assert_eq!(outcome(ok(), vec![0; MESSAGE_MAX + 1]).await, failed);
        let other = (Err(FetchFailure::HttpFailed), 1);
        assert_eq!(outcome(ok(), QUERY.to_vec()).await, other);
    }

    #[tokio::test]
    async fn a_query_given_up_resets_its_stream_and_no_other() {
        let (ours, theirs) = duplex(4096);
        let pipeline = Pipeline::default();
        let serving = async {
            let mut server = h2::server::handshake(theirs).await.unwrap();
            let (_, mut first) = accept_one(&mut server).await;
            let (_, mut second) = accept_one(&mut server).await;
            let both = async {
                let reset = std::future::poll_fn(|context| first.poll_reset(context)).await;
                assert_eq!(reset.unwrap(), h2::Reason::CANCEL);
                let response = ok().body(()).unwrap();
                let mut stream = second.send_response(response, false).unwrap();
                stream.send_data(reply().into(), true).unwrap();
            };
            tokio::join!(both, async { while server.accept().await.is_some() {} });
        };
        let asking = async {
            let given_up = pipeline.put(Bytes::from_static(QUERY));
            let waiting = pipeline.put(Bytes::from_static(QUERY));
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            drop(given_up);
            waiting.await.unwrap()
        };
        let outcome = LocalSet::new()
            .run_until(async {
                tokio::select! {
                    outcome = asking => outcome,
                    () = run(&pipeline, ours, uri(), || ()) => panic!("it ended"),
                    () = serving => panic!("it ended"),
                }
            })
            .await;
        assert_eq!(outcome, Ok(reply().into()));
    }

    #[tokio::test]
    async fn a_connection_that_ends_lets_its_queries_be_asked_again() {
        let (ours, theirs) = duplex(4096);
        let pipeline = Pipeline::default();
        let local = LocalSet::new();
        let waiting = pipeline.put(Bytes::from_static(QUERY));
        let end = async {
            let mut server = h2::server::handshake(theirs).await.unwrap();
            let _stream = accept_one(&mut server).await;
        };
        let both = async { tokio::join!(run(&pipeline, ours, uri(), || ()), end) };
        let ((), ()) = local.run_until(both).await;
        let outcome = local.run_until(waiting).await;
        assert_eq!(
            outcome.unwrap_or(Err(FetchFailure::Unreachable)),
            Err(FetchFailure::Unreachable)
        );
        assert!(!pipeline.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_closed_with_a_farewell() {
        let (ours, theirs) = duplex(4096);
        let pipeline = Pipeline::default();
        let serving = async {
            let mut server: h2::server::Connection<_, Bytes> =
                h2::server::handshake(theirs).await.unwrap();
            assert!(server.accept().await.is_none());
        };
        let started = tokio::time::Instant::now();
        let both = async { tokio::join!(run(&pipeline, ours, uri(), || ()), serving) };
        LocalSet::new().run_until(both).await;
        assert_eq!(started.elapsed(), IDLE_TIMEOUT);
        assert!(!pipeline.is_open());
    }

    #[test]
    fn the_authority_names_a_port_of_its_own() {
        let at = |server: &str, host| {
            target(server.parse().unwrap(), host, "/q").map(|uri| uri.to_string())
        };
        assert_eq!(
            at("192.0.2.1:443", "a.example").unwrap(),
            "https://a.example/q"
        );
        assert_eq!(
            at("192.0.2.1:8443", "a.example").unwrap(),
            "https://a.example:8443/q"
        );
        assert_eq!(
            at("[2001:db8::1]:443", "2001:db8::1").unwrap(),
            "https://[2001:db8::1]/q"
        );
        assert_eq!(at("192.0.2.1:443", "a b"), None);
    }
}
