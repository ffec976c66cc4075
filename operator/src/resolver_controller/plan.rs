//! Decides which document each pod should have now, and when to look again.
//!
//! Pure: the pods, what is remembered and the time are handed in. A document reaches the files
//! that pods start from only after pods have accepted it, unless nothing is live that it could
//! harm. Owns the order of a rollout; never sends anything.

use std::time::Duration;

use weir_config::unit::instant::UnixSeconds;

use crate::memory::Remembered;
use crate::resolver_controller::dereference::PodView;
use crate::resolver_controller::validate::Strategy;

/// What stands at the beginning of a reconciliation.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The revision that the spec asks for.
    pub desired: &'a str,
    /// The digest of what a pod reads only when it starts, of that document.
    pub desired_startup: &'a str,
    /// The revision in the files that pods start from.
    pub accepted: Option<&'a str>,
    /// The digest of what a pod reads only when it starts, of that document.
    pub accepted_startup: Option<&'a str>,
    /// How a change reaches the pods.
    pub strategy: Strategy,
    /// The pods, by name.
    pub pods: &'a [PodView],
    /// What is remembered.
    pub remembered: &'a Remembered,
    /// The time.
    pub now: UnixSeconds,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The files hold the document: every pod should have it.
    Settled,
    /// Write the files first, as nothing live could be harmed, or pods must be replaced anyway.
    WriteFirst,
    /// Send the document to every pod, and write the files once pods have accepted it.
    AtOnce,
    /// Send the document to these pods, by index, and let the others wait.
    BeginCanary(Vec<usize>),
    /// These pods, by index, have the document: look again after this time.
    Watch(Vec<usize>, Duration),
    /// The window is over: ask these pods, by index, once more, and go on with the others.
    EndCanary(Vec<usize>),
    /// A pod that had the document no longer serves: take it back.
    TakeBack(String),
    /// The document did not pass before: every pod should have the accepted one.
    Failed(String),
}

/// Decides what to do now.
#[must_use]
pub fn plan(situation: &Situation<'_>) -> Step {
    let Situation {
        desired,
        accepted,
        pods,
        remembered,
        ..
    } = *situation;
    if accepted == Some(desired) {
        return Step::Settled;
    }
    let live = pods.iter().any(|pod| pod.ready && pod.address.is_some());
    if accepted.is_none() || !live || situation.accepted_startup != Some(situation.desired_startup)
    {
        return Step::WriteFirst;
    }
    if let Some(failed) = remembered
        .failed
        .as_ref()
        .filter(|it| it.revision == desired)
    {
        return Step::Failed(failed.message.clone());
    }
    match situation.strategy {
        Strategy::AtOnce => Step::AtOnce,
        Strategy::Canary {
            pods: count,
            window,
        } => canary(situation, count, window),
    }
}

fn canary(situation: &Situation<'_>, count: usize, window: Duration) -> Step {
    let pods = situation.pods;
    let watched = situation
        .remembered
        .canary
        .as_ref()
        .filter(|it| it.revision == situation.desired);
    let Some(watched) = watched else {
        return Step::BeginCanary(first_ready(pods, count));
    };
    let mut still = Vec::new();
    for (index, pod) in pods.iter().enumerate() {
        let Some(restarts) = watched.pods.get(&pod.uid) else {
            continue;
        };
        if pod.ending {
            continue;
        }
        if !pod.ready || pod.restarts != *restarts {
            return Step::TakeBack(format!(
                "pod {} no longer answers since it has the new configuration: change the spec",
                pod.name
            ));
        }
        still.push(index);
    }
    if still.is_empty() {
        return Step::BeginCanary(first_ready(pods, count));
    }
    let elapsed = Duration::from_secs(situation.now.0.saturating_sub(watched.since.0));
    match window.checked_sub(elapsed) {
        Some(rest) if !rest.is_zero() => Step::Watch(still, rest),
        _ => Step::EndCanary(still),
    }
}

fn first_ready(pods: &[PodView], count: usize) -> Vec<usize> {
    let ready = pods
        .iter()
        .enumerate()
        .filter(|(_, pod)| pod.ready && pod.address.is_some());
    ready.map(|(index, _)| index).take(count).collect()
}
