//! How far data is trusted, and which of two RRsets stays (RFC 2181, 5.4.1).
//!
//! Owns the ranks and the rule of replacement, ghost domains included. Stores nothing.

use crate::answer::Security;
use crate::rrset::RecordType;

/// Where in which reply an RRset stood, the least trustworthy first (RFC 2181, 5.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// The additional section of a reply without AA: glue of a referral.
    AdditionalNonAuthoritative,
    /// The authority section of a reply without AA: the NS and DS RRsets of a referral.
    AuthorityNonAuthoritative,
    /// The additional section of a reply with AA.
    AdditionalAuthoritative,
    /// The answer section of a reply without AA, as forwarders give it.
    AnswerNonAuthoritative,
    /// The authority section of a reply with AA.
    AuthorityAuthoritative,
    /// The answer section of a reply with AA.
    AnswerAuthoritative,
}

/// What the rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) trust: Trust,
    pub(crate) security: Security,
    /// From when on it is expired.
    pub(crate) expires: u32,
}

/// What becomes of a new RRset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The old one stays as it is.
    Keep,
    /// The new one takes its place, until this time.
    Replace {
        /// From when on the new one is expired.
        expires: u32,
    },
}

/// Decides between an RRset that is kept and a new one of its name, type and class.
///
/// Secure data gives way to secure data alone, and a higher rank to an equal or higher one, until it
/// expires. An NS RRset lives no longer than the one it replaces, so that a child that its parent has
/// dropped cannot keep itself alive (ghost domains).
pub(crate) fn decide(
    record_type: RecordType,
    old: Standing,
    new: Standing,
    same_data: bool,
    now: u32,
) -> Decision {
    if old.expires <= now {
        return Decision::Replace {
            expires: new.expires,
        };
    }
    let is_secure = |standing: Standing| standing.security == Security::Secure;
    let wins = match (is_secure(new), is_secure(old)) {
        (true, false) => true,
        (false, true) => false,
        _ => new.trust >= old.trust || old.security == Security::Bogus,
    };
    if !wins {
        return Decision::Keep;
    }
    if record_type != RecordType::NS {
        return Decision::Replace {
            expires: new.expires,
        };
    }
    if same_data && new.trust == old.trust && new.security == old.security {
        return Decision::Keep;
    }
    Decision::Replace {
        expires: new.expires.min(old.expires),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 100;

    fn standing(trust: Trust, security: Security, expires: u32) -> Standing {
        Standing {
            trust,
            security,
            expires,
        }
    }

    #[test]
    fn rank_and_security_decide() {
        use Decision::{Keep, Replace};
        use Security::{Bogus, Insecure, Secure, Unchecked};
        use Trust::{AdditionalNonAuthoritative as Glue, AnswerAuthoritative as Best};
        let replace = Replace { expires: 300 };
        for (old, new, expected) in [
            ((Best, Unchecked, 200), (Glue, Unchecked, 300), Keep),
            ((Best, Unchecked, NOW), (Glue, Unchecked, 300), replace),
            ((Glue, Unchecked, 200), (Best, Unchecked, 300), replace),
            ((Best, Unchecked, 200), (Best, Unchecked, 300), replace),
            ((Glue, Secure, 200), (Best, Insecure, 300), Keep),
            ((Best, Insecure, 200), (Glue, Secure, 300), replace),
            ((Best, Bogus, 200), (Glue, Unchecked, 300), replace),
        ] {
            let old = standing(old.0, old.1, old.2);
            let new = standing(new.0, new.1, new.2);
            assert_eq!(
                decide(RecordType::A, old, new, false, NOW),
                expected,
                "{old:?} {new:?}"
            );
        }
    }

    #[test]
    fn a_dropped_child_cannot_keep_itself_alive() {
        let parent = standing(Trust::AuthorityNonAuthoritative, Security::Unchecked, 200);
        let child = standing(Trust::AuthorityAuthoritative, Security::Unchecked, 900);
        let capped = Decision::Replace { expires: 200 };
        assert_eq!(decide(RecordType::NS, parent, child, true, NOW), capped);
        let own = standing(Trust::AuthorityAuthoritative, Security::Unchecked, 200);
        assert_eq!(
            decide(RecordType::NS, own, child, true, NOW),
            Decision::Keep
        );
        assert_eq!(decide(RecordType::NS, own, child, false, NOW), capped);
        assert_eq!(
            decide(RecordType::NS, own, child, true, 200),
            Decision::Replace { expires: 900 }
        );
    }
}
