//! Events of a resolver: one for each condition that changed its mind.
//!
//! Pure. Owns which change is worth an event; the recorder of `kube` sends it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType};
use weir_crds::condition::{AVAILABLE, CERTIFICATE_READY, CONFIG_ACCEPTED, Reason};
use weir_crds::resolver::status::ResolverStatus;

/// Octets of a note that the API server takes.
const NOTE_MAX: usize = 1024;

/// The events between two statuses.
#[must_use]
pub fn events(before: &ResolverStatus, after: &ResolverStatus) -> Vec<Event> {
    let told = [AVAILABLE, CERTIFICATE_READY, CONFIG_ACCEPTED];
    let changed = after.conditions.iter().filter(|condition| {
        let old = before
            .conditions
            .iter()
            .find(|it| it.type_ == condition.type_);
        told.contains(&condition.type_.as_str())
            && old
                .is_none_or(|old| old.status != condition.status || old.reason != condition.reason)
    });
    changed.map(event).collect()
}

fn event(condition: &Condition) -> Event {
    let calm = [Reason::CanaryWindow.as_str(), Reason::ScaledToZero.as_str()];
    let well = condition.status == "True" || calm.contains(&condition.reason.as_str());
    // A condition that turned well has a reason that says little; its type says more.
    let reason = if condition.status == "True" {
        &condition.type_
    } else {
        &condition.reason
    };
    let end = condition.message.floor_char_boundary(NOTE_MAX);
    Event {
        type_: if well {
            EventType::Normal
        } else {
            EventType::Warning
        },
        reason: reason.clone(),
        note: condition.message.get(..end).map(ToOwned::to_owned),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}
