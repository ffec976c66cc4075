//! Sends document and certificate to the pods, and gathers what each says is live in it.
//!
//! Owns one round of pushes; which pod gets what, and when, is decided by `plan`.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{StreamExt as _, iter};
use tracing::Instrument as _;
use weir_config::DataplaneConfig;
use weir_config::push::{Push, PushCertificate};
use weir_config::unit::instant::UnixSeconds;
use weir_crds::resolver::status::PodStatus;

use crate::memory::{Acknowledgement, Canary, Failed, Remembered};
use crate::metrics::{Metrics, Outcome, OutcomeLabel};
use crate::naming;
use crate::pod_client::{Answer, PodClient};
use crate::resolver_controller::dereference::PodView;
use crate::resolver_controller::plan::Step;
use crate::telemetry::traceparent;

/// How many pods are asked at once.
const PARALLEL_PUSHES: usize = 32;
/// After this time a pod is asked again, even if it said that all is live.
const ASK_AGAIN: u64 = 300;
/// When to try again after a pod refused or could not be reached.
const RETRY: Duration = Duration::from_secs(15);

/// A document with its certificate, as it is sent.
#[derive(Debug, Clone)]
pub struct Parcel {
    push: Push,
    revision: String,
    certificate: Option<String>,
}

impl Parcel {
    /// Packs a document with a certificate and its fingerprint.
    #[must_use]
    pub fn new(config: DataplaneConfig, certificate: Option<(PushCertificate, String)>) -> Self {
        let revision = config.revision();
        let (certificate, fingerprint) = certificate.unzip();
        Self {
            push: Push {
                config,
                certificate,
            },
            revision,
            certificate: fingerprint,
        }
    }
}

/// What one round needs.
pub struct Round<'a> {
    /// The client of the admin ports.
    pub client: &'a PodClient,
    /// What is counted.
    pub metrics: &'a Metrics,
    /// The name that the certificates of the admin ports carry.
    pub server_name: String,
    /// The pods, by name.
    pub pods: &'a [PodView],
    /// The digest of what a pod reads only when it starts; other pods are being replaced.
    pub startup: &'a str,
    /// What the spec asks for.
    pub desired: Parcel,
    /// What was accepted before, with the certificate of now.
    pub accepted: Option<Parcel>,
    /// The window of a canary.
    pub window: Duration,
    /// The time.
    pub now: UnixSeconds,
}

/// How far a document has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Every ready pod has it.
    Accepted,
    /// The first pods have it and are being watched.
    Watching(String),
    /// A pod refused it.
    Rejected(String),
    /// A ready pod did not answer.
    Unreachable(String),
    /// It did not pass.
    Failed(String),
}

/// What came of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// What each pod last said.
    pub pods: Vec<PodStatus>,
    /// How far the document has come.
    pub progress: Progress,
    /// Whether the document may go into the files that pods start from.
    pub config_accepted: bool,
    /// Whether the certificate may.
    pub certificate_accepted: bool,
    /// When to look again.
    pub again: Option<Duration>,
}

/// Which parcel a pod should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Desired,
    Accepted,
}

/// What one pod said.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Applied,
    Rejected(String),
    Unreachable(String),
}

/// What each pod said, by the index of the pod.
type Answers = Vec<(usize, Said)>;

/// Does one step and gathers what the pods say.
pub async fn push(round: &Round<'_>, step: &Step, remembered: &mut Remembered) -> Pushed {
    let known: Vec<&str> = round.pods.iter().map(|pod| pod.uid.as_str()).collect();
    remembered
        .acknowledged
        .retain(|uid, _| known.contains(&uid.as_str()));
    let everyone: Vec<usize> = (0..round.pods.len()).collect();
    match step {
        Step::Settled | Step::WriteFirst => settle(round, &everyone, remembered).await,
        Step::AtOnce => {
            let answers = round
                .send(Which::Desired, &everyone, false, remembered)
                .await;
            let accepted = passed(&answers);
            round.conclude(
                progress_of(round, &answers),
                &answers,
                accepted,
                None,
                remembered,
            )
        }
        Step::BeginCanary(first) => begin_canary(round, first, remembered).await,
        Step::Watch(first, rest) => {
            let mut answers = round.send(Which::Desired, first, false, remembered).await;
            answers.extend(round.send_rest(first, remembered).await);
            let progress = watching(round, first);
            round.conclude(progress, &answers, false, Some(*rest), remembered)
        }
        Step::EndCanary(first) => end_canary(round, first, remembered).await,
        Step::TakeBack(message) => {
            let revision = round.desired.revision.clone();
            remembered.failed = Some(Failed {
                revision,
                message: message.clone(),
            });
            remembered.canary = None;
            let answers = round
                .send(Which::Accepted, &everyone, true, remembered)
                .await;
            let progress = Progress::Failed(message.clone());
            round.conclude(progress, &answers, false, Some(RETRY), remembered)
        }
        Step::Failed(message) => {
            let answers = round
                .send(Which::Accepted, &everyone, false, remembered)
                .await;
            let progress = Progress::Failed(message.clone());
            round.conclude(progress, &answers, false, None, remembered)
        }
    }
}

async fn begin_canary(round: &Round<'_>, first: &[usize], remembered: &mut Remembered) -> Pushed {
    let mut answers = round.send(Which::Desired, first, true, remembered).await;
    let mut progress = progress_of(round, &answers);
    let mut again = None;
    if progress == Progress::Accepted {
        progress = watching(round, first);
        again = Some(round.window);
        let pods = first.iter().filter_map(|index| round.pods.get(*index));
        remembered.canary = Some(Canary {
            revision: round.desired.revision.clone(),
            pods: pods.map(|pod| (pod.uid.clone(), pod.restarts)).collect(),
            // Rounded up, so that the window is never cut short by the part of a second.
            since: UnixSeconds(round.now.0 + 1),
        });
    }
    answers.extend(round.send_rest(first, remembered).await);
    round.conclude(progress, &answers, false, again, remembered)
}

async fn end_canary(round: &Round<'_>, first: &[usize], remembered: &mut Remembered) -> Pushed {
    let answers = round.send(Which::Desired, first, true, remembered).await;
    let silent = answers.iter().find(|(_, said)| *said != Said::Applied);
    if let Some((index, said)) = silent {
        let name = round.pods.get(*index).map_or("", |pod| pod.name.as_str());
        let why = match said {
            Said::Applied => "",
            Said::Rejected(message) | Said::Unreachable(message) => message.as_str(),
        };
        let message = format!("pod {name} does not keep the new configuration: {why}");
        let revision = round.desired.revision.clone();
        remembered.failed = Some(Failed {
            revision,
            message: message.clone(),
        });
        remembered.canary = None;
        let again = Some(Duration::from_secs(1));
        return round.conclude(
            Progress::Failed(message),
            &answers,
            false,
            again,
            remembered,
        );
    }
    let everyone: Vec<usize> = (0..round.pods.len()).collect();
    settle(round, &everyone, remembered).await
}

/// Gives what is desired to all pods that do not have it; it is the accepted configuration.
async fn settle(round: &Round<'_>, everyone: &[usize], remembered: &mut Remembered) -> Pushed {
    remembered.canary = None;
    let answers = round
        .send(Which::Desired, everyone, false, remembered)
        .await;
    let progress = progress_of(round, &answers);
    round.conclude(progress, &answers, true, None, remembered)
}

fn watching(round: &Round<'_>, first: &[usize]) -> Progress {
    let names: Vec<_> = first
        .iter()
        .filter_map(|index| round.pods.get(*index))
        .map(|pod| pod.name.as_str())
        .collect();
    Progress::Watching(format!(
        "watching {} before the other pods follow",
        names.join(", ")
    ))
}

/// A refusal counts before silence, and silence only of pods that are ready.
fn progress_of(round: &Round<'_>, answers: &Answers) -> Progress {
    let mut unreachable = None;
    for (index, said) in answers {
        let Some(pod) = round.pods.get(*index) else {
            continue;
        };
        match said {
            Said::Applied => {}
            Said::Rejected(message) => {
                return Progress::Rejected(format!("pod {} says: {message}", pod.name));
            }
            Said::Unreachable(message) if pod.ready => {
                unreachable.get_or_insert_with(|| format!("pod {}: {message}", pod.name));
            }
            Said::Unreachable(_) => {}
        }
    }
    unreachable.map_or(Progress::Accepted, Progress::Unreachable)
}

/// Whether some pods took it and none refused it.
fn passed(answers: &Answers) -> bool {
    let refused = answers
        .iter()
        .any(|(_, said)| matches!(said, Said::Rejected(_)));
    !refused && answers.iter().any(|(_, said)| *said == Said::Applied)
}

impl Round<'_> {
    async fn send_rest(&self, first: &[usize], remembered: &mut Remembered) -> Answers {
        let rest: Vec<_> = (0..self.pods.len())
            .filter(|index| !first.contains(index))
            .collect();
        self.send(Which::Accepted, &rest, false, remembered).await
    }

    /// Sends to the pods with these indices that run and are not being replaced.
    async fn send(
        &self,
        which: Which,
        to: &[usize],
        even_if_known: bool,
        remembered: &mut Remembered,
    ) -> Answers {
        let parcel = match which {
            Which::Desired => &self.desired,
            Which::Accepted => match &self.accepted {
                Some(parcel) => parcel,
                None => return Answers::new(),
            },
        };
        let mut answers = Answers::new();
        let mut calls = Vec::new();
        for (index, pod) in to
            .iter()
            .filter_map(|index| Some((*index, self.pods.get(*index)?)))
        {
            let Some(address) = pod.address.filter(|_| pod.running) else {
                continue;
            };
            if pod.startup != self.startup {
                continue;
            }
            if !even_if_known && self.knows(pod, parcel, remembered) {
                answers.push((index, Said::Applied));
                continue;
            }
            calls.push(self.call(index, SocketAddr::new(address, naming::ADMIN_PORT), parcel));
        }
        let mut calls = iter(calls).buffer_unordered(PARALLEL_PUSHES);
        while let Some((index, result)) = calls.next().await {
            let said = match (result, self.pods.get(index)) {
                (Ok(acknowledgement), Some(pod)) => {
                    remembered
                        .acknowledged
                        .insert(pod.uid.clone(), acknowledgement);
                    Said::Applied
                }
                (Ok(_), None) => continue,
                (Err(said), _) => said,
            };
            answers.push((index, said));
        }
        answers
    }

    fn knows(&self, pod: &PodView, parcel: &Parcel, remembered: &Remembered) -> bool {
        remembered.acknowledged.get(&pod.uid).is_some_and(|known| {
            known.restarts == pod.restarts
                && known.revision == parcel.revision
                && (parcel.certificate.is_none() || known.certificate == parcel.certificate)
                && self.now.0.saturating_sub(known.at.0) < ASK_AGAIN
        })
    }

    /// Sends to the pod with this index.
    async fn call(
        &self,
        index: usize,
        address: SocketAddr,
        parcel: &Parcel,
    ) -> (usize, Result<Acknowledgement, Said>) {
        let (name, restarts) = self
            .pods
            .get(index)
            .map_or(("", 0), |pod| (pod.name.as_str(), pod.restarts));
        let span = tracing::info_span!(
            "config.push",
            otel.kind = "client",
            k8s.pod.name = name,
            weir.revision = parcel.revision,
            otel.status_code = tracing::field::Empty,
        );
        let result = async {
            let parent = traceparent();
            self.client
                .push(address, &self.server_name, &parcel.push, parent.as_deref())
                .await
        }
        .instrument(span.clone())
        .await;
        let (outcome, said) = match result {
            Ok(Answer::Applied(applied)) => (
                Outcome::Ok,
                Ok(Acknowledgement {
                    restarts,
                    revision: applied.revision,
                    certificate: applied.certificate,
                    certificate_not_after: applied.certificate_not_after,
                    at: self.now,
                }),
            ),
            Ok(Answer::Rejected(rejected)) if rejected.field.is_empty() => {
                (Outcome::Refused, Err(Said::Rejected(rejected.message)))
            }
            Ok(Answer::Rejected(rejected)) => {
                let message = format!("{}: {}", rejected.field, rejected.message);
                (Outcome::Refused, Err(Said::Rejected(message)))
            }
            Err(fault) => (Outcome::Failed, Err(Said::Unreachable(fault.to_string()))),
        };
        if outcome != Outcome::Ok {
            span.record("otel.status_code", "ERROR");
            tracing::warn!(pod = name, ?said, "a push was not taken");
        }
        self.metrics
            .pushes
            .get_or_create(&OutcomeLabel { outcome })
            .inc();
        (index, said)
    }

    fn conclude(
        &self,
        progress: Progress,
        answers: &Answers,
        config_accepted: bool,
        again: Option<Duration>,
        remembered: &Remembered,
    ) -> Pushed {
        let wanted = self.desired.certificate.as_ref();
        let certificate_accepted = wanted.is_some()
            && remembered
                .acknowledged
                .values()
                .any(|known| known.certificate.as_ref() == wanted);
        let again = match progress {
            Progress::Rejected(_) | Progress::Unreachable(_) => Some(RETRY),
            Progress::Accepted | Progress::Watching(_) | Progress::Failed(_) => again,
        };
        let pods = self.pods.iter().enumerate().filter(|(_, pod)| !pod.ending);
        let pods = pods
            .map(|(index, pod)| pod_status(index, pod, answers, remembered))
            .collect();
        Pushed {
            pods,
            progress,
            config_accepted,
            certificate_accepted,
            again,
        }
    }
}

fn pod_status(
    index: usize,
    pod: &PodView,
    answers: &Answers,
    remembered: &Remembered,
) -> PodStatus {
    let known = remembered
        .acknowledged
        .get(&pod.uid)
        .filter(|it| it.restarts == pod.restarts);
    let said = answers
        .iter()
        .find(|(answered, _)| *answered == index)
        .map(|(_, said)| said);
    PodStatus {
        name: pod.name.clone(),
        revision: known.map(|known| known.revision.clone()),
        certificate: known.and_then(|known| known.certificate.clone()),
        certificate_not_after: known
            .and_then(|known| known.certificate_not_after)
            .map(|time| time.to_string()),
        message: match said {
            Some(Said::Rejected(message) | Said::Unreachable(message)) => message.clone(),
            Some(Said::Applied) | None => String::new(),
        },
    }
}
