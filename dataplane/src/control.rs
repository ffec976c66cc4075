//! `Control`: what is live in this process, and the one way to change it. A document is checked
//! whole before anything changes; then every worker goes by it, and what was live before is gone.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;
use weir_config::flush::{Flush, Flushed};
use weir_config::push::{Applied, Push, PushCertificate, Rejected};
use weir_config::unit::instant::UnixSeconds;
use weir_config::{DataplaneConfig, Problem};
use weir_resolver::answer::Answer;
use weir_resolver::cache::Cache;
use weir_resolver::name::Name;
use weir_resolver::settings::{DnssecMode, Settings};
use weir_resolver::tracking::zone::Probed;

use crate::admin::push::Apply;
use crate::anchors::Anchors;
use crate::certificate::{CertificateStore, ServingKey};
use crate::clock::Clock;
use crate::driver::{Command, ProbeSender};
use crate::edge::Edge;
use crate::listener::ListenerState;
use crate::overrides::Overrides;
use crate::settings;
use crate::telemetry::metric::Metrics;
use crate::telemetry::record::{ApplyRecord, LateRecorder, Record};
use crate::telemetry::sample::TraceParent;

/// Revisions and certificates that were pushed and are remembered, so that a file that lags behind
/// a push does not bring back what the push replaced.
const PUSHED_MAX: usize = 64;

/// What is live.
struct Live {
    /// As it was read, without the overrides of the command line.
    config: DataplaneConfig,
    settings: Arc<Settings>,
    pushed: Vec<String>,
    /// The tracked trust anchors; none when they are fixed.
    anchors: Option<Anchors>,
}

/// What is live, and the way to change it.
pub struct Control {
    live: Mutex<Live>,
    overrides: Overrides,
    commands: Vec<mpsc::UnboundedSender<Command>>,
    listeners: Vec<(Arc<ListenerState>, Option<Arc<CertificateStore>>)>,
    traces: tokio::sync::watch::Sender<Option<weir_config::telemetry::Traces>>,
    cache: Arc<Cache>,
    clock: Clock,
    metrics: Arc<Metrics>,
    folder: PathBuf,
    probes: ProbeSender,
    recorder: LateRecorder,
}

/// What a control is made of.
pub struct Parts {
    /// What is live at the start.
    pub config: DataplaneConfig,
    /// The same, translated.
    pub settings: Arc<Settings>,
    /// What the command line puts over every document.
    pub overrides: Overrides,
    /// The ways to the workers.
    pub commands: Vec<mpsc::UnboundedSender<Command>>,
    /// The listeners, with their certificates.
    pub listeners: Vec<(Arc<ListenerState>, Option<Arc<CertificateStore>>)>,
    /// The way to the trace book.
    pub traces: tokio::sync::watch::Sender<Option<weir_config::telemetry::Traces>>,
    /// The caches.
    pub cache: Arc<Cache>,
    /// The clock.
    pub clock: Clock,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Where the state of tracked trust anchors is kept.
    pub folder: PathBuf,
    /// The way of looked-at keys to `Control::probed`.
    pub probes: ProbeSender,
    /// The way of traces.
    pub recorder: LateRecorder,
}

impl Control {
    /// Takes the reins.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts {
            config,
            settings,
            overrides,
            commands,
            listeners,
            traces,
            cache,
            clock,
            metrics,
            folder,
            probes,
            recorder,
        } = parts;
        let live = Mutex::new(Live {
            config,
            settings,
            pushed: Vec::new(),
            anchors: None,
        });
        let control = Arc::new(Self {
            live,
            overrides,
            commands,
            listeners,
            traces,
            cache,
            clock,
            metrics,
            folder,
            probes,
            recorder,
        });
        control.track();
        control
    }

    /// Takes up the state of tracked trust anchors that an earlier process left.
    fn track(&self) {
        let mut live = self.lock();
        let fresh = Settings::clone(&live.settings);
        let tracked = self.tracked(&mut live, fresh);
        if tracked.dnssec.trust_anchors != live.settings.dnssec.trust_anchors {
            self.go_by(&mut live, tracked);
        }
    }

    /// The settings with the trust anchors in force in place of the configured ones.
    fn tracked(&self, live: &mut Live, mut fresh: Settings) -> Settings {
        let config = self.overrides.over(live.config.clone());
        let configured = core::mem::take(&mut fresh.dnssec.trust_anchors);
        if !config.dnssec.track_trust_anchors || fresh.dnssec.mode == DnssecMode::Off {
            live.anchors = None;
            fresh.dnssec.trust_anchors = configured;
        } else {
            let mut anchors = live
                .anchors
                .take()
                .unwrap_or_else(|| Anchors::open(configured.clone(), &self.folder));
            anchors.replace(configured);
            fresh.dnssec.trust_anchors = anchors.in_force();
            live.anchors = Some(anchors);
        }
        self.measure_anchors(live);
        fresh
    }

    fn measure_anchors(&self, live: &Live) {
        let counts = live
            .anchors
            .as_ref()
            .map(Anchors::counts)
            .unwrap_or_default();
        for (gauge, count) in self.metrics.trust_anchor_keys.iter().zip(counts) {
            gauge.store(count, Ordering::Relaxed);
        }
    }

    /// Makes settings live that differ in nothing but the trust anchors.
    fn go_by(&self, live: &mut Live, mut fresh: Settings) {
        fresh.epoch = live.settings.epoch.wrapping_add(1);
        let fresh = Arc::new(fresh);
        let traces = self.traces.borrow().clone();
        for worker in &self.commands {
            // A worker that has ended needs no settings.
            let _ = worker.send(Command::Replace(Arc::clone(&fresh), traces.clone()));
        }
        self.cache
            .settings_changed(self.clock.now(), &live.settings, &fresh);
        live.settings = fresh;
    }

    /// Has the first worker look at the keys of tracked zones that are due.
    pub fn probe_due(&self) {
        let mut live = self.lock();
        let due = live
            .anchors
            .as_mut()
            .map(|anchors| anchors.due(self.clock.now()));
        for zone in due.unwrap_or_default() {
            if let Some(worker) = self.commands.first() {
                // A worker that has ended ends the process.
                let _ = worker.send(Command::Probe(zone, self.probes.clone()));
            }
        }
    }

    /// Takes the keys of a tracked zone into account.
    pub fn probed(&self, zone: &Name, answer: &Answer) {
        let mut live = self.lock();
        let settings = Arc::clone(&live.settings);
        let Some(anchors) = live.anchors.as_mut() else {
            return;
        };
        let Some(observed) = anchors.observe(zone, answer, &settings, self.clock.now()) else {
            return;
        };
        let counter = match observed.probed {
            Probed::Verified | Probed::Deleted => &self.metrics.trust_anchor_probes[0],
            Probed::Failed => &self.metrics.trust_anchor_probes[1],
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if observed.anchors_changed {
            let mut fresh = Settings::clone(&settings);
            fresh.dnssec.trust_anchors = anchors.in_force();
            self.go_by(&mut live, fresh);
        }
        self.measure_anchors(&live);
    }

    /// Takes a document from a file, unless a push has gone past it. Returns whether it is live.
    ///
    /// # Errors
    /// What to change; nothing has changed.
    pub fn take_file(&self, config: DataplaneConfig) -> Result<bool, Vec<Problem>> {
        let mut live = self.lock();
        let revision = config.revision();
        let current = live.config.revision();
        let behind = live.pushed.contains(&current) && live.pushed.contains(&revision);
        if revision == current || behind {
            return Ok(false);
        }
        let outcome = self.replace(&mut live, config);
        self.count(outcome.is_ok());
        outcome.map(|()| true)
    }

    /// Takes a certificate from the files of a listener, unless a push has gone past it.
    pub fn take_certificate(&self, store: &CertificateStore, key: ServingKey) {
        let pushed = self.lock();
        let current = store.current();
        let fingerprint = key.fingerprint();
        let behind = pushed
            .pushed
            .iter()
            .any(|known| known == current.fingerprint())
            && pushed.pushed.iter().any(|known| known == fingerprint);
        if fingerprint == current.fingerprint() || behind {
            return;
        }
        tracing::info!(fingerprint, "certificate replaced from its files");
        store.replace(key);
        drop(pushed);
        self.note_certificate();
    }

    /// Tells the metrics when the certificate ends.
    pub fn note_certificate(&self) {
        let first = self
            .stores()
            .next()
            .map_or(0, |store| store.current().not_after());
        self.metrics
            .certificate_not_after
            .store(first, Ordering::Relaxed);
    }

    /// The document that is live, overrides applied.
    #[must_use]
    pub fn effective(&self) -> DataplaneConfig {
        self.overrides.over(self.lock().config.clone())
    }

    fn stores(&self) -> impl Iterator<Item = &Arc<CertificateStore>> {
        self.listeners
            .iter()
            .filter_map(|(_, store)| store.as_ref())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, applied: bool) {
        let counter = if applied {
            &self.metrics.config_applied
        } else {
            &self.metrics.config_rejected
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Checks a document and makes it live.
    fn replace(&self, live: &mut Live, config: DataplaneConfig) -> Result<(), Vec<Problem>> {
        let problems = config.validate();
        if !problems.is_empty() {
            return Err(problems);
        }
        let effective = self.overrides.over(config.clone());
        let fixed = fixed_fields(&self.overrides.over(live.config.clone()), &effective);
        if !fixed.is_empty() {
            return Err(fixed);
        }
        let workers = u16::try_from(self.commands.len()).unwrap_or(u16::MAX);
        let epoch = live.settings.epoch.wrapping_add(1);
        let fresh = settings::translate(&effective, epoch, workers)?;
        live.config = config;
        let fresh = Arc::new(self.tracked(live, fresh));
        // Nothing can fail from here on.
        for ((state, _), listener) in self.listeners.iter().zip(&effective.listeners) {
            state.edge.store(Arc::new(Edge::from(listener)));
            state.proxies.store(Arc::new(proxies(listener)));
        }
        let traces = effective.telemetry.traces;
        self.traces.send_replace(traces.clone());
        for worker in &self.commands {
            // A worker that has ended needs no settings.
            let _ = worker.send(Command::Replace(Arc::clone(&fresh), traces.clone()));
        }
        self.cache
            .settings_changed(self.clock.now(), &live.settings, &fresh);
        live.settings = fresh;
        Ok(())
    }

    fn read_certificate(
        &self,
        certificate: Option<&PushCertificate>,
    ) -> Result<Option<Vec<ServingKey>>, Problem> {
        let Some(pair) = certificate else {
            return Ok(None);
        };
        let (chain, key) = (pair.chain_pem.as_bytes(), pair.key_pem.as_bytes());
        let parse = |_| ServingKey::parse(chain, key);
        let keys: Result<Vec<ServingKey>, _> = self.stores().map(parse).collect();
        keys.map(Some).map_err(|fault| Problem {
            field: "certificate".to_owned(),
            message: fault.to_string(),
        })
    }

    fn applied(&self, live: &Live) -> Applied {
        let serving = self.stores().next().map(|store| store.current());
        Applied {
            revision: live.config.revision(),
            certificate: serving.as_ref().map(|key| key.fingerprint().to_owned()),
            certificate_not_after: serving
                .map(|key| UnixSeconds(u64::try_from(key.not_after()).unwrap_or_default())),
        }
    }
}

impl Apply for Control {
    fn apply(&self, push: Push) -> Result<Applied, Rejected> {
        let mut live = self.lock();
        let revision = push.config.revision();
        let outcome = self
            .read_certificate(push.certificate.as_ref())
            .map_err(|fault| vec![fault]);
        let outcome = outcome.and_then(|keys| {
            if live.config != push.config {
                self.replace(&mut live, push.config)?;
            }
            Ok(keys)
        });
        self.count(outcome.is_ok());
        match outcome {
            Ok(keys) => {
                live.remember(revision.clone());
                for (store, key) in self.stores().zip(keys.into_iter().flatten()) {
                    live.remember(key.fingerprint().to_owned());
                    if key.fingerprint() != store.current().fingerprint() {
                        store.replace(key);
                    }
                }
                self.note_certificate();
                tracing::info!(revision, "push applied");
                Ok(self.applied(&live))
            }
            Err(problems) => {
                let first = problems.into_iter().next();
                let (field, message) =
                    first.map_or_else(Default::default, |problem| (problem.field, problem.message));
                tracing::warn!(revision, field, message, "push rejected");
                Err(Rejected {
                    revision,
                    field,
                    message,
                })
            }
        }
    }

    fn flush(&self, flush: &Flush) -> Result<Flushed, Problem> {
        let problem = |message: String| Problem {
            field: "name".to_owned(),
            message,
        };
        if let Some(fault) = weir_config::name::fault(&flush.name) {
            return Err(problem(fault.to_owned()));
        }
        let name = Name::from_text(&flush.name).map_err(|fault| problem(fault.to_string()))?;
        let entries = self.cache.flush(&name, flush.subtree);
        tracing::info!(%name, flush.subtree, entries, "cache flushed");
        Ok(Flushed { entries })
    }

    fn trace(&self, parent: TraceParent, started: Instant, outcome: &Result<Applied, Rejected>) {
        let (revision, refused) = match outcome {
            Ok(applied) => (applied.revision.clone(), None),
            Err(rejected) => (
                rejected.revision.clone(),
                Some((rejected.field.clone(), rejected.message.clone())),
            ),
        };
        self.recorder.record(Record::Apply(Box::new(ApplyRecord {
            parent,
            started: self.clock.instant(started),
            ended: self.clock.now().instant,
            revision,
            refused,
        })));
    }

    fn state(&self) -> String {
        let live = self.lock();
        let sum =
            |read: fn(&crate::telemetry::metric::WorkerMetrics) -> u64| self.metrics.sum(read);
        serde_json::json!({
            "live": self.applied(&live),
            "version": env!("CARGO_PKG_VERSION"),
            "workers": self.commands.len(),
            "connections": sum(|worker| {
                worker.connections_opened.get().wrapping_sub(worker.connections_closed.get())
            }),
            "streams": sum(|worker| worker.streams.get().wrapping_sub(worker.dispositions.sum())),
            "meshStates": sum(|worker| worker.mesh_states.get()),
            "meshWaiters": sum(|worker| worker.mesh_waiters.get()),
            "meshFetches": sum(|worker| worker.mesh_fetches.get()),
            "trustAnchors": live.anchors.as_ref().map(Anchors::describe),
            "config": live.config,
        })
        .to_string()
    }
}

impl Live {
    fn remember(&mut self, pushed: String) {
        self.pushed.retain(|known| *known != pushed);
        if self.pushed.len() >= PUSHED_MAX {
            self.pushed.remove(0);
        }
        self.pushed.push(pushed);
    }
}

/// The networks of a listener whose peers send a PROXY protocol header.
#[must_use]
pub fn proxies(listener: &weir_config::listener::Listener) -> Vec<weir_config::unit::cidr::Cidr> {
    let protocol = listener.client_address.proxy_protocol.as_ref();
    protocol
        .map(|protocol| protocol.trusted_cidrs.clone())
        .unwrap_or_default()
}

/// What a running process cannot change: sockets, threads, and who may push.
fn fixed_fields(old: &DataplaneConfig, new: &DataplaneConfig) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut fixed = |same: bool, field: String| {
        if !same {
            let message = "changes only with a new process: restart it, or roll it out".to_owned();
            problems.push(Problem { field, message });
        }
    };
    fixed(old.workers == new.workers, "workers".to_owned());
    fixed(old.admin == new.admin, "admin".to_owned());
    fixed(old.metrics == new.metrics, "metrics.address".to_owned());
    fixed(
        old.listeners.len() == new.listeners.len(),
        "listeners".to_owned(),
    );
    for (index, (old, new)) in old.listeners.iter().zip(&new.listeners).enumerate() {
        let field = |name: &str| format!("listeners[{index}].{name}");
        fixed(old.name == new.name, field("name"));
        fixed(old.address == new.address, field("address"));
        fixed(old.protocol == new.protocol, field("protocol"));
        fixed(old.tls == new.tls, field("tls"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_fields_are_named() {
        let read = |text: &str| DataplaneConfig::read(text).unwrap();
        let old = read("{}");
        let problems = fixed_fields(
            &old,
            &read("{workers: 3, listeners: [{address: '[::1]:1'}]}"),
        );
        let fields: Vec<&str> = problems
            .iter()
            .map(|problem| problem.field.as_str())
            .collect();
        assert_eq!(fields, ["workers", "listeners[0].address"]);
        assert!(fixed_fields(&old, &read("cache: {size: 1Mi}")).is_empty());
    }
}
