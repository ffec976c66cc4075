//! A DoH server that answers a constant with `h2`, `rustls` and `tokio`, batched: what the transport alone
//! costs, and so the floor under every resolver that is built on it.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalOptions;
use tokio_rustls::TlsAcceptor;

/// Serves until the process is ended.
///
/// # Errors
/// When the certificate cannot be read or the address is taken.
pub fn serve(address: SocketAddr, certificate: &Path, key: &Path) -> io::Result<()> {
    let acceptor = acceptor(certificate, key)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(address).await?;
        loop {
            let (socket, _) = listener.accept().await?;
            let acceptor = acceptor.clone();
            tokio::task::spawn_local(async move {
                // A client that goes away is the end of its connection and of nothing else.
                let _ = connection(acceptor, socket).await;
            });
        }
    })
}

fn acceptor(certificate: &Path, key: &Path) -> io::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn connection(
    acceptor: TlsAcceptor,
    socket: TcpStream,
) -> Result<(), Box<dyn std::error::Error>> {
    socket.set_nodelay(true)?;
    let stream = acceptor.accept(socket).await?;
    let connection = h2::server::Builder::new()
        .max_concurrent_streams(200)
        .handshake::<_, Bytes>(stream)
        .await?;
    answer(connection).await
}

/// Answers every request with the constant, until the connection ends.
///
/// # Errors
/// What `h2` says of a response that it does not take.
pub async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    mut connection: h2::server::Connection<S, Bytes>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut requests = Vec::new();
    loop {
        // All that is ready is taken before anything is answered, so that answers leave together.
        let ended = core::future::poll_fn(|context| {
            loop {
                match connection.poll_accept(context) {
                    core::task::Poll::Ready(Some(Ok(request))) => requests.push(request),
                    core::task::Poll::Ready(_) => return core::task::Poll::Ready(true),
                    core::task::Poll::Pending if requests.is_empty() => {
                        return core::task::Poll::Pending;
                    }
                    core::task::Poll::Pending => return core::task::Poll::Ready(false),
                }
            }
        })
        .await;
        for (_, mut respond) in requests.drain(..) {
            let response = http::Response::builder()
                .header("content-type", "application/dns-message")
                .header("cache-control", "max-age=300")
                .body(())?;
            let mut body = respond.send_response(response, false)?;
            body.send_data(Bytes::from_static(&[0; 60]), true)?;
        }
        if ended {
            return Ok(());
        }
    }
}
