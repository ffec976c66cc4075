//! `DataplaneConfig`: the one document that says how a data plane behaves.
//!
//! Owns reading, checking and the revision of a document; never applies one.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::access::{AccessRule, Responses, everyone};
use crate::cache::Cache;
use crate::digest::sha256;
use crate::dnssec::Dnssec;
use crate::drain::Drain;
use crate::listener::Listener;
use crate::mesh::Mesh;
use crate::problem::{Problem, Problems};
use crate::resolution::Resolution;
use crate::telemetry::{Metrics, Telemetry};

/// The format that this version reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// How a data plane behaves. `{}` is a complete document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct DataplaneConfig {
    /// The format of the document; 1.
    pub version: u32,
    /// Where clients connect. Default one DoH listener on `127.0.0.1:8443`.
    pub listeners: Vec<Listener>,
    /// Where pushes are taken. Default nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,
    /// Where metrics and health are served.
    pub metrics: Metrics,
    /// Threads that serve; 0 means one per core. 0 to 1024, default 0.
    pub workers: u32,
    /// The table of questions that are being resolved.
    pub mesh: Mesh,
    /// Where answers come from.
    pub resolution: Resolution,
    /// Whether answers are validated.
    pub dnssec: Dnssec,
    /// The caches.
    pub cache: Cache,
    /// Who may ask. Default everyone.
    pub access_control: Vec<AccessRule>,
    /// What answers carry.
    pub responses: Responses,
    /// What is told of the work.
    pub telemetry: Telemetry,
    /// How it ends.
    pub drain: Drain,
}

impl Default for DataplaneConfig {
    fn default() -> Self {
        Self {
            version: FORMAT_VERSION,
            listeners: vec![Listener::default()],
            admin: None,
            metrics: Metrics::default(),
            workers: 0,
            mesh: Mesh::default(),
            resolution: Resolution::default(),
            dnssec: Dnssec::default(),
            cache: Cache::default(),
            access_control: everyone(),
            responses: Responses::default(),
            telemetry: Telemetry::default(),
            drain: Drain::default(),
        }
    }
}

/// Where pushes are taken: HTTP/2 over TLS, with a certificate asked of the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Admin {
    /// Address and port.
    pub address: SocketAddr,
    /// The authority that the client's certificate must be signed by, in PEM.
    pub ca_file: String,
    /// The chain of this server, in PEM.
    pub certificate_file: String,
    /// The private key of this server, in PEM.
    pub key_file: String,
}

/// What is wrong with the form of a document, and where.
pub(crate) fn problem(fault: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let path = fault.path().to_string();
    Problem {
        field: if path == "." { String::new() } else { path },
        message: fault.inner().to_string(),
    }
}

impl DataplaneConfig {
    /// Reads a document from JSON or YAML and checks it.
    ///
    /// # Errors
    /// What is to be changed: one problem when the text has not the form of a document, else
    /// everything that [`DataplaneConfig::validate`] finds.
    pub fn read(text: &str) -> Result<Self, Vec<Problem>> {
        let whole = |message: String| {
            vec![Problem {
                field: String::new(),
                message,
            }]
        };
        let value: serde_json::Value = if text.trim().is_empty() {
            serde_json::Value::Object(serde_json::Map::new())
        } else {
            serde_saphyr::from_str(text)
                .map_err(|fault| whole(format!("this is neither JSON nor YAML: {fault}")))?
        };
        let config: Self =
            serde_path_to_error::deserialize(value).map_err(|fault| vec![problem(&fault)])?;
        let problems = config.validate();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(problems)
        }
    }

    /// Everything that is to be changed before this document can be used; empty when nothing is.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        if self.version != FORMAT_VERSION {
            problems.add(
                "version",
                format!("{} is not known here: use {FORMAT_VERSION}", self.version),
            );
        }
        self.check_listeners(&mut problems);
        problems.within("workers", self.workers, 0, 1_024);
        problems.field("mesh", |problems| self.mesh.check(problems));
        problems.field("resolution", |problems| self.resolution.check(problems));
        problems.field("dnssec", |problems| self.dnssec.check(problems));
        problems.field("cache", |problems| self.cache.check(problems));
        problems.items("accessControl", &self.access_control, |problems, rule| {
            rule.check(problems);
        });
        problems.field("responses", |problems| self.responses.check(problems));
        problems.field("telemetry", |problems| self.telemetry.check(problems));
        problems.field("drain", |problems| self.drain.check(problems));
        problems.into_found()
    }

    fn check_listeners(&self, problems: &mut Problems) {
        if self.listeners.is_empty() {
            problems.add("listeners", "is empty: give at least one listener");
        }
        let mut names = BTreeSet::new();
        let mut addresses: BTreeSet<SocketAddr> = BTreeSet::new();
        addresses.insert(self.metrics.address);
        if let Some(admin) = &self.admin
            && !addresses.insert(admin.address)
        {
            problems.field("admin", |problems| {
                problems.add(
                    "address",
                    "is also the address of metrics: use another port",
                );
            });
        }
        problems.items("listeners", &self.listeners, |problems, listener| {
            listener.check(problems);
            if !names.insert(listener.name.as_str()) {
                problems.add("name", format!("'{}' is given twice", listener.name));
            }
            if listener.address.port() != 0 && !addresses.insert(listener.address) {
                problems.add(
                    "address",
                    format!("{} is given twice: use another port", listener.address),
                );
            }
        });
    }

    /// The document in its canonical form: JSON without spaces, every field present, in the order
    /// of their declaration, durations and sizes in their largest whole unit.
    #[must_use]
    pub fn canonical_json(&self) -> String {
        // Every map of the document has string keys, so that writing it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What the document is called: `sha256:` and the digest of its canonical form. Equal
    /// documents have equal revisions, however they were written.
    #[must_use]
    pub fn revision(&self) -> String {
        sha256(self.canonical_json().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        DataplaneConfig::read(text)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn nothing_is_a_complete_document() {
        let config = DataplaneConfig::read("{}").unwrap();
        assert_eq!(config, DataplaneConfig::default());
        assert_eq!(DataplaneConfig::read("").unwrap(), config);
        assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:8443");
        assert_eq!(
            DataplaneConfig::read(&config.canonical_json()).unwrap(),
            config
        );
    }

    #[test]
    fn equal_documents_have_equal_revisions() {
        let yaml = DataplaneConfig::read("cache: {ttl: {max: 24h}, size: 262144Ki}").unwrap();
        let json = DataplaneConfig::read(r#"{"cache": {"ttl": {"max": "1440m"}}}"#).unwrap();
        assert_eq!(yaml.revision(), json.revision());
        let other = DataplaneConfig::read("workers: 2").unwrap();
        assert_ne!(other.revision(), json.revision());
        assert!(json.revision().starts_with("sha256:"));
    }

    #[test]
    fn reads_the_unions() {
        let text = "
resolution:
  rootHints: {servers: [{name: a.root, addresses: [127.0.0.1, '::1']}]}
  forwardZones: [{name: corp.example, upstreams: [{address: 10.0.0.10}]}]
dnssec: {trustAnchors: {records: ['. DS 20326 8 2 E06D']}}
telemetry: {traces: {endpoint: 'http://collector:4317', sampleRatio: 0.5}}
";
        let config = DataplaneConfig::read(text).unwrap();
        assert_eq!(config.telemetry.traces.unwrap().sample_ratio.as_f64(), 0.5);
        assert!(config.resolution.forward_zones[0].validate);
        assert_eq!(
            config.resolution.forward_zones[0].upstreams[0].port_or_default(),
            53
        );
    }

    #[test]
    fn names_the_field_and_the_change() {
        for (text, expected) in [
            (
                "workers: 5000",
                "workers: 5000 is out of range: use 0 to 1024",
            ),
            ("version: 2", "version: 2 is not known here: use 1"),
            (
                "listeners: []",
                "listeners: is empty: give at least one listener",
            ),
            (
                "cache: {size: 1Ki}",
                "cache.size: 1Ki is out of range: use 1Mi to 1Ti",
            ),
            (
                "drain: {notice: 1h}",
                "drain.notice: 1h is out of range: use 0s to 5m",
            ),
            (
                "resolution: {forwardZones: [{name: a, upstreams: []}]}",
                "resolution.forwardZones[0].upstreams: is empty: give at least one resolver",
            ),
            (
                "resolution: {stubZones: [{name: A., upstreams: [{address: 10.0.0.1}]}], forwardZones: [{name: a, upstreams: [{address: 10.0.0.1}]}]}",
                "resolution.stubZones[0].name: 'A.' is given twice: keep one zone of that name",
            ),
            (
                "resolution: {forwardZones: [{name: a, upstreams: [{address: 10.0.0.1, protocol: DoT}]}]}",
                "resolution.forwardZones[0].upstreams[0].serverName: is missing: give the name in the certificate of the server",
            ),
            (
                "resolution: {forwardZones: [{name: a, upstreams: [{address: 10.0.0.1, protocol: DoH, serverName: a, path: 'a?'}]}]}",
                "resolution.forwardZones[0].upstreams[0].path: 'a?' is not a path: start it with / and leave out ?, # and templates",
            ),
            (
                "resolution: {forwardZones: [{name: a, upstreams: [{address: 10.0.0.1, path: /q}]}]}",
                "resolution.forwardZones[0].upstreams[0].path: remove it, or use protocol DoH: no other has a path",
            ),
            (
                "listeners: [{}, {name: doh}]",
                "listeners[1].name: 'doh' is given twice",
            ),
        ] {
            assert!(
                problems(text).contains(&expected.to_owned()),
                "{:?}",
                problems(text)
            );
        }
    }

    #[test]
    fn refuses_what_has_not_the_form() {
        for (text, field, part) in [
            ("cach: {}", "cach", "unknown field"),
            ("cache: {siz: 1}", "cache.siz", "unknown field"),
            (
                "cache: {ttl: {max: 5}}",
                "cache.ttl.max",
                "expected a string",
            ),
            (
                "cache: {ttl: {max: '5'}}",
                "cache.ttl.max",
                "is not a duration",
            ),
            (
                "accessControl: [{cidrs: [10.0.0.1/8], action: Allow}]",
                "accessControl[0].cidrs[0]",
                "write 10.0.0.0/8",
            ),
            (
                "resolution: {rootHints: {builtIn: {}, servers: []}}",
                "resolution.rootHints",
                "expected",
            ),
            ("a: [", "", "neither JSON nor YAML"),
        ] {
            let found = DataplaneConfig::read(text).unwrap_err();
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(found[0].field, field, "{text}: {}", found[0]);
            assert!(found[0].message.contains(part), "{text}: {}", found[0]);
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let certificate = crate::push::PushCertificate {
            chain_pem: "chain".to_owned(),
            key_pem: "hidden".to_owned(),
        };
        assert!(!format!("{certificate:?}").contains("hidden"));
    }
}
