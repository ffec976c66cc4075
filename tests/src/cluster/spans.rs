//! Reads the spans that arrived at a test's Collector, and answers questions about them.
//!
//! The Collector keeps what it received as lines of OTLP JSON; this reads them through the API
//! server. Never judges: a test says what must hold.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::namespace::Namespace;
use super::process::tool;

/// One span.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The trace that it is in.
    pub trace: String,
    /// Its id.
    pub id: String,
    /// The id of its parent; empty for a root.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// Its attributes, as text.
    pub attributes: HashMap<String, String>,
    /// The names of its events with their attributes, in their order.
    pub events: Vec<(String, HashMap<String, String>)>,
    /// Trace and id of the spans that it is linked to.
    pub links: Vec<(String, String)>,
}

impl Span {
    /// An attribute; empty when it has none of that name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// How often it has an event of this name.
    #[must_use]
    pub fn count(&self, event: &str) -> usize {
        self.events.iter().filter(|(name, _)| name == event).count()
    }

    /// Whether it is the span of one HTTP/2 stream.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.attributes.contains_key("weir.stream.id")
    }
}

/// Starts a Collector in the namespace.
///
/// # Errors
/// When it does not become ready.
pub async fn start_collector(namespace: &Namespace) -> Result<()> {
    tool(&["collector", &namespace.name]).await.map(|_| ())
}

/// All spans that the namespace's Collector has received.
///
/// # Errors
/// When it does not answer, or gives what is not OTLP JSON.
pub async fn read(namespace: &Namespace) -> Result<Vec<Span>> {
    let path = format!(
        "/api/v1/namespaces/{}/services/collector:spans/proxy/traces",
        namespace.name
    );
    let request = http::Request::get(path).body(Vec::new())?;
    let lines = namespace.cluster.client.request_text(request).await?;
    let mut spans = Vec::new();
    for line in lines.lines() {
        let batch: Value = serde_json::from_str(line).context("the Collector's line")?;
        for resource in list(&batch["resourceSpans"]) {
            for scope in list(&resource["scopeSpans"]) {
                spans.extend(list(&scope["spans"]).iter().map(span));
            }
        }
    }
    Ok(spans)
}

fn span(value: &Value) -> Span {
    let links = list(&value["links"]).iter();
    let events = list(&value["events"]).iter();
    Span {
        trace: text(&value["traceId"]),
        id: text(&value["spanId"]),
        parent: text(&value["parentSpanId"]),
        name: text(&value["name"]),
        attributes: attributes(&value["attributes"]),
        events: events
            .map(|event| (text(&event["name"]), attributes(&event["attributes"])))
            .collect(),
        links: links
            .map(|link| (text(&link["traceId"]), text(&link["spanId"])))
            .collect(),
    }
}

fn attributes(value: &Value) -> HashMap<String, String> {
    list(value)
        .iter()
        .map(|attribute| {
            let value = attribute["value"]
                .as_object()
                .and_then(|value| value.values().next());
            (
                text(&attribute["key"]),
                value.map_or_else(String::new, text),
            )
        })
        .collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
