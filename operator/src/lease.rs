//! `Leadership`: of several operators one acts, the one that holds the Lease.
//!
//! A holder renews its Lease; another may take it once it has seen it unchanged for its whole
//! duration, by its own clock. Owns the Lease; never knows what the leader does.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::Instant;

/// How long a Lease holds after its last renewal.
const DURATION: Duration = Duration::from_secs(15);
/// For how long a holder tries to renew before it gives up.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_secs(2);

/// A claim to the Lease.
pub struct Leadership {
    leases: Api<Lease>,
    name: String,
    identity: String,
    /// The last state of the Lease that was seen, and when it was first seen so.
    seen: Option<(LeaseSpec, Instant)>,
}

impl Leadership {
    /// Claims the Lease of this name for one identity, which must be unique.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            seen: None,
        }
    }

    /// Waits until the Lease is held.
    pub async fn acquire(&mut self) {
        loop {
            match self.try_hold().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(fault) => tracing::warn!(%fault, "the Lease was not read or written"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Renews the Lease; returns when it is lost.
    pub async fn hold(&mut self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < RENEW_DEADLINE {
            tokio::time::sleep(PAUSE).await;
            match tokio::time::timeout(RENEW_DEADLINE, self.try_hold()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(fault)) => tracing::warn!(%fault, "the Lease was not renewed"),
                Err(_) => tracing::warn!("the Lease was not renewed in time"),
            }
        }
    }

    /// Gives the Lease up, so that another need not wait for its end.
    pub async fn release(&self) {
        let given_up = async {
            let Some(mut lease) = self.leases.get_opt(&self.name).await? else {
                return Ok(());
            };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(self.identity.as_str()) {
                return Ok(());
            }
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            self.leases
                .replace(&self.name, &PostParams::default(), &lease)
                .await
                .map(drop)
        };
        if let Err(fault) = given_up.await {
            tracing::warn!(%fault, "the Lease was not given up");
        }
    }

    async fn try_hold(&mut self) -> Result<bool, kube::Error> {
        let Some(mut lease) = self.leases.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.spec(None)),
            };
            return taken(
                self.leases
                    .create(&PostParams::default(), &lease)
                    .await
                    .map(drop),
            );
        };
        let current = lease.spec.clone().unwrap_or_default();
        if !self.may_take(&current) {
            return Ok(false);
        }
        lease.spec = Some(self.spec(Some(&current)));
        // The version of the object is sent along, so that of two claims one fails.
        taken(
            self.leases
                .replace(&self.name, &PostParams::default(), &lease)
                .await
                .map(drop),
        )
    }

    /// Whether the Lease is ours, nobody's, or has not been renewed for its whole duration.
    fn may_take(&mut self, current: &LeaseSpec) -> bool {
        let holder = current.holder_identity.as_deref().unwrap_or_default();
        if holder.is_empty() || holder == self.identity {
            return true;
        }
        match &self.seen {
            Some((seen, since)) if seen == current => {
                let seconds = current.lease_duration_seconds.unwrap_or_default();
                since.elapsed() > Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
            }
            _ => {
                self.seen = Some((current.clone(), Instant::now()));
                false
            }
        }
    }

    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let ours = before.filter(|it| it.holder_identity.as_deref() == Some(&self.identity));
        let transitions = before
            .and_then(|it| it.lease_transitions)
            .unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: ours
                .and_then(|it| it.acquire_time.clone())
                .or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions + i32::from(before.is_some() && ours.is_none())),
            ..LeaseSpec::default()
        }
    }
}

/// Another claim that came first is no fault.
fn taken(result: Result<(), kube::Error>) -> Result<bool, kube::Error> {
    match result {
        Ok(()) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(fault) => Err(fault),
    }
}
