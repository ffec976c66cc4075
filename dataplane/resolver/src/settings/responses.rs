//! How answers are dressed.
//!
//! Owns what of an answer is the operator's choice, and none of its data.

/// How answers are dressed.
#[derive(Clone, Debug)]
pub struct ResponseSettings {
    /// Whether extended errors are sent (RFC 8914).
    pub extended_errors: bool,
    /// The block size of padded answers (RFC 8467), 0 for no padding.
    pub padding_block_size: u16,
    /// Whether positive answers carry only what is required; those with the proof of a wildcard carry all of its
    /// section.
    pub minimal: bool,
    /// Whether ANY is answered with one RRset (RFC 8482).
    pub minimal_any: bool,
    /// Whether `id.server` and `hostname.bind` are answered, and with what.
    pub identity: Option<String>,
    /// Whether `version.server` and `version.bind` are answered, and with what.
    pub version: Option<String>,
}

impl Default for ResponseSettings {
    fn default() -> Self {
        Self {
            extended_errors: true,
            padding_block_size: 468,
            minimal: true,
            minimal_any: true,
            identity: None,
            version: None,
        }
    }
}
