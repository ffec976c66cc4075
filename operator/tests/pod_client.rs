//! The client of the admin ports against a server of its own kind: HTTP/2 over mutual TLS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use weir_config::DataplaneConfig;
use weir_config::push::{Applied, Push, Rejected};
use weir_config::unit::instant::UnixSeconds;
use weir_operator::authority::{Authority, KeyPairPem, Request, Usage};
use weir_operator::clock;
use weir_operator::pod_client::{Answer, PodClient, PodFault};

const NAME: &str = "home.dns.admin.weir.internal";

fn issue(authority: &Authority, name: &str, usage: Usage) -> KeyPairPem {
    let request = Request {
        common_name: name.to_owned(),
        names: vec![name.to_owned()],
        usage,
        days: 1,
    };
    authority.issue(&request, clock::now()).unwrap()
}

fn server_config(authority: &Authority) -> ServerConfig {
    let own = issue(authority, NAME, Usage::Server);
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().certificate.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Takes a push as a pod does: refuses one worker, answers 500 to two, and takes the rest.
async fn pod(authority: &Authority) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = TlsAcceptor::from(Arc::new(server_config(authority)));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else {
                    return;
                };
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    tokio::spawn(async move {
                        assert_eq!(request.method(), "PUT");
                        assert_eq!(request.uri().path(), "/config");
                        assert_eq!(request.headers()["traceparent"], "00-1-2-01");
                        let mut body = request.into_body();
                        let mut whole = Vec::new();
                        while let Some(Ok(part)) = body.data().await {
                            body.flow_control().release_capacity(part.len()).unwrap();
                            whole.extend_from_slice(&part);
                        }
                        let (status, text) = said(&serde_json::from_slice(&whole).unwrap());
                        let head = Response::builder().status(status).body(()).unwrap();
                        let mut send = respond.send_response(head, false).unwrap();
                        send.send_data(Bytes::from(text), true).unwrap();
                    });
                }
            });
        }
    });
    address
}

fn said(push: &Push) -> (StatusCode, String) {
    let revision = push.config.revision();
    match push.config.workers {
        1 => {
            let (field, message) = ("workers".to_owned(), "use two".to_owned());
            let rejected = Rejected {
                revision,
                field,
                message,
            };
            (
                StatusCode::UNPROCESSABLE_ENTITY,
                serde_json::to_string(&rejected).unwrap(),
            )
        }
        2 => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
        _ => {
            let certificate_not_after = Some(UnixSeconds(1_800_000_000));
            let certificate = Some("sha256:1".to_owned());
            let applied = Applied {
                revision,
                certificate,
                certificate_not_after,
            };
            (StatusCode::OK, serde_json::to_string(&applied).unwrap())
        }
    }
}

fn push(workers: u32) -> Push {
    // Large enough that it does not fit into the first window of HTTP/2.
    let mut config = DataplaneConfig {
        workers,
        ..DataplaneConfig::default()
    };
    let zone = serde_json::json!({"name": "a", "records": vec!["x".repeat(4_000); 100]});
    config.resolution.local_zones = vec![serde_json::from_value(zone).unwrap()];
    Push {
        config,
        certificate: None,
    }
}

#[tokio::test]
async fn a_pod_takes_refuses_or_fails() {
    let authority = Authority::generate("operator", clock::now()).unwrap();
    let address = pod(&authority).await;
    let own = issue(&authority, "weir-operator.weir.internal", Usage::Client);
    let client = PodClient::new(&authority.pem().certificate, &own).unwrap();
    let parent = Some("00-1-2-01");
    match client.push(address, NAME, &push(3), parent).await.unwrap() {
        Answer::Applied(applied) => assert_eq!(applied.revision, push(3).config.revision()),
        Answer::Rejected(rejected) => panic!("{rejected:?}"),
    }
    match client.push(address, NAME, &push(1), parent).await.unwrap() {
        Answer::Rejected(rejected) => assert_eq!(rejected.message, "use two"),
        Answer::Applied(applied) => panic!("{applied:?}"),
    }
    let fault = client
        .push(address, NAME, &push(2), parent)
        .await
        .unwrap_err();
    assert!(
        matches!(fault, PodFault::Status(StatusCode::INTERNAL_SERVER_ERROR)),
        "{fault}"
    );
    // The certificate of another resolver's pods is not good enough.
    assert!(
        client
            .push(address, "other.dns.admin.weir.internal", &push(3), parent)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_stranger_is_turned_away() {
    let authority = Authority::generate("operator", clock::now()).unwrap();
    let address = pod(&authority).await;
    let ca = &authority.pem().certificate;
    let parent = Some("00-1-2-01");
    // A pod's own certificate is for servers only, so a pod cannot push to another.
    let pods_own = issue(&authority, NAME, Usage::Server);
    let client = PodClient::new(ca, &pods_own).unwrap();
    assert!(client.push(address, NAME, &push(3), parent).await.is_err());
    let other = Authority::generate("other", clock::now()).unwrap();
    let foreign = issue(&other, "weir-operator.weir.internal", Usage::Client);
    let client = PodClient::new(ca, &foreign).unwrap();
    assert!(client.push(address, NAME, &push(3), parent).await.is_err());
}
