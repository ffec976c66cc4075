//! What local zones say of a question.
//!
//! Owns [`LocalOutcome`] and the making of answers from local records. Looks at no zone.

use std::sync::Arc;

use crate::answer::{Answer, ExtendedError, ResponseCode, Security};
use crate::name::Name;
use crate::rrset::Rrset;

/// What local zones say of a question.
#[derive(Clone, Debug)]
pub enum LocalOutcome {
    /// Nothing: it is resolved.
    Resolve,
    /// This is the answer.
    Answer(Answer),
    /// The answer begins with these aliases; the rest is that of another name, which is resolved.
    Follow {
        /// The aliases.
        answer: Answer,
        /// Where they lead.
        target: Name,
    },
    /// There is no DNS answer (`Refusal::Denied`).
    Deny,
}

impl LocalOutcome {
    /// The answer that these RRsets are, with authority; without any, NODATA.
    pub(crate) fn data(sets: Vec<Arc<Rrset>>) -> Self {
        Self::Answer(Answer {
            authoritative: true,
            ..Answer::data(sets, Security::Insecure)
        })
    }

    /// A response code alone, and why.
    pub(crate) fn bare(rcode: ResponseCode, error: Option<ExtendedError>) -> Self {
        Self::Answer(Answer::empty(rcode, error))
    }
}
