//! Rules of the API server (CEL) that more than one field uses.
//!
//! Each comes with the message that a user sees. Every text that a rule reads is bounded, so that
//! the estimated cost of the rule stays within the budget of the API server.

use kube::core::Rule;

/// The text is a duration within the bounds, such as `1s` and `1h`.
pub(crate) fn duration_within(least: &str, most: &str) -> Rule {
    Rule::new(format!(
        "self.matches('^([0-9]+(ms|s|m|h))+$') && duration(self) >= duration('{least}') \
         && duration(self) <= duration('{most}')"
    ))
    .message(&*format!(
        "must be a duration from {least} to {most}, written with units of ms, s, m or h"
    ))
}

/// The text is a size in bytes within the bounds, such as `1Mi` and `1Ti`.
pub(crate) fn size_within(least: &str, most: &str) -> Rule {
    Rule::new(format!(
        "self.matches('^[0-9]+(Ki|Mi|Gi|Ti|k|M|G|T)?$') \
         && quantity(self).compareTo(quantity('{least}')) >= 0 \
         && quantity(self).compareTo(quantity('{most}')) <= 0"
    ))
    .message(&*format!(
        "must be a size from {least} to {most}, in whole bytes with an optional suffix of Ki, Mi, \
         Gi, Ti, k, M, G or T"
    ))
}

/// Exactly one of two fields is set.
pub(crate) fn one_of(first: &str, second: &str) -> Rule {
    Rule::new(format!("has(self.{first}) != has(self.{second})"))
        .message(&*format!("set exactly one of {first} and {second}"))
}
