//! Whether a zone's answers ought to be signed, before anything is validated.
//!
//! Owns the question "would validation miss signatures here?", so that a server that strips them is
//! passed over while others are left. Never gives a verdict: `validate` does.

use std::sync::Arc;

use crate::context::Context;
use crate::fetch::FetchPlan;
use crate::iterate::alias::Chain;
use crate::name::Name;
use crate::rdata::Rrsig;
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

/// The chain without its end, when only that lacks signatures: its owner is asked for by itself, since a
/// server may have put there what another zone has to say.
#[must_use]
pub fn without_unsigned_end(
    context: &Context<'_>,
    plan: &FetchPlan,
    chain: &Chain,
) -> Option<Chain> {
    let (end, before) = chain.rrsets.split_last()?;
    let target = chain.target.as_ref()?;
    let signer = before
        .iter()
        .rev()
        .find_map(|rrset| rrset.signatures.iter().find_map(Rrsig::parse))?
        .signer;
    let cut = plan.edns
        && end.owner == *target
        && end.signatures.is_empty()
        && end.owner.is_within(&signer)
        && is_signed(context, &signer);
    cut.then(|| Chain {
        rrsets: before.to_vec(),
        target: Some(target.clone()),
        ..Chain::default()
    })
}

/// Whether a negative answer of a zone that ought to be signed has its proof.
#[must_use]
pub fn is_proved(context: &Context<'_>, plan: &FetchPlan, reply: &Reply) -> bool {
    let signed = reply.authority.iter().any(is_signed_denial);
    signed && plan.edns && is_signed(context, &plan.zone)
}

/// Whether a negative answer lacks its proof.
#[must_use]
pub fn lacks_denial(context: &Context<'_>, plan: &FetchPlan, reply: &Reply) -> bool {
    // An SOA of a zone below the one that was asked speaks for that zone, of which nothing is known here.
    let of_zone_below = reply.authority.iter().any(|rrset| {
        rrset.record_type == RecordType::SOA
            && rrset.owner != plan.zone
            && rrset.owner.is_within(&plan.zone)
    });
    let proved = reply.authority.iter().any(is_signed_denial);
    !proved && !of_zone_below && plan.edns && is_signed(context, &plan.zone)
}

fn is_signed_denial(rrset: &Rrset) -> bool {
    matches!(rrset.record_type, RecordType::NSEC | RecordType::NSEC3)
        && !rrset.signatures.is_empty()
}
