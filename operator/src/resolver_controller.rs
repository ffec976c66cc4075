//! The controller of `Resolver` objects: dereference, validate, build, apply, push, update status.
//!
//! Owns the order of the steps and what wakes it; each file below owns one step. `validate`,
//! `certify`, `plan`, `build`, `event` and the status are pure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use tracing::Instrument as _;
use weir_config::unit::instant::UnixSeconds;
use weir_crds::Resolver;
use weir_crds::resolver::status::ResolverStatus;

use crate::clock;
use crate::context::Context;
use crate::memory::Remembered;
use crate::metrics::{Outcome, OutcomeLabel};
use crate::naming;
use apply::{ApplyFault, apply, apply_files, remove_authority};
use build::{Write, build, files};
use certify::{Certified, certify};
use dereference::{Dereferenced, dereference};
use plan::{Situation, Step, plan};
use push::{Parcel, Pushed, Round, push};
use update_status::{Observed, invalid, status};
use validate::{CertificateSource, Place, Strategy, ValidatedResolver, startup, validate};

pub mod apply;
pub mod build;
pub mod certify;
pub mod dereference;
pub mod event;
pub mod plan;
pub mod push;
pub mod update_status;
pub mod validate;

/// After this time a resolver is looked at even if nothing happened.
const LOOK_AGAIN: Duration = Duration::from_secs(300);
/// When to try again after a fault of the API server.
const RETRY: Duration = Duration::from_secs(5);

/// Why a reconciliation ended early; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileFault {
    /// The API server did not answer.
    #[error("the API server did not answer: {0}")]
    Api(#[from] kube::Error),
    /// An object was refused.
    #[error("an object was not applied: {0}")]
    Apply(#[from] ApplyFault),
    /// A certificate could not be made.
    #[error("a certificate was not made: {0}")]
    Authority(#[from] crate::authority::AuthorityFault),
}

/// Runs the controller for one namespace, or for all, until `stop` is done.
pub async fn run(
    context: Arc<Context>,
    namespace: Option<&str>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let client = context.client.clone();
    let managed = watcher::Config::default().labels(naming::MANAGED_SELECTOR);
    let controller = Controller::new(
        scoped::<Resolver>(&client, namespace),
        watcher::Config::default(),
    );
    let resolvers = controller.store();
    controller
        .with_config(
            Config::default()
                .concurrency(8)
                .debounce(Duration::from_millis(50)),
        )
        .owns(scoped::<Deployment>(&client, namespace), managed.clone())
        .owns(scoped::<Service>(&client, namespace), managed.clone())
        .owns(
            scoped::<PartialObjectMeta<ConfigMap>>(&client, namespace),
            managed.clone(),
        )
        .watches(scoped::<Pod>(&client, namespace), managed, resolver_of_pod)
        .watches(
            scoped::<PartialObjectMeta<Secret>>(&client, namespace),
            watcher::Config::default(),
            move |secret| resolvers_of_secret(&resolvers, &secret),
        )
        .graceful_shutdown_on(stop)
        .run(reconcile, after_fault, Arc::clone(&context))
        .for_each(|result| {
            if let Err(fault) = result {
                context.metrics.watch_errors.inc();
                tracing::warn!(%fault, "the controller met a fault");
            }
            std::future::ready(())
        })
        .await;
}

fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn resolver_of_pod(pod: Pod) -> Option<ObjectRef<Resolver>> {
    let name = pod.labels().get("app.kubernetes.io/instance")?;
    Some(ObjectRef::new(name).within(&pod.namespace()?))
}

/// The resolvers that name a Secret, or own it.
fn resolvers_of_secret(
    resolvers: &Store<Resolver>,
    secret: &PartialObjectMeta<Secret>,
) -> Vec<ObjectRef<Resolver>> {
    let (name, namespace) = (secret.name_any(), secret.namespace());
    resolvers
        .state_filter(|resolver| {
            resolver.namespace() == namespace
                && (secret_of(resolver).as_deref() == Some(name.as_str())
                    || secret
                        .owner_references()
                        .iter()
                        .any(|owner| Some(&owner.uid) == resolver.uid().as_ref()))
        })
        .iter()
        .map(|resolver| ObjectRef::from_obj(resolver.as_ref()))
        .collect()
}

/// The Secret that a resolver names, whether or not the rest of its spec can be used.
fn secret_of(resolver: &Resolver) -> Option<String> {
    let listeners = resolver.spec.listeners.as_ref()?;
    listeners.iter().find_map(|listener| {
        Some(
            listener
                .tls
                .as_ref()?
                .certificate
                .as_ref()?
                .secret_ref
                .as_ref()?
                .name
                .clone(),
        )
    })
}

async fn reconcile(
    resolver: Arc<Resolver>,
    context: Arc<Context>,
) -> Result<Action, ReconcileFault> {
    let begun = Instant::now();
    let span = tracing::info_span!(
        "resolver.reconcile",
        k8s.namespace.name = resolver.namespace(),
        weir.resolver = resolver.name_any(),
        weir.generation = resolver.metadata.generation,
    );
    let result = reconcile_one(&resolver, &context).instrument(span).await;
    let outcome = match &result {
        Ok((_, outcome)) => *outcome,
        Err(_) => Outcome::Failed,
    };
    context
        .metrics
        .reconciles
        .get_or_create(&OutcomeLabel { outcome })
        .inc();
    if let Some(duration) = &context.metrics.reconcile_duration {
        duration.observe(begun.elapsed().as_secs_f64());
    }
    result.map(|(action, _)| action)
}

fn after_fault(resolver: Arc<Resolver>, fault: &ReconcileFault, _: Arc<Context>) -> Action {
    tracing::warn!(resolver = resolver.name_any(), %fault, "a reconciliation is tried again");
    Action::requeue(RETRY)
}

async fn reconcile_one(
    resolver: &Resolver,
    context: &Context,
) -> Result<(Action, Outcome), ReconcileFault> {
    let key = (
        resolver.namespace().unwrap_or_default(),
        resolver.name_any(),
    );
    if resolver.metadata.deletion_timestamp.is_some() {
        context.memory.forget(&key);
        return Ok((Action::await_change(), Outcome::Ok));
    }
    let now = clock::now();
    let validated = match validate(resolver, Place::Pod(context.settings.listen_address)) {
        Ok(validated) => validated,
        Err(problems) => {
            let previous = resolver.status.clone().unwrap_or_default();
            let status = invalid(&problems, resolver.metadata.generation, &previous, now);
            write_status(context, resolver, &status).await?;
            return Ok((Action::await_change(), Outcome::Refused));
        }
    };
    let named = match &validated.certificate {
        Some(CertificateSource::Secret(name)) => Some(name.as_str()),
        Some(CertificateSource::SelfSigned) | None => None,
    };
    let found = dereference(&context.client, &key.0, &key.1, named).await?;
    let certified = certify(&validated, &found, &context.authority, now)?;
    let pushed = roll_out(context, &validated, &found, &certified, now).await?;
    if certified.own.is_none() && found.authority.is_some() {
        remove_authority(&context.client, &key.0, &key.1).await?;
    }
    let accepted = if pushed.config_accepted {
        Some(validated.config.revision())
    } else {
        found
            .accepted
            .config
            .as_ref()
            .map(weir_config::DataplaneConfig::revision)
    };
    let observed = Observed {
        resolver: &validated,
        certificate: certified.serving.as_ref(),
        pushed: &pushed,
        accepted_revision: accepted.as_deref(),
        pods: &found.pods,
        deployment: found.deployment,
    };
    let previous = resolver.status.clone().unwrap_or_default();
    let status = status(&observed, resolver.metadata.generation, &previous, now);
    write_status(context, resolver, &status).await?;
    let again = pushed.again.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN);
    Ok((Action::requeue(again), Outcome::Ok))
}

/// What is to be done next, by what is desired, what is accepted and what is remembered.
fn next_step(
    resolver: &ValidatedResolver,
    found: &Dereferenced,
    remembered: &Remembered,
    now: UnixSeconds,
) -> Step {
    let accepted = found.accepted.config.as_ref();
    let accepted_revision = accepted.map(weir_config::DataplaneConfig::revision);
    let accepted_startup = accepted.map(startup);
    plan(&Situation {
        desired: &resolver.config.revision(),
        desired_startup: &resolver.startup(),
        accepted: accepted_revision.as_deref(),
        accepted_startup: accepted_startup.as_deref(),
        strategy: resolver.strategy,
        pods: &found.pods,
        remembered,
        now,
    })
}

/// Applies the objects and brings document and certificate to the pods.
async fn roll_out(
    context: &Context,
    resolver: &ValidatedResolver,
    found: &Dereferenced,
    certified: &Certified,
    now: UnixSeconds,
) -> Result<Pushed, ReconcileFault> {
    let client = &context.client;
    let key = (resolver.namespace.clone(), resolver.name.clone());
    let mut remembered = context.memory.get(&key);
    let accepted_config = found.accepted.config.as_ref();
    let desired_startup = resolver.startup();
    let step = next_step(resolver, found, &remembered, now);
    let serving = certified
        .serving
        .as_ref()
        .and_then(|serving| serving.as_ref().ok());
    let new_certificate = serving
        .map(|it| &it.pem)
        .filter(|pem| found.accepted.certificate.as_ref() != Some(*pem));
    let nobody_serves = !found.pods.iter().any(|pod| pod.ready);
    let certificate_first = found.accepted.certificate.is_none() || nobody_serves;
    let write = Write {
        config: step == Step::WriteFirst,
        certificate: new_certificate.filter(|_| certificate_first),
    };
    let startable =
        resolver.certificate.is_none() || serving.is_some() || found.accepted.certificate.is_some();
    let authority = &context.authority.pem().certificate;
    let prepared = build(
        resolver,
        certified,
        authority,
        &context.settings,
        write,
        startable,
    );
    apply(client, prepared).await?;

    let certificate = serving.map(|it| (it.pem.clone(), it.fingerprint.clone()));
    let round = Round {
        client: &context.pods,
        metrics: &context.metrics,
        server_name: naming::admin_server_name(&resolver.namespace, &resolver.name),
        pods: &found.pods,
        startup: &desired_startup,
        desired: Parcel::new(resolver.config.clone(), certificate.clone()),
        accepted: accepted_config.map(|it| Parcel::new(it.clone(), certificate)),
        window: match resolver.strategy {
            Strategy::AtOnce => Duration::ZERO,
            Strategy::Canary { window, .. } => window,
        },
        now,
    };
    let pushed = push(&round, &step, &mut remembered).await;
    context.memory.put(key, remembered);
    let write = Write {
        config: pushed.config_accepted && !matches!(step, Step::Settled | Step::WriteFirst),
        certificate: new_certificate.filter(|_| pushed.certificate_accepted && !certificate_first),
    };
    apply_files(client, &files(resolver, write)).await?;
    Ok(pushed)
}

/// Writes a status that differs from the one that is there, and tells what changed.
async fn write_status(
    context: &Context,
    resolver: &Resolver,
    status: &ResolverStatus,
) -> Result<(), kube::Error> {
    let before = resolver.status.clone().unwrap_or_default();
    if resolver.status.as_ref() == Some(status) {
        return Ok(());
    }
    let namespace = resolver.namespace().unwrap_or_default();
    let api: Api<Resolver> = Api::namespaced(context.client.clone(), &namespace);
    let patch = serde_json::json!({
        "apiVersion": Resolver::api_version(&()),
        "kind": Resolver::kind(&()),
        "status": status,
    });
    let how = PatchParams::apply(naming::STATUS_MANAGER).force();
    api.patch_status(&resolver.name_any(), &how, &Patch::Apply(&patch))
        .await?;
    for event in event::events(&before, status) {
        let told = context
            .recorder
            .publish(&event, &resolver.object_ref(&()))
            .await;
        if let Err(fault) = told {
            tracing::warn!(%fault, "an event was not taken");
        }
    }
    Ok(())
}
