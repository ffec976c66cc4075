//! What the command line puts over a document, so that one rendered config runs anywhere.

use std::net::SocketAddr;
use std::path::PathBuf;

use weir_config::DataplaneConfig;
use weir_config::listener::{ListenerProtocol, ListenerTls};

/// What the command line says of a document.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Overrides {
    /// Where the first listener listens. The others are left out.
    pub listen: Option<SocketAddr>,
    /// Its certificate chain and private key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Threads that serve.
    pub workers: Option<u32>,
}

impl Overrides {
    /// The document with what the command line says put over it.
    #[must_use]
    pub fn over(&self, mut config: DataplaneConfig) -> DataplaneConfig {
        if let Some(address) = self.listen {
            config.listeners.truncate(1);
            if let Some(listener) = config.listeners.first_mut() {
                listener.address = address;
                // Files and names of where the document was rendered for mean nothing here.
                listener.tls = None;
                listener.hostnames.clear();
            }
            config.admin = None;
        }
        if let Some((chain, key)) = &self.tls {
            for listener in &mut config.listeners {
                if listener.protocol == ListenerProtocol::DoH {
                    listener.tls = Some(ListenerTls {
                        certificate_file: chain.display().to_string(),
                        key_file: key.display().to_string(),
                        client_ca_file: None,
                    });
                }
            }
        }
        if let Some(workers) = self.workers {
            config.workers = workers;
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rendered_document_runs_on_a_laptop() {
        let rendered = DataplaneConfig::read(
            "
listeners:
- {address: '0.0.0.0:8443', hostnames: [dns.example], tls: {certificateFile: /tls/tls.crt, keyFile: /tls/tls.key}}
- {name: plain, protocol: DoHPlaintext, address: '0.0.0.0:8080'}
admin: {address: '0.0.0.0:9443', caFile: /a, certificateFile: /b, keyFile: /c}
",
        )
        .unwrap();
        assert_eq!(Overrides::default().over(rendered.clone()), rendered);
        let overrides = Overrides {
            listen: Some("127.0.0.1:9000".parse().unwrap()),
            tls: Some(("c.pem".into(), "k.pem".into())),
            workers: Some(2),
        };
        let config = overrides.over(rendered);
        assert_eq!(config.listeners.len(), 1);
        assert_eq!(config.listeners[0].address.port(), 9000);
        assert_eq!(config.listeners[0].tls.as_ref().unwrap().key_file, "k.pem");
        assert!(config.listeners[0].hostnames.is_empty());
        assert_eq!((config.admin, config.workers), (None, 2));
    }
}
