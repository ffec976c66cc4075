//! Asks one question over DoH with the certificate verified, as `helm test` and a user at a
//! terminal do. An own client, so that what it shows does not depend on the server's code.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use data_encoding::BASE64URL_NOPAD;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use http::{Request, StatusCode, Uri};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls::{self, TlsFault};

/// For one try.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// What is asked of whom.
#[derive(Debug)]
pub struct Question {
    /// The endpoint.
    pub url: String,
    /// The authority to trust instead of the public ones.
    pub authority: Option<PathBuf>,
    /// Where to connect to instead of looking the host up.
    pub address: Option<IpAddr>,
    /// How long to try again.
    pub wait: Duration,
    /// The name asked for.
    pub name: String,
    /// The type asked for.
    pub record_type: String,
}

/// Why there is no answer to print.
#[derive(Debug, thiserror::Error)]
pub enum ProbeFault {
    /// The URL is no endpoint.
    #[error("'{0}' is no DoH endpoint: write a URL such as https://127.0.0.1:8443/dns-query")]
    Url(String),
    /// The name or type is none.
    #[error("'{0}' is no name or record type: {1}")]
    Question(String, String),
    /// The authority cannot be used.
    #[error("{0}")]
    Tls(#[from] TlsFault),
    /// The host has no address.
    #[error("{0} has no address: give one with --resolve")]
    Host(String),
    /// The connection or its TLS failed.
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    /// HTTP/2 failed.
    #[error("the exchange failed: {0}")]
    Http2(#[from] h2::Error),
    /// The server answered with another status.
    #[error("the server answered with status {0}: {1}")]
    Status(StatusCode, String),
    /// The query cannot be written.
    #[error("the query cannot be written: {0}")]
    Message(#[from] hickory_proto::ProtoError),
    /// The answer cannot be read.
    #[error("the answer is not a DNS message: {0}")]
    Answer(#[from] hickory_proto::serialize::binary::DecodeError),
    /// The DNS said no.
    #[error("the answer is {0}")]
    Code(ResponseCode),
    /// It took too long.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
}

/// Asks, and gives the answer as text.
///
/// # Errors
/// The last reason why there is none, after every try.
pub fn run(question: &Question) -> Result<String, ProbeFault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let by = Instant::now() + question.wait;
    runtime.block_on(async {
        loop {
            let fault = match tokio::time::timeout(TIMEOUT, ask(question)).await {
                Ok(Ok(text)) => return Ok(text),
                Ok(Err(fault)) => fault,
                Err(_) => ProbeFault::Timeout,
            };
            let hopeless = matches!(fault, ProbeFault::Url(_) | ProbeFault::Question(..));
            if hopeless || Instant::now() + PAUSE > by {
                return Err(fault);
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
}

async fn ask(question: &Question) -> Result<String, ProbeFault> {
    let url = || ProbeFault::Url(question.url.clone());
    let uri: Uri = question.url.parse().map_err(|_| url())?;
    let host = uri
        .host()
        .ok_or_else(url)?
        .trim_start_matches('[')
        .trim_end_matches(']');
    if uri.scheme_str() != Some("https") || host.is_empty() {
        return Err(url());
    }
    let query = query(question)?;
    let address = address(question, host, uri.port_u16().unwrap_or(443)).await?;
    let roots = match &question.authority {
        Some(file) => tls::client(tls::read_roots(file)?)?,
        None => tls::upstream()?,
    };
    let mut config = roots;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from(host.to_owned()).map_err(|_| url())?;
    let io = TcpStream::connect(address).await?;
    let io = TlsConnector::from(Arc::new(config))
        .connect(name, io)
        .await?;
    let (mut client, connection) = h2::client::handshake(io).await?;
    let connection = tokio::spawn(connection);
    let path = format!("{}?dns={}", uri.path(), BASE64URL_NOPAD.encode(&query));
    let target = Uri::builder()
        .scheme("https")
        .authority(uri.authority().map_or(host, |authority| authority.as_str()))
        .path_and_query(path)
        .build()
        .map_err(|_| url())?;
    let request = Request::get(target)
        .header("accept", "application/dns-message")
        .body(());
    let (response, _) = client.send_request(request.map_err(|_| url())?, true)?;
    let response = response.await?;
    let status = response.status();
    let body = read(response.into_body()).await?;
    connection.abort();
    if status != StatusCode::OK {
        let text = String::from_utf8_lossy(&body).trim().to_owned();
        return Err(ProbeFault::Status(status, text));
    }
    describe(&Message::from_vec(&body)?)
}

fn query(question: &Question) -> Result<Vec<u8>, ProbeFault> {
    let fault = |text: &str, fault: String| ProbeFault::Question(text.to_owned(), fault);
    let name = Name::from_ascii(&question.name);
    let mut name = name.map_err(|error| fault(&question.name, error.to_string()))?;
    name.set_fqdn(true);
    let record_type: RecordType = question
        .record_type
        .to_ascii_uppercase()
        .parse()
        .map_err(|error| fault(&question.record_type, format!("{error}")))?;
    // RFC 8484, 4.1: the identifier is 0, so that caches can share the answer.
    let mut message = Message::query();
    message.metadata.id = 0;
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, record_type));
    Ok(message.to_vec()?)
}

async fn address(question: &Question, host: &str, port: u16) -> Result<SocketAddr, ProbeFault> {
    if let Some(address) = question.address {
        return Ok(SocketAddr::new(address, port));
    }
    let mut found = tokio::net::lookup_host((host, port)).await?;
    found
        .next()
        .ok_or_else(|| ProbeFault::Host(host.to_owned()))
}

async fn read(mut body: h2::RecvStream) -> Result<Bytes, ProbeFault> {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

fn describe(message: &Message) -> Result<String, ProbeFault> {
    let code = message.metadata.response_code;
    if code != ResponseCode::NoError {
        return Err(ProbeFault::Code(code));
    }
    let mut text = String::new();
    for record in &message.answers {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{record}");
    }
    if text.is_empty() {
        text.push_str("the name exists and has no such record\n");
    }
    Ok(text)
}
