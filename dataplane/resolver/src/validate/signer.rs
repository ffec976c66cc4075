//! Which zone is to vouch for a part of an answer.
//!
//! Owns the choice among the signers that RRSIGs name, so that none of them can take a name out of
//! validation. Never verifies a signature.

use std::sync::Arc;

use crate::context::Context;
use crate::name::Name;
use crate::rdata::Rrsig;
use crate::rrset::Rrset;
use crate::trust_anchor::{self, Anchor};

/// DS RRsets belong to the zone above the cut.
pub fn above_cut(name: &Name, at_parent: bool) -> Name {
    if at_parent {
        name.parent().unwrap_or_else(Name::root)
    } else {
        name.clone()
    }
}

/// The deepest zone that claims to have signed one of these RRsets and that `name` lies in. A zone above
/// the trust anchor nearest to `name` has no say, or it could take the name out of validation.
pub fn signer_of<'a>(
    rrsets: impl Iterator<Item = &'a Arc<Rrset>>,
    name: &Name,
    at_parent: bool,
    context: &Context<'_>,
) -> Option<Name> {
    let lowest = above_cut(name, at_parent);
    let Anchor::Positive(anchor) = trust_anchor::nearest(context.settings, context.now, &lowest)
    else {
        return None;
    };
    rrsets
        .flat_map(|rrset| rrset.signatures.iter().filter_map(Rrsig::parse))
        .map(|rrsig| rrsig.signer)
        .filter(|signer| lowest.is_within(signer))
        .filter(|signer| signer.is_within(&anchor))
        .max_by_key(Name::label_count)
}

/// The deepest zone that claims to deny something of `lowest`. Also one above the nearest trust anchor, when
/// another anchor lies above it: its NXDOMAIN may deny the anchor's zone itself.
pub fn denier_of<'a>(
    rrsets: impl Iterator<Item = &'a Arc<Rrset>>,
    lowest: &Name,
    name_error: bool,
    context: &Context<'_>,
) -> Option<Name> {
    let nearest = trust_anchor::nearest(context.settings, context.now, lowest);
    let Anchor::Positive(nearest) = nearest else {
        return None;
    };
    rrsets
        .flat_map(|rrset| rrset.signatures.iter().filter_map(Rrsig::parse))
        .map(|rrsig| rrsig.signer)
        .filter(|signer| lowest.is_within(signer))
        .filter(|signer| {
            let anchor = trust_anchor::nearest(context.settings, context.now, signer);
            signer.is_within(&nearest) || name_error && matches!(anchor, Anchor::Positive(_))
        })
        .max_by_key(Name::label_count)
}
