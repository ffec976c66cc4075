//! Texts of Secrets.

use k8s_openapi::api::core::v1::Secret;

/// A text of a Secret, if it is there and is UTF-8.
#[must_use]
pub fn text_of(secret: &Secret, field: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(field)?;
    String::from_utf8(bytes.0.clone()).ok()
}
