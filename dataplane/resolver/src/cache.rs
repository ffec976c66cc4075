//! The one door to all caches.

/// The caches: shared by every worker, locked for one lookup at a time, bounded by octets.
#[derive(Debug, Default)]
pub struct Cache {}
