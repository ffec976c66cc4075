//! Names, labels, ports and paths that more than one object of a `Resolver` carries.
//!
//! Owns the words; never makes an object.

use std::collections::BTreeMap;

/// The field manager of everything that the operator applies.
pub const FIELD_MANAGER: &str = "weir-operator";
/// The field manager of the status.
pub const STATUS_MANAGER: &str = "weir-operator-status";
/// The value of `app.kubernetes.io/managed-by`.
pub const MANAGED_BY: &str = "weir-operator";
/// The label selector of everything that the operator made.
pub const MANAGED_SELECTOR: &str = "app.kubernetes.io/managed-by=weir-operator";
/// The name of the container that serves.
pub const CONTAINER: &str = "dataplane";
/// The annotation of a pod with the digest of what it only reads when it starts.
pub const STARTUP_ANNOTATION: &str = "weir.dev/startup";
/// The annotation of a pod with the digest of the certificate of its admin port.
pub const ADMIN_ANNOTATION: &str = "weir.dev/admin-certificate";

/// The port of a pod for DoH over TLS.
pub const DOH_PORT: u16 = 8443;
/// The port of a pod for DoH without TLS.
pub const PLAINTEXT_PORT: u16 = 8080;
/// The port of a pod for pushes.
pub const ADMIN_PORT: u16 = 9443;
/// The port of a pod for metrics and health.
pub const METRICS_PORT: u16 = 9153;

/// Where the document is mounted in a pod.
pub const CONFIG_FOLDER: &str = "/etc/weir/config";
/// Where the certificate of the listeners is mounted in a pod.
pub const TLS_FOLDER: &str = "/etc/weir/tls";
/// Where the certificate of the admin port is mounted in a pod.
pub const ADMIN_FOLDER: &str = "/etc/weir/admin";
/// Where a pod may write.
pub const STATE_FOLDER: &str = "/var/lib/weir";
/// The document in its ConfigMap.
pub const CONFIG_FILE: &str = "config.json";
/// A certificate in a Secret.
pub const CERTIFICATE_FILE: &str = "tls.crt";
/// A private key in a Secret.
pub const KEY_FILE: &str = "tls.key";
/// The certificate of an authority in a Secret or ConfigMap.
pub const CA_FILE: &str = "ca.crt";
/// The private key of an authority in a Secret.
pub const CA_KEY_FILE: &str = "ca.key";

/// The name of the ConfigMap with the document.
#[must_use]
pub fn config(name: &str) -> String {
    format!("{name}-config")
}

/// The name of the Secret with the certificate of the listeners.
#[must_use]
pub fn serving(name: &str) -> String {
    format!("{name}-tls")
}

/// The name of the Secret with the certificate of the admin port, and of its headless Service.
#[must_use]
pub fn admin(name: &str) -> String {
    format!("{name}-admin")
}

/// The name of the Secret with the resolver's own authority, and of the ConfigMap with its
/// certificate.
#[must_use]
pub fn authority(name: &str) -> String {
    format!("{name}-ca")
}

/// The name that the certificate of a resolver's admin ports carries.
#[must_use]
pub fn admin_server_name(namespace: &str, name: &str) -> String {
    format!("{name}.{namespace}.admin.weir.internal")
}

/// The labels that select the pods of a resolver; they never change.
#[must_use]
pub fn selector(name: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "weir"),
        ("app.kubernetes.io/component", "dataplane"),
        ("app.kubernetes.io/instance", name),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// The labels of everything that belongs to a resolver.
#[must_use]
pub fn labels(name: &str) -> BTreeMap<String, String> {
    let mut labels = selector(name);
    labels.insert(
        "app.kubernetes.io/managed-by".to_owned(),
        MANAGED_BY.to_owned(),
    );
    labels.insert("app.kubernetes.io/part-of".to_owned(), "weir".to_owned());
    labels
}

/// The label selector of the pods as the scale subresource wants it.
#[must_use]
pub fn selector_text(name: &str) -> String {
    let pairs: Vec<_> = selector(name)
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}
