//! Bad input on the real API server: one clear message each, at admission where the API server can
//! know it, and as a condition of the `Resolver` where it cannot.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use weir_tests::cluster::admission::refusal;
use weir_tests::cluster::helm::Helm;
use weir_tests::cluster::namespace::Namespace;
use weir_tests::cluster::resolver::{Subject, spec};
use weir_tests::cluster::{announce, on_cluster, wrong};

/// How long the operator may take to say what is wrong.
const LIMIT: Duration = Duration::from_secs(15);

#[tokio::test]
async fn admission_names_the_field_and_what_to_change() -> Result<()> {
    on_cluster(|cluster| async move {
        Helm::Four.install_once().await?;
        let namespace = Namespace::create(&cluster, "admission").await?;
        let cases = wrong::specs(&spec_schema()?);
        ensure!(
            cases.len() > 100,
            "the schema gave only {} wrong specs",
            cases.len()
        );
        for case in &cases {
            let refused = refusal(&cluster.client, &namespace.name, &case.spec).await?;
            let refused = refused.with_context(|| format!("accepted: {case:?}"))?;
            let named = refused.message.contains(&case.path);
            ensure!(
                named && refused.message.contains(&case.expected),
                "{case:?}\n{}",
                refused.message
            );
        }
        announce(&format!("{} wrong specs were refused", cases.len()));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn admission_takes_every_example() -> Result<()> {
    on_cluster(|cluster| async move {
        Helm::Four.install_once().await?;
        let namespace = Namespace::create(&cluster, "examples").await?;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
        let mut examples = 0;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let example: Value = serde_saphyr::from_str(&fs::read_to_string(&path)?)?;
            let refused = refusal(&cluster.client, &namespace.name, &example["spec"]).await?;
            ensure!(refused.is_none(), "{}: {refused:?}", path.display());
            examples += 1;
        }
        ensure!(examples > 0, "there are no examples");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn admission_knows_what_excludes_what() -> Result<()> {
    on_cluster(|cluster| async move {
        Helm::Four.install_once().await?;
        let namespace = Namespace::create(&cluster, "exclusive").await?;
        for (spec, field, expected) in [
            (
                json!({"listeners": [{"name": "doh", "tls": {"certificate": {
                    "selfSigned": {}, "secretRef": {"name": "dns-tls"}}}}]}),
                "spec.listeners[0].tls.certificate",
                "exactly one of secretRef and selfSigned",
            ),
            (
                json!({"listeners": [{"name": "doh", "tls": {"certificate": {}}}]}),
                "spec.listeners[0].tls.certificate",
                "exactly one of secretRef and selfSigned",
            ),
            (
                json!({"resolution": {"rootHints": {"builtIn": {}, "servers": [
                    {"name": "a.root", "addresses": ["192.0.2.1"]}]}}}),
                "spec.resolution.rootHints",
                "exactly one of builtIn and servers",
            ),
            (
                json!({"dnssec": {"trustAnchors": {"builtIn": {}, "records": [". DS 1 8 2 AB"]}}}),
                "spec.dnssec.trustAnchors",
                "exactly one of builtIn and records",
            ),
            (
                json!({"cache": {"ttl": {"min": "1h", "max": "30m"}}}),
                "spec.cache.ttl",
                "min must not be more than max",
            ),
            (
                json!({"listeners": [{"name": "a"}, {"name": "b"}]}),
                "spec.listeners",
                "at most one listener of each protocol",
            ),
            (
                json!({"listeners": [{"name": "a", "protocol": "DoHPlaintext", "tls": {}}]}),
                "spec.listeners[0]",
                "remove tls, or use protocol DoH",
            ),
        ] {
            let refused = refusal(&cluster.client, &namespace.name, &spec).await?;
            let refused = refused.with_context(|| format!("accepted: {spec}"))?;
            ensure!(refused.causes.len() == 1, "{spec}: {refused:?}");
            let (at, message) = refused.causes.first().context("no cause")?;
            ensure!(
                at == field && message.contains(expected),
                "{spec}: {refused:?}"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_condition_says_what_is_wrong_with_the_secret() -> Result<()> {
    on_cluster(|cluster| async move {
        Helm::Four.install_once().await?;
        let namespace = Namespace::create(&cluster, "secret").await?;
        let tls = json!({"listeners": [{"name": "doh", "tls": {
            "certificate": {"secretRef": {"name": "dns-tls"}}}}]});
        let subject = Subject::apply(&namespace, "home", &spec(&cluster, 1, tls)).await?;
        let (reason, message) = subject.wait_for("CertificateReady", "False", LIMIT).await?;
        ensure!(message.contains("dns-tls"), "{reason}: {message}");
        let (_, ready) = subject.wait_for("Ready", "False", LIMIT).await?;
        ensure!(ready.contains("dns-tls"), "Ready does not say why: {ready}");

        // A key of another certificate.
        let host = subject.host();
        let first = rcgen::generate_simple_self_signed(vec![host.clone()])?;
        let second = rcgen::generate_simple_self_signed(vec![host])?;
        namespace
            .tls_secret(
                "dns-tls",
                &first.cert.pem(),
                &second.signing_key.serialize_pem(),
            )
            .await?;
        let (reason, message) = subject
            .wait_until_condition("CertificateReady", "False", LIMIT, |message| {
                message.contains("private key")
            })
            .await?;
        ensure!(
            message.contains("dns-tls") && message.contains("tls.key must belong"),
            "{reason}: {message}"
        );

        // The right key mends it without anything else.
        namespace
            .tls_secret(
                "dns-tls",
                &first.cert.pem(),
                &first.signing_key.serialize_pem(),
            )
            .await?;
        subject.wait_for("CertificateReady", "True", LIMIT).await?;
        subject.wait_ready().await
    })
    .await
}

fn spec_schema() -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/resolver.yaml");
    let crd: Value = serde_saphyr::from_str(&fs::read_to_string(path)?)?;
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec");
    schema.cloned().context("the CRD has no schema of spec")
}
