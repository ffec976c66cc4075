//! The proof that a name, or a type at it, does not exist (RFC 4035, 5.4; RFC 5155, 8).
//!
//! Owns the choice of the zone that has to deny, and what a missing proof means. What NSEC and NSEC3 records prove is
//! `denial`'s to say.

use std::sync::Arc;

use crate::answer::{ExtendedError, ResponseCode};
use crate::cache::keys::ZoneKeys;
use crate::context::Context;
use crate::name::Name;
use crate::rrset::RecordType;
use crate::validate::chain::Zone;
use crate::validate::denial::Proof;
use crate::validate::phase::ValidatePhase;
use crate::validate::signer::{above_cut, denier_of};
use crate::validate::work::{Stop, Work, denial_of};

/// Judges that there is nothing at the end of the answer's way.
pub(crate) fn judge_absence(
    work: &mut Work,
    context: &mut Context<'_>,
) -> Result<ValidatePhase, Stop> {
    let lowest = above_cut(&work.way.end, work.question.record_type == RecordType::DS);
    work.absence = match denying_zone(work, &lowest, context)? {
        Zone::Secure(keys) => match prove(work, &keys, &lowest, context)? {
            Proof::Missing(error) => Some(without_proof(work, error, &lowest, context)?),
            proof => Some(proof),
        },
        Zone::Insecure(error) => Some(Proof::Insecure(error)),
        Zone::Bogus(error) => return Err(Stop::Bogus(error)),
        Zone::Indeterminate => {
            work.indeterminate = true;
            None
        }
    };
    Ok(ValidatePhase::Done)
}

/// The zone whose denials are looked at: that of their signer.
fn denying_zone(work: &mut Work, lowest: &Name, context: &mut Context<'_>) -> Result<Zone, Stop> {
    let denials = work.answer.authority.iter().filter(|rrset| {
        matches!(
            rrset.record_type,
            RecordType::NSEC | RecordType::NSEC3 | RecordType::SOA
        )
    });
    let name_error = work.answer.rcode == ResponseCode::NXDOMAIN;
    let signer = denier_of(denials, lowest, name_error, context);
    let zone = signer.unwrap_or_else(|| lowest.clone());
    let found = work.chain.zone_of(&zone, context).ok_or(Stop::Wait)?;
    if !matches!(found, Zone::Secure(_)) && zone != *lowest {
        // A zone above may be unsigned while a trust anchor lies below it.
        return work.chain.zone_of(lowest, context).ok_or(Stop::Wait);
    }
    Ok(found)
}

/// What the denials that these keys signed prove; the response code is set right where they know better.
fn prove(
    work: &mut Work,
    keys: &Arc<ZoneKeys>,
    lowest: &Name,
    context: &mut Context<'_>,
) -> Result<Proof, Stop> {
    let (name, record_type) = (work.way.end.clone(), work.question.record_type);
    let denial = denial_of(&mut work.denials, &work.answer, keys, context)
        .ok_or(Stop::Bogus(ExtendedError::NSEC_MISSING))?;
    let budget = &mut *context.budget;
    let mut proof = if work.answer.rcode == ResponseCode::NXDOMAIN {
        denial.name_error(&name, budget)
    } else {
        denial.no_data(&name, record_type, budget)
    };
    if let Proof::Missing(_) = proof {
        if work.answer.rcode == ResponseCode::NXDOMAIN {
            // Some servers say NXDOMAIN for an empty non-terminal; the proof knows better.
            let no_data = denial.no_data(&name, record_type, budget);
            if !matches!(no_data, Proof::Missing(_)) {
                work.answer.rcode = ResponseCode::NOERROR;
                proof = no_data;
            }
        } else if work.way.aliased {
            // Behind an alias some servers leave the code of the last name out (RFC 6604, 3).
            let name_error = denial.name_error(&name, budget);
            if !matches!(name_error, Proof::Missing(_)) {
                proof = name_error;
            }
        }
    }
    if let Proof::Missing(_) = proof
        && let Some(error) = denial.cut_above(lowest, &keys.zone, context.budget)
    {
        proof = Proof::Insecure(error);
    }
    Ok(proof)
}

/// What an answer without its proof comes to: its records may be those of a zone above an unsigned delegation.
fn without_proof(
    work: &mut Work,
    error: ExtendedError,
    lowest: &Name,
    context: &mut Context<'_>,
) -> Result<Proof, Stop> {
    match work.chain.zone_of(lowest, context).ok_or(Stop::Wait)? {
        Zone::Insecure(error) => Ok(Proof::Insecure(error)),
        // A broken chain (codes 7 to 12 of RFC 8914) tells more than the proof that it left without keys; a lookup
        // that failed tells less.
        Zone::Bogus(chain) if matches!(chain.0, 7..=12) => Err(Stop::Bogus(chain)),
        Zone::Secure(_) | Zone::Bogus(_) | Zone::Indeterminate => Err(Stop::Bogus(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Security;
    use crate::rrset::Rrset;
    use crate::signing::rrset;
    use crate::validate::world::{A, World, ask, assert_bogus, name, negative, positive};

    #[test]
    fn absence_needs_proof() {
        let mut world = World::new();
        let apex = &[RecordType::NS, RecordType::SOA];
        let soa = world.soa(3600);
        let proof = vec![
            soa.clone(),
            world.example.nsec("example", "a.example", apex),
            world.example.nsec("b.example", "d.example", &[A]),
        ];
        let answer = world.check(
            "c.example",
            A,
            negative(ResponseCode::NXDOMAIN, proof.clone()),
        );
        assert_eq!(
            (answer.security, answer.rcode),
            (Security::Secure, ResponseCode::NXDOMAIN)
        );
        assert_eq!(answer.authority.len(), 3);
        let answer = world.check(
            "b.example",
            RecordType::AAAA,
            negative(ResponseCode::NOERROR, proof.clone()),
        );
        assert_eq!(
            (answer.security, answer.rcode),
            (Security::Secure, ResponseCode::NOERROR)
        );
        for (owner, record_type, rcode) in [
            ("b.example", A, ResponseCode::NOERROR),
            ("b.example", A, ResponseCode::NXDOMAIN),
            ("e.example", A, ResponseCode::NXDOMAIN),
            ("c.example", A, ResponseCode::NOERROR),
        ] {
            let answer = world.check(owner, record_type, negative(rcode, proof.clone()));
            assert_bogus(&answer, ExtendedError::DNSSEC_BOGUS);
        }
        let answer = world.check("c.example", A, negative(ResponseCode::NXDOMAIN, vec![soa]));
        assert_bogus(&answer, ExtendedError::NSEC_MISSING);
    }

    #[test]
    fn records_above_an_unsigned_delegation_leave_the_answer_insecure() {
        let mut world = World::new();
        let cut = world
            .example
            .nsec("sub.example", "t.example", &[RecordType::NS]);
        let answer = negative(ResponseCode::NOERROR, vec![cut]);
        let answer = world.check("www.sub.example", A, answer);
        assert_eq!(answer.security, Security::Insecure);
        assert!(!world.asked.contains(&ask("sub.example", RecordType::DS)));
    }

    #[test]
    fn nsec3_proofs() {
        let mut world = World::new();
        let apex = &[RecordType::NS, RecordType::SOA];
        let encloser = world.example.nsec3("example", 0, apex, 0);
        let closer = |flags| world.example.nsec3("c.example", 1, &[], flags);
        let wildcard = world.example.nsec3("*.example", 1, &[], 0);
        let name_error = |sets: &[&Arc<Rrset>]| {
            negative(
                ResponseCode::NXDOMAIN,
                sets.iter().map(|each| Arc::clone(each)).collect(),
            )
        };
        let (strict, opt_out) = (closer(0), closer(1));
        let whole = name_error(&[&encloser, &strict, &wildcard]);
        let loose = name_error(&[&encloser, &opt_out, &wildcard]);
        let parts = [
            name_error(&[&strict, &wildcard]),
            name_error(&[&encloser, &wildcard]),
            name_error(&[&encloser, &strict]),
        ];
        let exact = world.example.nsec3("c.example", 0, &[A], 0);
        let no_data = negative(ResponseCode::NOERROR, vec![exact]);
        let answer = world.check("x.c.example", A, whole);
        assert_eq!(
            (answer.security, answer.rcode),
            (Security::Secure, ResponseCode::NXDOMAIN)
        );
        assert_eq!(
            world.check("c.example", A, loose).security,
            Security::Insecure
        );
        for part in parts {
            assert_bogus(
                &world.check("c.example", A, part),
                ExtendedError::DNSSEC_BOGUS,
            );
        }
        let answer = world.check("c.example", RecordType::MX, no_data.clone());
        assert_eq!(answer.security, Security::Secure);
        assert_bogus(
            &world.check("c.example", A, no_data),
            ExtendedError::DNSSEC_BOGUS,
        );
        let exact = world.example.nsec3("c.example", 0, &[A], 0);
        world.settings.dnssec.nsec3_iterations = 0;
        let answer = negative(ResponseCode::NOERROR, vec![exact]);
        assert_eq!(
            world.check("c.example", RecordType::MX, answer).security,
            Security::Insecure
        );
    }

    #[test]
    fn a_name_error_beside_an_alias_that_was_asked_for_needs_its_proof() {
        let mut world = World::new();
        let target = name("gone.example");
        let alias = rrset("www.example", RecordType::CNAME, &[target.as_wire()]);
        let mut answer = positive(vec![world.example.sign(alias)]);
        answer.rcode = ResponseCode::NXDOMAIN;
        let inside = world.example.nsec("gone.example", "h.example", &[A]);
        let inside = negative(ResponseCode::NOERROR, vec![inside]);
        world.set("gone.example", RecordType::DS, inside);
        let bare = world.check("www.example", RecordType::CNAME, answer.clone());
        assert_bogus(&bare, ExtendedError::NSEC_MISSING);
        let apex = &[RecordType::SOA];
        answer.authority = vec![
            world.example.nsec("example", "a.example", apex),
            world.example.nsec("f.example", "h.example", &[A]),
        ];
        let proven = world.check("www.example", RecordType::CNAME, answer);
        assert_eq!(
            (proven.security, proven.rcode, proven.answer.len()),
            (Security::Secure, ResponseCode::NXDOMAIN, 1)
        );
    }
}
