//! The files made from the types of `weir-crds` are current, and every field says what a user has
//! to know of it.

use std::path::Path;

use kube::CustomResourceExt as _;
use serde_json::Value;
use weir_config::DataplaneConfig;
use weir_crds::Resolver;
use weir_crds::generate::{crd_yaml, reference};

fn committed(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).unwrap()
}

#[test]
fn the_yaml_is_current() {
    assert_eq!(
        committed("crds/resolver.yaml"),
        crd_yaml().unwrap(),
        "run crdgen"
    );
}

#[test]
fn the_reference_is_current() {
    assert_eq!(
        committed("docs/src/resolver-reference.md"),
        reference().unwrap(),
        "run crdgen"
    );
}

/// Calls `look` with the path and the schema of every field below `spec` that is Weir's own.
fn each_field(look: &mut dyn FnMut(&str, &Value)) {
    let crd = serde_json::to_value(Resolver::crd()).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    walk("", spec, look);
}

fn walk(path: &str, schema: &Value, look: &mut dyn FnMut(&str, &Value)) {
    let Some(fields) = schema["properties"].as_object() else {
        return;
    };
    for (name, field) in fields {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        look(&path, field);
        let known = [
            "template.resources",
            "template.tolerations",
            "template.affinity",
            "template.topologySpreadConstraints",
            "template.imagePullSecrets",
        ];
        if !known.contains(&path.as_str()) {
            walk(&path, field, look);
            walk(&format!("{path}[]"), &field["items"], look);
        }
    }
}

#[test]
fn every_field_says_whether_a_change_is_live() {
    let mut fields = 0;
    each_field(&mut |path, field| {
        let text = field["description"].as_str().unwrap_or_default();
        let has_fields = |schema: &Value| {
            schema["properties"]
                .as_object()
                .is_some_and(|fields| !fields.is_empty())
        };
        let leaf = !has_fields(field) && !has_fields(&field["items"]);
        assert!(!text.is_empty(), "{path} has no description");
        let live = text.contains("**live**");
        let rollout = text.contains("**rollout**");
        assert!(
            !leaf || live || rollout,
            "{path} does not say whether a change is live"
        );
        fields += 1;
    });
    assert!(fields > 80, "only {fields} fields were looked at");
}

#[test]
fn every_text_and_list_is_bounded() {
    each_field(&mut |path, field| {
        if field["type"] == "array" {
            assert!(field["maxItems"].is_u64(), "{path} has no maxItems");
        }
        if field["additionalProperties"].is_object() {
            assert!(
                field["maxProperties"].is_u64(),
                "{path} has no maxProperties"
            );
        }
        for text in [field, &field["items"]] {
            if text["type"] == "string" && text["enum"].is_null() {
                assert!(text["maxLength"].is_u64(), "{path} has no maxLength");
            }
        }
    });
}

/// `default X` in a description is what the data plane does when the field is absent.
#[test]
fn every_default_is_the_one_of_the_document() {
    let mut document = serde_json::to_value(DataplaneConfig::default()).unwrap();
    let drain = document["drain"].take();
    document["rollout"] = serde_json::json!({ "drain": drain });
    let listener = document["listeners"][0].take();
    document["listeners[]"] = listener;
    let traces = DataplaneConfig::read("telemetry: {traces: {endpoint: 'http://a:1'}}").unwrap();
    document["telemetry"] = serde_json::to_value(traces.telemetry).unwrap();
    let mut compared = 0;
    each_field(&mut |path, field| {
        let pointer = format!("/{}", path.replace('.', "/"));
        let Some(value) = document
            .pointer(&pointer)
            .filter(|value| !value.is_object())
        else {
            return;
        };
        let text = field["description"]
            .as_str()
            .unwrap_or_default()
            .replace('\n', " ");
        let Some((_, after)) = text.split_once("efault ") else {
            return;
        };
        let said = after
            .split([' ', ',', ';'])
            .next()
            .unwrap()
            .trim_end_matches('.');
        let said = said.trim_matches('`');
        let same = match value {
            Value::Array(items) if said == "none" => items.is_empty(),
            Value::Array(_) => return,
            Value::String(value) => {
                *value == said
                    || weir_config::unit::duration::parse(said)
                        .is_ok_and(|said| weir_config::unit::duration::format(said) == *value)
            }
            value => value.to_string().as_str() == said,
        };
        assert!(
            same,
            "{path} says default {said}, but the document has {value}"
        );
        compared += 1;
    });
    assert!(compared > 45, "only {compared} defaults were compared");
}
