//! Whether a zone's answers ought to be signed, before anything is validated.
//!
//! Owns the question "would validation miss signatures here?", so that a server that strips them is
//! passed over while others are left. Never gives a verdict: `validate` does.

use std::sync::Arc;

use crate::context::Context;
use crate::fetch::FetchPlan;
use crate::name::Name;
use crate::rrset::{Class, RecordType, Rrset};
use crate::settings::DnssecMode;
use crate::wire::Reply;

/// Whether the zone is a trust anchor, or lies below one and has a DS RRset that is known.
fn is_signed(context: &Context<'_>, zone: &Name) -> bool {
    let dnssec = &context.settings.dnssec;
    if dnssec.mode == DnssecMode::Off {
        return false;
    }
    let anchor = dnssec
        .trust_anchors
        .iter()
        .map(|anchor| &anchor.zone)
        .filter(|anchor| zone.is_within(anchor))
        .max_by_key(|anchor| anchor.as_wire().len());
    let Some(anchor) = anchor else {
        return false;
    };
    let negative = dnssec.negative_trust_anchors.iter().any(|negative| {
        zone.is_within(&negative.name)
            && negative.name.is_within(anchor)
            && negative.expires_at.is_none_or(|end| context.now.unix < end)
    });
    if negative {
        return false;
    }
    *anchor == *zone
        || context
            .cache
            .rrset(context.now, zone, RecordType::DS, Class::IN)
            .is_some()
}

/// Whether part of an answer lacks its signatures. A CNAME that a DNAME stands for has none.
#[must_use]
pub fn lacks_signatures(context: &Context<'_>, plan: &FetchPlan, rrsets: &[Arc<Rrset>]) -> bool {
    let synthesised = |index: usize| {
        let before = index.checked_sub(1).and_then(|before| rrsets.get(before));
        before.is_some_and(|rrset| rrset.record_type == RecordType::DNAME)
    };
    let lacking = rrsets
        .iter()
        .enumerate()
        .any(|(index, rrset)| rrset.signatures.is_empty() && !synthesised(index));
    lacking && plan.edns && is_signed(context, &plan.zone)
}

/// Whether a negative answer lacks its proof.
#[must_use]
pub fn lacks_denial(context: &Context<'_>, plan: &FetchPlan, reply: &Reply) -> bool {
    let proved = reply.authority.iter().any(|rrset| {
        matches!(rrset.record_type, RecordType::NSEC | RecordType::NSEC3)
            && !rrset.signatures.is_empty()
    });
    !proved && plan.edns && is_signed(context, &plan.zone)
}
