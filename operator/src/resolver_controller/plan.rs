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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Canary, Failed};

    const CANARY: Strategy = Strategy::Canary {
        pods: 1,
        window: Duration::from_secs(10),
    };

    fn pod(name: &str, ready: bool) -> PodView {
        PodView {
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            address: Some([10, 0, 0, 1].into()),
            ready,
            running: true,
            ending: false,
            restarts: 0,
            startup: "start".to_owned(),
        }
    }

    fn situation<'a>(
        strategy: Strategy,
        pods: &'a [PodView],
        remembered: &'a Remembered,
    ) -> Situation<'a> {
        Situation {
            desired: "new",
            desired_startup: "start",
            accepted: Some("old"),
            accepted_startup: Some("start"),
            strategy,
            pods,
            remembered,
            now: UnixSeconds(1_000),
        }
    }

    fn watched(since: u64) -> Remembered {
        let pods = [("uid-a".to_owned(), 0)].into();
        let canary = Canary {
            revision: "new".to_owned(),
            pods,
            since: UnixSeconds(since),
        };
        Remembered {
            canary: Some(canary),
            ..Remembered::default()
        }
    }

    #[test]
    fn files_come_first_where_nothing_live_could_be_harmed() {
        let (nothing, pods) = (Remembered::default(), [pod("a", true)]);
        let base = situation(CANARY, &pods, &nothing);
        assert_eq!(
            plan(&Situation {
                accepted: None,
                ..base
            }),
            Step::WriteFirst
        );
        assert_eq!(
            plan(&Situation {
                pods: &[pod("a", false)],
                ..base
            }),
            Step::WriteFirst
        );
        assert_eq!(
            plan(&Situation {
                accepted_startup: Some("x"),
                ..base
            }),
            Step::WriteFirst
        );
        assert_eq!(
            plan(&Situation {
                accepted: Some("new"),
                ..base
            }),
            Step::Settled
        );
    }

    #[test]
    fn a_canary_begins_is_watched_and_ends() {
        let pods = [pod("a", true), pod("b", true)];
        let nothing = Remembered::default();
        assert_eq!(
            plan(&situation(CANARY, &pods, &nothing)),
            Step::BeginCanary(vec![0])
        );
        assert_eq!(
            plan(&situation(Strategy::AtOnce, &pods, &nothing)),
            Step::AtOnce
        );
        let (early, late) = (watched(997), watched(990));
        let rest = Duration::from_secs(7);
        assert_eq!(
            plan(&situation(CANARY, &pods, &early)),
            Step::Watch(vec![0], rest)
        );
        assert_eq!(
            plan(&situation(CANARY, &pods, &late)),
            Step::EndCanary(vec![0])
        );
    }

    #[test]
    fn a_canary_that_falls_takes_the_document_back() {
        let mut pods = [pod("a", false), pod("b", true)];
        let remembered = watched(997);
        assert!(matches!(
            plan(&situation(CANARY, &pods, &remembered)),
            Step::TakeBack(_)
        ));
        pods[0].ready = true;
        pods[0].restarts = 1;
        assert!(matches!(
            plan(&situation(CANARY, &pods, &remembered)),
            Step::TakeBack(_)
        ));
        // A pod that somebody removed says nothing about the document.
        pods[0].ending = true;
        pods[0].ready = false;
        assert_eq!(
            plan(&situation(CANARY, &pods, &remembered)),
            Step::BeginCanary(vec![1])
        );
    }

    #[test]
    fn what_failed_is_not_tried_again_until_it_changes() {
        let pods = [pod("a", true)];
        let failed = Failed {
            revision: "new".to_owned(),
            message: "no".to_owned(),
        };
        let remembered = Remembered {
            failed: Some(failed),
            ..Remembered::default()
        };
        let base = situation(CANARY, &pods, &remembered);
        assert_eq!(plan(&base), Step::Failed("no".to_owned()));
        assert_eq!(
            plan(&Situation {
                desired: "newer",
                ..base
            }),
            Step::BeginCanary(vec![0])
        );
    }
}
