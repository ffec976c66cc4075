//! Digests as they are shown: `sha256:` and 64 hexadecimal digits.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;

/// The SHA-256 digest of some bytes, as `sha256:` and hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    format!(
        "sha256:{}",
        HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn matches_the_known_digest_of_nothing() {
        assert_eq!(
            super::sha256(b""),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
