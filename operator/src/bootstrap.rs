//! The operator's own authority, which signs both ends of every push.
//!
//! It lies in a Secret of the operator's namespace and is made by the first operator that finds
//! none. Owns that Secret.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use weir_config::unit::instant::UnixSeconds;

use crate::authority::{Authority, AuthorityFault, KeyPairPem, Request, Usage};
use crate::naming;
use crate::pod_client::{ClientFault, PodClient};
use crate::secret::text_of;

/// The name of the Secret.
pub const AUTHORITY_SECRET: &str = "weir-operator-ca";
/// How long the certificate of the operator itself is valid; a new one is made at each start.
const CLIENT_DAYS: u64 = 3_650;

/// Why the operator cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapFault {
    /// The API server did not answer.
    #[error("Secret {AUTHORITY_SECRET} cannot be read or made: {0}")]
    Api(#[from] kube::Error),
    /// What the Secret holds is no authority.
    #[error("Secret {AUTHORITY_SECRET} holds no authority: remove it, and a new one is made")]
    Unreadable,
    /// A certificate cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityFault),
    /// The client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientFault),
}

/// Finds or makes the authority, and a client of the pods that shows a certificate of it.
///
/// # Errors
/// When the API server does not answer, or the Secret holds something else.
pub async fn bootstrap(
    client: &Client,
    namespace: &str,
    now: UnixSeconds,
) -> Result<(Authority, PodClient), BootstrapFault> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let authority = match secrets.get_opt(AUTHORITY_SECRET).await? {
        Some(secret) => read(&secret)?,
        None => make(&secrets, now).await?,
    };
    let request = Request {
        common_name: "weir-operator".to_owned(),
        names: vec!["weir-operator.weir.internal".to_owned()],
        usage: Usage::Client,
        days: CLIENT_DAYS,
    };
    let own = authority.issue(&request, now)?;
    let pods = PodClient::new(&authority.pem().certificate, &own)?;
    Ok((authority, pods))
}

fn read(secret: &Secret) -> Result<Authority, BootstrapFault> {
    let pair = text_of(secret, naming::CERTIFICATE_FILE)
        .zip(text_of(secret, naming::KEY_FILE))
        .map(|(certificate, key)| KeyPairPem { certificate, key })
        .ok_or(BootstrapFault::Unreadable)?;
    Authority::from_pem(pair).map_err(|_| BootstrapFault::Unreadable)
}

async fn make(secrets: &Api<Secret>, now: UnixSeconds) -> Result<Authority, BootstrapFault> {
    let authority = Authority::generate("Weir operator", now)?;
    let pem = authority.pem();
    let data = [
        (naming::CERTIFICATE_FILE, &pem.certificate),
        (naming::KEY_FILE, &pem.key),
    ]
    .map(|(field, text)| (field.to_owned(), ByteString(text.as_bytes().to_vec())));
    let managed = "app.kubernetes.io/managed-by".to_owned();
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(AUTHORITY_SECRET.to_owned()),
            labels: Some([(managed, naming::MANAGED_BY.to_owned())].into()),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data.into()),
        ..Secret::default()
    };
    match secrets.create(&PostParams::default(), &secret).await {
        Ok(_) => Ok(authority),
        // Another operator made it first.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            read(&secrets.get(AUTHORITY_SECRET).await?)
        }
        Err(fault) => Err(fault.into()),
    }
}
