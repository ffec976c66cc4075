//! The metadata that every child of a resolver carries.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::naming;
use crate::resolver_controller::validate::ValidatedResolver;

/// Name, namespace, labels and owner of a child.
pub(crate) fn meta(resolver: &ValidatedResolver, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(resolver.namespace.clone()),
        labels: Some(naming::labels(&resolver.name)),
        owner_references: Some(vec![resolver.owner.clone()]),
        ..ObjectMeta::default()
    }
}
