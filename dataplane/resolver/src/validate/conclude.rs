//! The answer with its security status.
//!
//! Owns what is left of an answer after validation: its TTL, the sections without what did not verify, or SERVFAIL.
//! Judges no RRset of the answer section and proves no absence.

use std::sync::Arc;

use crate::answer::{Answer, ExtendedError, ResponseCode, Security};
use crate::cache::keys::ZoneKeys;
use crate::context::Context;
use crate::rrset::Rrset;
use crate::settings::DnssecMode;
use crate::validate::denial::{Proof, is_signed_by};
use crate::validate::role::Role;
use crate::validate::signature::verify;
use crate::validate::work::{Judged, Work, policy};
use crate::validate::{remember, sentinel};

/// The answer when a part of it is broken.
pub(crate) fn bogus(work: &Work, error: ExtendedError, context: &Context<'_>) -> Answer {
    let mut answer = if context.settings.dnssec.mode == DnssecMode::Permissive {
        let mut answer = work.answer.clone();
        answer.extended_error = Some(error);
        answer
    } else {
        Answer::empty(ResponseCode::SERVFAIL, Some(error))
    };
    answer.security = Security::Bogus;
    answer.ttl = u32::try_from(context.settings.dnssec.bogus_ttl.as_secs()).unwrap_or(60);
    if !work.answer.answer.is_empty() {
        // Data that goes sooner may be mended sooner; within the time of a failure nobody asks again (RFC 9520).
        let least = context.settings.cache.failure_ttl;
        answer.ttl = answer.ttl.min(work.answer.ttl.max(least));
    }
    answer
}

/// The answer when no part of it is broken.
pub(crate) fn conclude(work: &Work, context: &mut Context<'_>) -> Answer {
    let mut answer = work.answer.clone();
    let (security, error) = security(work);
    answer.security = security;
    if answer.extended_error.is_none() {
        answer.extended_error = error;
    }
    if security != Security::Secure {
        return answer;
    }
    let mut ttl = answer.ttl;
    let judged = work.judged.iter().zip(&work.answer.answer);
    answer.answer = judged
        .filter_map(|(judged, rrset)| match judged {
            Some(Judged::Secure(verified, _)) => Some(with_ttl(rrset, verified.ttl())),
            _ => None,
        })
        .collect();
    if work.absence.is_some() {
        ttl = work
            .denials
            .iter()
            .map(|(_, denial)| denial.ttl())
            .fold(ttl, u32::min);
    }
    ttl = answer
        .answer
        .iter()
        .map(|rrset| rrset.ttl)
        .fold(ttl, u32::min);
    answer.ttl = ttl;
    let verified = work
        .denials
        .iter()
        .flat_map(|(_, denial)| denial.verified());
    let mut places: Vec<(usize, u32)> = verified.copied().collect();
    places.sort_unstable();
    places.dedup_by_key(|(place, _)| *place);
    for (keys, denial) in &work.denials {
        remember::denials(&keys.zone, denial, &work.answer.authority, context);
    }
    answer.authority = clean(work, &work.answer.authority, &places, context);
    answer.additional = clean(work, &work.answer.additional, &[], context);
    if sentinel::fails(&work.question, context.settings) {
        let mut failed = Answer::empty(ResponseCode::SERVFAIL, Some(ExtendedError::DNSSEC_BOGUS));
        failed.security = Security::Secure;
        return failed;
    }
    answer
}

/// The parts of a section that verify without asking anybody: those that did, and others of zones whose keys
/// are known by now.
fn clean(
    work: &Work,
    section: &[Arc<Rrset>],
    verified: &[(usize, u32)],
    context: &mut Context<'_>,
) -> Vec<Arc<Rrset>> {
    let mut kept = Vec::new();
    // What is spared a client needs no check; a positive answer with a proof is not made minimal.
    let positive_with_proof = !work.denials.is_empty() && work.absence.is_none();
    let all = !context.settings.responses.minimal || positive_with_proof;
    for (index, rrset) in section.iter().enumerate() {
        if let Some((_, ttl)) = verified.iter().find(|(place, _)| *place == index) {
            kept.push(with_ttl(rrset, *ttl));
        } else if all
            && let Some(keys) = known_keys(work, rrset)
            && let Ok(verified) = verify(rrset, keys, &policy(context), context.budget)
            && verified.closest_encloser().is_none()
        {
            kept.push(with_ttl(rrset, verified.ttl()));
        }
    }
    kept
}

fn known_keys<'a>(work: &'a Work, rrset: &Rrset) -> Option<&'a ZoneKeys> {
    let judged = work
        .judged
        .iter()
        .flatten()
        .filter_map(|judged| match judged {
            Judged::Secure(_, keys) => Some(keys),
            Judged::Insecure(_) | Judged::Indeterminate => None,
        });
    let mut keys = judged.chain(work.denials.iter().map(|(keys, _)| keys));
    keys.find(|keys| is_signed_by(rrset, &keys.zone))
        .map(AsRef::as_ref)
}

/// The least secure part decides (RFC 4035, 3.2.3).
fn security(work: &Work) -> (Security, Option<ExtendedError>) {
    let mut insecure = None;
    let mut indeterminate = work.indeterminate;
    let mut any = false;
    for (judged, role) in work.judged.iter().zip(&work.way.roles) {
        match judged {
            Some(Judged::Secure(..)) => any = true,
            Some(Judged::Insecure(error)) => insecure = insecure.or(Some(*error)),
            Some(Judged::Indeterminate) => indeterminate = true,
            None => indeterminate |= *role != Role::Extra,
        }
    }
    match work.absence {
        Some(Proof::Secure) => any = true,
        Some(Proof::Insecure(error)) => insecure = insecure.or(Some(error)),
        Some(Proof::Missing(_)) | None => {}
    }
    match insecure {
        Some(error) => (Security::Insecure, error),
        None if indeterminate || !any => (Security::Indeterminate, None),
        None => (Security::Secure, None),
    }
}

fn with_ttl(rrset: &Arc<Rrset>, ttl: u32) -> Arc<Rrset> {
    if rrset.ttl == ttl {
        return Arc::clone(rrset);
    }
    let mut rrset = Rrset::clone(rrset);
    rrset.ttl = ttl;
    Arc::new(rrset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rrset::RecordType;
    use crate::signing::rrset;
    use crate::validate::world::{A, ADDRESS, World, name, positive};

    #[test]
    fn what_does_not_belong_is_left_out_of_secure_answers() {
        let mut world = World::new();
        world.settings.responses.minimal = false;
        let www = world.example.sign(rrset("www.example", A, ADDRESS));
        let extra = Arc::new(rrset("extra.example", A, ADDRESS));
        let mut answer = positive(vec![www, extra]);
        let servers = rrset("example", RecordType::NS, &[name("ns.example").as_wire()]);
        let unsigned = Arc::new(rrset("example", RecordType::NS, &[name("evil").as_wire()]));
        answer.authority = vec![world.example.sign(servers), unsigned];
        answer.additional = vec![Arc::new(rrset("ns.example", A, ADDRESS))];
        let answer = world.check("www.example", A, answer);
        assert_eq!(answer.security, Security::Secure);
        let counts = (
            answer.answer.len(),
            answer.authority.len(),
            answer.additional.len(),
        );
        assert_eq!(counts, (1, 1, 0));
    }
}
