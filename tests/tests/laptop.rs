//! A Resolver without a cluster: `weir-operator render --config-only FILE | weir-dataplane --config -`.
//!
//! Asks nothing of the network: the one question is answered by a local zone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use weir_tests::bench::load::{ask, connect, trusting_client};
use weir_tests::edge::free_port;
use weir_tests::local_task::block_on;

/// What a user may want to try; the root hints name this machine, so nothing leaves it.
const MANIFEST: &str = r#"
apiVersion: weir.dev/v1alpha1
kind: Resolver
metadata: {name: laptop}
spec:
  resolution:
    rootHints: {servers: [{name: a.root, addresses: ["127.0.0.1"]}]}
    localZones:
    - {name: weir.example, type: Static, records: ["page A 192.0.2.7"]}
"#;

/// Ends a child that a failing test leaves.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn render(manifest: &Path, config_only: bool) -> Output {
    let mut command = Command::new(weir_tests::program("weir-operator").unwrap());
    command.arg("render").arg(manifest);
    if config_only {
        command.arg("--config-only");
    }
    command.output().unwrap()
}

/// The data plane with a document on its standard input.
fn dataplane(document: &[u8], arguments: &[&str]) -> Ended {
    let mut child = Command::new(weir_tests::program("weir-dataplane").unwrap())
        .args(["--config", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(document).unwrap();
    Ended(child)
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("weir-laptop-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn every_example_renders_to_a_document_that_the_data_plane_takes() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let mut count = 0;
    for file in std::fs::read_dir(examples).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        count += 1;
        let objects = text(&render(&file, false).stdout);
        for kind in ["Deployment", "Service", "ConfigMap", "NetworkPolicy"] {
            assert!(
                objects.contains(&format!("kind: {kind}")),
                "{}: no {kind} in\n{objects}",
                file.display()
            );
        }
        let rendered = render(&file, true);
        assert!(rendered.status.success(), "{}", text(&rendered.stderr));
        let mut checked = dataplane(&rendered.stdout, &["--check"]);
        let status = checked.0.wait().unwrap();
        assert!(status.success(), "{}: {status}", file.display());
    }
    assert!(count >= 3, "only {count} examples");
}

#[test]
fn a_manifest_runs_on_a_laptop() {
    let folder = folder("run");
    let manifest = folder.join("resolver.yaml");
    std::fs::write(&manifest, MANIFEST).unwrap();
    let rendered = render(&manifest, true);
    assert!(rendered.status.success(), "{}", text(&rendered.stderr));

    let pair = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&certificate, pair.cert.pem()).unwrap();
    std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let address: SocketAddr = ([127, 0, 0, 1], free_port().unwrap()).into();
    let arguments = [
        "--listen",
        &address.to_string(),
        "--tls-cert",
        certificate.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
        "--workers",
        "1",
    ];
    let mut server = dataplane(&rendered.stdout, &arguments);
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(address).is_err() {
        let ended = server.0.try_wait().unwrap();
        assert!(ended.is_none(), "the data plane ended: {ended:?}");
        assert!(Instant::now() < deadline, "nobody listens at {address}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (status, body) = block_on(async {
        let sender = connect(address, trusting_client(false)).await.unwrap();
        ask(&sender, address, "page.weir.example").await.unwrap()
    })
    .unwrap();
    assert_eq!(status, 200);
    assert!(
        body.windows(4).any(|octets| octets == [192, 0, 2, 7]),
        "{body:?}"
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_is_wrong_is_named_by_the_first_that_can_know() {
    let folder = folder("wrong");
    let manifest = folder.join("resolver.yaml");
    std::fs::write(&manifest, MANIFEST.replace("localZones", "localZone")).unwrap();
    let rendered = render(&manifest, true);
    assert!(!rendered.status.success());
    assert!(rendered.stdout.is_empty());
    let complaint = text(&rendered.stderr);
    assert!(
        complaint.contains("spec.resolution.localZone: a Resolver has no such field"),
        "{complaint}"
    );

    // What records mean is the data plane's to know; the operator only carries them.
    std::fs::write(&manifest, MANIFEST.replace("192.0.2.7", "192.0.2.700")).unwrap();
    let rendered = render(&manifest, true);
    assert!(rendered.status.success(), "{}", text(&rendered.stderr));
    let mut checked = dataplane(&rendered.stdout, &["--check"]);
    assert!(!checked.0.wait().unwrap().success());
    let mut complaint = String::new();
    let mut errors = checked.0.stderr.take().unwrap();
    errors.read_to_string(&mut complaint).unwrap();
    assert!(
        complaint.contains("localZones[0].records[0]"),
        "{complaint}"
    );
    std::fs::remove_dir_all(folder).unwrap();
}
