//! Who may ask.
//!
//! Owns the choice among access rules: the most specific prefix decides, and with no rule at all everybody may.
//! Never looks at a question.

use std::net::IpAddr;

use crate::settings::{AccessAction, AccessRule};

/// What a client may do.
///
/// An IPv4 address mapped into IPv6 is that IPv4 address. Of two rules with the same prefix the first decides. When there
/// are rules but none is about the client, it is refused.
#[must_use]
pub fn action(rules: &[AccessRule], client: IpAddr) -> AccessAction {
    if rules.is_empty() {
        return AccessAction::Allow;
    }
    let client = client.to_canonical();
    let mut best: Option<&AccessRule> = None;
    for rule in rules.iter().filter(|rule| rule.prefix.contains(client)) {
        if best.is_none_or(|best| best.prefix.length < rule.prefix.length) {
            best = Some(rule);
        }
    }
    best.map_or(AccessAction::Refuse, |rule| rule.action)
}

/// Whether a client with this action may be answered from the cache: without RD only those who may look into it.
#[must_use]
pub const fn may_have_cached(action: AccessAction, recursion_desired: bool) -> bool {
    match action {
        AccessAction::AllowSnoop => true,
        AccessAction::Allow => recursion_desired,
        AccessAction::Refuse | AccessAction::Deny => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Prefix;

    #[test]
    fn the_most_specific_prefix_decides() {
        let rule = |text: &str, length, action| AccessRule {
            prefix: Prefix {
                address: text.parse().unwrap(),
                length,
            },
            action,
        };
        let rules = [
            rule("10.0.0.0", 8, AccessAction::Deny),
            rule("10.1.0.0", 16, AccessAction::AllowSnoop),
            rule("10.1.0.0", 16, AccessAction::Deny),
            rule("2001:db8::", 32, AccessAction::Allow),
        ];
        let of = |text: &str| action(&rules, text.parse().unwrap());
        assert_eq!(of("10.1.2.3"), AccessAction::AllowSnoop);
        assert_eq!(of("::ffff:10.1.2.3"), AccessAction::AllowSnoop);
        assert_eq!(of("10.2.2.3"), AccessAction::Deny);
        assert_eq!(of("2001:db8::1"), AccessAction::Allow);
        assert_eq!(of("192.0.2.1"), AccessAction::Refuse);
        assert_eq!(
            action(&[], "192.0.2.1".parse().unwrap()),
            AccessAction::Allow
        );
    }
}
