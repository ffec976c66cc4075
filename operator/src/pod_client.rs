//! `PodClient`: HTTP/2 over mutual TLS to the admin port of one pod.
//!
//! Owns one exchange: a push and the pod's answer. Never decides what is pushed to whom.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, Request, StatusCode};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use weir_config::push::{Applied, Push, Rejected};

use crate::authority::KeyPairPem;

/// Time for a whole push, from the connection to the last octet of the answer.
const PUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// Octets of an answer that are read; a longer one is not of a pod of ours.
const ANSWER_MAX: usize = 64 << 10;

/// What a pod said to a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is live.
    Applied(Applied),
    /// Nothing changed.
    Rejected(Rejected),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PodFault {
    /// Nobody listens.
    #[error("the admin port cannot be reached: {0}")]
    Connect(#[from] std::io::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Http2(#[from] h2::Error),
    /// The request cannot be written.
    #[error("the request cannot be written: {0}")]
    Request(#[from] http::Error),
    /// It took too long.
    #[error("no answer within {} s", PUSH_TIMEOUT.as_secs())]
    Timeout,
    /// The answer has another status.
    #[error("the pod answered with status {0}")]
    Status(StatusCode),
    /// The answer is longer than one of ours.
    #[error("the answer is too long")]
    TooLong,
    /// A document cannot be read or written.
    #[error("the document cannot be read: {0}")]
    Document(#[from] serde_json::Error),
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientFault {
    /// A certificate or key of the operator is not PEM.
    #[error("the operator's certificate cannot be read: {0}")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// A certificate or key of the operator cannot be used.
    #[error("the operator's certificate cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// A client of the admin ports of all pods.
#[derive(Clone)]
pub struct PodClient {
    tls: TlsConnector,
}

impl PodClient {
    /// Makes a client that trusts one authority and shows one certificate.
    ///
    /// # Errors
    /// When one of the texts cannot be read.
    pub fn new(authority_pem: &str, own: &KeyPairPem) -> Result<Self, ClientFault> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority_pem.as_bytes())?)?;
        let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes())?];
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes())?;
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])?
                .with_root_certificates(roots)
                .with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Pushes a document to the pod at this address, which must show a certificate of this name.
    ///
    /// # Errors
    /// When there is no answer of a pod of ours within 5 s.
    pub async fn push(
        &self,
        address: SocketAddr,
        server_name: &str,
        push: &Push,
        traceparent: Option<&str>,
    ) -> Result<Answer, PodFault> {
        let body = Bytes::from(serde_json::to_vec(push)?);
        let exchange = self.exchange(address, server_name, body, traceparent);
        tokio::time::timeout(PUSH_TIMEOUT, exchange)
            .await
            .map_err(|_| PodFault::Timeout)?
    }

    async fn exchange(
        &self,
        address: SocketAddr,
        server_name: &str,
        body: Bytes,
        traceparent: Option<&str>,
    ) -> Result<Answer, PodFault> {
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|fault| std::io::Error::new(std::io::ErrorKind::InvalidInput, fault))?;
        let stream = self
            .tls
            .connect(name, TcpStream::connect(address).await?)
            .await?;
        let (sender, connection) = h2::client::handshake(stream).await?;
        let connection = tokio::spawn(connection);
        let answer = request(sender, server_name, body, traceparent).await;
        connection.abort();
        answer
    }
}

async fn request(
    sender: h2::client::SendRequest<Bytes>,
    server_name: &str,
    body: Bytes,
    traceparent: Option<&str>,
) -> Result<Answer, PodFault> {
    let mut sender = sender.ready().await?;
    let mut request = Request::builder()
        .method(Method::PUT)
        .uri(format!("https://{server_name}/config"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .header(http::header::CONTENT_LENGTH, body.len());
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    let (response, mut send) = sender.send_request(request.body(())?, false)?;
    send_all(&mut send, body).await?;
    let response = response.await?;
    let status = response.status();
    let body = receive_all(response.into_body()).await?;
    match status {
        StatusCode::OK => Ok(Answer::Applied(serde_json::from_slice(&body)?)),
        StatusCode::UNPROCESSABLE_ENTITY => Ok(Answer::Rejected(serde_json::from_slice(&body)?)),
        status => Err(PodFault::Status(status)),
    }
}

/// Sends as the pod's window allows, so that a large document is not held twice.
async fn send_all(send: &mut h2::SendStream<Bytes>, mut body: Bytes) -> Result<(), PodFault> {
    while !body.is_empty() {
        send.reserve_capacity(body.len());
        let granted = std::future::poll_fn(|context| send.poll_capacity(context)).await;
        let Some(granted) = granted.transpose()? else {
            return Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into());
        };
        let part = body.split_to(granted.min(body.len()));
        send.send_data(part, body.is_empty())?;
    }
    Ok(())
}

async fn receive_all(mut body: h2::RecvStream) -> Result<Bytes, PodFault> {
    let mut whole = BytesMut::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        if whole.len() + part.len() > ANSWER_MAX {
            return Err(PodFault::TooLong);
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole.freeze())
}
