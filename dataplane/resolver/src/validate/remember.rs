//! What validation keeps for questions to come (RFC 8198).
//!
//! Owns the choice of what is kept and for how long: denials, and wildcards that were expanded. Nothing of zones
//! whose answers are not to be kept. Proves nothing: it is told what was proven.

use std::sync::Arc;
use std::time::Duration;

use crate::context::Context;
use crate::forward::upstream_zone;
use crate::name::Name;
use crate::rdata;
use crate::rrset::{RecordType, Rrset};
use crate::validate::denial::Denial;

/// Keeps the verified denials of one zone, from the section that they stood in.
pub fn denials(zone: &Name, denial: &Denial, section: &[Arc<Rrset>], context: &Context<'_>) {
    if is_not_kept(zone, context) {
        return;
    }
    let (now, epoch) = (context.now.instant, context.settings.epoch);
    let verified = || {
        let places = denial.verified().iter();
        places.filter_map(|(place, ttl)| Some((section.get(*place)?, *ttl)))
    };
    // RFC 9077, 3: a denial is used no longer than its zone's negative answers are kept.
    let negative = verified()
        .filter(|(rrset, _)| rrset.record_type == RecordType::SOA)
        .map(|(soa, ttl)| {
            let minimum = soa.rdata.iter().next().and_then(rdata::soa_minimum);
            ttl.min(minimum.unwrap_or(0))
        })
        .fold(context.settings.cache.ttl_negative_max, u32::min);
    for (rrset, ttl) in verified() {
        let ttl = Duration::from_secs(u64::from(ttl.min(negative)));
        context.cache.denials().add(now, epoch, zone, rrset, ttl);
    }
}

/// Keeps the wildcard below `encloser` that an RRset was expanded from, which a proof has shown, as its zone has it.
pub fn wildcard(rrset: &Rrset, encloser: &Name, ttl: u32, context: &Context<'_>) {
    let Ok(owner) = encloser.child(b"*") else {
        return;
    };
    if !context.settings.dnssec.aggressive_nsec || is_not_kept(&owner, context) {
        return;
    }
    let settings = &context.settings.cache;
    let wildcard = Rrset {
        owner,
        ttl,
        ..rrset.clone()
    };
    context
        .cache
        .store_verified(context.now, settings, &wildcard);
}

/// Whether answers about a name are kept out of the cache.
fn is_not_kept(name: &Name, context: &Context<'_>) -> bool {
    let upstream = upstream_zone(&context.settings.resolution, name, &[]);
    upstream.is_some_and(|(_, zone)| zone.no_cache)
}
