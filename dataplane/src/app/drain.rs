//! The end of the process, without cutting a client off.
//!
//! Owns the steps of a drain and how long each may take. The workers end their connections themselves.

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use crate::admin::health::Health;
use crate::control::Control;
use crate::driver::Command;
use crate::telemetry::metric::Metrics;
use crate::worker::Worker;

/// How often a drain looks whether connections are left.
const DRAIN_INTERVAL: Duration = Duration::from_millis(50);
/// From the last GOAWAY to the end of the process.
const ABORT_GRACE: Duration = Duration::from_secs(3);

/// Ends in steps: say that no more clients should come, ask every connection to end, and end what
/// is left. A second signal skips what is left of it.
pub(crate) async fn drain(
    control: &Control,
    health: &Health,
    metrics: &Metrics,
    workers: &[Worker],
) {
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
