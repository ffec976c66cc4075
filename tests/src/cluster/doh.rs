//! A DoH client over one connection that stays open (RFC 8484, RFC 9113).
//!
//! Verifies the certificate against the authority that it is given and nothing else. Owns one
//! connection; never retries.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use http::Request;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long one answer, and one connection, may take.
const LIMIT: Duration = Duration::from_secs(10);

/// One connection.
pub struct DohClient {
    sender: SendRequest<Bytes>,
    host: String,
    /// The certificate that the server showed, in DER.
    pub certificate: Vec<u8>,
}

/// What an answer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The response code of the DNS message.
    pub code: ResponseCode,
    /// The addresses in its answer section.
    pub addresses: Vec<IpAddr>,
    /// The least TTL of its answer section, in seconds.
    pub ttl: Option<u32>,
}

impl DohClient {
    /// Connects, and verifies that the certificate is for `host` and by `authority` (PEM).
    ///
    /// # Errors
    /// When that fails, or HTTP/2 is not agreed on.
    pub async fn connect(address: SocketAddr, host: &str, authority: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            roots.add(certificate?)?;
        }
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let stream = timeout(LIMIT, TcpStream::connect(address)).await??;
        let name = ServerName::try_from(host.to_owned())?;
        let stream = timeout(LIMIT, connector.connect(name, stream)).await??;
        let (_, session) = stream.get_ref();
        ensure!(
            session.alpn_protocol() == Some(b"h2"),
            "the server did not agree on HTTP/2"
        );
        let certificate = session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .context("the server showed no certificate")?
            .to_vec();
        let (sender, connection) = timeout(LIMIT, h2::client::handshake(stream)).await??;
        tokio::spawn(async move {
            // The end of the connection shows in the next request.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            host: host.to_owned(),
            certificate,
        })
    }

    /// Asks for a name by POST.
    ///
    /// # Errors
    /// When the connection or the stream ends without an answer, or the answer cannot be read.
    pub async fn ask(&self, name: &str, kind: RecordType) -> Result<Answer> {
        timeout(LIMIT, self.exchange(name, kind))
            .await
            .context("no answer in time")?
    }

    async fn exchange(&self, name: &str, kind: RecordType) -> Result<Answer> {
        let request = Request::post(format!("https://{}/dns-query", self.host))
            .header("content-type", "application/dns-message")
            .header("accept", "application/dns-message")
            .body(())?;
        let mut sender = self.sender.clone().ready().await?;
        let (response, mut body) = sender.send_request(request, false)?;
        body.send_data(query(name, kind)?, true)?;
        let response = response.await?;
        let status = response.status();
        let mut stream = response.into_body();
        let mut octets = Vec::new();
        while let Some(chunk) = stream.data().await {
            let chunk = chunk?;
            stream.flow_control().release_capacity(chunk.len())?;
            octets.extend_from_slice(&chunk);
        }
        if status != http::StatusCode::OK {
            bail!("HTTP status {status}: {}", String::from_utf8_lossy(&octets));
        }
        let message = Message::from_vec(&octets)?;
        Ok(Answer {
            code: message.metadata.response_code,
            addresses: message
                .answers
                .iter()
                .filter_map(|record| match &record.data {
                    RData::A(address) => Some(IpAddr::V4(address.0)),
                    RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                    _ => None,
                })
                .collect(),
            ttl: message.answers.iter().map(|record| record.ttl).min(),
        })
    }
}

fn query(name: &str, kind: RecordType) -> Result<Bytes> {
    let mut message = Message::new(0, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_str(name)?, kind));
    Ok(Bytes::from(message.to_vec()?))
}
