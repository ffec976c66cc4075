//! Everything that can be wrong in one field of a `Resolver`, read off the CRD's own schema.
//!
//! Walks the schema to every leaf and makes, for each rule that it finds there, the smallest spec
//! that breaks that rule alone. So a new field is covered on the day that it is added. Never covers
//! `template`, whose parts are Kubernetes' own.

use serde_json::{Map, Value, json};

/// One spec with one wrong field.
#[derive(Debug, Clone)]
pub struct Wrong {
    /// The field, as the API server names it: `spec.cache.size`.
    pub path: String,
    /// The spec.
    pub spec: Value,
    /// What the message must hold.
    pub expected: String,
}

/// Every wrong spec that the schema of `spec` gives rise to.
#[must_use]
pub fn specs(schema: &Value) -> Vec<Wrong> {
    let mut found = Vec::new();
    walk(schema, "spec", &|value| value, &mut found);
    found
}

/// Puts a value at the place that the walk has come to, with all around it that must be there.
type Place<'a> = &'a dyn Fn(Value) -> Value;

fn walk(schema: &Value, path: &str, place: Place<'_>, found: &mut Vec<Wrong>) {
    let mut add = |value: Value, expected: &str| {
        found.push(Wrong {
            path: path.to_owned(),
            spec: place(value),
            expected: expected.to_owned(),
        });
    };
    match schema["type"].as_str() {
        Some("integer") => integer(schema, &mut add),
        Some("string") => text(schema, &mut add),
        Some("boolean") => add(json!("yes"), "must be of type boolean"),
        Some("array") => {
            array(schema, &mut add);
            let items = &schema["items"];
            let within = |value| place(json!([value]));
            walk(items, &format!("{path}[0]"), &within, found);
        }
        Some("object") => object(schema, path, place, found),
        _ => {}
    }
}

fn integer(schema: &Value, add: &mut dyn FnMut(Value, &str)) {
    if let Some(least) = schema["minimum"].as_f64() {
        add(json!(least as i64 - 1), "greater than or equal to");
    }
    if let Some(most) = schema["maximum"].as_f64() {
        add(json!(most as i64 + 1), "less than or equal to");
    }
    add(json!("many"), "must be of type integer");
}

fn text(schema: &Value, add: &mut dyn FnMut(Value, &str)) {
    if schema["enum"].is_array() {
        add(json!("Nonsense"), "Unsupported value");
        return;
    }
    if let Some(most) = schema["maxLength"].as_u64() {
        add(json!("a".repeat(most as usize + 1)), "Too long");
    }
    if schema["pattern"].is_string() {
        add(json!("¿ ¿"), "should match");
    }
    for message in messages(schema) {
        add(json!("!"), message);
        if message.contains("a duration from") {
            add(json!("10000h"), message);
            if !message.contains("from 0s") {
                add(json!("0s"), message);
            }
        }
        if message.contains("a size from") {
            add(json!("1"), message);
            add(json!("100Ti"), message);
        }
    }
}

fn array(schema: &Value, add: &mut dyn FnMut(Value, &str)) {
    if schema["minItems"].as_u64().is_some_and(|least| least > 0) {
        add(json!([]), "should have at least");
    }
    if let Some(most) = schema["maxItems"].as_u64() {
        let item = right(&schema["items"]);
        let many: Vec<_> = (0..=most).map(|number| distinct(&item, number)).collect();
        add(Value::Array(many), "must have at most");
    }
}

fn object(schema: &Value, path: &str, place: Place<'_>, found: &mut Vec<Wrong>) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    let complete = right(schema);
    let with = |name: &str, value: Value| {
        let mut object = complete.as_object().cloned().unwrap_or_default();
        object.insert(name.to_owned(), value);
        object
    };
    found.push(Wrong {
        path: format!("{path}.nonsense"),
        spec: place(Value::Object(with("nonsense", json!(1)))),
        expected: "unknown field".to_owned(),
    });
    for name in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        let mut object = complete.as_object().cloned().unwrap_or_default();
        object.remove(name);
        found.push(Wrong {
            path: format!("{path}.{name}"),
            spec: place(Value::Object(object)),
            expected: "Required value".to_owned(),
        });
    }
    for (name, property) in properties {
        if path == "spec" && name == "template" {
            continue;
        }
        let within = |value: Value| {
            let mut object = with(name, value);
            companions(path, name, &mut object);
            place(Value::Object(object))
        };
        walk(property, &format!("{path}.{name}"), &within, found);
    }
}

/// What a field needs beside it, so that it is the only wrong one.
fn companions(path: &str, name: &str, object: &mut Map<String, Value>) {
    let protocol = match name {
        "serverName" => "DoT",
        "path" if path.contains("upstreams") => {
            object.insert("serverName".to_owned(), json!("dns.example"));
            "DoH"
        }
        _ => return,
    };
    object.insert("protocol".to_owned(), json!(protocol));
}

fn messages(schema: &Value) -> impl Iterator<Item = &str> {
    let rules = schema["x-kubernetes-validations"].as_array();
    rules
        .into_iter()
        .flatten()
        .filter_map(|rule| rule["message"].as_str())
}

/// A value that the schema takes, as small as may be.
fn right(schema: &Value) -> Value {
    match schema["type"].as_str() {
        Some("integer") => json!(schema["minimum"].as_f64().unwrap_or(1.0) as i64),
        Some("boolean") => json!(true),
        Some("array") => json!([right(&schema["items"])]),
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten();
            let fields = required.filter_map(Value::as_str).map(|name| {
                let value = right(&schema["properties"][name]);
                (name.to_owned(), value)
            });
            Value::Object(fields.collect())
        }
        _ => right_text(schema),
    }
}

fn right_text(schema: &Value) -> Value {
    if let Some(first) = schema["enum"]
        .as_array()
        .and_then(|choices| choices.first())
    {
        return first.clone();
    }
    let message = messages(schema).next().unwrap_or_default();
    let samples = [
        ("network", "10.0.0.0/8"),
        ("address", "192.0.2.1"),
        ("domain name", "example.org"),
        ("host name", "dns.example.org"),
        ("time in UTC", "2027-01-01T00:00:00Z"),
        ("URL", "http://collector:4317"),
        ("ratio", "0.5"),
    ];
    let sample = samples.iter().find(|(word, _)| message.contains(word));
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    json!(match sample {
        Some((_, sample)) => sample,
        None if pattern.starts_with("^/") => "/dns-query",
        None => "a",
    })
}

/// The item with its name or text made different from the others of a list.
fn distinct(item: &Value, number: u64) -> Value {
    match item {
        Value::Object(fields) => {
            let mut fields = fields.clone();
            if let Some(name) = fields.get_mut("name") {
                *name = json!(format!("a{number}"));
            }
            Value::Object(fields)
        }
        other => other.clone(),
    }
}
