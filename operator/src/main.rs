//! `weir-operator`: arguments, signals, and the start of the controller.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use futures_util::future::{FutureExt as _, join_all};
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use weir_operator::context::{Context, Settings};
use weir_operator::http::{Health, serve};
use weir_operator::lease::Leadership;
use weir_operator::memory::Memory;
use weir_operator::metrics::Metrics;
use weir_operator::{bootstrap, clock, naming, render, resolver_controller, telemetry};

/// Runs resolvers that answer DNS over HTTPS on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "weir-operator", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    pods: PodArguments,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watches Resolver objects and makes them so (the default).
    Run,
    /// Prints what would be made of a Resolver manifest, without a cluster.
    Render {
        /// Print only the configuration, for a data plane that runs alone.
        #[arg(long)]
        config_only: bool,
        /// The manifest; - reads standard input.
        file: PathBuf,
    },
}

/// How pods are made.
#[derive(Debug, Args)]
struct PodArguments {
    /// The image of the data plane.
    #[arg(
        long,
        global = true,
        env = "WEIR_DATAPLANE_IMAGE",
        default_value = "weir-dataplane:latest"
    )]
    dataplane_image: String,
    /// When the image is pulled.
    #[arg(
        long, global = true, env = "WEIR_DATAPLANE_IMAGE_PULL_POLICY", default_value = "IfNotPresent",
        value_parser = ["Always", "IfNotPresent", "Never"]
    )]
    dataplane_image_pull_policy: String,
    /// Secrets to pull the image with, separated by commas.
    #[arg(
        long,
        global = true,
        env = "WEIR_DATAPLANE_IMAGE_PULL_SECRETS",
        default_value = ""
    )]
    dataplane_image_pull_secrets: String,
    /// The address that pods listen on: :: for both families, or 0.0.0.0 where there is no IPv6.
    #[arg(
        long,
        global = true,
        env = "WEIR_POD_LISTEN_ADDRESS",
        default_value = "::"
    )]
    pod_listen_address: IpAddr,
    /// The namespace of the operator.
    #[arg(
        long,
        global = true,
        env = "POD_NAMESPACE",
        default_value = "weir-system"
    )]
    namespace: String,
}

/// How the operator runs.
#[derive(Debug, Args)]
struct RunArguments {
    /// Namespaces whose Resolvers are watched, separated by commas; empty means all.
    #[arg(long, global = true, env = "WEIR_WATCH_NAMESPACES", default_value = "")]
    watch_namespaces: String,
    /// Where health and metrics are served.
    #[arg(
        long,
        global = true,
        env = "WEIR_HTTP_ADDRESS",
        default_value = "[::]:8080"
    )]
    http_address: SocketAddr,
    /// The least severe log line: error, warn, info, debug or trace.
    #[arg(long, global = true, env = "WEIR_LOG", default_value = "info")]
    log: String,
    /// The name of this operator among others, unique.
    #[arg(long, global = true, env = "POD_NAME", default_value = "weir-operator")]
    pod_name: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Some(Command::Render { config_only, file }) => {
            render_file(&arguments.pods, *config_only, file)
        }
        Some(Command::Run) | None => run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            complain(&fault);
            ExitCode::FAILURE
        }
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn settings(pods: &PodArguments) -> Settings {
    Settings {
        image: pods.dataplane_image.clone(),
        image_pull_policy: pods.dataplane_image_pull_policy.clone(),
        image_pull_secrets: list(&pods.dataplane_image_pull_secrets),
        listen_address: pods.pod_listen_address,
        namespace: pods.namespace.clone(),
    }
}

fn render_file(pods: &PodArguments, config_only: bool, file: &PathBuf) -> anyhow::Result<()> {
    let manifest = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).context("standard input cannot be read")?
    } else {
        std::fs::read_to_string(file)
            .with_context(|| format!("{} cannot be read", file.display()))?
    };
    let page = if config_only {
        render::config(&manifest)?
    } else {
        render::objects(&manifest, &settings(pods))?
    };
    print(&page);
    Ok(())
}

#[tokio::main]
async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // A second provider cannot be installed before this line; losing the race would be harmless.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let telemetry = telemetry::set_up(&arguments.run.log)?;
    let result = lead(arguments).await;
    telemetry.shut_down();
    result
}

async fn lead(arguments: &Arguments) -> anyhow::Result<()> {
    let (metrics, registry) = Metrics::register();
    let health = Arc::new(Health {
        ready: AtomicBool::new(false),
        registry,
    });
    let address = arguments.run.http_address;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} cannot be listened on"))?;
    tokio::spawn(serve(listener, Arc::clone(&health)));

    let client = Client::try_default()
        .await
        .context("no API server is known")?;
    let version = client
        .apiserver_version()
        .await
        .context("the API server does not answer")?;
    tracing::info!(version = version.git_version, "the API server answers");
    health.ready.store(true, Ordering::Relaxed);

    let (stop, stopped) = stop_signal()?;
    let pods = settings(&arguments.pods);
    let identity = &arguments.run.pod_name;
    let mut leadership =
        Leadership::new(client.clone(), &pods.namespace, "weir-operator", identity);
    let mut waiting = stopped.clone();
    tokio::select! {
        () = leadership.acquire() => {}
        _ = waiting.wait_for(|stop| *stop) => return Ok(()),
    }
    tracing::info!(identity, "this operator leads");
    metrics.leader.set(1);
    let context = context(client, pods, metrics.clone(), identity).await?;
    let namespaces = list(&arguments.run.watch_namespaces);
    let scopes: Vec<Option<&str>> = if namespaces.is_empty() {
        vec![None]
    } else {
        namespaces
            .iter()
            .map(|namespace| Some(namespace.as_str()))
            .collect()
    };
    let controllers = scopes.into_iter().map(|namespace| {
        let mut stopped = stopped.clone();
        let stop = async move { _ = stopped.wait_for(|stop| *stop).await }.shared();
        resolver_controller::run(Arc::clone(&context), namespace, stop)
    });
    let result = tokio::select! {
        _ = join_all(controllers) => Ok(()),
        () = leadership.hold() => Err(anyhow::anyhow!("the Lease was lost")),
    };
    metrics.leader.set(0);
    leadership.release().await;
    drop(stop);
    result
}

async fn context(
    client: Client,
    settings: Settings,
    metrics: Metrics,
    identity: &str,
) -> anyhow::Result<Arc<Context>> {
    let (authority, pods) =
        bootstrap::bootstrap(&client, &settings.namespace, clock::now()).await?;
    let reporter = Reporter {
        controller: naming::MANAGED_BY.to_owned(),
        instance: Some(identity.to_owned()),
    };
    let recorder = Recorder::new(client.clone(), reporter);
    let memory = Memory::default();
    Ok(Arc::new(Context {
        client,
        recorder,
        authority,
        pods,
        memory,
        metrics,
        settings,
    }))
}

/// A value that becomes true at the first SIGTERM or SIGINT.
fn stop_signal() -> anyhow::Result<(watch::Sender<bool>, watch::Receiver<bool>)> {
    let (sender, receiver) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = sender.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to end");
        stop.send_replace(true);
    });
    Ok((sender, receiver))
}

/// `render` is for pipes: its result is on standard output.
#[allow(clippy::print_stdout)]
fn print(page: &str) {
    println!("{page}");
}

/// Faults before or after logging are for a terminal.
#[allow(clippy::print_stderr)]
fn complain(fault: &anyhow::Error) {
    eprintln!("weir-operator: {fault:#}");
}
