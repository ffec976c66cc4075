//! What ends on a real cluster: a pod, and the operator. Clients that retry lose no answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use hickory_proto::rr::RecordType;
use serde_json::json;
use tokio::task::JoinHandle;
use weir_tests::cluster::doh::DohClient;
use weir_tests::cluster::helm::{Helm, NAMESPACE};
use weir_tests::cluster::namespace::Namespace;
use weir_tests::cluster::process::kubectl;
use weir_tests::cluster::resolver::{Subject, spec};
use weir_tests::cluster::{announce, eventually, on_cluster};

/// How long a client asks the same again before its answer counts as lost: what a stub resolver waits
/// by default (`timeout` of `resolv.conf`).
const PATIENCE: Duration = Duration::from_secs(5);

/// A client that asks all the time, and connects anew when its connection ends.
struct Client {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    task: JoinHandle<Result<u64>>,
}

impl Client {
    /// Starts it once the Service leads to the pods, which a node learns a moment after they are ready.
    async fn start(subject: &Subject<'_>) -> Result<Self> {
        let mut connection = Some(subject.connect().await?);
        let address = format!("{}:443", subject.address().await?).parse()?;
        let (host, authority) = (subject.host(), subject.authority().await?);
        let stop = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(AtomicU64::new(0));
        let (stopping, counted) = (Arc::clone(&stop), Arc::clone(&answers));
        let task = tokio::spawn(async move {
            let mut retries = 0;
            while !stopping.load(Ordering::Relaxed) {
                let asked_first = Instant::now();
                loop {
                    let asked = ask(&mut connection, address, &host, &authority).await;
                    match asked {
                        Ok(()) => break,
                        Err(error) if asked_first.elapsed() > PATIENCE => {
                            bail!("an answer was lost: {error:#}")
                        }
                        Err(_) => {
                            connection = None;
                            retries += 1;
                            tokio::time::sleep(Duration::from_millis(200)).await;
                        }
                    }
                }
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(retries)
        });
        Ok(Self {
            stop,
            answers,
            task,
        })
    }

    /// Stops it; gives how many answers it got and how often it had to ask again.
    async fn stop(self) -> Result<(u64, u64)> {
        self.stop.store(true, Ordering::Relaxed);
        let retries = self.task.await??;
        Ok((self.answers.load(Ordering::Relaxed), retries))
    }
}

async fn ask(
    connection: &mut Option<DohClient>,
    address: std::net::SocketAddr,
    host: &str,
    authority: &str,
) -> Result<()> {
    let client = match connection {
        Some(client) => client,
        None => connection.insert(DohClient::connect(address, host, authority).await?),
    };
    let answer = client.ask("www.harbour.demo.", RecordType::A).await?;
    ensure!(!answer.addresses.is_empty(), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn nothing_is_lost_when_pods_or_the_operator_end() -> Result<()> {
    on_cluster(|cluster| async move {
        Helm::Four.install_once().await?;
        let namespace = Namespace::create(&cluster, "drain").await?;
        let subject = Subject::apply(&namespace, "home", &spec(&cluster, 2, json!({}))).await?;
        subject.wait_ready().await?;

        let clients = [Client::start(&subject).await?, Client::start(&subject).await?];
        replace_one_pod(&subject).await?;
        report("a pod was deleted", clients).await?;

        scale_operator(0).await?;
        let clients = [Client::start(&subject).await?, Client::start(&subject).await?];
        let replaced = replace_one_pod(&subject).await;
        scale_operator(1).await?;
        replaced.context("a pod does not come up without the operator")?;
        report("a pod was deleted while the operator was down", clients).await?;

        // Back again, the operator takes up changes.
        let zone = json!({"resolution": {"localZones": [{"name": "nas.home.arpa", "records": ["@ A 192.0.2.7"]}]}});
        subject.change(&spec(&cluster, 2, zone)).await?;
        subject.wait_ready().await?;
        let answer = subject.connect().await?.ask("nas.home.arpa.", RecordType::A).await?;
        ensure!(answer.addresses.len() == 1, "{answer:?}");
        Ok(())
    })
    .await
}

async fn report(what: &str, clients: [Client; 2]) -> Result<()> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    for client in clients {
        let (answers, retries) = client.stop().await.with_context(|| what.to_owned())?;
        announce(&format!(
            "{what}: {answers} answers, {retries} asked again, none lost"
        ));
        ensure!(answers > 50, "the client hardly asked: {answers}");
    }
    Ok(())
}

async fn replace_one_pod(subject: &Subject<'_>) -> Result<()> {
    let before = subject.restarts().await?;
    let (victim, _) = before.first().context("no pods")?;
    let namespace = &subject.namespace.name;
    kubectl(&[
        "delete",
        "pod",
        victim,
        "-n",
        namespace,
        "--wait=true",
        "--timeout=60s",
    ])
    .await?;
    eventually(
        "two pods are ready again",
        Duration::from_secs(60),
        || async {
            let ready = subject.ready_addresses().await?.len();
            ensure!(ready == 2, "{ready} are ready");
            Ok(())
        },
    )
    .await
}

async fn scale_operator(replicas: u32) -> Result<()> {
    let count = format!("--replicas={replicas}");
    kubectl(&["scale", "deployment/weir-operator", "-n", NAMESPACE, &count]).await?;
    let wanted = if replicas == 0 {
        "--for=delete"
    } else {
        "--for=condition=Ready"
    };
    let label = "--selector=app.kubernetes.io/name=weir-operator";
    if replicas > 0 {
        kubectl(&[
            "rollout",
            "status",
            "deployment/weir-operator",
            "-n",
            NAMESPACE,
            "--timeout=60s",
        ])
        .await?;
    }
    kubectl(&[
        "wait",
        "pod",
        label,
        "-n",
        NAMESPACE,
        wanted,
        "--timeout=60s",
    ])
    .await?;
    Ok(())
}
