//! What is mounted into a pod, and where.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, SecretVolumeSource, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::naming;
use crate::resolver_controller::validate::ValidatedResolver;

/// Who may read a mounted key: the user and the group of the pod.
const MODE: i32 = 0o440;

/// The volumes of a pod.
pub(crate) fn volumes(resolver: &ValidatedResolver) -> Vec<Volume> {
    let config = ConfigMapVolumeSource {
        name: naming::config(&resolver.name),
        ..ConfigMapVolumeSource::default()
    };
    let state = EmptyDirVolumeSource {
        size_limit: Some(Quantity("64Mi".to_owned())),
        ..EmptyDirVolumeSource::default()
    };
    let mut volumes = vec![
        Volume {
            name: "config".to_owned(),
            config_map: Some(config),
            ..Volume::default()
        },
        secret("admin", naming::admin(&resolver.name)),
        Volume {
            name: "state".to_owned(),
            empty_dir: Some(state),
            ..Volume::default()
        },
    ];
    if resolver.certificate.is_some() {
        volumes.push(secret("tls", naming::serving(&resolver.name)));
    }
    volumes
}

/// Where a pod finds them.
pub(crate) fn mounts(resolver: &ValidatedResolver) -> Vec<VolumeMount> {
    let mut mounts = vec![
        mount("config", naming::CONFIG_FOLDER, true),
        mount("admin", naming::ADMIN_FOLDER, true),
        mount("state", naming::STATE_FOLDER, false),
    ];
    if resolver.certificate.is_some() {
        mounts.push(mount("tls", naming::TLS_FOLDER, true));
    }
    mounts
}

fn secret(name: &str, secret: String) -> Volume {
    let source = SecretVolumeSource {
        secret_name: Some(secret),
        default_mode: Some(MODE),
        ..SecretVolumeSource::default()
    };
    Volume {
        name: name.to_owned(),
        secret: Some(source),
        ..Volume::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}
