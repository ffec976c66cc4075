//! Follows what changes around a running process: files, counts, the keys of tracked zones.
//!
//! Owns how often each is looked at. What is read is `control`'s to check and to make live.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use weir_config::DataplaneConfig;
use weir_resolver::answer::Answer;
use weir_resolver::cache::Cache;
use weir_resolver::name::Name;

use crate::admin::health::Health;
use crate::app::fault::AppFault;
use crate::certificate::{CertificateFiles, CertificateStore};
use crate::control::Control;
use crate::telemetry::metric::Metrics;
use crate::worker::Worker;

/// How often files are looked at.
pub(crate) const FILES_INTERVAL: Duration = Duration::from_secs(1);

/// Follows files and counts until a signal comes; `Err` only when there are no signals.
pub(crate) async fn follow(
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
            .store(usage.octets as u64, Ordering::Relaxed);
        metrics
            .cache_entries
            .store(usage.entries as u64, Ordering::Relaxed);
        if workers.iter().any(Worker::has_ended) && health.is_live() {
            tracing::error!("a worker has ended; the process asks to be started again");
            health.fail();
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

/// Hands on what was seen of tracked trust anchors, and looks whether more are due.
pub(crate) async fn track(
    control: Arc<Control>,
    mut probed: mpsc::UnboundedReceiver<(Name, Arc<Answer>)>,
) {
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
