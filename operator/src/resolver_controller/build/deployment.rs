//! The Deployment: pods that meet the restricted pod security standard, and their probes.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction,
    LocalObjectReference, ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    ResourceRequirements, SeccompProfile, SecurityContext, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::context::Settings;
use crate::naming;
use crate::resolver_controller::build::meta::meta;
use crate::resolver_controller::build::volume::{mounts, volumes};
use crate::resolver_controller::validate::ValidatedResolver;

/// The user that the pods run as; no image needs to know it.
const USER: i64 = 65_532;
/// Seconds beyond notice and drain that a pod is given to end.
const GRACE_SECONDS: u64 = 5;
/// Memory that a pod asks for beyond its cache, in bytes.
const MEMORY_BESIDE_CACHE: u64 = 128 << 20;

/// The Deployment of the pods. `admin_digest` is that of the certificate of the admin port.
pub(crate) fn deployment(
    resolver: &ValidatedResolver,
    settings: &Settings,
    admin_digest: &str,
) -> Deployment {
    let rolling = RollingUpdateDeployment {
        max_surge: Some(IntOrString::Int(1)),
        max_unavailable: Some(IntOrString::Int(0)),
    };
    Deployment {
        metadata: meta(resolver, resolver.name.clone()),
        spec: DeploymentSpec {
            replicas: Some(resolver.replicas),
            selector: LabelSelector {
                match_labels: Some(naming::selector(&resolver.name)),
                ..LabelSelector::default()
            },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(rolling),
            }),
            revision_history_limit: Some(3),
            template: template(resolver, settings, admin_digest),
            ..DeploymentSpec::default()
        },
        ..Deployment::default()
    }
}

fn template(
    resolver: &ValidatedResolver,
    settings: &Settings,
    admin_digest: &str,
) -> PodTemplateSpec {
    let mut labels = resolver.template.labels.clone().unwrap_or_default();
    labels.extend(naming::labels(&resolver.name));
    let mut annotations = resolver.template.annotations.clone().unwrap_or_default();
    annotations.insert(naming::STARTUP_ANNOTATION.to_owned(), resolver.startup());
    annotations.insert(naming::ADMIN_ANNOTATION.to_owned(), admin_digest.to_owned());
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(resolver, settings)),
    }
}

fn pod(resolver: &ValidatedResolver, settings: &Settings) -> PodSpec {
    let template = &resolver.template;
    let drain = &resolver.config.drain;
    let grace = drain.notice.as_secs() + drain.timeout.as_secs() + GRACE_SECONDS;
    PodSpec {
        service_account_name: Some(resolver.name.clone()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(i64::try_from(grace).unwrap_or(i64::MAX)),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(seccomp()),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(resolver, settings)],
        volumes: Some(volumes(resolver)),
        image_pull_secrets: pull_secrets(resolver, settings),
        node_selector: template.node_selector.clone(),
        tolerations: template.tolerations.clone(),
        affinity: template.affinity.clone(),
        topology_spread_constraints: Some(spread(resolver)),
        priority_class_name: template.priority_class_name.clone(),
        ..PodSpec::default()
    }
}

fn container(resolver: &ValidatedResolver, settings: &Settings) -> Container {
    let config = format!("{}/{}", naming::CONFIG_FOLDER, naming::CONFIG_FILE);
    Container {
        name: naming::CONTAINER.to_owned(),
        image: Some(settings.image.clone()),
        image_pull_policy: Some(settings.image_pull_policy.clone()),
        args: Some(vec!["--config".to_owned(), config]),
        env: Some(environment(resolver)),
        ports: Some(ports(resolver)),
        // A pod is started when it lives, and ready when it can resolve.
        startup_probe: Some(Probe {
            failure_threshold: Some(60),
            ..probe("/livez", 1)
        }),
        liveness_probe: Some(Probe {
            failure_threshold: Some(6),
            ..probe("/livez", 10)
        }),
        readiness_probe: Some(Probe {
            failure_threshold: Some(2),
            ..probe("/readyz", 2)
        }),
        resources: Some(resources(resolver)),
        volume_mounts: Some(mounts(resolver)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            seccomp_profile: Some(seccomp()),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

fn seccomp() -> SeccompProfile {
    SeccompProfile {
        type_: "RuntimeDefault".to_owned(),
        ..SeccompProfile::default()
    }
}

fn probe(path: &str, period_seconds: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("metrics".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

fn ports(resolver: &ValidatedResolver) -> Vec<ContainerPort> {
    let named = |name: &str, number: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let listeners = resolver.listeners.iter();
    let mut ports: Vec<_> = listeners.map(|it| named(&it.name, it.pod_port)).collect();
    ports.push(named("admin", naming::ADMIN_PORT));
    ports.push(named("metrics", naming::METRICS_PORT));
    ports
}

/// Who the pod is, for its traces (OpenTelemetry resource attributes).
fn environment(resolver: &ValidatedResolver) -> Vec<EnvVar> {
    let field = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let attributes = format!(
        "service.instance.id=$(POD_NAME),k8s.namespace.name={},k8s.deployment.name={},\
         k8s.pod.name=$(POD_NAME),k8s.pod.uid=$(POD_UID),k8s.node.name=$(NODE_NAME),\
         weir.resolver={}",
        resolver.namespace, resolver.name, resolver.name
    );
    let value = |name: &str, value: String| EnvVar {
        name: name.to_owned(),
        value: Some(value),
        ..EnvVar::default()
    };
    vec![
        field("POD_NAME", "metadata.name"),
        field("POD_UID", "metadata.uid"),
        field("NODE_NAME", "spec.nodeName"),
        value("OTEL_RESOURCE_ATTRIBUTES", attributes),
        // Idle connections touch few pages of what is reserved for them: a huge page would be resident whole.
        value("MIMALLOC_ALLOW_THP", "0".to_owned()),
    ]
}

fn resources(resolver: &ValidatedResolver) -> ResourceRequirements {
    if let Some(resources) = &resolver.template.resources {
        return resources.clone();
    }
    let mebibytes = (resolver.config.cache.size + MEMORY_BESIDE_CACHE).div_ceil(1 << 20);
    let requests: BTreeMap<String, Quantity> = [
        ("cpu".to_owned(), Quantity("100m".to_owned())),
        ("memory".to_owned(), Quantity(format!("{mebibytes}Mi"))),
    ]
    .into();
    ResourceRequirements {
        requests: Some(requests),
        ..ResourceRequirements::default()
    }
}

fn pull_secrets(
    resolver: &ValidatedResolver,
    settings: &Settings,
) -> Option<Vec<LocalObjectReference>> {
    let installed = settings
        .image_pull_secrets
        .iter()
        .map(|name| LocalObjectReference { name: name.clone() });
    let own = resolver
        .template
        .image_pull_secrets
        .clone()
        .unwrap_or_default();
    let all: Vec<_> = installed.chain(own).collect();
    (!all.is_empty()).then_some(all)
}

/// Evenly over zones and nodes, of each version of the pods for itself.
fn spread(resolver: &ValidatedResolver) -> Vec<TopologySpreadConstraint> {
    if let Some(constraints) = &resolver.template.topology_spread_constraints {
        return constraints.clone();
    }
    ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        .map(|key| TopologySpreadConstraint {
            max_skew: 1,
            topology_key: key.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(naming::selector(&resolver.name)),
                ..LabelSelector::default()
            }),
            match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
            ..TopologySpreadConstraint::default()
        })
        .to_vec()
}
