//! Rotation of a certificate on a real cluster: new handshakes see it within 5 s, in every pod, while
//! a connection that was opened before goes on; and a bad pair replaces nothing.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hickory_proto::rr::RecordType;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use weir_tests::cluster::helm::Helm;
use weir_tests::cluster::namespace::Namespace;
use weir_tests::cluster::resolver::{Subject, spec};
use weir_tests::cluster::{Cluster, announce, eventually, on_cluster};

const SERVED_LIMIT: Duration = Duration::from_secs(5);

/// An authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Result<Self> {
        let mut parameters = CertificateParams::new(vec![])?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(
            parameters,
            KeyPair::generate()?,
        )?))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A new pair for a host: the certificate in PEM and DER, and the key in PEM.
    fn issue(&self, host: &str) -> Result<(String, Vec<u8>, String)> {
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(vec![host.to_owned()])?.signed_by(&key, &self.0)?;
        Ok((
            certificate.pem(),
            certificate.der().to_vec(),
            key.serialize_pem(),
        ))
    }
}

fn with_secret(cluster: &Cluster) -> Value {
    let tls = json!({"listeners": [{"name": "doh", "tls": {"certificate": {"secretRef": {"name": "dns-tls"}}}}]});
    spec(cluster, 2, tls)
}

#[tokio::test]
async fn new_handshakes_see_the_new_certificate() -> Result<()> {
    on_cluster(|cluster| async move {
        Helm::Four.install_once().await?;
        let namespace = Namespace::create(&cluster, "rotate").await?;
        let authority = Authority::new()?;
        let host = format!("home.{}.svc", namespace.name);
        let (chain, first, key) = authority.issue(&host)?;
        namespace.tls_secret("dns-tls", &chain, &key).await?;
        let subject = Subject::apply(&namespace, "home", &with_secret(&cluster)).await?;
        subject.wait_ready().await?;
        let restarts = subject.restarts().await?;
        let old = subject.connect_by(&authority.pem()).await?;
        ensure!(old.certificate == first, "another certificate is served");
        old.ask("www.harbour.demo.", RecordType::A).await?;

        let (chain, second, key) = authority.issue(&host)?;
        let start = Instant::now();
        namespace.tls_secret("dns-tls", &chain, &key).await?;
        eventually(
            "every pod serves the new certificate",
            SERVED_LIMIT,
            || async {
                for client in subject.connect_every_pod_by(&authority.pem()).await? {
                    ensure!(client.certificate == second, "a pod serves the old one");
                }
                Ok(())
            },
        )
        .await?;
        announce(&format!("served by every pod after {:?}", start.elapsed()));
        let answer = old.ask("landing.river.demo.", RecordType::A).await;
        ensure!(
            !answer
                .context("the old connection was cut")?
                .addresses
                .is_empty()
        );
        ensure!(subject.restarts().await? == restarts, "a pod was restarted");
        eventually(
            "status tells the certificate of each pod",
            SERVED_LIMIT,
            || async {
                let pods = subject.get().await?.status.unwrap_or_default().pods;
                let digests: Vec<_> = pods
                    .iter()
                    .filter_map(|pod| pod.certificate.clone())
                    .collect();
                ensure!(
                    digests.len() == 2 && digests.first() == digests.get(1),
                    "{pods:?}"
                );
                Ok(())
            },
        )
        .await?;

        // A certificate with the key of another is told, and is not served.
        let (chain, _, _) = authority.issue(&host)?;
        namespace.tls_secret("dns-tls", &chain, &key).await?;
        let (_, message) = subject
            .wait_for("CertificateReady", "False", Duration::from_secs(10))
            .await?;
        ensure!(message.contains("dns-tls"), "{message}");
        let client = subject.connect_by(&authority.pem()).await?;
        ensure!(
            client.certificate == second,
            "a bad pair replaced a good one"
        );
        Ok(())
    })
    .await
}
