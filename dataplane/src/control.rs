//! `Control`: the one way to change what is live in this process. A document is checked
//! whole before anything changes; then every worker goes by it, and what was live before is gone.

mod fixed;
mod live;

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
use weir_resolver::rules::Rules;
use weir_resolver::settings::{DnssecMode, Settings};
use weir_resolver::tracking::zone::Probed;

use crate::admin::push::Apply;
use crate::anchors::Anchors;
use crate::certificate::{CertificateStore, ServingKey};
use crate::clock::Clock;
use crate::control::fixed::fixed_fields;
use crate::control::live::Live;
use crate::driver::{Command, ProbeSender};
use crate::edge::Edge;
use crate::listener::ListenerState;
use crate::overrides::Overrides;
use crate::proxy_protocol;
use crate::settings;
use crate::telemetry::metric::Metrics;
use crate::telemetry::record::{ApplyRecord, LateRecorder, Record};
use crate::telemetry::sample::TraceParent;

/// What is live, and the way to change it.
pub struct Control {
    live: Mutex<Live>,
    parts: Parts,
}

/// What a control reaches.
pub struct Parts {
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
    /// Takes the reins of a process that starts with this document, translated to these settings.
    #[must_use]
    pub fn new(config: DataplaneConfig, settings: Arc<Rules>, parts: Parts) -> Arc<Self> {
        let control = Arc::new(Self {
            live: Mutex::new(Live::new(config, settings)),
            parts,
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
        let config = self.parts.overrides.over(live.config.clone());
        let is_tracking = config.dnssec.track_trust_anchors && fresh.dnssec.mode != DnssecMode::Off;
        let configured = core::mem::take(&mut fresh.dnssec.trust_anchors);
        fresh.dnssec.trust_anchors = live.in_force(configured, is_tracking, &self.parts.folder);
        self.measure_anchors(live);
        fresh
    }

    fn measure_anchors(&self, live: &Live) {
        let counts = live.anchors.as_ref().map(Anchors::counts);
        let counts = counts.unwrap_or_default();
        for (gauge, count) in self.parts.metrics.trust_anchor_keys.iter().zip(counts) {
            gauge.store(count, Ordering::Relaxed);
        }
    }

    /// Makes settings live that differ in nothing but the trust anchors.
    fn go_by(&self, live: &mut Live, mut fresh: Settings) {
        fresh.epoch = live.settings.epoch.wrapping_add(1);
        self.spread(live, Arc::new(Rules::new(fresh)));
    }

    /// Has every worker and the caches go by these settings, which nothing can refuse any more.
    fn spread(&self, live: &mut Live, fresh: Arc<Rules>) {
        let traces = self.parts.traces.borrow().clone();
        for worker in &self.parts.commands {
            // A worker that has ended needs no settings.
            let _ = worker.send(Command::Replace(Arc::clone(&fresh), traces.clone()));
        }
        let now = self.parts.clock.now();
        self.parts
            .cache
            .settings_changed(now, &live.settings, &fresh);
        live.settings = fresh;
    }

    /// Has the first worker look at the keys of tracked zones that are due.
    pub fn probe_due(&self) {
        let mut live = self.lock();
        let due = live
            .anchors
            .as_mut()
            .map(|anchors| anchors.due(self.parts.clock.now()));
        for zone in due.unwrap_or_default() {
            if let Some(worker) = self.parts.commands.first() {
                // A worker that has ended ends the process.
                let _ = worker.send(Command::Probe(zone, self.parts.probes.clone()));
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
        let Some(observed) = anchors.observe(zone, answer, &settings, self.parts.clock.now())
        else {
            return;
        };
        let counter = match observed.probed {
            Probed::Verified | Probed::Deleted => &self.parts.metrics.trust_anchor_probes[0],
            Probed::Failed => &self.parts.metrics.trust_anchor_probes[1],
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
        if revision == current || live.is_past(&current, &revision) {
            return Ok(false);
        }
        let outcome = self.replace(&mut live, config);
        self.count(outcome.is_ok());
        outcome.map(|()| true)
    }

    /// Takes a certificate from the files of a listener, unless a push has gone past it.
    pub fn take_certificate(&self, store: &CertificateStore, key: ServingKey) {
        let live = self.lock();
        let current = store.current();
        let fingerprint = key.fingerprint();
        if fingerprint == current.fingerprint() || live.is_past(current.fingerprint(), fingerprint)
        {
            return;
        }
        tracing::info!(fingerprint, "certificate replaced from its files");
        store.replace(key);
        drop(live);
        self.note_certificate();
    }

    /// Tells the metrics when the certificate ends.
    pub fn note_certificate(&self) {
        let first = self
            .stores()
            .next()
            .map_or(0, |store| store.current().not_after());
        self.parts
            .metrics
            .certificate_not_after
            .store(first, Ordering::Relaxed);
    }

    /// The document that is live, overrides applied.
    #[must_use]
    pub fn effective(&self) -> DataplaneConfig {
        self.parts.overrides.over(self.lock().config.clone())
    }

    fn stores(&self) -> impl Iterator<Item = &Arc<CertificateStore>> {
        self.parts
            .listeners
            .iter()
            .filter_map(|(_, store)| store.as_ref())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, applied: bool) {
        let counter = if applied {
            &self.parts.metrics.config_applied
        } else {
            &self.parts.metrics.config_rejected
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Checks a document and makes it live.
    fn replace(&self, live: &mut Live, config: DataplaneConfig) -> Result<(), Vec<Problem>> {
        let problems = config.validate();
        if !problems.is_empty() {
            return Err(problems);
        }
        let effective = self.parts.overrides.over(config.clone());
        let fixed = fixed_fields(&self.parts.overrides.over(live.config.clone()), &effective);
        if !fixed.is_empty() {
            return Err(fixed);
        }
        let workers = u16::try_from(self.parts.commands.len()).unwrap_or(u16::MAX);
        let epoch = live.settings.epoch.wrapping_add(1);
        let fresh = settings::translate(&effective, epoch, workers)?;
        live.config = config;
        let fresh = Arc::new(Rules::new(self.tracked(live, fresh)));
        // Nothing can fail from here on.
        for ((state, _), listener) in self.parts.listeners.iter().zip(&effective.listeners) {
            state.edge.store(Arc::new(Edge::from(listener)));
            state
                .proxies
                .store(Arc::new(proxy_protocol::proxies(listener)));
        }
        self.parts.traces.send_replace(effective.telemetry.traces);
        self.spread(live, fresh);
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
        let entries = self.parts.cache.flush(&name, flush.subtree);
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
        self.parts
            .recorder
            .record(Record::Apply(Box::new(ApplyRecord {
                parent,
                started: self.parts.clock.instant(started),
                ended: self.parts.clock.now().instant,
                revision,
                refused,
            })));
    }

    fn state(&self) -> String {
        let live = self.lock();
        let sum = |read: fn(&crate::telemetry::metric::WorkerMetrics) -> u64| {
            self.parts.metrics.sum(read)
        };
        serde_json::json!({
            "live": self.applied(&live),
            "version": env!("CARGO_PKG_VERSION"),
            "workers": self.parts.commands.len(),
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
