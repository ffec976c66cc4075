//! The files made from the types: the CRD as YAML, and the field reference as Markdown.
//!
//! Owns their form; never reads or writes a file.

use std::fmt::Write as _;

use kube::CustomResourceExt as _;
use serde_json::Value;

use crate::resolver::Resolver;

/// What can go wrong while a file is made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateFault {
    /// The CRD could not be written as JSON.
    #[error("the CRD cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The CRD could not be written as YAML.
    #[error("the CRD cannot be written as YAML")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

/// The first lines of the YAML file.
const YAML_HEAD: &str =
    "# Made by `cargo run -p weir-crds --features crdgen --bin crdgen`; do not change it here.\n";

/// The first lines of the reference.
const REFERENCE_HEAD: &str = "\
# Resolver reference

<!-- Made by `cargo run -p weir-crds --features crdgen --bin crdgen`; do not change it here. -->

A `Resolver` (`weir.dev/v1alpha1`, short name `wr`) is a set of pods that answer DNS over HTTPS.
`spec: {}` is complete. Durations are strings with units of `ms`, `s`, `m` or `h`; sizes are bytes
with an optional suffix of `Ki`, `Mi`, `Gi` or `Ti`. A change that is **live** is pushed to the pods
and takes effect within seconds, with no pod restarted; one that needs a **rollout** replaces the
pods one after another.
";

/// The CRD as YAML, as it stands in `crds/resolver.yaml`.
///
/// # Errors
/// When the CRD cannot be serialised.
pub fn crd_yaml() -> Result<String, GenerateFault> {
    Ok(format!(
        "{YAML_HEAD}{}",
        serde_saphyr::to_string(&crd_json()?)?
    ))
}

/// The CRD as JSON, without the formats that the API server does not know.
fn crd_json() -> Result<Value, GenerateFault> {
    let mut crd = serde_json::to_value(Resolver::crd())?;
    remove_formats(&mut crd);
    Ok(crd)
}

fn remove_formats(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let foreign = |format: &Value| format.as_str().is_some_and(|f| f.starts_with("uint"));
            if object.get("format").is_some_and(foreign) {
                object.remove("format");
            }
            object.values_mut().for_each(remove_formats);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_formats),
        _ => {}
    }
}

/// The field reference as Markdown, as it stands in `docs/src/resolver-reference.md`.
///
/// # Errors
/// When the CRD cannot be serialised.
pub fn reference() -> Result<String, GenerateFault> {
    let crd = crd_json()?;
    let schema = crd
        .pointer("/spec/versions/0/schema/openAPIV3Schema/properties")
        .cloned()
        .unwrap_or_default();
    let mut page = REFERENCE_HEAD.to_owned();
    for part in ["spec", "status"] {
        let part_schema = schema.get(part).cloned().unwrap_or_default();
        let _ = write!(page, "\n## {part}\n\n{}\n", description(&part_schema));
        section(&mut page, part, &part_schema);
    }
    Ok(page)
}

/// Writes one table of fields, and then one section for each field that has fields.
fn section(page: &mut String, path: &str, schema: &Value) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    page.push_str("\n| Field | Type | What it says |\n|---|---|---|\n");
    for (name, field) in properties {
        let needed = if required.contains(&name.as_str()) {
            ", required"
        } else {
            ""
        };
        let _ = writeln!(
            page,
            "| `{name}` | {}{needed} | {} |",
            type_of(field),
            cell(&description(field), field)
        );
    }
    rules(page, schema);
    for (name, field) in properties {
        let (inner, suffix) = match field.get("items") {
            Some(items) => (items, "[]"),
            None => (field, ""),
        };
        let own = inner
            .get("properties")
            .and_then(Value::as_object)
            .is_some_and(|p| !p.is_empty());
        if own && !is_of_kubernetes(inner) {
            let path = format!("{path}.{name}{suffix}");
            let _ = writeln!(page, "\n### {path}");
            section(page, &path, inner);
        }
    }
}

/// Types of Kubernetes itself come without prose, and its own reference explains them.
fn is_of_kubernetes(schema: &Value) -> bool {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .is_some_and(|fields| {
            fields
                .values()
                .all(|field| field.get("description").is_none())
        })
}

fn rules(page: &mut String, schema: &Value) {
    let rules = schema
        .get("x-kubernetes-validations")
        .and_then(Value::as_array);
    for message in rules
        .into_iter()
        .flatten()
        .filter_map(|rule| rule.get("message"))
    {
        let _ = writeln!(page, "\nRule: {}.", message.as_str().unwrap_or_default());
    }
}

fn description(schema: &Value) -> String {
    let text = schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cell(text: &str, field: &Value) -> String {
    let values = field
        .get("enum")
        .or_else(|| field.pointer("/items/enum"))
        .and_then(Value::as_array)
        .map(|values| {
            let names: Vec<_> = values
                .iter()
                .filter_map(Value::as_str)
                .map(|name| format!("`{name}`"))
                .collect();
            format!(" One of {}.", names.join(", "))
        })
        .unwrap_or_default();
    format!("{}{values}", text.replace('|', "\\|"))
}

fn type_of(field: &Value) -> String {
    let name = |schema: &Value| {
        schema
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or("int or string")
            .to_owned()
    };
    match field.get("items") {
        Some(items) => format!("list of {}", name(items)),
        None if field.get("additionalProperties").is_some() => "map".to_owned(),
        None => name(field),
    }
}
