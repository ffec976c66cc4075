//! One key of a zone whose trust anchors are tracked, and the states that it goes through (RFC 5011, 4).
//!
//! Owns the states and which may follow which. Never verifies anything.

/// Where a key stands (RFC 5011, 4.2).
///
/// ```text
/// (seen) -> AddPending -> Valid <-> Missing
///              |            |          |
///           (gone)       Revoked <-----+
///                           |
///                       (removed)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyState {
    /// Seen in a verified RRset, and waited for until the hold-down is over.
    AddPending,
    /// A trust anchor.
    Valid,
    /// A trust anchor that the zone does not show any more.
    Missing,
    /// Revoked by its owner: never a trust anchor again.
    Revoked,
}

impl KeyState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::AddPending, Self::Valid, Self::Missing, Self::Revoked];

    /// Its name in the state file, in metrics and in `/state`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::AddPending => "add_pending",
            Self::Valid => "valid",
            Self::Missing => "missing",
            Self::Revoked => "revoked",
        }
    }

    /// Whether chains of trust may start at such a key (RFC 5011, 4.2).
    #[must_use]
    pub const fn is_trusted(self) -> bool {
        matches!(self, Self::Valid | Self::Missing)
    }
}

/// A key of a tracked zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedKey {
    /// DNSKEY record data as last seen; the REVOKE bit is set in that of a revoked key.
    pub rdata: Box<[u8]>,
    /// Where it stands.
    pub state: KeyState,
    /// Since when, in seconds of Unix time.
    pub since: u64,
    /// In how many verified RRsets it was seen while it was `AddPending`.
    pub seen: u32,
    /// The TTL of the DNSKEY RRset when it was first seen, in seconds.
    pub ttl: u32,
}

/// The REVOKE bit (RFC 5011, 7).
const REVOKE: u8 = 0x80;

/// DNSKEY record data with the REVOKE bit cleared: what makes two records one key.
#[must_use]
pub fn unrevoked(rdata: &[u8]) -> Vec<u8> {
    let mut rdata = rdata.to_vec();
    if let Some(low) = rdata.get_mut(1) {
        *low &= !REVOKE;
    }
    rdata
}

impl TrackedKey {
    /// Whether this record data is the same key, revoked or not.
    #[must_use]
    pub fn is(&self, rdata: &[u8]) -> bool {
        unrevoked(&self.rdata) == unrevoked(rdata)
    }

    /// Goes to another state; the same one leaves the time as it is.
    pub(crate) fn become_at(&mut self, state: KeyState, at: u64) {
        if self.state != state {
            self.state = state;
            self.since = at;
            self.seen = 0;
        }
    }
}
