//! The values of the labels of metrics, and where each value stands in its list. Few and fixed, so
//! that no client can make a metric grow.

/// HTTP methods, as labels.
pub const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "other"];
/// HTTP statuses, as labels.
pub const CODES: [&str; 14] = [
    "200", "400", "403", "404", "405", "408", "413", "414", "415", "421", "429", "500", "503",
    "other",
];
/// Record types that are told apart; their numbers are in [`record_type_index`].
pub const RECORD_TYPES: [&str; 14] = [
    "A", "AAAA", "HTTPS", "SVCB", "PTR", "MX", "TXT", "NS", "SOA", "SRV", "CNAME", "DS", "DNSKEY",
    "other",
];
/// Response codes that are told apart.
pub const RESPONSE_CODES: [&str; 7] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "other",
];
/// Where answers came from.
pub const ORIGINS: [&str; 7] = [
    "cache",
    "negative_cache",
    "stale",
    "resolved",
    "joined",
    "local",
    "refused",
];
/// How streams end; each has exactly one of these.
pub const DISPOSITIONS: [&str; 4] = ["answered", "reset", "peer_cancelled", "connection_lost"];
/// How upstream queries travel.
pub const TRANSPORTS: [&str; 4] = ["udp", "tcp", "tls", "https"];
/// How upstream queries end.
pub const OUTCOMES: [&str; 8] = [
    "replied",
    "timeout",
    "unreachable",
    "tls_failed",
    "exhausted",
    "cancelled",
    "case_lost",
    "http_failed",
];
/// How handshakes fail.
pub const HANDSHAKE_FAULTS: [&str; 3] = ["timeout", "tls", "limit"];
/// What came for something that was gone; each is harmless and counted.
pub const LATE: [&str; 4] = [
    "answer_for_stream",
    "answer_for_connection",
    "reply",
    "datagram",
];
/// Limits of a connection, in the order of `FrameLimit`.
pub const FRAME_LIMITS: [&str; 12] = [
    "reset_received",
    "reset_sent",
    "refused",
    "ping",
    "settings",
    "priority",
    "window_update",
    "continuation",
    "unknown",
    "header_blocks",
    "headers_timeout",
    "write_stall",
];

/// The place of a record type in [`RECORD_TYPES`].
#[must_use]
pub const fn record_type_index(record_type: u16) -> usize {
    match record_type {
        1 => 0,
        28 => 1,
        65 => 2,
        64 => 3,
        12 => 4,
        15 => 5,
        16 => 6,
        2 => 7,
        6 => 8,
        33 => 9,
        5 => 10,
        43 => 11,
        48 => 12,
        _ => 13,
    }
}

/// The place of an HTTP status in [`CODES`].
#[must_use]
pub const fn code_index(status: u16) -> usize {
    match status {
        200 => 0,
        400 => 1,
        403 => 2,
        404 => 3,
        405 => 4,
        408 => 5,
        413 => 6,
        414 => 7,
        415 => 8,
        421 => 9,
        429 => 10,
        500 => 11,
        503 => 12,
        _ => 13,
    }
}
