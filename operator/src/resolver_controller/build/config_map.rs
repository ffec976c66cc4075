//! The files that a pod starts from: the document and the certificate of the listeners.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use weir_config::DataplaneConfig;
use weir_config::push::PushCertificate;

use crate::naming;
use crate::resolver_controller::build::meta::meta;
use crate::resolver_controller::build::secret::secret;
use crate::resolver_controller::validate::ValidatedResolver;

/// The ConfigMap with the document that pods have accepted.
pub(crate) fn config_map(resolver: &ValidatedResolver, config: &DataplaneConfig) -> ConfigMap {
    let mut metadata = meta(resolver, naming::config(&resolver.name));
    metadata.annotations = Some([("weir.dev/revision".to_owned(), config.revision())].into());
    let document = (naming::CONFIG_FILE.to_owned(), config.canonical_json());
    ConfigMap {
        metadata,
        data: Some([document].into()),
        ..ConfigMap::default()
    }
}

/// The Secret with the certificate of the listeners.
pub(crate) fn serving_secret(resolver: &ValidatedResolver, pem: &PushCertificate) -> Secret {
    let fields = [
        (naming::CERTIFICATE_FILE, pem.chain_pem.as_str()),
        (naming::KEY_FILE, pem.key_pem.as_str()),
    ];
    secret(resolver, naming::serving(&resolver.name), &fields)
}
