//! One worker: a thread of its own with a current-thread runtime, one mesh, and one socket of each
//! listener. Connections stay on the thread that accepted them.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::LocalOptions;
use tokio::sync::mpsc;
use weir_config::telemetry::Traces;
use weir_resolver::cache::Cache;
use weir_resolver::infra::Infra;
use weir_resolver::rules::Rules;

use crate::clock::Clock;
use crate::context::WorkerContext;
use crate::driver::{Command, Driver};
use crate::listener::{self, ListenerState};
use crate::route::Routes;
use crate::telemetry::metric::WorkerMetrics;
use crate::telemetry::record::Recorder;
use crate::telemetry::sample::Sampler;
use crate::upstream::Upstream;

/// What a worker is made of.
pub struct Plan {
    /// Which worker this is, from 0.
    pub index: u16,
    /// The clock of the process.
    pub clock: Clock,
    /// The ways between workers.
    pub routes: Arc<Routes>,
    /// Its counters.
    pub metrics: Arc<WorkerMetrics>,
    /// The caches of the process.
    pub cache: Arc<Cache>,
    /// What the process knows of servers.
    pub infra: Arc<Infra>,
    /// The settings to begin with.
    pub settings: Arc<Rules>,
    /// Which streams are traced.
    pub traces: Option<Traces>,
    /// The way to the trace book.
    pub recorder: Recorder,
    /// The TLS of upstream connections.
    pub upstream_tls: Arc<rustls::ClientConfig>,
    /// One socket for each listener.
    pub sockets: Vec<(std::net::TcpListener, Arc<ListenerState>)>,
}

/// A worker that runs.
pub struct Worker {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(plan: Plan) -> io::Result<Self> {
        let (commands, receiver) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new()
            .name(format!("worker-{}", plan.index))
            .spawn(move || run(plan, receiver))?;
        Ok(Self { commands, thread })
    }

    /// Tells the driver of this worker; one that has ended needs no telling.
    pub fn command(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Another way to tell the driver.
    #[must_use]
    pub fn commands(&self) -> mpsc::UnboundedSender<Command> {
        self.commands.clone()
    }

    /// Whether its thread has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its thread, which ends at `Command::Stop`.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("a worker ended by a panic");
        }
    }
}

fn run(plan: Plan, commands: mpsc::UnboundedReceiver<Command>) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "a worker cannot start");
            return;
        }
    };
    runtime.block_on(serve(plan, commands));
}

async fn serve(plan: Plan, commands: mpsc::UnboundedReceiver<Command>) {
    let sampler = Sampler::new(plan.traces.as_ref());
    let worker = WorkerContext::new(
        plan.index,
        plan.clock,
        plan.routes,
        plan.metrics,
        plan.cache,
        plan.settings,
        sampler,
        plan.recorder,
    );
    let upstream = Upstream::new(
        Rc::clone(&worker.inbox),
        Arc::clone(&worker.metrics),
        plan.upstream_tls,
    );
    for (socket, state) in plan.sockets {
        let worker = Rc::clone(&worker);
        tokio::task::spawn_local(async move {
            let name = state.name.clone();
            if let Err(error) = listener::accept(socket, state, worker).await {
                tracing::error!(listener = name, %error, "a listener ended");
            }
        });
    }
    Driver::new(worker, plan.infra, upstream, commands)
        .run()
        .await;
}
