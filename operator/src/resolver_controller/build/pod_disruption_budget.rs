//! How many pods may be away when a node is emptied.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::naming;
use crate::resolver_controller::build::meta::meta;
use crate::resolver_controller::validate::ValidatedResolver;

/// One pod at a time may be away, and one that does not serve never stands in the way.
pub(crate) fn pod_disruption_budget(resolver: &ValidatedResolver) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: meta(resolver, resolver.name.clone()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(naming::selector(&resolver.name)),
                ..LabelSelector::default()
            }),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
