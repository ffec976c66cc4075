//! Which records one client gets, and which it is spared.
//!
//! Owns the choice by DO, AD and QTYPE (RFC 4035, 3.2.1; RFC 6840, 5.7), of minimal answers, and of answers to ANY
//! (RFC 8482, 4.1). Writes nothing.

use crate::rrset::RecordType;
use crate::settings::Settings;
use crate::wire::encode::view::{Body, Head, RrsetView};

/// Which records this client gets.
pub(crate) struct Rules {
    record_type: RecordType,
    pub(crate) dnssec_ok: bool,
    pub(crate) authentic_data: bool,
    pub(crate) signatures_in_answer: bool,
    pub(crate) answer_max: usize,
    /// Whether NS in the authority section and the additional section are spared.
    minimal: bool,
}

impl Rules {
    /// Those of one client for one answer.
    pub(crate) fn of<'a, I>(head: &Head<'_>, settings: &Settings, body: &Body<I>) -> Self
    where
        I: Iterator<Item = RrsetView<'a>> + Clone,
    {
        let dnssec_ok = head.dnssec_ok();
        let is_any = head.record_type == RecordType::ANY;
        let is_referral = || {
            body.answer.clone().next().is_none()
                && !body
                    .authority
                    .clone()
                    .any(|set| set.record_type == RecordType::SOA)
        };
        // Who checks the proof of a wildcard gets all of the section that it stands in.
        let has_proof = || {
            let mut authority = body.authority.clone();
            dnssec_ok
                && body.answer.clone().next().is_some()
                && authority.any(|set| is_denial(set.record_type))
        };
        Self {
            record_type: head.record_type,
            dnssec_ok,
            authentic_data: dnssec_ok || head.authentic_data,
            signatures_in_answer: dnssec_ok || is_any || head.record_type == RecordType::RRSIG,
            answer_max: if is_any && settings.responses.minimal_any {
                1
            } else {
                usize::MAX
            },
            minimal: settings.responses.minimal && !is_referral() && !has_proof(),
        }
    }

    /// RFC 4035, 3.2.1: without DO, no authenticating records that were not asked for.
    pub(crate) fn in_answer(&self, set: &RrsetView<'_>) -> bool {
        let asked = self.record_type == set.record_type || self.record_type == RecordType::ANY;
        let proof = is_denial(set.record_type);
        (self.dnssec_ok || asked || !proof) && (self.signatures_in_answer || !set.rdata.is_empty())
    }

    /// As in the answer section; NS only where the answer is not minimal.
    pub(crate) fn in_authority(&self, set: &RrsetView<'_>) -> bool {
        match set.record_type {
            RecordType::NSEC | RecordType::NSEC3 | RecordType::DS | RecordType::DNSKEY => {
                self.dnssec_ok
            }
            RecordType::NS => !self.minimal,
            _ => self.dnssec_ok || !set.rdata.is_empty(),
        }
    }

    /// Nothing where the answer is minimal.
    pub(crate) fn in_additional(&self, set: &RrsetView<'_>) -> bool {
        !self.minimal && (self.dnssec_ok || !set.rdata.is_empty())
    }
}

const fn is_denial(record_type: RecordType) -> bool {
    matches!(record_type, RecordType::NSEC | RecordType::NSEC3)
}
