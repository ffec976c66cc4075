//! Answers from cached denials (RFC 8198).
//!
//! Owns the choice of records that may prove a name or type absent, before anybody is asked. Proofs with
//! Opt-Out are not used, and nothing positive is made from a wildcard.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::answer::{Answer, ExtendedError, ResponseCode, Security};
use crate::context::Context;
use crate::name::Name;
use crate::question::Question;
use crate::rrset::{Class, RecordType, Rrset};
use crate::trust_anchor::{self, Anchor};
use crate::validate::denial::Delegation;
use crate::validate::nsec::{NoDs, NsecRecord, NsecSet};
use crate::validate::nsec3::{Nsec3NoDs, Nsec3Proof, Nsec3Set, hash_label};

/// The answer that cached denials give, if they do.
#[must_use]
pub fn answer(question: &Question, context: &mut Context<'_>) -> Option<Answer> {
    if !context.settings.dnssec.aggressive_nsec || question.class != Class::IN {
        return None;
    }
    let direct = [
        RecordType::ANY,
        RecordType::RRSIG,
        RecordType::NSEC,
        RecordType::NSEC3,
    ];
    if direct.contains(&question.record_type) {
        return None;
    }
    let zone = closest_zone(question, context)?;
    let (now, epoch) = (context.now.instant, context.settings.epoch);
    let soa = context.cache.denials().soa(now, epoch, &zone)?;
    let (rcode, proof) =
        by_nsec(question, &zone, context).or_else(|| by_nsec3(question, &zone, context))?;
    let mut answer = Answer::empty(rcode, Some(ExtendedError::SYNTHESIZED));
    answer.security = Security::Secure;
    answer.authority = core::iter::once(soa).chain(proof).collect();
    let times = answer.authority.iter().map(|rrset| rrset.ttl);
    answer.ttl = times.min()?.min(context.settings.cache.ttl_negative_max);
    Some(answer)
}

/// The deepest zone with cached denials that the name lies in, below its trust anchor.
fn closest_zone(question: &Question, context: &Context<'_>) -> Option<Name> {
    // DS lives above the cut, so the child's denials say nothing of it.
    let at_parent = question.record_type == RecordType::DS;
    let lowest = if at_parent {
        question.name.parent()?
    } else {
        question.name.clone()
    };
    let Anchor::Positive(anchor) = trust_anchor::nearest(context.settings, context.now, &lowest)
    else {
        return None;
    };
    core::iter::successors(Some(lowest), Name::parent)
        .take_while(|zone| zone.is_within(&anchor))
        .find(|zone| context.cache.denials().knows(context.settings.epoch, zone))
}

type Found = (ResponseCode, Vec<Arc<Rrset>>);

fn by_nsec(question: &Question, zone: &Name, context: &Context<'_>) -> Option<Found> {
    let (now, epoch) = (context.now.instant, context.settings.epoch);
    let around = |name: &Name| context.cache.denials().nsec_around(now, epoch, zone, name);
    let first = around(&question.name)?;
    let record = NsecRecord::new(&first)?;
    let wildcard = record.closest_encloser(&question.name).child(b"*").ok();
    let mut rrsets = vec![first];
    let second = wildcard.as_ref().and_then(around);
    rrsets.extend(second.filter(|second| second.owner != record.owner));
    let records = rrsets.iter().filter_map(NsecRecord::new).collect();
    let set = NsecSet::new(zone.clone(), records);
    if set.proves_name_error(&question.name) {
        return Some((ResponseCode::NXDOMAIN, rrsets));
    }
    if set.proves_no_data(&question.name, question.record_type) {
        if record.owner == question.name {
            rrsets.truncate(1);
        }
        return Some((ResponseCode::NOERROR, rrsets));
    }
    None
}

fn by_nsec3(question: &Question, zone: &Name, context: &mut Context<'_>) -> Option<Found> {
    let found = gather_nsec3(&question.name, zone, context)?;
    let mut set = set_of(zone, &found);
    let (name, record_type) = (&question.name, question.record_type);
    let rcode = if set.prove_name_error(name, context.budget) == Ok(Nsec3Proof::Proven) {
        ResponseCode::NXDOMAIN
    } else if set.prove_no_data(name, record_type, context.budget) == Ok(Nsec3Proof::Proven) {
        ResponseCode::NOERROR
    } else {
        return None;
    };
    Some((rcode, found))
}

fn set_of(zone: &Name, rrsets: &[Arc<Rrset>]) -> Nsec3Set {
    let mut set = Nsec3Set::new(zone.clone());
    rrsets.iter().for_each(|rrset| set.add(rrset));
    set
}

/// The cached NSEC3 records that may prove something of `name`.
fn gather_nsec3(name: &Name, zone: &Name, context: &mut Context<'_>) -> Option<Vec<Arc<Rrset>>> {
    let (now, epoch) = (context.now.instant, context.settings.epoch);
    let hashing = context.cache.denials().hashing(epoch, zone)?;
    if hashing.iterations > context.settings.dnssec.nsec3_iterations {
        return None;
    }
    let mut found: BTreeMap<Name, Arc<Rrset>> = BTreeMap::new();
    let mut look = |name: &Name, context: &mut Context<'_>| {
        context.budget.spend_hash().ok()?;
        let label = hash_label(&hashing.salt, hashing.iterations, name)?;
        let denials = context.cache.denials();
        let rrset = denials.nsec3_around(now, epoch, zone, &label)?;
        let matches = rrset.owner.labels().next() == Some(&label[..]);
        found.insert(rrset.owner.clone(), rrset);
        Some(matches)
    };
    // The name, and upwards until one exists.
    let mut at = name.clone();
    while !look(&at, context)? {
        if at == *zone {
            return None;
        }
        at = at.parent()?;
    }
    if at != *name
        && let Ok(wildcard) = at.child(b"*")
    {
        // Without Opt-Out the wildcard's record is needed; with it nothing is proven either way.
        let _ = look(&wildcard, context);
    }
    Some(found.into_values().collect())
}

/// What cached denials of `zone` say of a delegation at `name`, and for how long.
#[must_use]
pub fn no_ds(name: &Name, zone: &Name, context: &mut Context<'_>) -> Option<(Delegation, u32)> {
    if !context.settings.dnssec.aggressive_nsec {
        return None;
    }
    let (now, epoch) = (context.now.instant, context.settings.epoch);
    let ttl = |rrsets: &[Arc<Rrset>]| rrsets.iter().map(|rrset| rrset.ttl).min().unwrap_or(0);
    if let Some(rrset) = context.cache.denials().nsec_around(now, epoch, zone, name) {
        let rrsets = [rrset];
        let records = rrsets.iter().filter_map(NsecRecord::new).collect();
        let set = NsecSet::new(zone.clone(), records);
        return match set.proves_no_ds(name)? {
            NoDs::Unsigned => Some((Delegation::Unsigned(None), ttl(&rrsets))),
            NoDs::Inside => Some((Delegation::Inside, ttl(&rrsets))),
            NoDs::Contradicted => None,
        };
    }
    let rrsets = gather_nsec3(name, zone, context)?;
    match set_of(zone, &rrsets)
        .prove_no_ds(name, context.budget)
        .ok()?
    {
        Nsec3NoDs::Unsigned => Some((Delegation::Unsigned(None), ttl(&rrsets))),
        Nsec3NoDs::Inside => Some((Delegation::Inside, ttl(&rrsets))),
        Nsec3NoDs::Unproven => None,
    }
}
