//! `Context`: what every reconciliation is handed.

use std::net::IpAddr;

use kube::Client;
use kube::runtime::events::Recorder;

use crate::authority::Authority;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::pod_client::PodClient;

/// What every reconciliation is handed.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Where events go.
    pub recorder: Recorder,
    /// The authority of the admin ports.
    pub authority: Authority,
    /// The client of the admin ports.
    pub pods: PodClient,
    /// What is remembered of each resolver.
    pub memory: Memory,
    /// What is counted.
    pub metrics: Metrics,
    /// How pods are made.
    pub settings: Settings,
}

/// How pods are made: what the installation decides and no `Resolver` can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The image of the data plane.
    pub image: String,
    /// When it is pulled: `Always`, `IfNotPresent` or `Never`.
    pub image_pull_policy: String,
    /// Secrets in the namespace of the resolver to pull it with.
    pub image_pull_secrets: Vec<String>,
    /// The address that pods listen on: `::` or `0.0.0.0`.
    pub listen_address: IpAddr,
    /// The namespace of the operator.
    pub namespace: String,
}
