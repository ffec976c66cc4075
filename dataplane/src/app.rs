//! `App`: the process. Starts the workers, and serves health, metrics and pushes on a runtime of their own.
//!
//! Owns the order of a life: `bind`, serve, `follow` files and signals, `drain`. Reads no request and asks no server.

mod bind;
mod drain;
mod fault;
mod follow;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use weir_config::telemetry::Traces;
use weir_config::{DataplaneConfig, Problem};
use weir_resolver::cache::Cache;
use weir_resolver::infra::Infra;
use weir_resolver::rules::Rules;

use crate::admin::health::{self, Health};
use crate::admin::push;
use crate::app::bind::{Bound, announce, bind, listen_tcp};
use crate::app::drain::drain;
use crate::app::follow::{FILES_INTERVAL, follow, track};
use crate::certificate::{CertificateFiles, CertificateStore, ServingKey};
use crate::clock::Clock;
use crate::control::{Control, Parts};
use crate::driver::Command;
use crate::entropy;
use crate::listener::ListenerState;
use crate::overrides::Overrides;
use crate::route::Routes;
use crate::settings;
use crate::telemetry::book;
use crate::telemetry::metric::Metrics;
use crate::telemetry::record::{LateRecorder, RECORDS_MAX, Record, Recorder};
use crate::tls;
use crate::worker::{Plan, Worker};

pub use fault::AppFault;

/// How long the export of the last traces is waited for.
const EXPORT_GRACE: Duration = Duration::from_secs(5);

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
    runtime.block_on(serve(
        options,
        config,
        Arc::new(Rules::new(translated)),
        bound,
        workers,
    ))
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

/// What was bound, by who goes on with it.
struct Spread {
    /// For each worker its socket of every listener.
    sockets: Vec<Vec<(std::net::TcpListener, Arc<ListenerState>)>>,
    listeners: Vec<(Arc<ListenerState>, Option<Arc<CertificateStore>>)>,
    /// Certificates that are followed.
    files: Vec<(CertificateFiles, Arc<CertificateStore>)>,
}

fn spread(bound: Vec<Bound>, workers: u16, folder: &Path) -> Spread {
    let mut spread = Spread {
        sockets: (0..workers).map(|_| Vec::new()).collect(),
        listeners: Vec::new(),
        files: Vec::new(),
    };
    for listener in bound {
        announce(&listener, folder);
        for (share, socket) in spread.sockets.iter_mut().zip(listener.sockets) {
            share.push((socket, Arc::clone(&listener.state)));
        }
        if let (Some(watched), Some(store)) = (listener.files, &listener.store) {
            spread.files.push((watched, Arc::clone(store)));
        }
        spread.listeners.push((listener.state, listener.store));
    }
    spread
}

/// What all workers share.
struct Shared<'a> {
    clock: Clock,
    metrics: Arc<Metrics>,
    cache: Arc<Cache>,
    settings: Arc<Rules>,
    traces: Option<Traces>,
    records: &'a mpsc::Sender<Record>,
}

impl Shared<'_> {
    /// Starts a worker for each share of the sockets.
    fn start_workers(
        self,
        sockets: Vec<Vec<(std::net::TcpListener, Arc<ListenerState>)>>,
    ) -> Result<Vec<Worker>, AppFault> {
        let count = u16::try_from(sockets.len()).unwrap_or(u16::MAX);
        let routes = Arc::new(Routes::new(count, entropy::seed()));
        let (infra, upstream_tls) = (Arc::new(Infra::default()), Arc::new(tls::upstream()?));
        let mut running = Vec::new();
        for (index, sockets) in (0..count).zip(sockets) {
            running.push(Worker::start(Plan {
                index,
                clock: self.clock,
                routes: Arc::clone(&routes),
                metrics: self.metrics.worker(),
                cache: Arc::clone(&self.cache),
                infra: Arc::clone(&infra),
                settings: Arc::clone(&self.settings),
                traces: self.traces.clone(),
                recorder: Recorder::new(self.records.clone(), Arc::clone(&self.metrics)),
                upstream_tls: Arc::clone(&upstream_tls),
                sockets,
            })?);
        }
        Ok(running)
    }
}

async fn serve(
    options: Options,
    config: DataplaneConfig,
    settings: Arc<Rules>,
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
    let Spread {
        sockets,
        listeners,
        files,
    } = spread(bound, workers, &options.folder);
    let running = Shared {
        clock,
        metrics: Arc::clone(&metrics),
        cache: Arc::clone(&cache),
        settings: Arc::clone(&settings),
        traces: config.telemetry.traces.clone(),
        records: &records,
    }
    .start_workers(sockets)?;
    let (probes, probed) = mpsc::unbounded_channel();
    let parts = Parts {
        folder: options.folder,
        probes,
        overrides: options.overrides,
        commands: running.iter().map(Worker::commands).collect(),
        listeners,
        traces,
        cache: Arc::clone(&cache),
        clock,
        metrics: Arc::clone(&metrics),
        recorder: LateRecorder::new(&records, Arc::clone(&metrics)),
    };
    let control = Control::new(options.config, settings, parts);
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
    let _ = tokio::time::timeout(EXPORT_GRACE, book).await;
    Ok(())
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
