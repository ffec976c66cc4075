//! A document that an operator of another version rendered, at the start of a data plane.
//!
//! Owns the one exception to "an unknown field is refused": a pod that is started again must not stay down because
//! its operator is older and still writes a field that is gone. Never used for pushes, checks or files that change.

use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::document::{DataplaneConfig, problem};
use crate::problem::Problem;

/// Unknown fields that are left out at most; a document with more is of something else.
const LEFT_OUT_MAX: usize = 32;

/// Reads a document without the fields that are not known here, and says which these are. Only a document with
/// `admin` counts as rendered by an operator; whoever writes one by hand is told of a wrong name.
///
/// # Errors
/// As [`DataplaneConfig::read`].
pub fn read_rendered(text: &str) -> Result<(DataplaneConfig, Vec<Problem>), Vec<Problem>> {
    let refused = match DataplaneConfig::read(text) {
        Ok(config) => return Ok((config, Vec::new())),
        Err(problems) => problems,
    };
    let Ok(mut value) = serde_saphyr::from_str::<Value>(text) else {
        return Err(refused);
    };
    if !value.get("admin").is_some_and(Value::is_object) {
        return Err(refused);
    }
    let mut left_out = Vec::new();
    loop {
        let fault = match serde_path_to_error::deserialize::<_, DataplaneConfig>(&value) {
            Ok(config) => {
                let problems = config.validate();
                return if problems.is_empty() {
                    Ok((config, left_out))
                } else {
                    Err(problems)
                };
            }
            Err(fault) => fault,
        };
        let unknown = fault.inner().to_string().starts_with("unknown field");
        if !unknown || left_out.len() >= LEFT_OUT_MAX || !remove(&mut value, fault.path()) {
            return Err(vec![problem(&fault)]);
        }
        left_out.push(problem(&fault));
    }
}

/// Takes the field at this path away; whether it was there.
fn remove(value: &mut Value, path: &Path) -> bool {
    let mut segments: Vec<&Segment> = path.iter().collect();
    let Some(Segment::Map { key }) = segments.pop() else {
        return false;
    };
    let mut at = value;
    for segment in segments {
        let next = match segment {
            Segment::Map { key } => at.get_mut(key),
            Segment::Seq { index } => at.get_mut(index),
            // The name of a choice is a key of its object.
            Segment::Enum { variant } => at.get_mut(variant),
            Segment::Unknown => None,
        };
        let Some(next) = next else {
            return false;
        };
        at = next;
    }
    at.as_object_mut()
        .is_some_and(|object| object.remove(key).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIN: &str =
        "admin: {address: '0.0.0.0:9443', caFile: /a, certificateFile: /b, keyFile: /c}\n";

    #[test]
    fn fields_of_another_version_are_left_out() {
        let text = format!(
            "{ADMIN}cache: {{size: 2Mi, gone: 1}}\nresolution: {{forwardZones: [{{name: a, gone: x, upstreams: [{{address: 10.0.0.1, gone: y}}]}}]}}\n"
        );
        let (config, left_out) = read_rendered(&text).unwrap();
        assert_eq!(config.cache.size, 2 << 20);
        assert_eq!(config.resolution.forward_zones[0].upstreams.len(), 1);
        let mut fields: Vec<_> = left_out.iter().map(|problem| &*problem.field).collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "cache.gone",
                "resolution.forwardZones[0].gone",
                "resolution.forwardZones[0].upstreams[0].gone"
            ]
        );
    }

    #[test]
    fn all_else_is_refused() {
        assert!(read_rendered("cache: {gone: 1}").is_err());
        assert!(read_rendered(&format!("{ADMIN}cache: {{size: 1Ki}}")).is_err());
        assert!(read_rendered(&format!("{ADMIN}cache: {{size: [1]}}")).is_err());
        assert!(read_rendered(&format!("{ADMIN}version: 2")).is_err());
        assert!(read_rendered("a: [").is_err());
        let (_, left_out) = read_rendered(ADMIN).unwrap();
        assert!(left_out.is_empty());
    }
}
