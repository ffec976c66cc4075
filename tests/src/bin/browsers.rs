//! `make test-browsers`: headless Chromium and Firefox, by their own DoH policies, open a page whose name
//! only Weir can resolve.
//!
//! Runs inside a network and mount namespace of its own (the Makefile makes them), so the policies that it
//! puts under `/etc` and the address of the page exist for it alone.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use data_encoding::BASE64;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The address of the page: TEST-NET-2 (RFC 5737), on the loopback device of the namespace.
const PAGE_ADDRESS: &str = "198.51.100.1";
/// The name of the page, of which no other resolver knows.
const PAGE_NAME: &str = "page.only-weir.example";
/// Where Weir answers.
const RESOLVER: &str = "127.0.0.1:8443";

fn main() -> ExitCode {
    match run() {
        Ok(failed) => {
            println!("{} passed, {failed} failed", 2 - failed);
            if failed == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("browsers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<u32> {
    let folder = std::env::temp_dir().join(format!("weir-browsers-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    shell("ip link set lo up")?;
    shell(&format!("ip address add {PAGE_ADDRESS}/32 dev lo"))?;
    let authority = certificates(&folder)?;
    let resolver = Ended(start_resolver(&folder)?);
    write_policies(&folder, &authority)?;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let visits: Arc<Mutex<Vec<String>>> = Arc::default();
    let listener = runtime.block_on(TcpListener::bind((PAGE_ADDRESS, 80)))?;
    runtime.spawn(serve_page(listener, visits.clone()));

    let mut failed = 0;
    let profile = folder.join("chromium");
    let chromium = Command::new("chromium")
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(["--dump-dom", &format!("http://{PAGE_NAME}/")])
        .spawn_quietly(&folder.join("chromium.log"))?;
    failed += u32::from(!report("Chromium", "Chrome/", chromium, &visits));

    let profile = folder.join("firefox");
    std::fs::create_dir_all(&profile)?;
    let firefox = Command::new("firefox-esr")
        .args(["--headless", "--no-remote", "--profile"])
        .arg(&profile)
        .arg("--screenshot")
        .arg(folder.join("firefox.png"))
        .arg(format!("http://{PAGE_NAME}/"))
        .env("HOME", &folder)
        .spawn_quietly(&folder.join("firefox.log"))?;
    failed += u32::from(!report("Firefox", "Firefox/", firefox, &visits));

    drop(resolver);
    if failed == 0 {
        std::fs::remove_dir_all(&folder)?;
    } else {
        println!("logs: {}", folder.display());
    }
    Ok(failed)
}

/// A process that is ended when this goes.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

trait SpawnQuietly {
    fn spawn_quietly(&mut self, log: &Path) -> anyhow::Result<Child>;
}

impl SpawnQuietly for Command {
    fn spawn_quietly(&mut self, log: &Path) -> anyhow::Result<Child> {
        let output = std::fs::File::create(log)?;
        self.stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{}", self.get_program().to_string_lossy()))
    }
}

/// Waits until the page was asked for by this browser, at most 60 seconds.
fn report(name: &str, user_agent: &str, browser: Child, visits: &Mutex<Vec<String>>) -> bool {
    let browser = Ended(browser);
    let deadline = Instant::now() + Duration::from_secs(60);
    let seen = loop {
        let seen = visits
            .lock()
            .is_ok_and(|visits| visits.iter().any(|agent| agent.contains(user_agent)));
        if seen || Instant::now() > deadline {
            break seen;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    println!(
        "{name}: {}",
        if seen {
            "opened the page"
        } else {
            "did not open the page"
        }
    );
    drop(browser);
    seen
}

/// A certificate authority and a certificate of it for the resolver; gives the authority's in DER.
fn certificates(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let mut parameters = rcgen::CertificateParams::new(Vec::new())?;
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Weir browser test");
    let key = rcgen::KeyPair::generate()?;
    let authority = parameters.self_signed(&key)?;
    let issuer = rcgen::Issuer::new(parameters, key);
    let leaf_key = rcgen::KeyPair::generate()?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let leaf = rcgen::CertificateParams::new(names)?.signed_by(&leaf_key, &issuer)?;
    std::fs::write(folder.join("ca.crt"), authority.pem())?;
    std::fs::write(folder.join("tls.crt"), leaf.pem())?;
    std::fs::write(folder.join("tls.key"), leaf_key.serialize_pem())?;
    Ok(authority.der().to_vec())
}

fn start_resolver(folder: &Path) -> anyhow::Result<Child> {
    // Firefox asks for the name servers of example.com before it trusts a DoH server.
    let config = json!({
        "resolution": { "rootHints": { "servers": [{ "name": "nobody", "addresses": ["127.0.0.1"] }] }, "localZones": [
            { "name": "only-weir.example", "type": "Static", "records": [format!("page A {PAGE_ADDRESS}")] },
            { "name": "example.com", "type": "Static", "records": ["@ NS ns"] },
        ] },
        "metrics": { "address": "127.0.0.1:9153" },
    });
    let file = folder.join("config.json");
    weir_tests::closed_world::check(&config.to_string())?;
    std::fs::write(&file, config.to_string())?;
    let program = weir_tests::program("weir-dataplane")?;
    let child = Command::new(program)
        .args(["--listen", RESOLVER, "--workers", "1", "--config"])
        .arg(&file)
        .arg("--tls-cert")
        .arg(folder.join("tls.crt"))
        .arg("--tls-key")
        .arg(folder.join("tls.key"))
        .spawn_quietly(&folder.join("weir.log"))?;
    let address: SocketAddr = RESOLVER.parse()?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(address).is_err() {
        if Instant::now() > deadline {
            bail!(
                "the resolver does not listen; its log is {}",
                folder.join("weir.log").display()
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(child)
}

/// Lays the DoH policies of both browsers over `/etc`, in this mount namespace alone.
fn write_policies(folder: &Path, authority: &[u8]) -> anyhow::Result<()> {
    let template = format!("https://{RESOLVER}/dns-query");
    let chromium = json!({
        "DnsOverHttpsMode": "secure",
        "DnsOverHttpsTemplates": format!("{template}{{?dns}}"),
        "CACertificates": [BASE64.encode(authority)],
    });
    let firefox = json!({ "policies": {
        "DNSOverHTTPS": { "Enabled": true, "ProviderURL": template, "Locked": true, "Fallback": false },
        "Certificates": { "Install": [folder.join("ca.crt")] },
        "DisableTelemetry": true,
        "OverrideFirstRunPage": "",
        "Preferences": { "network.captive-portal-service.enabled": { "Value": false, "Status": "locked" } },
    } });
    overlay(
        folder,
        "/etc/chromium/policies/managed",
        "weir.json",
        &chromium.to_string(),
    )?;
    overlay(
        folder,
        "/etc/firefox/policies",
        "policies.json",
        &firefox.to_string(),
    )
}

/// Mounts a folder that holds one file over `target`.
fn overlay(folder: &Path, target: &str, file: &str, text: &str) -> anyhow::Result<()> {
    let source = folder.join(file.replace('.', "-"));
    std::fs::create_dir_all(&source)?;
    std::fs::write(source.join(file), text)?;
    std::fs::create_dir_all(target)?;
    shell(&format!("mount --bind {} {target}", source.display()))
}

fn shell(command: &str) -> anyhow::Result<()> {
    let mut words = command.split(' ');
    let status = Command::new(words.next().unwrap_or_default())
        .args(words)
        .status()?;
    if !status.success() {
        bail!("`{command}` failed; run this through `make test-browsers`");
    }
    Ok(())
}

/// Answers every request with a page and notes the browser that asked for the name.
async fn serve_page(listener: TcpListener, visits: Arc<Mutex<Vec<String>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(visit(stream, visits.clone()));
    }
}

async fn visit(mut stream: TcpStream, visits: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    let mut chunk = [0; 2048];
    while let Ok(length @ 1..) = stream.read(&mut chunk).await {
        request.extend_from_slice(chunk.get(..length).unwrap_or_default());
        if request.windows(4).any(|octets| octets == b"\r\n\r\n") || request.len() > 16_384 {
            break;
        }
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    if text.contains(&format!("Host: {PAGE_NAME}"))
        && let Ok(mut visits) = visits.lock()
    {
        visits.push(text);
    }
    let page = "<!doctype html><title>Weir</title><p>only Weir knows this name</p>";
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
}
