//! Binds the sockets of the process, before any of it serves.
//!
//! Owns what a listener needs at its start: a socket for each worker, its certificate, its state. Accepts nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use weir_config::listener::{Listener, ListenerProtocol};

use crate::app::fault::AppFault;
use crate::certificate::{
    CertificateFault, CertificateFiles, CertificateStore, ServingKey, self_signed,
};
use crate::edge::Edge;
use crate::listener::{self, ListenerState};
use crate::{proxy_protocol, tls};

/// Names in a certificate that is made here.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// One listener that is being set up.
pub(crate) struct Bound {
    pub(crate) state: Arc<ListenerState>,
    pub(crate) store: Option<Arc<CertificateStore>>,
    pub(crate) files: Option<CertificateFiles>,
    pub(crate) sockets: Vec<std::net::TcpListener>,
}

/// Binds one listener, whose place among the listeners of the configuration is `index`.
pub(crate) fn bind(
    index: usize,
    listener: &Listener,
    workers: u16,
    folder: &Path,
) -> Result<Bound, AppFault> {
    let mut address = listener.address;
    let mut sockets = Vec::new();
    for _ in 0..workers {
        let fault = |source| AppFault::Listen {
            address,
            what: format!("listeners[{index}].address"),
            source,
        };
        let socket = listener::bind(address).map_err(fault)?;
        // Port 0 lets the system choose once, for all.
        address = socket.local_addr().map_err(fault)?;
        sockets.push(socket);
    }
    let (key, files) = match (&listener.protocol, &listener.tls) {
        (ListenerProtocol::DoHPlaintext, _) => (None, None),
        (ListenerProtocol::DoH, Some(tls)) => {
            let (chain, key) = (Path::new(&tls.certificate_file), Path::new(&tls.key_file));
            let mut files = CertificateFiles::new(chain, key);
            let first = files.changed()?;
            (first, Some(files))
        }
        (ListenerProtocol::DoH, None) => (Some(own_certificate(listener, folder)?), None),
    };
    let store = key.map(CertificateStore::new);
    let tls = match &store {
        Some(store) => {
            let authority = listener
                .tls
                .as_ref()
                .and_then(|tls| tls.client_ca_file.as_deref());
            let server = tls::server(Arc::clone(store), authority.map(Path::new))?;
            Some(ArcSwap::from_pointee(server))
        }
        None => None,
    };
    let state = Arc::new(ListenerState {
        name: listener.name.clone(),
        address,
        edge: Arc::new(ArcSwap::from_pointee(Edge::from(listener))),
        tls,
        proxies: ArcSwap::from_pointee(proxy_protocol::proxies(listener)),
        descriptors: listener::descriptors_for_connections(),
        clients: Default::default(),
    });
    Ok(Bound {
        state,
        store,
        files,
        sockets,
    })
}

fn own_certificate(listener: &Listener, folder: &Path) -> Result<ServingKey, CertificateFault> {
    let mut names: Vec<String> = LOCAL_NAMES.iter().map(|name| (*name).to_owned()).collect();
    names.extend(listener.hostnames.iter().cloned());
    if !listener.address.ip().is_unspecified() && !listener.address.ip().is_loopback() {
        names.push(listener.address.ip().to_string());
    }
    self_signed(folder, &names)
}

/// Binds a port of the admin side; `what` is its field in the configuration.
pub(crate) async fn listen_tcp(address: SocketAddr, what: &str) -> Result<TcpListener, AppFault> {
    let fault = |source| AppFault::Listen {
        address,
        what: what.to_owned(),
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(fault)?;
    let bound = listener.local_addr().map_err(fault)?;
    tracing::info!(address = %bound, "{what}");
    Ok(listener)
}

/// Says where a listener can be reached.
pub(crate) fn announce(listener: &Bound, folder: &Path) {
    let scheme = if listener.store.is_some() {
        "https"
    } else {
        "http"
    };
    let edge = listener.state.edge.load();
    let path = edge.paths.first().map_or("/", |path| path);
    let url = format!("{scheme}://{}{path}", listener.state.address);
    match (&listener.store, &listener.files) {
        (Some(store), None) => tracing::info!(
            url,
            certificate = %folder.join("tls.crt").display(),
            fingerprint = store.current().fingerprint(),
            "serving DNS over HTTPS with a self-signed certificate"
        ),
        (Some(store), Some(_)) => tracing::info!(
            url,
            fingerprint = store.current().fingerprint(),
            "serving DNS over HTTPS"
        ),
        (None, _) => tracing::info!(url, "serving DNS over HTTP without TLS"),
    }
}
