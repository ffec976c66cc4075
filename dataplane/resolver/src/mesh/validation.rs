//! What validating a state has cost, for its trace.
//!
//! Owns two counts and a moment for each state; who signed is read from the answer when a trace asks. Never
//! validates: `validate` does.

use crate::answer::Answer;
use crate::rdata::Rrsig;
use crate::time::Instant;
use crate::trace::{Signer, Validation};

/// What validation has cost a state so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ValidationWork {
    /// When it began, if it did.
    pub(crate) since: Option<Instant>,
    signatures: u16,
    hashes: u16,
}

impl ValidationWork {
    /// Notes one step: what the budget of signatures and hashes was before and after it.
    pub(crate) fn note(
        &mut self,
        now: Instant,
        before: (u16, u16),
        after: (u16, u16),
        validating: bool,
    ) {
        if !validating && before == after {
            return;
        }
        self.since = self.since.or(Some(now));
        self.signatures += before.0.saturating_sub(after.0);
        self.hashes += before.1.saturating_sub(after.1);
    }

    /// What is told of it once there is an answer.
    pub(crate) fn told(&self, since: Instant, answer: &Answer) -> Validation {
        let rrsets = answer.answer.iter().chain(&answer.authority);
        let mut signatures = rrsets.flat_map(|rrset| rrset.signatures.iter());
        let signer = signatures.find_map(Rrsig::parse).map(|rrsig| Signer {
            zone: rrsig.signer,
            algorithm: rrsig.algorithm,
            key_tag: rrsig.key_tag,
        });
        Validation {
            security: answer.security,
            since,
            signatures: self.signatures,
            hashes: self.hashes,
            signer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::ResponseCode;

    #[test]
    fn only_what_validates_begins() {
        let at = |seconds: u64| Instant::from_nanoseconds(seconds * 1_000_000_000);
        let mut work = ValidationWork::default();
        work.note(at(1), (8, 4), (8, 4), false);
        assert_eq!(work, ValidationWork::default());
        work.note(at(2), (8, 4), (8, 4), true);
        work.note(at(3), (8, 4), (6, 3), true);
        work.note(at(4), (6, 3), (5, 3), false);
        let told = work.told(at(2), &Answer::empty(ResponseCode::SERVFAIL, None));
        assert_eq!(work.since, Some(at(2)));
        assert_eq!((told.signatures, told.hashes, told.signer), (3, 1, None));
    }
}
