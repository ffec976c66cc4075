//! The admin port of a data plane that a test starts: its authority and certificates, and pushes to it.
//!
//! Owns a folder with the certificates, which goes away with it; the client is the operator's own.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};
use weir_config::DataplaneConfig;
use weir_config::push::Push;
use weir_operator::authority::{Authority, Request, Usage};
use weir_operator::pod_client::{Answer, PodClient, PodFault};

use crate::edge::free_port;

/// What the pod's certificate is for.
const NAME: &str = "pod.test";

/// An admin port and its client.
pub struct AdminPort {
    client: PodClient,
    address: SocketAddr,
    folder: PathBuf,
}

impl AdminPort {
    /// Makes certificates and puts the port into a document.
    ///
    /// # Errors
    /// When they cannot be made or written.
    pub fn prepare(config: &mut Value) -> io::Result<Self> {
        let now = weir_operator::clock::now();
        let authority = Authority::generate("tests", now).map_err(io::Error::other)?;
        let issue = |usage| {
            let request = Request {
                common_name: NAME.to_owned(),
                names: vec![NAME.to_owned()],
                usage,
                days: 1,
            };
            authority.issue(&request, now).map_err(io::Error::other)
        };
        let (server, own) = (issue(Usage::Server)?, issue(Usage::Client)?);
        let port = free_port()?;
        let folder = std::env::temp_dir().join(format!("weir-admin-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let write = |name: &str, text: &str| {
            let file = folder.join(name);
            std::fs::write(&file, text).map(|()| file.display().to_string())
        };
        let authority = &authority.pem().certificate;
        config["admin"] = json!({
            "address": format!("127.0.0.1:{port}"),
            "caFile": write("ca.crt", authority)?,
            "certificateFile": write("tls.crt", &server.certificate)?,
            "keyFile": write("tls.key", &server.key)?,
        });
        Ok(Self {
            client: PodClient::new(authority, &own).map_err(io::Error::other)?,
            address: ([127, 0, 0, 1], port).into(),
            folder,
        })
    }

    /// Whether it is open yet.
    pub async fn is_open(&self) -> bool {
        tokio::net::TcpStream::connect(self.address).await.is_ok()
    }

    /// Pushes a document, as the operator does.
    ///
    /// # Errors
    /// When the data plane does not answer.
    pub async fn push(
        &self,
        config: DataplaneConfig,
        traceparent: Option<&str>,
    ) -> Result<Answer, PodFault> {
        let push = Push {
            config,
            certificate: None,
        };
        self.client
            .push(self.address, NAME, &push, traceparent)
            .await
    }
}

impl Drop for AdminPort {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
