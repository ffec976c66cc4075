//! Signatures that were found good, so that none is computed twice.
//!
//! Owns digests of what was verified: key, signed octets and signature in one. That a signature is good never
//! changes, so nothing in here goes stale or has to be flushed; dates, keys and chains of trust are not in it, and
//! whoever verifies looks at them each time (RFC 4035, 5.3). Bounded: a digest takes the place of an older one.

use std::sync::{Mutex, PoisonError};

/// SHA-256 of algorithm, key, signed octets and signature.
pub type SignatureDigest = [u8; 32];

/// Parts that are locked one at a time.
const PARTS: usize = 16;
/// Digests of one part: all parts come to 2 MiB.
const PART_DIGESTS: usize = 4096;

/// The digests, shared by every worker.
#[derive(Debug, Default)]
pub struct GoodSignatures {
    /// Empty until the first digest comes.
    parts: [Mutex<Vec<SignatureDigest>>; PARTS],
}

/// The part that a digest belongs to, and its place there. Digests are as good as random.
fn place(digest: &SignatureDigest) -> (usize, usize) {
    let [part, high, low, ..] = *digest;
    let at = usize::from(u16::from_be_bytes([high, low]));
    (usize::from(part) % PARTS, at % PART_DIGESTS)
}

impl GoodSignatures {
    /// Whether this was found good.
    #[must_use]
    pub fn holds(&self, digest: &SignatureDigest) -> bool {
        let (part, at) = place(digest);
        self.parts.get(part).is_some_and(|part| {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner);
            part.get(at) == Some(digest)
        })
    }

    /// Remembers that this was found good.
    pub fn add(&self, digest: SignatureDigest) {
        let (part, at) = place(&digest);
        let Some(part) = self.parts.get(part) else {
            return;
        };
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        if part.is_empty() {
            part.resize(PART_DIGESTS, [0; 32]);
        }
        if let Some(place) = part.get_mut(at) {
            *place = digest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_held_until_another_takes_its_place() {
        let good = GoodSignatures::default();
        let (mut first, mut second) = ([7; 32], [7; 32]);
        (first[31], second[31]) = (1, 2);
        assert!(!good.holds(&first));
        good.add(first);
        assert!(good.holds(&first) && !good.holds(&second));
        good.add(second);
        assert!(good.holds(&second) && !good.holds(&first));
        assert!(!good.holds(&[0; 32]) || good.parts[0].lock().unwrap().is_empty());
    }
}
