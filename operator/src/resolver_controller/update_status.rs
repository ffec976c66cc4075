//! The status of a resolver, from what was observed: conditions, pods, endpoints.
//!
//! Pure. `Ready`, `Reconciling` and `Stalled` follow kstatus; a condition keeps its transition
//! time while its status stays.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use weir_config::Problem;
use weir_config::listener::ListenerProtocol;
use weir_config::unit::instant::UnixSeconds;
use weir_crds::condition::{
    AVAILABLE, CERTIFICATE_READY, CONFIG_ACCEPTED, READY, RECONCILING, Reason, STALLED,
};
use weir_crds::resolver::status::ResolverStatus;

use crate::certificate::{CertificateFault, ServingCertificate};
use crate::clock;
use crate::naming;
use crate::resolver_controller::dereference::{DeploymentView, PodView};
use crate::resolver_controller::push::{Progress, Pushed};
use crate::resolver_controller::validate::{ValidatedListener, ValidatedResolver};

/// Digits of a revision that are shown in a column.
const SHORT: usize = 12;

/// What was observed of a resolver that can be built.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// The resolver.
    pub resolver: &'a ValidatedResolver,
    /// The certificate of its listeners.
    pub certificate: Option<&'a Result<ServingCertificate, CertificateFault>>,
    /// What came of the pushes.
    pub pushed: &'a Pushed,
    /// The revision in the files that pods start from.
    pub accepted_revision: Option<&'a str>,
    /// The pods.
    pub pods: &'a [PodView],
    /// The Deployment.
    pub deployment: Option<DeploymentView>,
}

/// One condition before it is dated.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    kind: &'static str,
    status: &'static str,
    reason: Reason,
    message: String,
}

impl Finding {
    fn new(kind: &'static str, status: &'static str, reason: Reason, message: String) -> Self {
        Self {
            kind,
            status,
            reason,
            message,
        }
    }
}

/// The status of a resolver that can be built.
#[must_use]
pub fn status(
    observed: &Observed<'_>,
    generation: Option<i64>,
    previous: &ResolverStatus,
    now: UnixSeconds,
) -> ResolverStatus {
    let Observed {
        resolver,
        pushed,
        pods,
        ..
    } = *observed;
    let ready = pods.iter().filter(|pod| pod.ready).count();
    let revision = resolver.config.revision();
    ResolverStatus {
        observed_generation: generation,
        conditions: dated(findings(observed), generation, previous, now),
        replicas: count(pods.iter().filter(|pod| !pod.ending).count()),
        ready_replicas: count(ready),
        ready_pods: Some(format!("{ready}/{}", resolver.replicas)),
        selector: Some(naming::selector_text(&resolver.name)),
        short_revision: Some(short(&revision)),
        revision: Some(revision),
        accepted_revision: observed.accepted_revision.map(ToOwned::to_owned),
        pods: pushed.pods.clone(),
        endpoints: endpoints(resolver),
    }
}

/// The status of a resolver whose spec cannot be used: what is live stays, and so does what is
/// known of it.
#[must_use]
pub fn invalid(
    problems: &[Problem],
    generation: Option<i64>,
    previous: &ResolverStatus,
    now: UnixSeconds,
) -> ResolverStatus {
    let message = problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ");
    let reason = Reason::InvalidSpec;
    let mut findings = vec![
        Finding::new(READY, "False", reason, message.clone()),
        Finding::new(STALLED, "True", reason, message.clone()),
        Finding::new(CONFIG_ACCEPTED, "False", reason, message),
    ];
    findings.sort_by_key(|finding| finding.kind);
    let mut conditions = dated(findings, generation, previous, now);
    let kept = [CERTIFICATE_READY, AVAILABLE];
    let kept = previous
        .conditions
        .iter()
        .filter(|it| kept.contains(&it.type_.as_str()));
    conditions.extend(kept.cloned());
    conditions.sort_by(|first, second| first.type_.cmp(&second.type_));
    ResolverStatus {
        observed_generation: generation,
        conditions,
        ..previous.clone()
    }
}

fn findings(observed: &Observed<'_>) -> Vec<Finding> {
    let config = config_accepted(observed);
    let certificate = certificate_ready(observed);
    let available = available(observed);
    let rolled_out = rolled_out(observed);
    let first_wrong = [&certificate, &config]
        .into_iter()
        .find(|finding| finding.status != "True")
        .cloned()
        .or(rolled_out);
    let stalled = observed.certificate.is_some_and(Result::is_err)
        || matches!(
            observed.pushed.progress,
            Progress::Rejected(_) | Progress::Failed(_)
        );
    let mut findings = vec![config, certificate, available];
    match first_wrong {
        None => {
            let message = "all pods serve what the spec asks for".to_owned();
            findings.push(Finding::new(READY, "True", Reason::AsSpecified, message));
        }
        Some(wrong) => {
            let kind = if stalled { STALLED } else { RECONCILING };
            findings.push(Finding::new(
                kind,
                "True",
                wrong.reason,
                wrong.message.clone(),
            ));
            findings.push(Finding::new(READY, "False", wrong.reason, wrong.message));
        }
    }
    findings.sort_by_key(|finding| finding.kind);
    findings
}

fn config_accepted(observed: &Observed<'_>) -> Finding {
    let revision = short(&observed.resolver.config.revision());
    let (status, reason, message) = match &observed.pushed.progress {
        Progress::Accepted => (
            "True",
            Reason::AsSpecified,
            format!("revision {revision} is live in every ready pod"),
        ),
        Progress::Watching(message) => ("Unknown", Reason::CanaryWindow, message.clone()),
        Progress::Unreachable(message) => ("Unknown", Reason::PodUnreachable, message.clone()),
        Progress::Rejected(message) => ("False", Reason::Rejected, message.clone()),
        Progress::Failed(message) => ("False", Reason::CanaryFailed, message.clone()),
    };
    Finding::new(CONFIG_ACCEPTED, status, reason, message)
}

fn certificate_ready(observed: &Observed<'_>) -> Finding {
    let (status, reason, message) = match observed.certificate {
        None => (
            "True",
            Reason::NotNeeded,
            "no listener speaks TLS".to_owned(),
        ),
        Some(Ok(certificate)) => (
            "True",
            Reason::AsSpecified,
            format!(
                "valid until {} for {}",
                certificate.not_after,
                certificate.names.join(", ")
            ),
        ),
        Some(Err(fault)) => ("False", fault.reason(), fault.to_string()),
    };
    Finding::new(CERTIFICATE_READY, status, reason, message)
}

fn available(observed: &Observed<'_>) -> Finding {
    let ready = observed.pods.iter().filter(|pod| pod.ready).count();
    let wanted = observed.resolver.replicas;
    let (status, reason) = match (ready, wanted) {
        (0, 0) => ("False", Reason::ScaledToZero),
        (0, _) => ("False", Reason::PodsNotReady),
        _ => ("True", Reason::AsSpecified),
    };
    Finding::new(
        AVAILABLE,
        status,
        reason,
        format!("{ready} of {wanted} pods are ready"),
    )
}

/// What is missing until every wanted pod is there in its newest form.
fn rolled_out(observed: &Observed<'_>) -> Option<Finding> {
    let wanted = observed.resolver.replicas;
    let view = observed.deployment.unwrap_or_default();
    let counts = [view.replicas, view.updated, view.ready];
    let listed = count(observed.pods.iter().filter(|pod| pod.ready).count());
    if view.observed && counts == [wanted; 3] && listed == wanted {
        return None;
    }
    let message = format!(
        "{} of {wanted} pods are ready, {} of them are of the newest version",
        view.ready.min(wanted),
        view.updated.min(view.ready).min(wanted)
    );
    Some(Finding::new(READY, "False", Reason::PodsNotReady, message))
}

fn dated(
    findings: Vec<Finding>,
    generation: Option<i64>,
    previous: &ResolverStatus,
    now: UnixSeconds,
) -> Vec<Condition> {
    let now = Time(clock::timestamp(now));
    findings
        .into_iter()
        .map(
            |Finding {
                 kind,
                 status,
                 reason,
                 message,
             }| {
                let before = previous.conditions.iter().find(|it| it.type_ == kind);
                let since = before
                    .filter(|before| before.status == status)
                    .map_or_else(|| now.clone(), |before| before.last_transition_time.clone());
                Condition {
                    type_: kind.to_owned(),
                    status: status.to_owned(),
                    reason: reason.as_str().to_owned(),
                    message,
                    last_transition_time: since,
                    observed_generation: generation,
                }
            },
        )
        .collect()
}

/// The URI templates that clients are given (RFC 8484, 4.1).
#[must_use]
pub fn endpoints(resolver: &ValidatedResolver) -> Vec<String> {
    let inside = format!("{}.{}.svc", resolver.name, resolver.namespace);
    let mut endpoints = Vec::new();
    for listener in &resolver.listeners {
        for host in std::iter::once(&inside).chain(&resolver.hostnames) {
            if host.starts_with('*') {
                continue;
            }
            endpoints.extend(listener.paths.iter().map(|path| uri(listener, host, path)));
        }
    }
    endpoints
}

fn uri(listener: &ValidatedListener, host: &str, path: &str) -> String {
    let (scheme, usual) = match listener.protocol {
        ListenerProtocol::DoH => ("https", 443),
        ListenerProtocol::DoHPlaintext => ("http", 80),
    };
    let port = if listener.port == usual {
        String::new()
    } else {
        format!(":{}", listener.port)
    };
    format!("{scheme}://{host}{port}{path}{{?dns}}")
}

fn short(revision: &str) -> String {
    revision
        .trim_start_matches("sha256:")
        .chars()
        .take(SHORT)
        .collect()
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
