//! What a running process cannot change: sockets, threads, and who may push.
//!
//! Owns the comparison of two documents in these fields. Changes nothing.

use weir_config::{DataplaneConfig, Problem};

/// The fixed fields in which `new` differs from `old`, and what to do about each.
pub(crate) fn fixed_fields(old: &DataplaneConfig, new: &DataplaneConfig) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut fixed = |same: bool, field: String| {
        if !same {
            let message = "changes only with a new process: restart it, or roll it out".to_owned();
            problems.push(Problem { field, message });
        }
    };
    fixed(old.workers == new.workers, "workers".to_owned());
    fixed(old.admin == new.admin, "admin".to_owned());
    fixed(old.metrics == new.metrics, "metrics.address".to_owned());
    fixed(
        old.listeners.len() == new.listeners.len(),
        "listeners".to_owned(),
    );
    for (index, (old, new)) in old.listeners.iter().zip(&new.listeners).enumerate() {
        let field = |name: &str| format!("listeners[{index}].{name}");
        fixed(old.name == new.name, field("name"));
        fixed(old.address == new.address, field("address"));
        fixed(old.protocol == new.protocol, field("protocol"));
        fixed(old.tls == new.tls, field("tls"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_fields_are_named() {
        let read = |text: &str| DataplaneConfig::read(text).unwrap();
        let old = read("{}");
        let problems = fixed_fields(
            &old,
            &read("{workers: 3, listeners: [{address: '[::1]:1'}]}"),
        );
        let fields: Vec<&str> = problems
            .iter()
            .map(|problem| problem.field.as_str())
            .collect();
        assert_eq!(fields, ["workers", "listeners[0].address"]);
        assert!(fixed_fields(&old, &read("cache: {size: 1Mi}")).is_empty());
    }
}
