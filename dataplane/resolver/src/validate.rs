//! Gives an answer its security status (RFC 4033 to 4035, 5155, 6840).
//!
//! Owns `Validation`: the walk over the sections of one answer, from RRset to RRset. Asks the mesh for DS and
//! DNSKEY RRsets and verifies those itself. Never asks a server, never stores an answer.

pub mod chain;
pub mod delegation;
pub mod denial;
pub mod nsec;
pub mod nsec3;
pub mod phase;
pub mod remember;
pub mod role;
pub mod sentinel;
pub mod short_rsa;
pub mod signature;
pub mod signer;
pub mod synthesis;
#[cfg(test)]
mod world;

use std::sync::Arc;

use crate::answer::{Answer, ExtendedError, ResponseCode, Security};
use crate::cache::keys::ZoneKeys;
use crate::context::Context;
use crate::outcome::Input;
use crate::question::Question;
use crate::rrset::{Class, RecordType, Rrset};
use crate::settings::DnssecMode;
use crate::validate::chain::{Chain, Zone};
use crate::validate::denial::{Denial, Proof};
use crate::validate::phase::ValidatePhase;
use crate::validate::role::{Role, Way, follow};
use crate::validate::signature::{Policy, Verified, verify};
use crate::validate::signer::{above_cut, denier_of, signer_of};

/// Where validation stands after a step.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It waits for a question that it needs.
    Wait,
    /// The answer, with its security status; SERVFAIL when it is bogus and answers are validated.
    Done(Answer),
    /// The answer is bogus. Another server may give a better one; when none is left to ask, or no restart
    /// (`Limits::validation_restarts_max`), this is the answer.
    Retry {
        /// The answer without another attempt.
        otherwise: Answer,
    },
}

/// What is known of one RRset of the answer section.
#[derive(Clone, Debug)]
enum Judged {
    Secure(Verified, Arc<ZoneKeys>),
    Insecure(Option<ExtendedError>),
    Indeterminate,
}

/// The validation of one answer.
#[derive(Debug)]
pub struct Validation {
    question: Question,
    answer: Answer,
    phase: ValidatePhase,
    way: Way,
    chain: Chain,
    judged: Vec<Option<Judged>>,
    expanded: usize,
    denials: Vec<(Arc<ZoneKeys>, Denial)>,
    absence: Option<Proof>,
    indeterminate: bool,
}

/// Why a step comes to no verdict.
enum Stop {
    Wait,
    Bogus(ExtendedError),
}

impl Validation {
    /// The validation of an answer as iteration gave it.
    #[must_use]
    pub fn new(question: Question, answer: Answer) -> Self {
        let mut way = follow(&question, &answer.answer);
        if answer.rcode == ResponseCode::NXDOMAIN {
            way.go_beyond(&answer.answer);
        }
        Self {
            judged: vec![None; answer.answer.len()],
            question,
            answer,
            phase: ValidatePhase::Start,
            way,
            chain: Chain::default(),
            expanded: 0,
            denials: Vec::new(),
            absence: None,
            indeterminate: false,
        }
    }

    /// Takes one thing that happened into account. Only `Answered` and `NeedRefused` of questions that it
    /// asked for matter after `Start`.
    pub fn step(&mut self, context: &mut Context<'_>, input: Input<'_>) -> Verdict {
        match input {
            Input::Answered { question, answer } => {
                self.chain.answered(question, Some(answer), context);
            }
            Input::NeedRefused { question } => self.chain.answered(question, None, context),
            Input::Start | Input::Reply { .. } | Input::FetchFailed { .. } => {}
        }
        loop {
            let next = match self.phase {
                ValidatePhase::Start => Ok(self.start(context)),
                ValidatePhase::Answer => self.judge_answers(context),
                ValidatePhase::Expansion => self.judge_expansions(context),
                ValidatePhase::Absence => self.judge_absence(context),
                ValidatePhase::Done => return Verdict::Done(self.conclude(context)),
            };
            match next {
                Ok(next) => self.phase = self.phase.to(next),
                Err(Stop::Wait) => return Verdict::Wait,
                Err(Stop::Bogus(error)) => {
                    self.phase = self.phase.to(ValidatePhase::Done);
                    let otherwise = self.bogus(error, context);
                    return Verdict::Retry { otherwise };
                }
            }
        }
    }

    fn start(&mut self, context: &Context<'_>) -> ValidatePhase {
        let rcodes = [
            ResponseCode::NOERROR,
            ResponseCode::NXDOMAIN,
            ResponseCode::YXDOMAIN,
        ];
        // Signatures are not signed, so an answer made of them cannot be validated.
        let unsigned = matches!(
            self.question.record_type,
            RecordType::RRSIG | RecordType::SIG
        );
        let skip = context.settings.dnssec.mode == DnssecMode::Off
            || self.question.class != Class::IN
            || !rcodes.contains(&self.answer.rcode)
            || context.settings.dnssec.trust_anchors.is_empty()
            || unsigned;
        self.indeterminate = skip;
        if skip {
            ValidatePhase::Done
        } else {
            ValidatePhase::Answer
        }
    }

    fn judge_answers(&mut self, context: &mut Context<'_>) -> Result<ValidatePhase, Stop> {
        for index in 0..self.answer.answer.len() {
            let role = self.way.roles.get(index).copied().unwrap_or(Role::Extra);
            let open = self.judged.get(index).is_some_and(Option::is_none);
            if !open || role == Role::Extra {
                continue;
            }
            let judged = match role {
                Role::Synthesised(dname) => self.judged.get(dname).cloned().flatten(),
                _ => self.judge(index, context).map(Some)?,
            };
            if let Some(place) = self.judged.get_mut(index) {
                *place = judged;
            }
        }
        Ok(ValidatePhase::Expansion)
    }

    fn judge(&mut self, index: usize, context: &mut Context<'_>) -> Result<Judged, Stop> {
        let Some(rrset) = self.answer.answer.get(index) else {
            return Ok(Judged::Indeterminate);
        };
        let at_parent = rrset.record_type == RecordType::DS;
        let signer = signer_of(core::iter::once(rrset), &rrset.owner, at_parent, context);
        let name = signer.unwrap_or_else(|| above_cut(&rrset.owner, at_parent));
        match self.chain.zone_of(&name, context).ok_or(Stop::Wait)? {
            Zone::Secure(keys) => match verify(rrset, &keys, &policy(context), context.budget) {
                Ok(verified) => Ok(Judged::Secure(verified, keys)),
                Err(fault) => Err(Stop::Bogus(fault.extended_error())),
            },
            Zone::Insecure(error) => Ok(Judged::Insecure(error)),
            Zone::Bogus(error) => Err(Stop::Bogus(error)),
            Zone::Indeterminate => Ok(Judged::Indeterminate),
        }
    }

    fn judge_expansions(&mut self, context: &mut Context<'_>) -> Result<ValidatePhase, Stop> {
        while let Some(judged) = self.judged.get(self.expanded) {
            let synthesised = matches!(
                self.way.roles.get(self.expanded),
                Some(Role::Synthesised(_))
            );
            if let Some(Judged::Secure(verified, keys)) = judged
                && let Some(above) = verified.closest_encloser().cloned()
                && let Some(rrset) = self.answer.answer.get(self.expanded)
                && !synthesised
            {
                if rrset.record_type == RecordType::DNAME {
                    // RFC 4592, 4.4: what a wildcard DNAME stands for is not defined, and a zone's DNAME
                    // must not be moved to another place of it.
                    return Err(Stop::Bogus(ExtendedError::DNSSEC_BOGUS));
                }
                let owner = rrset.owner.clone();
                let keys = Arc::clone(keys);
                let denial = denial_of(&mut self.denials, &self.answer, &keys, context);
                let proof = denial.map(|denial| denial.expansion(&owner, &above, context.budget));
                match proof {
                    Some(Proof::Secure) => {
                        remember::wildcard(rrset, &above, verified.ttl(), context);
                    }
                    Some(Proof::Insecure(error)) => {
                        if let Some(place) = self.judged.get_mut(self.expanded) {
                            *place = Some(Judged::Insecure(error));
                        }
                    }
                    Some(Proof::Missing(error)) => return Err(Stop::Bogus(error)),
                    None => return Err(Stop::Bogus(ExtendedError::NSEC_MISSING)),
                }
            }
            self.expanded += 1;
        }
        let absent = !self.way.complete && self.answer.rcode != ResponseCode::YXDOMAIN;
        Ok(if absent {
            ValidatePhase::Absence
        } else {
            ValidatePhase::Done
        })
    }

    fn judge_absence(&mut self, context: &mut Context<'_>) -> Result<ValidatePhase, Stop> {
        let name = self.way.end.clone();
        let record_type = self.question.record_type;
        let at_parent = record_type == RecordType::DS;
        let denials = self.answer.authority.iter().filter(|rrset| {
            matches!(
                rrset.record_type,
                RecordType::NSEC | RecordType::NSEC3 | RecordType::SOA
            )
        });
        let lowest = above_cut(&name, at_parent);
        let name_error = self.answer.rcode == ResponseCode::NXDOMAIN;
        let signer = denier_of(denials, &lowest, name_error, context);
        let zone = signer.unwrap_or_else(|| lowest.clone());
        let mut found = self.chain.zone_of(&zone, context).ok_or(Stop::Wait)?;
        if !matches!(found, Zone::Secure(_)) && zone != lowest {
            // A zone above may be unsigned while a trust anchor lies below it.
            found = self.chain.zone_of(&lowest, context).ok_or(Stop::Wait)?;
        }
        let keys = match found {
            Zone::Secure(keys) => keys,
            Zone::Insecure(error) => {
                self.absence = Some(Proof::Insecure(error));
                return Ok(ValidatePhase::Done);
            }
            Zone::Bogus(error) => return Err(Stop::Bogus(error)),
            Zone::Indeterminate => {
                self.indeterminate = true;
                return Ok(ValidatePhase::Done);
            }
        };
        let denial = denial_of(&mut self.denials, &self.answer, &keys, context)
            .ok_or(Stop::Bogus(ExtendedError::NSEC_MISSING))?;
        let budget = &mut *context.budget;
        let mut proof = if self.answer.rcode == ResponseCode::NXDOMAIN {
            denial.name_error(&name, budget)
        } else {
            denial.no_data(&name, record_type, budget)
        };
        if let Proof::Missing(_) = proof {
            if self.answer.rcode == ResponseCode::NXDOMAIN {
                // Some servers say NXDOMAIN for an empty non-terminal; the proof knows better.
                let no_data = denial.no_data(&name, record_type, budget);
                if !matches!(no_data, Proof::Missing(_)) {
                    self.answer.rcode = ResponseCode::NOERROR;
                    proof = no_data;
                }
            } else if self.way.aliased {
                // Behind an alias some servers leave the code of the last name out (RFC 6604, 3).
                let name_error = denial.name_error(&name, budget);
                if !matches!(name_error, Proof::Missing(_)) {
                    proof = name_error;
                }
            }
        }
        if let Proof::Missing(_) = proof
            && let Some(error) = denial.cut_above(&lowest, &keys.zone, context.budget)
        {
            proof = Proof::Insecure(error);
        }
        if let Proof::Missing(error) = proof {
            // The records may be those of a zone above an unsigned delegation.
            proof = match self.chain.zone_of(&lowest, context).ok_or(Stop::Wait)? {
                Zone::Insecure(error) => Proof::Insecure(error),
                // A broken chain (codes 7 to 12 of RFC 8914) tells more than the proof that it left without
                // keys; a lookup that failed tells less.
                Zone::Bogus(chain) if matches!(chain.0, 7..=12) => {
                    return Err(Stop::Bogus(chain));
                }
                Zone::Secure(_) | Zone::Bogus(_) | Zone::Indeterminate => {
                    return Err(Stop::Bogus(error));
                }
            };
        }
        self.absence = Some(proof);
        Ok(ValidatePhase::Done)
    }

    /// The answer when a part of it is broken.
    fn bogus(&self, error: ExtendedError, context: &Context<'_>) -> Answer {
        let mut answer = if context.settings.dnssec.mode == DnssecMode::Permissive {
            let mut answer = self.answer.clone();
            answer.extended_error = Some(error);
            answer
        } else {
            Answer::empty(ResponseCode::SERVFAIL, Some(error))
        };
        answer.security = Security::Bogus;
        answer.ttl = u32::try_from(context.settings.dnssec.bogus_ttl.as_secs()).unwrap_or(60);
        if !self.answer.answer.is_empty() {
            // Data that goes sooner may be mended sooner; within the time of a failure nobody asks again (RFC 9520).
            let least = context.settings.cache.failure_ttl;
            answer.ttl = answer.ttl.min(self.answer.ttl.max(least));
        }
        answer
    }

    /// The answer when no part of it is broken.
    fn conclude(&mut self, context: &mut Context<'_>) -> Answer {
        let mut answer = self.answer.clone();
        let (security, error) = self.security();
        answer.security = security;
        if answer.extended_error.is_none() {
            answer.extended_error = error;
        }
        if security != Security::Secure {
            return answer;
        }
        let mut ttl = answer.ttl;
        let judged = self.judged.iter().zip(&self.answer.answer);
        answer.answer = judged
            .filter_map(|(judged, rrset)| match judged {
                Some(Judged::Secure(verified, _)) => Some(with_ttl(rrset, verified.ttl())),
                _ => None,
            })
            .collect();
        if self.absence.is_some() {
            ttl = self
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
        let verified = self
            .denials
            .iter()
            .flat_map(|(_, denial)| denial.verified());
        let mut places: Vec<(usize, u32)> = verified.copied().collect();
        places.sort_unstable();
        places.dedup_by_key(|(place, _)| *place);
        for (keys, denial) in &self.denials {
            remember::denials(&keys.zone, denial, &self.answer.authority, context);
        }
        answer.authority = self.clean(&self.answer.authority, &places, context);
        answer.additional = self.clean(&self.answer.additional, &[], context);
        if sentinel::fails(&self.question, context.settings) {
            let mut failed =
                Answer::empty(ResponseCode::SERVFAIL, Some(ExtendedError::DNSSEC_BOGUS));
            failed.security = Security::Secure;
            return failed;
        }
        answer
    }

    /// The parts of a section that verify without asking anybody: those that did, and others of zones whose keys
    /// are known by now.
    fn clean(
        &self,
        section: &[Arc<Rrset>],
        verified: &[(usize, u32)],
        context: &mut Context<'_>,
    ) -> Vec<Arc<Rrset>> {
        let mut kept = Vec::new();
        // What is spared a client needs no check; a positive answer with a proof is not made minimal.
        let positive_with_proof = !self.denials.is_empty() && self.absence.is_none();
        let all = !context.settings.responses.minimal || positive_with_proof;
        for (index, rrset) in section.iter().enumerate() {
            if let Some((_, ttl)) = verified.iter().find(|(place, _)| *place == index) {
                kept.push(with_ttl(rrset, *ttl));
            } else if all
                && let Some(keys) = self.known_keys(rrset)
                && let Ok(verified) = verify(rrset, keys, &policy(context), context.budget)
                && verified.closest_encloser().is_none()
            {
                kept.push(with_ttl(rrset, verified.ttl()));
            }
        }
        kept
    }

    fn known_keys(&self, rrset: &Rrset) -> Option<&ZoneKeys> {
        let judged = self
            .judged
            .iter()
            .flatten()
            .filter_map(|judged| match judged {
                Judged::Secure(_, keys) => Some(keys),
                Judged::Insecure(_) | Judged::Indeterminate => None,
            });
        let mut keys = judged.chain(self.denials.iter().map(|(keys, _)| keys));
        keys.find(|keys| denial::is_signed_by(rrset, &keys.zone))
            .map(AsRef::as_ref)
    }

    /// The least secure part decides (RFC 4035, 3.2.3).
    fn security(&self) -> (Security, Option<ExtendedError>) {
        let mut insecure = None;
        let mut indeterminate = self.indeterminate;
        let mut any = false;
        for (judged, role) in self.judged.iter().zip(&self.way.roles) {
            match judged {
                Some(Judged::Secure(..)) => any = true,
                Some(Judged::Insecure(error)) => insecure = insecure.or(Some(*error)),
                Some(Judged::Indeterminate) => indeterminate = true,
                None => indeterminate |= *role != Role::Extra,
            }
        }
        match self.absence {
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
}

fn policy<'a>(context: &Context<'a>) -> Policy<'a> {
    Policy {
        settings: context.settings,
        now: context.now,
        good: Some(context.cache.good_signatures()),
    }
}

/// The denial records of a zone in this answer, verified once.
fn denial_of<'a>(
    denials: &'a mut Vec<(Arc<ZoneKeys>, Denial)>,
    answer: &Answer,
    keys: &Arc<ZoneKeys>,
    context: &mut Context<'_>,
) -> Option<&'a mut Denial> {
    let place = denials
        .iter()
        .position(|(known, _)| known.zone == keys.zone);
    if place.is_none() {
        let policy = policy(context);
        let denial = Denial::collect(&answer.authority, keys, &policy, context.budget);
        denials.push((Arc::clone(keys), denial));
    }
    let place = place.unwrap_or(denials.len() - 1);
    denials.get_mut(place).map(|(_, denial)| denial)
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
    use crate::name::Name;
    use crate::rrset::RdataList;
    use crate::settings::{DateOverride, NegativeTrustAnchor, TrustAnchor};
    use crate::signing::{DATE, Signer, rrset};
    use crate::time::UnixTime;
    use crate::validate::world::{A, ADDRESS, World, ask, assert_bogus, name, negative, positive};

    #[test]
    fn a_signed_answer_is_secure_and_its_zone_is_walked_once() {
        let mut world = World::new();
        let www = world.sub.sign(rrset("www.sub.example", A, ADDRESS));
        let answer = world.check("www.sub.example", A, positive(vec![www]));
        assert_eq!(answer.security, Security::Secure);
        assert_eq!(answer.answer.len(), 1);
        assert_eq!(world.asked.len(), 5, "{:?}", world.asked);
        let other = world.sub.sign(rrset("other.sub.example", A, ADDRESS));
        let answer = world.check("other.sub.example", A, positive(vec![other]));
        assert_eq!((answer.security, world.asked.len()), (Security::Secure, 5));
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
    fn an_unsigned_delegation_ends_validation() {
        let mut world = World::new();
        let cut = world
            .example
            .nsec("sub.example", "t.example", &[RecordType::NS]);
        world.set(
            "sub.example",
            RecordType::DS,
            negative(ResponseCode::NOERROR, vec![cut]),
        );
        let www = Arc::new(rrset("www.sub.example", A, ADDRESS));
        let answer = world.check("www.sub.example", A, positive(vec![www]));
        assert_eq!(
            (answer.security, answer.answer.len()),
            (Security::Insecure, 1)
        );
        let nothing = negative(ResponseCode::NXDOMAIN, Vec::new());
        let answer = world.check("x.sub.example", A, nothing);
        assert_eq!(
            (answer.security, answer.rcode),
            (Security::Insecure, ResponseCode::NXDOMAIN)
        );
    }

    #[test]
    fn a_delegation_whose_ds_nobody_denies_is_bogus() {
        let mut world = World::new();
        world.set(
            "sub.example",
            RecordType::DS,
            negative(ResponseCode::NOERROR, Vec::new()),
        );
        let www = Arc::new(rrset("www.sub.example", A, ADDRESS));
        let answer = world.check("www.sub.example", A, positive(vec![www]));
        assert_bogus(&answer, ExtendedError::NSEC_MISSING);
        // The NSEC of the child's apex is no denial by the parent.
        let apex = &[RecordType::NS, RecordType::SOA];
        let cut = world.example.nsec("sub.example", "t.example", apex);
        world.cache.keys().forget(&Name::root(), true);
        world.set(
            "sub.example",
            RecordType::DS,
            negative(ResponseCode::NOERROR, vec![cut]),
        );
        let www = Arc::new(rrset("www.sub.example", A, ADDRESS));
        let answer = world.check("www.sub.example", A, positive(vec![www]));
        assert_bogus(&answer, ExtendedError::DNSSEC_BOGUS);
    }

    #[test]
    fn sha1_digests_do_not_count_beside_stronger_ones() {
        for (ignore, security) in [(true, Security::Bogus), (false, Security::Secure)] {
            let mut world = World::new();
            world.settings.dnssec.ignore_sha1_digests = ignore;
            let (mut wrong, weak) = (world.sub.ds(2), world.sub.ds(1));
            wrong[10] ^= 1;
            let ds = rrset("sub.example", RecordType::DS, &[&wrong, &weak]);
            let ds = world.example.sign(ds);
            world.set("sub.example", RecordType::DS, positive(vec![ds]));
            let www = world.sub.sign(rrset("www.sub.example", A, ADDRESS));
            let answer = world.check("www.sub.example", A, positive(vec![www]));
            assert_eq!(answer.security, security, "{ignore}");
        }
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
    fn unknown_algorithms_and_digests_make_a_zone_insecure() {
        for (algorithm, digest, security) in [
            (15, 2, Security::Secure),
            (15, 4, Security::Secure),
            (99, 2, Security::Insecure),
            (15, 99, Security::Insecure),
        ] {
            let mut world = World::new();
            let mut ds = world.sub.ds(if digest == 4 { 4 } else { 2 });
            (ds[2], ds[3]) = (algorithm, digest);
            let ds = world
                .example
                .sign(rrset("sub.example", RecordType::DS, &[&ds]));
            world.set("sub.example", RecordType::DS, positive(vec![ds]));
            let www = world.sub.sign(rrset("www.sub.example", A, ADDRESS));
            let answer = world.check("www.sub.example", A, positive(vec![www]));
            assert_eq!(answer.security, security, "{algorithm} {digest}");
        }
    }

    #[test]
    fn keys_must_be_zone_keys_and_not_revoked() {
        for (flags, error) in [
            (0x0001, ExtendedError::NO_ZONE_KEY_BIT_SET),
            (0x0181, ExtendedError::DNSKEY_MISSING),
        ] {
            let mut world = World::new();
            world.example.flags = flags;
            world.publish();
            let www = world.example.sign(rrset("www.example", A, ADDRESS));
            let answer = world.check("www.example", A, positive(vec![www]));
            assert_bogus(&answer, error);
        }
    }

    #[test]
    fn absence_needs_proof() {
        let mut world = World::new();
        let apex = &[RecordType::NS, RecordType::SOA];
        let soa = world.example.sign(rrset(
            "example",
            RecordType::SOA,
            &[b"\0\0aaaabbbbccccddddeeee"],
        ));
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
    fn an_opt_out_span_hides_unsigned_delegations() {
        let mut world = World::new();
        let apex = &[RecordType::NS, RecordType::SOA];
        let span = vec![
            world.example.nsec3("example", 0, apex, 1),
            world.example.nsec3("sub.example", 1, &[], 1),
        ];
        world.set(
            "sub.example",
            RecordType::DS,
            negative(ResponseCode::NOERROR, span),
        );
        let www = Arc::new(rrset("www.sub.example", A, ADDRESS));
        let answer = world.check("www.sub.example", A, positive(vec![www]));
        assert_eq!(answer.security, Security::Insecure);
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
    fn negative_trust_anchors_and_missing_ones() {
        let mut world = World::new();
        world
            .settings
            .dnssec
            .negative_trust_anchors
            .push(NegativeTrustAnchor {
                name: name("example"),
                expires_at: None,
            });
        let www = Arc::new(rrset("www.example", A, ADDRESS));
        let answer = world.check("www.example", A, positive(vec![www.clone()]));
        assert_eq!(answer.security, Security::Insecure);
        assert!(world.asked.is_empty());
        world.settings.dnssec.trust_anchors.clear();
        world.settings.dnssec.negative_trust_anchors.clear();
        let answer = world.check("www.example", A, positive(vec![www]));
        assert_eq!(answer.security, Security::Indeterminate);
    }

    #[test]
    fn a_signer_above_the_nearest_anchor_has_no_say() {
        let mut world = World::new();
        let island = Signer::new("island.test");
        world.settings.dnssec.trust_anchors = vec![TrustAnchor {
            zone: name("island.test"),
            ds: RdataList::default(),
            dnskey: RdataList::new([&island.dnskey()[..]]),
        }];
        world.set(
            "island.test",
            RecordType::DNSKEY,
            positive(vec![island.keys()]),
        );
        let inside = island.nsec("www.island.test", "island.test", &[A]);
        world.set(
            "www.island.test",
            RecordType::DS,
            negative(ResponseCode::NOERROR, vec![inside]),
        );
        let good = island.sign(rrset("www.island.test", A, ADDRESS));
        let answer = world.check("www.island.test", A, positive(vec![good]));
        assert_eq!(answer.security, Security::Secure);
        let parent = Signer::new("test").sign(rrset("www.island.test", A, ADDRESS));
        let answer = world.check("www.island.test", A, positive(vec![parent]));
        assert_eq!(answer.security, Security::Bogus);
    }

    #[test]
    fn work_is_bounded() {
        let mut world = World::new();
        world.settings.dnssec.signatures_per_query = 4;
        let www = world.sub.sign(rrset("www.sub.example", A, ADDRESS));
        let answer = world.check("www.sub.example", A, positive(vec![www]));
        assert_bogus(&answer, ExtendedError::DNSSEC_BOGUS);
        world.settings.dnssec.signatures_per_query = 256;
        world.settings.limits.nsec3_hashes_per_answer_max = 2;
        world.cache.keys().forget(&Name::root(), true);
        let apex = &[RecordType::NS, RecordType::SOA];
        let proof = vec![
            world.example.nsec3("example", 0, apex, 0),
            world.example.nsec3("c.example", 1, &[], 0),
            world.example.nsec3("*.example", 1, &[], 0),
        ];
        let answer = world.check(
            "x.y.z.c.example",
            A,
            negative(ResponseCode::NXDOMAIN, proof),
        );
        assert_bogus(&answer, ExtendedError::DNSSEC_BOGUS);
    }

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
