//! What the cache says of a name.
//!
//! Owns which cached answers and RRsets may stand for an answer, or lead on as an alias (RFC 1034, 5.3.3,
//! step 1). Never asks anybody.

use std::sync::Arc;

use crate::answer::{Answer, Security};
use crate::cache::Trust;
use crate::context::Context;
use crate::iterate::alias;
use crate::iterate::store::lower_soa;
use crate::iterate::work::Work;
use crate::name::Name;
use crate::rdata::Rrsig;
use crate::rrset::{Class, RecordType, Rrset};
use crate::settings::DnssecMode;

/// What is there for a name.
#[derive(Clone, Debug)]
pub enum Cached {
    /// A whole answer.
    Answer(Answer),
    /// RRsets that are the answer, and their security status.
    Rrsets(Vec<Arc<Rrset>>, Security),
    /// RRsets that lead to another name.
    Alias(Vec<Arc<Rrset>>, Name),
}

/// Looks the current name up.
#[must_use]
pub fn look_up(work: &Work, context: &Context<'_>) -> Option<Cached> {
    if let Some(answer) = cached_answer(work, context) {
        return Some(Cached::Answer(answer));
    }
    let current = &work.current;
    let direct = [RecordType::DS, RecordType::DNSKEY, RecordType::CNAME];
    let is_direct = direct.contains(&current.record_type);
    // What stood behind another alias is validated by itself, and so is all that there is of its type.
    if (is_direct || !work.is_at_start())
        && let Some((found, security)) = cached_rrset(context, &current.name, current.record_type)
        && (is_direct || security == Security::Secure)
    {
        return Some(Cached::Rrsets(vec![found], security));
    }
    // DS is asked of the parent's side, which an alias in the zone itself says nothing about.
    let no_alias = [
        RecordType::ANY,
        RecordType::RRSIG,
        RecordType::NSEC,
        RecordType::DS,
    ];
    if no_alias.contains(&current.record_type) {
        return None;
    }
    if let Some((cname, _)) = cached_rrset(context, &current.name, RecordType::CNAME) {
        let target = alias::cname_target(&cname)?;
        return Some(Cached::Alias(vec![cname], target));
    }
    let (dname, cname) = cached_dname(context, &current.name)?;
    let target = alias::cname_target(&cname)?;
    let rrsets = vec![dname, cname];
    Some(if current.record_type == RecordType::CNAME {
        Cached::Rrsets(rrsets, Security::Unchecked)
    } else {
        Cached::Alias(rrsets, target)
    })
}

/// A cached answer to the current name: the verdict of validation goes before data that was not looked at.
fn cached_answer(work: &Work, context: &Context<'_>) -> Option<Answer> {
    let (now, settings) = (context.now, context.settings);
    let validates =
        work.kind.validates() && !work.checking_disabled && settings.dnssec.mode != DnssecMode::Off;
    let verdict = if validates {
        context.cache.verdict(now, &work.current)
    } else {
        None
    };
    verdict
        .or_else(|| context.cache.answer(now, &work.current))
        .and_then(|answer| whole(work, context, answer))
        .or_else(|| denied_above(work, context))
}

/// What a client can be given: what a referral proved about DS comes without an SOA, and the zone's own, if
/// it is known, completes it.
fn whole(work: &Work, context: &Context<'_>, mut answer: Answer) -> Option<Answer> {
    let has_soa = answer
        .authority
        .iter()
        .any(|rrset| rrset.record_type == RecordType::SOA);
    let whole = has_soa || !answer.answer.is_empty() || answer.authority.is_empty();
    if whole || !work.kind.validates() {
        return Some(answer);
    }
    let signer = answer
        .authority
        .iter()
        .find_map(|rrset| rrset.signatures.iter().find_map(Rrsig::parse))?
        .signer;
    let held = context
        .cache
        .rrset(context.now, &signer, RecordType::SOA, Class::IN)?;
    let mut soa = held.rrset;
    lower_soa(&mut soa, 0);
    answer.ttl = answer.ttl.min(soa.ttl);
    answer.authority.insert(0, soa);
    Some(answer)
}

/// The secure NXDOMAIN of a name above (RFC 8020).
fn denied_above(work: &Work, context: &Context<'_>) -> Option<Answer> {
    let settings = context.settings;
    if !settings.resolution.harden_below_nxdomain {
        return None;
    }
    let current = &work.current;
    context
        .cache
        .nxdomain_above(context.now, &current.name, current.class)
}

/// A cached RRset that may stand in an answer.
fn cached_rrset(
    context: &Context<'_>,
    name: &Name,
    record_type: RecordType,
) -> Option<(Arc<Rrset>, Security)> {
    let cached = context
        .cache
        .rrset(context.now, name, record_type, Class::IN)?;
    // A DS RRset comes with a referral as well as by itself; nothing else stands beside its place.
    let least = if record_type == RecordType::DS {
        Trust::AuthorityNonAuthoritative
    } else {
        Trust::AnswerNonAuthoritative
    };
    let usable =
        cached.trust >= least && cached.security != Security::Bogus && !is_expanded(&cached.rrset);
    usable.then_some((cached.rrset, cached.security))
}

/// Whether a wildcard made it (RFC 4035, 5.3.4): by itself it lacks the proof that nothing is closer.
fn is_expanded(rrset: &Rrset) -> bool {
    let labels = rrset.owner.label_count() - usize::from(rrset.owner.is_wildcard());
    rrset
        .signatures
        .iter()
        .filter_map(Rrsig::parse)
        .any(|signature| usize::from(signature.labels) < labels)
}

/// A validated DNAME above the name, and the CNAME it stands for. One that is not validated is asked
/// for again, so that a forged one cannot take over what lies below.
fn cached_dname(context: &Context<'_>, name: &Name) -> Option<(Arc<Rrset>, Arc<Rrset>)> {
    let mut above = name.parent();
    while let Some(owner) = above {
        if let Some((dname, Security::Secure)) = cached_rrset(context, &owner, RecordType::DNAME) {
            let cname = alias::synthesise(&dname, name).ok()??;
            return Some((dname, Arc::new(cname)));
        }
        above = owner.parent();
    }
    None
}
