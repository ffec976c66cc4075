//! Where an iteration stands, and which steps between phases are legal (RFC 1034, 5.3.3).
//!
//! Owns the table of transitions, and nothing of what happens in them.

/// Where an iteration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Nothing is known yet: the cache is asked, and the closest delegation found.
    Start,
    /// The NS RRset of the root, or of a stub zone, is being asked for.
    Priming,
    /// A server is being chosen.
    Choosing,
    /// A server was asked.
    AwaitingReply,
    /// Addresses of name servers are being looked up, and none can be asked before.
    AwaitingTargets,
    /// There is an answer, or a failure.
    Finished,
}

/// The legal transitions.
///
/// ```text
/// Start -> Priming -> Choosing -> AwaitingReply -> Finished
///   |  ^               ^  |  ^        |
///   |  |   alias       |  |  +--------+  referral, retry
///   |  +---------------|--|-----------+
///   |                  |  +-> AwaitingTargets -> Choosing
///   +------------------+
/// ```
pub const TRANSITIONS: &[(Phase, Phase)] = &[
    (Phase::Start, Phase::Priming),
    (Phase::Start, Phase::Choosing),
    (Phase::Start, Phase::Finished),
    (Phase::Priming, Phase::Start),
    (Phase::Priming, Phase::Choosing),
    (Phase::Priming, Phase::Finished),
    (Phase::Choosing, Phase::Start),
    (Phase::Choosing, Phase::AwaitingReply),
    (Phase::Choosing, Phase::AwaitingTargets),
    (Phase::Choosing, Phase::Finished),
    (Phase::AwaitingReply, Phase::Start),
    (Phase::AwaitingReply, Phase::Choosing),
    (Phase::AwaitingReply, Phase::Finished),
    (Phase::AwaitingTargets, Phase::Choosing),
    (Phase::AwaitingTargets, Phase::Finished),
    (Phase::Finished, Phase::Start),
];

impl Phase {
    /// Whether `next` may follow.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        self == next || TRANSITIONS.contains(&(self, next))
    }

    /// The name in traces.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Priming => "priming",
            Self::Choosing => "choosing",
            Self::AwaitingReply => "awaiting_reply",
            Self::AwaitingTargets => "awaiting_targets",
            Self::Finished => "finished",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_left_only_by_a_retry() {
        for &(from, to) in TRANSITIONS {
            assert!(from != Phase::Finished || to == Phase::Start);
            assert!(from.may_become(to));
        }
        assert!(!Phase::Start.may_become(Phase::AwaitingReply));
        assert!(!Phase::AwaitingTargets.may_become(Phase::AwaitingReply));
    }
}
