//! From the chart to an answer and back: install with Helm, a `Resolver` to `Ready`, answers over its
//! Service for `kdig` and `curl`, deletion of every child, and an uninstall that leaves Resolvers alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use weir_tests::cluster::helm::{Helm, NAMESPACE};
use weir_tests::cluster::namespace::Namespace;
use weir_tests::cluster::process::{kubectl, run};
use weir_tests::cluster::resolver::{Subject, spec};
use weir_tests::cluster::{Cluster, announce, eventually, on_cluster};

/// The children of a `Resolver`.
const CHILDREN: &str =
    "configmap,secret,service,serviceaccount,deployment,poddisruptionbudget,networkpolicy,pod";

/// These tests change the release that they share, so they take turns.
static TURN: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn a_user_installs_asks_and_removes() -> Result<()> {
    let _turn = TURN.lock().await;
    on_cluster(|cluster| async move {
        let notes = Helm::Four.install().await?;
        ensure!(
            notes.contains("kind: Resolver"),
            "NOTES give no next command: {notes}"
        );
        let namespace = Namespace::create(&cluster, "install").await?;
        let subject = ready(&cluster, &namespace).await?;
        printed_as_documented(&subject).await?;
        every_child_is_owned(&subject).await?;
        kdig_verifies_and_gets_the_answer(&subject).await?;
        curl_resolves_through_it(&cluster, &subject).await?;
        helm_test(Helm::Four).await?;
        helm_test(Helm::Three).await?;

        subject.delete().await?;
        eventually("every child is gone", Duration::from_secs(60), || async {
            let left = children(&subject).await?;
            ensure!(left.is_empty(), "left: {left:?}");
            Ok(())
        })
        .await
    })
    .await
}

#[tokio::test]
async fn an_uninstall_leaves_resolvers_alone() -> Result<()> {
    let _turn = TURN.lock().await;
    on_cluster(|cluster| async move {
        Helm::Four.install().await?;
        let namespace = Namespace::create(&cluster, "uninstall").await?;
        let subject = ready(&cluster, &namespace).await?;
        Helm::Four.uninstall().await?;
        subject
            .get()
            .await
            .context("the Resolver went with the release")?;
        let pods = subject.pods().await?.len();
        ensure!(pods == 2, "{pods} pods are left");
        let answer = subject
            .connect()
            .await?
            .ask("www.harbour.demo.", "A".parse()?)
            .await?;
        ensure!(!answer.addresses.is_empty(), "{answer:?}");

        // Another version of Helm installs it again, and the operator goes on where it was.
        Helm::Three.install().await?;
        subject.change(&spec(&cluster, 1, json!({}))).await?;
        subject.wait_ready().await
    })
    .await
}

async fn ready<'a>(cluster: &Cluster, namespace: &'a Namespace) -> Result<Subject<'a>> {
    let zone = json!({"resolution": {"localZones": [
        {"name": "web.home.arpa", "records": [format!("@ A {}", pod_address("root").await?)]},
    ]}});
    let subject = Subject::apply(namespace, "home", &spec(cluster, 2, zone)).await?;
    subject.wait_ready().await?;
    // kdig and curl do not wait for the node to know of the Service's pods.
    subject.connect().await?;
    Ok(subject)
}

/// The address of one pod of the demo's internet, which serves HTTP on port 8181.
async fn pod_address(server: &str) -> Result<String> {
    let selector = format!("app.kubernetes.io/name={server}");
    let path = "jsonpath={.items[0].status.podIP}";
    kubectl(&[
        "get",
        "pods",
        "-n",
        "weir-internet",
        "-l",
        &selector,
        "-o",
        path,
    ])
    .await
}

async fn printed_as_documented(subject: &Subject<'_>) -> Result<()> {
    let table = kubectl(&["get", "resolver", "-n", &subject.namespace.name]).await?;
    announce(&table);
    let mut lines = table.lines();
    let header: Vec<_> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    ensure!(
        header == ["NAME", "READY", "PODS", "REVISION", "ENDPOINT", "AGE"],
        "{table}"
    );
    let line: Vec<_> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let endpoint = format!("https://{}/dns-query{{?dns}}", subject.host());
    ensure!(line.get(..3) == Some(&["home", "True", "2/2"]), "{table}");
    ensure!(line.get(4) == Some(&endpoint.as_str()), "{table}");
    let by_category =
        kubectl(&["get", "weir", "-n", &subject.namespace.name, "-o", "name"]).await?;
    ensure!(
        by_category.trim() == "resolver.weir.dev/home",
        "{by_category}"
    );
    Ok(())
}

/// What is in the namespace because of the `Resolver`: `kind/name`.
async fn children(subject: &Subject<'_>) -> Result<Vec<String>> {
    let owned = objects(subject).await?;
    Ok(owned
        .iter()
        .filter(|object| {
            object["metadata"]["name"]
                .as_str()
                .is_some_and(|name| name.starts_with("home"))
        })
        .map(|object| {
            format!(
                "{}/{}",
                text(&object["kind"]),
                text(&object["metadata"]["name"])
            )
        })
        .collect())
}

async fn objects(subject: &Subject<'_>) -> Result<Vec<Value>> {
    let list = kubectl(&["get", CHILDREN, "-n", &subject.namespace.name, "-o", "json"]).await?;
    let list: Value = serde_json::from_str(&list)?;
    list["items"].as_array().cloned().context("no list")
}

async fn every_child_is_owned(subject: &Subject<'_>) -> Result<()> {
    let uid = subject
        .get()
        .await?
        .metadata
        .uid
        .context("a Resolver without uid")?;
    let owned: BTreeSet<_> = objects(subject)
        .await?
        .iter()
        .filter(|object| object["metadata"]["ownerReferences"][0]["uid"] == uid)
        .map(|object| text(&object["kind"]))
        .collect();
    for kind in [
        "ConfigMap",
        "Deployment",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Secret",
        "Service",
        "ServiceAccount",
    ] {
        ensure!(
            owned.contains(kind),
            "no {kind} is owned by the Resolver: {owned:?}"
        );
    }
    Ok(())
}

async fn kdig_verifies_and_gets_the_answer(subject: &Subject<'_>) -> Result<()> {
    let file = authority_file(subject).await?;
    let trusted = format!("+tls-ca={}", file.display());
    let server = format!("@{}", subject.address().await?);
    let host = format!("+tls-hostname={}", subject.host());
    let ask = [
        &server,
        "+https=/dns-query",
        &trusted,
        &host,
        "+retry=0",
        "www.harbour.demo",
        "A",
    ];
    let answer = run("kdig", &ask).await?;
    ensure!(
        answer.contains("192.0.2.80") && answer.contains("NOERROR"),
        "{answer}"
    );
    // kdig tells an answer that it could not verify by its exit status too.
    let other = "+tls-hostname=other.example";
    let ask = [
        &server,
        "+https=/dns-query",
        &trusted,
        other,
        "+retry=0",
        "www.harbour.demo",
        "A",
    ];
    if let Ok(answer) = run("kdig", &ask).await {
        ensure!(
            !answer.contains("192.0.2.80"),
            "the certificate is not verified: {answer}"
        );
    }
    fs::remove_file(file)?;
    Ok(())
}

async fn curl_resolves_through_it(cluster: &Cluster, subject: &Subject<'_>) -> Result<()> {
    let file = authority_file(subject).await?;
    let service = format!("https://{}/dns-query", subject.host());
    let pinned = format!("{}:443:{}", subject.host(), subject.address().await?);
    let trusted = file.display().to_string();
    let page = run(
        "curl",
        &[
            "--silent",
            "--show-error",
            "--max-time",
            "10",
            "--doh-url",
            &service,
            "--resolve",
            &pinned,
            "--cacert",
            &trusted,
            "http://web.home.arpa:8181/ready",
        ],
    )
    .await?;
    ensure!(
        page.trim() == "OK",
        "curl got {page:?}, with the root at {}",
        cluster.root
    );
    fs::remove_file(file)?;
    Ok(())
}

async fn authority_file(subject: &Subject<'_>) -> Result<PathBuf> {
    let file = std::env::temp_dir().join(format!(
        "weir-{}-{}.crt",
        subject.namespace.name,
        std::process::id()
    ));
    fs::write(&file, subject.authority().await?)?;
    Ok(file)
}

async fn helm_test(helm: Helm) -> Result<()> {
    let kubeconfig = format!("--kubeconfig={}", std::env::var("WEIR_CLUSTER")?);
    let said = helm
        .run(&[
            "test",
            "weir",
            "--namespace",
            NAMESPACE,
            "--timeout",
            "120s",
            &kubeconfig,
        ])
        .await?;
    if !said.contains("Succeeded") {
        bail!("{helm:?} test: {said}");
    }
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
