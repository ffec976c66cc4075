//! The RRsets of the answer section, held against their zones' keys (RFC 4035, 5.3).
//!
//! Owns the judgement of each RRset by its role, and the proof that a wildcard was expanded rightly (RFC 4035, 5.3.4).
//! Says nothing of what is absent.

use std::sync::Arc;

use crate::answer::{ExtendedError, ResponseCode};
use crate::context::Context;
use crate::rrset::RecordType;
use crate::validate::chain::Zone;
use crate::validate::denial::Proof;
use crate::validate::phase::ValidatePhase;
use crate::validate::remember;
use crate::validate::role::Role;
use crate::validate::signature::verify;
use crate::validate::signer::{above_cut, signer_of};
use crate::validate::work::{Judged, Stop, Work, denial_of, policy};

/// Judges every RRset that has a role in the answer.
pub(crate) fn judge_answers(
    work: &mut Work,
    context: &mut Context<'_>,
) -> Result<ValidatePhase, Stop> {
    for index in 0..work.answer.answer.len() {
        let role = work.way.roles.get(index).copied().unwrap_or(Role::Extra);
        let open = work.judged.get(index).is_some_and(Option::is_none);
        if !open || role == Role::Extra {
            continue;
        }
        let judged = match role {
            Role::Synthesised(dname) => work.judged.get(dname).cloned().flatten(),
            _ => judge_one(work, index, context).map(Some)?,
        };
        if let Some(place) = work.judged.get_mut(index) {
            *place = judged;
        }
    }
    Ok(ValidatePhase::Expansion)
}

fn judge_one(work: &mut Work, index: usize, context: &mut Context<'_>) -> Result<Judged, Stop> {
    let Some(rrset) = work.answer.answer.get(index) else {
        return Ok(Judged::Indeterminate);
    };
    let at_parent = rrset.record_type == RecordType::DS;
    let signer = signer_of(core::iter::once(rrset), &rrset.owner, at_parent, context);
    let name = signer.unwrap_or_else(|| above_cut(&rrset.owner, at_parent));
    match work.chain.zone_of(&name, context).ok_or(Stop::Wait)? {
        Zone::Secure(keys) => match verify(rrset, &keys, &policy(context), context.budget) {
            Ok(verified) => Ok(Judged::Secure(verified, keys)),
            Err(fault) => Err(Stop::Bogus(fault.extended_error())),
        },
        Zone::Insecure(error) => Ok(Judged::Insecure(error)),
        Zone::Bogus(error) => Err(Stop::Bogus(error)),
        Zone::Indeterminate => Ok(Judged::Indeterminate),
    }
}

/// Judges every expansion of a wildcard among them.
pub(crate) fn judge_expansions(
    work: &mut Work,
    context: &mut Context<'_>,
) -> Result<ValidatePhase, Stop> {
    while let Some(judged) = work.judged.get(work.expanded) {
        let synthesised = matches!(
            work.way.roles.get(work.expanded),
            Some(Role::Synthesised(_))
        );
        if let Some(Judged::Secure(verified, keys)) = judged
            && let Some(above) = verified.closest_encloser().cloned()
            && let Some(rrset) = work.answer.answer.get(work.expanded)
            && !synthesised
        {
            if rrset.record_type == RecordType::DNAME {
                // RFC 4592, 4.4: what a wildcard DNAME stands for is not defined, and a zone's DNAME
                // must not be moved to another place of it.
                return Err(Stop::Bogus(ExtendedError::DNSSEC_BOGUS));
            }
            let owner = rrset.owner.clone();
            let keys = Arc::clone(keys);
            let denial = denial_of(&mut work.denials, &work.answer, &keys, context);
            let proof = denial.map(|denial| denial.expansion(&owner, &above, context.budget));
            match proof {
                Some(Proof::Secure) => {
                    remember::wildcard(rrset, &above, verified.ttl(), context);
                }
                Some(Proof::Insecure(error)) => {
                    if let Some(place) = work.judged.get_mut(work.expanded) {
                        *place = Some(Judged::Insecure(error));
                    }
                }
                Some(Proof::Missing(error)) => return Err(Stop::Bogus(error)),
                None => return Err(Stop::Bogus(ExtendedError::NSEC_MISSING)),
            }
        }
        work.expanded += 1;
    }
    let absent = !work.way.complete && work.answer.rcode != ResponseCode::YXDOMAIN;
    Ok(if absent {
        ValidatePhase::Absence
    } else {
        ValidatePhase::Done
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Security;
    use crate::rrset::{RdataList, Rrset};
    use crate::settings::{DateOverride, DnssecMode};
    use crate::signing::{DATE, Signer, rrset};
    use crate::time::UnixTime;
    use crate::validate::world::{A, ADDRESS, World, assert_bogus, name, negative, positive};

    #[test]
    fn dates_count_with_a_tenth_of_skew() {
        let mut world = World::new();
        let www = || rrset("www.example", A, ADDRESS);
        let mut check = |inception: u64, expiration: u64| {
            world.example.inception = inception;
            world.example.expiration = expiration;
            let signed = world.example.sign(www());
            world.check("www.example", A, positive(vec![signed]))
        };
        let day = 86_400;
        let answer = check(DATE - day, DATE + 600);
        assert_eq!((answer.security, answer.ttl), (Security::Secure, 600));
        assert_eq!(check(DATE - day, DATE - 3000).security, Security::Secure);
        let answer = check(DATE - day, DATE - day / 10);
        assert_bogus(&answer, ExtendedError::SIGNATURE_EXPIRED);
        let answer = check(DATE + day, DATE + 3 * day);
        assert_bogus(&answer, ExtendedError::SIGNATURE_NOT_YET_VALID);
        let answer = check(DATE, DATE - day);
        assert_bogus(&answer, ExtendedError::SIGNATURE_EXPIRED_BEFORE_VALID);
    }

    #[test]
    fn a_dname_from_a_wildcard_is_bogus() {
        let mut world = World::new();
        let to = name("sub.example");
        let dname = rrset("x.example", RecordType::DNAME, &[to.as_wire()]);
        let dname = world.example.sign_as(dname, 1);
        let cname = rrset(
            "www.x.example",
            RecordType::CNAME,
            &[name("www.sub.example").as_wire()],
        );
        let www = world.sub.sign(rrset("www.sub.example", A, ADDRESS));
        let mut answer = positive(vec![dname, Arc::new(cname), www]);
        let types = [RecordType::SOA, RecordType::DNSKEY];
        answer
            .authority
            .push(world.example.nsec("example", "y.example", &types));
        let answer = world.check("www.x.example", A, answer);
        assert_eq!(answer.security, Security::Bogus);
    }

    #[test]
    fn wildcards_need_the_name_denied() {
        let mut world = World::new();
        let expanded = world.example.sign_as(rrset("c.example", A, ADDRESS), 1);
        let mut answer = positive(vec![expanded]);
        let bare = world.check("c.example", A, answer.clone());
        assert_bogus(&bare, ExtendedError::NSEC_MISSING);
        answer.authority = vec![world.example.nsec("b.example", "d.example", &[A])];
        let proven = world.check("c.example", A, answer.clone());
        assert_eq!(
            (proven.security, proven.authority.len()),
            (Security::Secure, 1)
        );
        answer.authority = vec![world.example.nsec("d.example", "e.example", &[A])];
        let elsewhere = world.check("c.example", A, answer);
        assert_bogus(&elsewhere, ExtendedError::DNSSEC_BOGUS);
    }

    #[test]
    fn aliases_are_held_against_their_own_zones() {
        let mut world = World::new();
        let to = name("www.sub.example");
        let alias = world
            .example
            .sign(rrset("a.example", RecordType::CNAME, &[to.as_wire()]));
        let www = world.sub.sign(rrset("www.sub.example", A, ADDRESS));
        let answer = world.check("a.example", A, positive(vec![alias.clone(), www]));
        assert_eq!(
            (answer.security, answer.answer.len()),
            (Security::Secure, 2)
        );
        let forged = Signer::new("sub.example").sign(rrset("www.sub.example", A, ADDRESS));
        let answer = world.check("a.example", A, positive(vec![alias, forged]));
        assert_bogus(&answer, ExtendedError::DNSKEY_MISSING);
    }

    #[test]
    fn the_cname_of_a_dname_needs_no_signature() {
        let mut world = World::new();
        let dname = world.example.sign(rrset(
            "d.example",
            RecordType::DNAME,
            &[name("sub.example").as_wire()],
        ));
        let cname = |to: &str| {
            Arc::new(rrset(
                "www.d.example",
                RecordType::CNAME,
                &[name(to).as_wire()],
            ))
        };
        let www = world.sub.sign(rrset("www.sub.example", A, ADDRESS));
        let good = positive(vec![dname.clone(), cname("www.sub.example"), www.clone()]);
        let answer = world.check("www.d.example", A, good);
        assert_eq!(
            (answer.security, answer.answer.len()),
            (Security::Secure, 3)
        );
        let inside = world
            .example
            .nsec("d.example", "e.example", &[RecordType::DNAME]);
        world.set(
            "d.example",
            RecordType::DS,
            negative(ResponseCode::NOERROR, vec![inside]),
        );
        let evil = positive(vec![dname, cname("evil.sub.example"), www]);
        let answer = world.check("www.d.example", A, evil);
        assert_eq!(answer.security, Security::Bogus);
    }

    #[test]
    fn what_is_not_signed_or_signed_wrongly_is_bogus() {
        let mut world = World::new();
        let inside = negative(
            ResponseCode::NOERROR,
            vec![world.example.nsec("www.example", "x.example", &[A])],
        );
        world.set("www.example", RecordType::DS, inside);
        let unsigned = Arc::new(rrset("www.example", A, ADDRESS));
        let answer = world.check("www.example", A, positive(vec![unsigned]));
        assert_bogus(&answer, ExtendedError::RRSIGS_MISSING);
        let mut forged = Rrset::clone(&world.example.sign(rrset("www.example", A, ADDRESS)));
        forged.rdata = RdataList::new([&[192, 0, 2, 2][..]]);
        let answer = world.check("www.example", A, positive(vec![Arc::new(forged)]));
        assert_bogus(&answer, ExtendedError::DNSSEC_BOGUS);
        assert_eq!(answer.ttl, 60);
        let mut brief = positive(vec![Arc::new(rrset("www.example", A, ADDRESS))]);
        for (ttl, expected) in [(20, 20), (0, 5)] {
            brief.ttl = ttl;
            let answer = world.check("www.example", A, brief.clone());
            assert_eq!((answer.security, answer.ttl), (Security::Bogus, expected));
        }
        let stranger = Signer::new("example").sign(rrset("www.example", A, ADDRESS));
        let answer = world.check("www.example", A, positive(vec![stranger]));
        assert_bogus(&answer, ExtendedError::DNSKEY_MISSING);
        world.settings.dnssec.mode = DnssecMode::Permissive;
        let unsigned = Arc::new(rrset("www.example", A, ADDRESS));
        let answer = world.check("www.example", A, positive(vec![unsigned]));
        assert_eq!((answer.security, answer.answer.len()), (Security::Bogus, 1));
    }

    #[test]
    fn a_signature_is_computed_once_and_its_dates_are_looked_at_each_time() {
        let mut world = World::new();
        let address = world.example.sign(rrset("www.example", A, ADDRESS));
        let target = name("www.example");
        let ask_alias = |world: &mut World, owner: &str| {
            let alias = rrset(owner, RecordType::CNAME, &[target.as_wire()]);
            let chain = vec![world.example.sign(alias), Arc::clone(&address)];
            let answer = world.check(owner, A, positive(chain));
            (answer.security, world.signatures)
        };
        assert_eq!(ask_alias(&mut world, "a.example").0, Security::Secure);
        // The chain of trust and the address are known; the alias is new.
        assert_eq!(ask_alias(&mut world, "b.example"), (Security::Secure, 1));
        assert_eq!(ask_alias(&mut world, "b.example"), (Security::Secure, 0));
        let forged = Rrset {
            rdata: RdataList::new([&[192, 0, 2, 9][..]]),
            ..Rrset::clone(&address)
        };
        let answer = world.check("www.example", A, positive(vec![Arc::new(forged)]));
        assert_bogus(&answer, ExtendedError::DNSSEC_BOGUS);
        let later = DateOverride::Fixed(UnixTime(DATE + 30 * 86_400));
        world.settings.dnssec.date_override = Some(later);
        let answer = world.check("www.example", A, positive(vec![address]));
        assert_bogus(&answer, ExtendedError::SIGNATURE_EXPIRED);
    }
}
