//! Asks the API server whether it would take an object, without leaving one.
//!
//! Owns the form of a refusal; never decides what is right.

use anyhow::{Result, bail};
use http::Request;
use kube::{Client, Error};
use serde_json::{Value, json};

/// Why the API server refuses an object.
#[derive(Debug, Clone, Default)]
pub struct Refusal {
    /// The whole message, as kubectl shows it.
    pub message: String,
    /// The field and the message of each cause.
    pub causes: Vec<(String, String)>,
}

/// Offers a `Resolver` with this spec as a dry run; `None` says that it would be taken.
///
/// # Errors
/// When the API server does not decide.
pub async fn refusal(client: &Client, namespace: &str, spec: &Value) -> Result<Option<Refusal>> {
    let object = json!({
        "apiVersion": "weir.dev/v1alpha1",
        "kind": "Resolver",
        "metadata": {"name": "subject"},
        "spec": spec,
    });
    let path = format!(
        "/apis/weir.dev/v1alpha1/namespaces/{namespace}/resolvers?dryRun=All&fieldValidation=Strict"
    );
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&object)?)?;
    match client.request::<Value>(request).await {
        Ok(_) => Ok(None),
        Err(Error::Api(status)) if status.code == 422 || status.code == 400 => {
            let causes = status
                .details
                .map(|details| details.causes)
                .unwrap_or_default();
            let causes = causes.into_iter();
            let causes = causes.map(|cause| (cause.field, cause.message));
            Ok(Some(Refusal {
                message: status.message,
                causes: causes.collect(),
            }))
        }
        Err(other) => bail!(other),
    }
}
