//! `App`: the process. Binds, starts the workers, serves health, metrics and pushes on a runtime
//! of their own, follows files and signals, and ends without cutting a client off.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use weir_config::listener::{Listener, ListenerProtocol};
use weir_config::{DataplaneConfig, Problem};
use weir_resolver::answer::Answer;
use weir_resolver::cache::Cache;
use weir_resolver::infra::Infra;
use weir_resolver::name::Name;
use weir_resolver::settings::Settings;

use crate::admin::health::{self, Health};
use crate::admin::push;
use crate::certificate::{
    CertificateFault, CertificateFiles, CertificateStore, ServingKey, self_signed,
};
use crate::clock::Clock;
use crate::control::{Control, Parts, proxies};
use crate::driver::Command;
use crate::edge::Edge;
use crate::entropy;
use crate::listener::{self, ListenerState};
use crate::overrides::Overrides;
use crate::route::Routes;
use crate::settings;
use crate::telemetry::book;
use crate::telemetry::metric::Metrics;
use crate::telemetry::record::{LateRecorder, RECORDS_MAX, Recorder};
use crate::tls::{self, TlsFault};
use crate::worker::{Plan, Worker};

/// How often files are looked at.
const FILES_INTERVAL: Duration = Duration::from_secs(1);
/// How often a drain looks whether connections are left.
const DRAIN_INTERVAL: Duration = Duration::from_millis(50);
/// From the last GOAWAY to the end of the process.
const ABORT_GRACE: Duration = Duration::from_secs(3);
/// Names in a certificate that is made here.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Why the process does not start.
#[derive(Debug, thiserror::Error)]
pub enum AppFault {
    /// The configuration cannot be used.
    #[error("the configuration cannot be used")]
    Config(Vec<Problem>),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({what}): {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Its field in the configuration.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// A key pair cannot be served.
    #[error("{0}")]
    Certificate(#[from] CertificateFault),
    /// TLS cannot be set up.
    #[error("{0}")]
    Tls(#[from] TlsFault),
    /// The system gives no thread, runtime or signal handler.
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
}

/// What the process is started with.
#[derive(Debug, Default)]
pub struct Options {
    /// The document.
    pub config: DataplaneConfig,
    /// The file that it came from, which is followed.
    pub file: Option<PathBuf>,
    /// What the command line puts over it.
    pub overrides: Overrides,
    /// Where a certificate that is made here is kept.
    pub folder: PathBuf,
}

/// One listener that is being set up.
struct Bound {
    state: Arc<ListenerState>,
    store: Option<Arc<CertificateStore>>,
    files: Option<CertificateFiles>,
    sockets: Vec<std::net::TcpListener>,
}

/// Runs until a signal ends the process.
///
/// # Errors
/// Why it cannot start.
pub fn run(options: Options) -> Result<(), AppFault> {
    let config = options.overrides.over(options.config.clone());
    let workers = worker_count(config.workers);
    let translated = settings::translate(&config, 0, workers).map_err(AppFault::Config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let mut bound = Vec::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        bound.push(bind(index, listener, workers, &options.folder)?);
    }
    runtime.block_on(serve(options, config, Arc::new(translated), bound, workers))
}

/// What is wrong with a document that is in order by itself.
///
/// # Errors
/// Every field that cannot be used, and what to change.
pub fn check(config: &DataplaneConfig) -> Result<(), Vec<Problem>> {
    let mut problems = settings::translate(config, 0, worker_count(config.workers))
        .err()
        .unwrap_or_default();
    for (index, listener) in config.listeners.iter().enumerate() {
        if let Some(tls) = &listener.tls
            && let Err(fault) =
                ServingKey::read(Path::new(&tls.certificate_file), Path::new(&tls.key_file))
        {
            let field = format!("listeners[{index}].tls");
            problems.push(Problem {
                field,
                message: fault.to_string(),
            });
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// Threads that serve: what the document says, or one for each core that the process may use.
fn worker_count(configured: u32) -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let count = if configured == 0 {
        cores
    } else {
        configured as usize
    };
    u16::try_from(count).unwrap_or(1).clamp(1, 1024)
}

fn bind(index: usize, listener: &Listener, workers: u16, folder: &Path) -> Result<Bound, AppFault> {
    let mut address = listener.address;
    let mut sockets = Vec::new();
    for _ in 0..workers {
        let fault = |source| AppFault::Listen {
            address,
            what: format!("listeners[{index}].address"),
            source,
        };
        let socket = listener::bind(address).map_err(fault)?;
        // Port 0 lets the system choose once, for all.
        address = socket.local_addr().map_err(fault)?;
        sockets.push(socket);
    }
    let (key, files) = match (&listener.protocol, &listener.tls) {
        (ListenerProtocol::DoHPlaintext, _) => (None, None),
        (ListenerProtocol::DoH, Some(tls)) => {
            let (chain, key) = (Path::new(&tls.certificate_file), Path::new(&tls.key_file));
            let mut files = CertificateFiles::new(chain, key);
            let first = files.changed()?;
            (first, Some(files))
        }
        (ListenerProtocol::DoH, None) => (Some(own_certificate(listener, folder)?), None),
    };
    let store = key.map(CertificateStore::new);
    let tls = match &store {
        Some(store) => {
            let authority = listener
                .tls
                .as_ref()
                .and_then(|tls| tls.client_ca_file.as_deref());
            let server = tls::server(Arc::clone(store), authority.map(Path::new))?;
            Some(ArcSwap::from_pointee(server))
        }
        None => None,
    };
    let state = Arc::new(ListenerState {
        name: listener.name.clone(),
        address,
        edge: Arc::new(ArcSwap::from_pointee(Edge::from(listener))),
        tls,
        proxies: ArcSwap::from_pointee(proxies(listener)),
        clients: Default::default(),
    });
    Ok(Bound {
        state,
        store,
        files,
        sockets,
    })
}

fn own_certificate(listener: &Listener, folder: &Path) -> Result<ServingKey, CertificateFault> {
    let mut names: Vec<String> = LOCAL_NAMES.iter().map(|name| (*name).to_owned()).collect();
    names.extend(listener.hostnames.iter().cloned());
    if !listener.address.ip().is_unspecified() && !listener.address.ip().is_loopback() {
        names.push(listener.address.ip().to_string());
    }
    self_signed(folder, &names)
}

async fn serve(
    options: Options,
    config: DataplaneConfig,
    settings: Arc<Settings>,
    bound: Vec<Bound>,
    workers: u16,
) -> Result<(), AppFault> {
    let metrics = Arc::new(Metrics::default());
    let clock = Clock::start();
    let cache = Arc::new(Cache::new(settings.cache.size, entropy::seed()));
    let (records, receiver) = mpsc::channel(RECORDS_MAX);
    let (traces, followed) = watch::channel(config.telemetry.traces.clone());
    let book = tokio::spawn(book::keep(receiver, followed, clock));
    let health = Arc::new(Health::default());
    let http = listen_tcp(config.metrics.address, "metrics.address").await?;
    tokio::spawn(health::serve(
        http,
        Arc::clone(&health),
        Arc::clone(&metrics),
    ));

    let mut running = Vec::new();
    let routes = Arc::new(Routes::new(workers, entropy::seed()));
    let (infra, upstream_tls) = (Arc::new(Infra::default()), Arc::new(tls::upstream()?));
    let mut sockets: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    let mut listeners = Vec::new();
    let mut files = Vec::new();
    for listener in bound {
        announce(&listener, &options.folder);
        for (share, socket) in sockets.iter_mut().zip(listener.sockets) {
            share.push((socket, Arc::clone(&listener.state)));
        }
        if let (Some(watched), Some(store)) = (listener.files, &listener.store) {
            files.push((watched, Arc::clone(store)));
        }
        listeners.push((listener.state, listener.store));
    }
    for (index, sockets) in (0..workers).zip(sockets) {
        running.push(Worker::start(Plan {
            index,
            clock,
            routes: Arc::clone(&routes),
            metrics: metrics.worker(),
            cache: Arc::clone(&cache),
            infra: Arc::clone(&infra),
            settings: Arc::clone(&settings),
            traces: config.telemetry.traces.clone(),
            recorder: Recorder::new(records.clone(), Arc::clone(&metrics)),
            upstream_tls: Arc::clone(&upstream_tls),
            sockets,
        })?);
    }
    let (probes, probed) = mpsc::unbounded_channel();
    let control = Control::new(Parts {
        folder: options.folder,
        probes,
        config: options.config,
        settings,
        overrides: options.overrides,
        commands: running.iter().map(Worker::commands).collect(),
        listeners,
        traces,
        cache: Arc::clone(&cache),
        clock,
        metrics: Arc::clone(&metrics),
        recorder: LateRecorder::new(&records, Arc::clone(&metrics)),
    });
    drop(records);
    control.note_certificate();
    start_admin(&config, &control).await?;
    health.set_ready(true);
    tokio::spawn(track(Arc::clone(&control), probed));
    follow(
        options.file,
        files,
        &control,
        &cache,
        &metrics,
        &health,
        &running,
    )
    .await?;
    drain(&control, &health, &metrics, &running).await;
    for worker in &running {
        worker.command(Command::Stop);
    }
    tokio::task::block_in_place(|| running.into_iter().for_each(Worker::join));
    drop(control);
    // What is left in the book is exported; a collector that does not answer is not waited for.
    let _ = tokio::time::timeout(Duration::from_secs(5), book).await;
    Ok(())
}

async fn listen_tcp(address: SocketAddr, what: &str) -> Result<TcpListener, AppFault> {
    let fault = |source| AppFault::Listen {
        address,
        what: what.to_owned(),
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(fault)?;
    let bound = listener.local_addr().map_err(fault)?;
    tracing::info!(address = %bound, "{what}");
    Ok(listener)
}

fn announce(listener: &Bound, folder: &Path) {
    let scheme = if listener.store.is_some() {
        "https"
    } else {
        "http"
    };
    let edge = listener.state.edge.load();
    let path = edge.paths.first().map_or("/", |path| path);
    let url = format!("{scheme}://{}{path}", listener.state.address);
    match (&listener.store, &listener.files) {
        (Some(store), None) => tracing::info!(
            url,
            certificate = %folder.join("tls.crt").display(),
            fingerprint = store.current().fingerprint(),
            "serving DNS over HTTPS with a self-signed certificate"
        ),
        (Some(store), Some(_)) => tracing::info!(
            url,
            fingerprint = store.current().fingerprint(),
            "serving DNS over HTTPS"
        ),
        (None, _) => tracing::info!(url, "serving DNS over HTTP without TLS"),
    }
}

async fn start_admin(config: &DataplaneConfig, control: &Arc<Control>) -> Result<(), AppFault> {
    let Some(admin) = &config.admin else {
        return Ok(());
    };
    let mut files = CertificateFiles::new(
        Path::new(&admin.certificate_file),
        Path::new(&admin.key_file),
    );
    let Some(key) = files.changed()? else {
        return Ok(());
    };
    let store = CertificateStore::new(key);
    let tls = tls::server(Arc::clone(&store), Some(Path::new(&admin.ca_file)))?;
    let listener = listen_tcp(admin.address, "admin.address").await?;
    let target: Arc<dyn push::Apply> = Arc::clone(control) as Arc<dyn push::Apply>;
    tokio::spawn(push::serve(listener, Arc::new(tls), target));
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(FILES_INTERVAL).await;
            match files.changed() {
                Ok(Some(key)) => store.replace(key),
                Ok(None) => {}
                Err(fault) => tracing::warn!(%fault, "the certificate of the admin port is kept"),
            }
        }
    });
    Ok(())
}

/// Follows files and counts until a signal comes; `Err` only when there are no signals.
async fn follow(
    file: Option<PathBuf>,
    mut certificates: Vec<(CertificateFiles, Arc<CertificateStore>)>,
    control: &Control,
    cache: &Cache,
    metrics: &Metrics,
    health: &Health,
    workers: &[Worker],
) -> Result<(), AppFault> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut tick = tokio::time::interval(FILES_INTERVAL);
    let mut last = file
        .as_ref()
        .and_then(|file| std::fs::read_to_string(file).ok());
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = tick.tick() => {}
        }
        if let Some(file) = &file {
            follow_config(file, &mut last, control);
        }
        for (files, store) in &mut certificates {
            match files.changed() {
                Ok(Some(key)) => control.take_certificate(store, key),
                Ok(None) => {}
                Err(fault) => tracing::warn!(%fault, "the certificate is kept"),
            }
        }
        let usage = cache.usage();
        metrics
            .cache_bytes
            .store(usage.octets as u64, std::sync::atomic::Ordering::Relaxed);
        metrics
            .cache_entries
            .store(usage.entries as u64, std::sync::atomic::Ordering::Relaxed);
        if workers.iter().any(Worker::has_ended) && health.is_live() {
            tracing::error!("a worker has ended; the process asks to be started again");
            health.fail();
        }
    }
}

/// Hands on what was seen of tracked trust anchors, and looks whether more are due.
async fn track(control: Arc<Control>, mut probed: mpsc::UnboundedReceiver<(Name, Arc<Answer>)>) {
    let mut tick = tokio::time::interval(FILES_INTERVAL);
    loop {
        tokio::select! {
            seen = probed.recv() => match seen {
                Some((zone, answer)) => control.probed(&zone, &answer),
                None => return,
            },
            _ = tick.tick() => control.probe_due(),
        }
    }
}

fn follow_config(file: &Path, last: &mut Option<String>, control: &Control) {
    let Ok(text) = std::fs::read_to_string(file) else {
        return;
    };
    if last.as_ref() == Some(&text) {
        return;
    }
    let outcome = DataplaneConfig::read(&text).and_then(|config| control.take_file(config));
    match outcome {
        Ok(true) => tracing::info!(file = %file.display(), "configuration replaced from its file"),
        Ok(false) => {}
        Err(problems) => {
            for problem in problems {
                tracing::warn!(file = %file.display(), "configuration kept: {problem}");
            }
        }
    }
    *last = Some(text);
}

/// Ends in steps: say that no more clients should come, ask every connection to end, and end what
/// is left. A second signal skips what is left of it.
async fn drain(control: &Control, health: &Health, metrics: &Metrics, workers: &[Worker]) {
    health.set_ready(false);
    let plan = control.effective().drain;
    let mut again = match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        _ => return,
    };
    let by = Instant::now() + plan.notice + plan.timeout;
    tracing::info!(notice = ?plan.notice, timeout = ?plan.timeout, "draining");
    let steps = async {
        tokio::time::sleep(plan.notice).await;
        for worker in workers {
            worker.command(Command::Drain { by });
        }
        wait_for_connections(metrics, by).await;
        for worker in workers {
            worker.command(Command::Abort);
        }
        wait_for_connections(metrics, Instant::now() + ABORT_GRACE).await;
    };
    tokio::select! {
        () = steps => {}
        _ = again.0.recv() => {}
        _ = again.1.recv() => {}
    }
}

async fn wait_for_connections(metrics: &Metrics, by: Instant) {
    let open = || {
        metrics.sum(|worker| {
            worker
                .connections_opened
                .get()
                .wrapping_sub(worker.connections_closed.get())
        })
    };
    while open() > 0 && Instant::now() < by {
        tokio::time::sleep(DRAIN_INTERVAL).await;
    }
}
