//! Requests by RFC 8484 as a client makes them.

use bytes::{Bytes, BytesMut};
use data_encoding::BASE64URL_NOPAD;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{Method, Request, Response};

/// Where queries go.
pub(crate) const TARGET: &str = "https://127.0.0.1/dns-query";

/// A question for the A records of a name.
pub(crate) fn query(name: &str) -> Vec<u8> {
    let mut message = b"\0\0\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.as_bytes());
    }
    message.extend(b"\0\0\x01\0\x01");
    message
}

/// The target that asks for a name by GET.
pub(crate) fn get(name: &str) -> String {
    target(&query(name))
}

/// The target that carries a message by GET.
pub(crate) fn target(message: &[u8]) -> String {
    format!("{TARGET}?dns={}", BASE64URL_NOPAD.encode(message))
}

/// Opens a stream with a whole request, and does not wait for the answer.
pub(crate) async fn open(
    client: &SendRequest<Bytes>,
    request: Request<()>,
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut ready = client.clone().ready().await.unwrap();
    ready.send_request(request, true).unwrap()
}

/// Sends a request, and waits for the whole answer.
pub(crate) async fn send(
    client: &SendRequest<Bytes>,
    method: Method,
    target: &str,
    media: Option<&str>,
    body: Option<Vec<u8>>,
) -> (Response<()>, Bytes) {
    let mut request = Request::builder().method(method).uri(target);
    if let Some(media) = media {
        request = request.header("content-type", media);
    }
    let mut ready = client.clone().ready().await.unwrap();
    let (response, mut stream) = ready
        .send_request(request.body(()).unwrap(), body.is_none())
        .unwrap();
    if let Some(body) = body {
        stream.send_data(body.into(), true).unwrap();
    }
    let (parts, mut body) = response.await.unwrap().into_parts();
    let mut whole = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        whole.extend_from_slice(&piece);
    }
    (Response::from_parts(parts, ()), whole.freeze())
}
