//! What is remembered of each server: round trip, EDNS, lameness. Shared by every worker.

/// Facts about servers.
#[derive(Debug, Default)]
pub struct Infra {}
