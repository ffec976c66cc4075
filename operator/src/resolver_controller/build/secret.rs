//! Secrets with a certificate and its key, and the ConfigMap that publishes an authority.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use crate::authority::KeyPairPem;
use crate::naming;
use crate::resolver_controller::build::meta::meta;
use crate::resolver_controller::certify::OwnAuthority;
use crate::resolver_controller::validate::ValidatedResolver;

/// A Secret of type `kubernetes.io/tls` with these texts.
pub(crate) fn secret(
    resolver: &ValidatedResolver,
    name: String,
    fields: &[(&str, &str)],
) -> Secret {
    let data = fields
        .iter()
        .map(|(field, text)| ((*field).to_owned(), ByteString(text.as_bytes().to_vec())))
        .collect();
    Secret {
        metadata: meta(resolver, name),
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

/// The Secret that pods serve their admin port with.
pub(crate) fn admin_secret(
    resolver: &ValidatedResolver,
    authority: &str,
    pair: &KeyPairPem,
) -> Secret {
    let fields = [
        (naming::CA_FILE, authority),
        (naming::CERTIFICATE_FILE, pair.certificate.as_str()),
        (naming::KEY_FILE, pair.key.as_str()),
    ];
    secret(resolver, naming::admin(&resolver.name), &fields)
}

/// The Secret with the resolver's own authority; no pod mounts it.
pub(crate) fn authority_secret(resolver: &ValidatedResolver, own: &OwnAuthority) -> Secret {
    let fields = [
        (naming::CA_FILE, own.authority.certificate.as_str()),
        (naming::CA_KEY_FILE, own.authority.key.as_str()),
        (naming::CERTIFICATE_FILE, own.issued.certificate.as_str()),
        (naming::KEY_FILE, own.issued.key.as_str()),
    ];
    secret(resolver, naming::authority(&resolver.name), &fields)
}

/// The ConfigMap by which clients learn to trust the resolver's own authority.
pub(crate) fn authority_config_map(resolver: &ValidatedResolver, own: &OwnAuthority) -> ConfigMap {
    let certificate = (
        naming::CA_FILE.to_owned(),
        own.authority.certificate.clone(),
    );
    ConfigMap {
        metadata: meta(resolver, naming::authority(&resolver.name)),
        data: Some([certificate].into()),
        ..ConfigMap::default()
    }
}
