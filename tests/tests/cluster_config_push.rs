//! A change of config on a real cluster: live in every pod and acknowledged within 5 s, without a
//! restart and with the cache kept; by canary within 5 s after its window; and one that a pod rejects
//! changes nothing that is live.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use serde_json::{Value, json};
use weir_tests::cluster::doh::Answer;
use weir_tests::cluster::helm::Helm;
use weir_tests::cluster::namespace::Namespace;
use weir_tests::cluster::resolver::{Subject, spec};
use weir_tests::cluster::{Cluster, announce, on_cluster};

/// How soon a change must be live in every pod and acknowledged.
const LIVE_LIMIT: Duration = Duration::from_secs(5);

/// A spec with one local zone that has this address, and with other fields over it.
fn with_zone(cluster: &Cluster, record: &str, over: Value) -> Value {
    let mut all = spec(cluster, 3, over);
    all["resolution"]["localZones"] = json!([{"name": "nas.home.arpa", "records": [record]}]);
    all
}

#[tokio::test]
async fn a_change_is_live_everywhere_at_once() -> Result<()> {
    on_cluster(|cluster| async move {
        Helm::Four.install_once().await?;
        let namespace = Namespace::create(&cluster, "push").await?;
        let first = with_zone(&cluster, "@ A 192.0.2.1", json!({}));
        let subject = Subject::apply(&namespace, "home", &first).await?;
        subject.wait_ready().await?;
        let before = subject.wait_acknowledged("", LIVE_LIMIT).await?;
        for answer in ask_every_pod(&subject, "www.harbour.demo.").await? {
            ensure!(answer.addresses.len() == 1, "{answer:?}");
        }
        let restarts = subject.restarts().await?;
        // The TTL in the cache has to be seen to have gone down.
        tokio::time::sleep(Duration::from_millis(1500)).await;

        let start = Instant::now();
        subject
            .change(&with_zone(&cluster, "@ A 192.0.2.2", json!({})))
            .await?;
        subject.wait_acknowledged(&before, LIVE_LIMIT).await?;
        let taken = start.elapsed();
        announce(&format!(
            "live and acknowledged in three pods after {taken:?}"
        ));
        ensure!(taken < LIVE_LIMIT, "{taken:?}");
        for answer in ask_every_pod(&subject, "nas.home.arpa.").await? {
            ensure!(
                answer.addresses == ["192.0.2.2".parse::<std::net::IpAddr>()?],
                "{answer:?}"
            );
        }
        ensure!(subject.restarts().await? == restarts, "a pod was restarted");
        for answer in ask_every_pod(&subject, "www.harbour.demo.").await? {
            ensure!(
                answer.ttl.is_some_and(|ttl| ttl < 300),
                "the cache was emptied: {answer:?}"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_canary_goes_first() -> Result<()> {
    on_cluster(|cluster| async move {
        Helm::Four.install_once().await?;
        let namespace = Namespace::create(&cluster, "canary").await?;
        let canary =
            json!({"rollout": {"config": {"strategy": "Canary", "canaryPods": 1, "window": "3s"}}});
        let first = with_zone(&cluster, "@ A 192.0.2.1", canary.clone());
        let subject = Subject::apply(&namespace, "home", &first).await?;
        subject.wait_ready().await?;
        let before = subject
            .wait_acknowledged("", LIVE_LIMIT + Duration::from_secs(3))
            .await?;

        let start = Instant::now();
        subject
            .change(&with_zone(&cluster, "@ A 192.0.2.2", canary))
            .await?;
        tokio::time::sleep(Duration::from_millis(1800)).await;
        let changed = changed_pods(&subject, "192.0.2.2").await?;
        ensure!(
            changed == 1,
            "{changed} pods have the change within the window"
        );
        subject
            .wait_acknowledged(&before, LIVE_LIMIT + Duration::from_secs(3))
            .await?;
        announce(&format!(
            "by canary live in three pods after {:?}",
            start.elapsed()
        ));
        ensure!(
            start.elapsed() >= Duration::from_secs(3),
            "the window was not kept"
        );
        ensure!(changed_pods(&subject, "192.0.2.2").await? == 3);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_rejected_document_changes_nothing() -> Result<()> {
    on_cluster(|cluster| async move {
        Helm::Four.install_once().await?;
        let namespace = Namespace::create(&cluster, "reject").await?;
        let good = with_zone(&cluster, "@ A 192.0.2.1", json!({}));
        let subject = Subject::apply(&namespace, "home", &good).await?;
        subject.wait_ready().await?;
        let restarts = subject.restarts().await?;

        // The API server cannot read records; a pod can.
        subject
            .change(&with_zone(&cluster, "@ A 192.0.2.300", json!({})))
            .await?;
        let (reason, message) = subject
            .wait_for("ConfigAccepted", "False", Duration::from_secs(10))
            .await?;
        announce(&format!("{reason}: {message}"));
        ensure!(
            message.contains("resolution.localZones[0].records[0]"),
            "{reason}: {message}"
        );
        ensure!(
            changed_pods(&subject, "192.0.2.1").await? == 3,
            "what was live is not"
        );
        ensure!(subject.restarts().await? == restarts, "a pod was restarted");

        // A pod that starts now takes the last accepted document.
        let (victim, _) = restarts.first().context("no pods")?;
        weir_tests::cluster::process::kubectl(&["delete", "pod", victim, "-n", &namespace.name])
            .await?;
        weir_tests::cluster::eventually("the new pod answers", Duration::from_secs(30), || async {
            let changed = changed_pods(&subject, "192.0.2.1").await?;
            ensure!(changed == 3, "{changed} of 3");
            Ok(())
        })
        .await?;

        subject
            .change(&with_zone(&cluster, "@ A 192.0.2.3", json!({})))
            .await?;
        subject
            .wait_for("ConfigAccepted", "True", Duration::from_secs(10))
            .await?;
        ensure!(changed_pods(&subject, "192.0.2.3").await? == 3);
        Ok(())
    })
    .await
}

/// How many ready pods give this address for the local zone's name.
async fn changed_pods(subject: &Subject<'_>, address: &str) -> Result<usize> {
    let wanted = address.parse::<std::net::IpAddr>()?;
    let answers = ask_every_pod(subject, "nas.home.arpa.").await?;
    Ok(answers
        .iter()
        .filter(|answer| answer.addresses == [wanted])
        .count())
}

async fn ask_every_pod(subject: &Subject<'_>, name: &str) -> Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for client in subject.connect_every_pod().await? {
        let answer = client.ask(name, RecordType::A).await?;
        ensure!(answer.code == ResponseCode::NoError, "{name}: {answer:?}");
        answers.push(answer);
    }
    Ok(answers)
}
