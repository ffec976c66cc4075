//! The identity of the pods: one that may do nothing at the API server.

use k8s_openapi::api::core::v1::ServiceAccount;

use crate::resolver_controller::build::meta::meta;
use crate::resolver_controller::validate::ValidatedResolver;

/// The ServiceAccount of the pods.
pub(crate) fn service_account(resolver: &ValidatedResolver) -> ServiceAccount {
    ServiceAccount {
        metadata: meta(resolver, resolver.name.clone()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
