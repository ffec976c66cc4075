//! Makes every object of a resolver. Pure: the same input gives the same objects.
//!
//! Owns which objects there are; each file below owns how one of them looks. The step is in the
//! type: [`Resources`] are `Prepared` here, and `Applied` once the API server has them.

use std::marker::PhantomData;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use weir_config::digest::sha256;
use weir_config::push::PushCertificate;

use crate::context::Settings;
use crate::resolver_controller::certify::Certified;
use crate::resolver_controller::validate::ValidatedResolver;

mod config_map;
mod deployment;
mod meta;
mod network_policy;
mod pod_disruption_budget;
mod secret;
mod service;
mod service_account;
mod volume;

/// Objects that the API server does not have yet.
#[derive(Debug, Clone, Copy)]
pub struct Prepared;

/// Objects that the API server has.
#[derive(Debug, Clone, Copy)]
pub struct Applied;

/// Every object of a resolver, in the order in which they are applied.
#[derive(Debug, Clone)]
pub struct Resources<Step> {
    /// The identity of the pods.
    pub service_account: ServiceAccount,
    /// The certificate of the admin ports, and the resolver's own authority.
    pub secrets: Vec<Secret>,
    /// What clients trust.
    pub authority: Option<ConfigMap>,
    /// The files that pods start from, when they are to be written now.
    pub files: Files,
    /// The Services.
    pub services: Vec<Service>,
    /// Who may reach whom.
    pub network_policy: NetworkPolicy,
    /// How many pods may be away.
    pub pod_disruption_budget: PodDisruptionBudget,
    /// The pods; none as long as there is nothing that they could serve with.
    pub deployment: Option<Deployment>,
    step: PhantomData<Step>,
}

/// The files that pods start from, when they are to be written now.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// The document.
    pub config: Option<ConfigMap>,
    /// The certificate of the listeners.
    pub serving: Option<Secret>,
}

/// What is to be written into the files that pods start from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Write<'a> {
    /// Whether the document is.
    pub config: bool,
    /// The certificate, if it is.
    pub certificate: Option<&'a PushCertificate>,
}

/// Makes the files that pods start from.
#[must_use]
pub fn files(resolver: &ValidatedResolver, write: Write<'_>) -> Files {
    Files {
        config: write
            .config
            .then(|| config_map::config_map(resolver, &resolver.config)),
        serving: write
            .certificate
            .map(|it| config_map::serving_secret(resolver, it)),
    }
}

/// Makes every object. `startable` says whether pods would find a certificate to serve with.
#[must_use]
pub fn build(
    resolver: &ValidatedResolver,
    certified: &Certified,
    admin_authority: &str,
    settings: &Settings,
    write: Write<'_>,
    startable: bool,
) -> Resources<Prepared> {
    let admin_digest = sha256(certified.admin.certificate.as_bytes());
    let mut secrets = vec![secret::admin_secret(
        resolver,
        admin_authority,
        &certified.admin,
    )];
    secrets.extend(
        certified
            .own
            .as_ref()
            .map(|own| secret::authority_secret(resolver, own)),
    );
    Resources {
        service_account: service_account::service_account(resolver),
        secrets,
        authority: certified
            .own
            .as_ref()
            .map(|own| secret::authority_config_map(resolver, own)),
        files: files(resolver, write),
        services: vec![
            service::client_service(resolver),
            service::admin_service(resolver),
        ],
        network_policy: network_policy::network_policy(resolver, &settings.namespace),
        pod_disruption_budget: pod_disruption_budget::pod_disruption_budget(resolver),
        deployment: startable.then(|| deployment::deployment(resolver, settings, &admin_digest)),
        step: PhantomData,
    }
}

impl Resources<Prepared> {
    /// Says that the API server has them all.
    #[must_use]
    pub fn applied(self) -> Resources<Applied> {
        let Self {
            service_account,
            secrets,
            authority,
            files,
            services,
            network_policy,
            pod_disruption_budget,
            deployment,
            step: _,
        } = self;
        Resources {
            service_account,
            secrets,
            authority,
            files,
            services,
            network_policy,
            pod_disruption_budget,
            deployment,
            step: PhantomData,
        }
    }
}
