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
pub mod role;
pub mod sentinel;
pub mod signature;

use std::sync::Arc;

use crate::answer::{Answer, ExtendedError, ResponseCode, Security};
use crate::cache::keys::ZoneKeys;
use crate::context::Context;
use crate::name::Name;
use crate::outcome::Input;
use crate::question::Question;
use crate::rdata::Rrsig;
use crate::rrset::{Class, RecordType, Rrset};
use crate::settings::DnssecMode;
use crate::trust_anchor::{self, Anchor};
use crate::validate::chain::{Chain, Zone};
use crate::validate::denial::{Denial, Proof};
use crate::validate::phase::ValidatePhase;
use crate::validate::role::{Role, Way, follow};
use crate::validate::signature::{Policy, Verified, verify};

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
        let way = follow(&question, &answer.answer);
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
                let owner = rrset.owner.clone();
                let keys = Arc::clone(keys);
                let denial = denial_of(&mut self.denials, &self.answer, &keys, context);
                let proof = denial.map(|denial| denial.expansion(&owner, &above, context.budget));
                match proof {
                    Some(Proof::Secure) => {}
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
        let signer = signer_of(denials, &name, at_parent, context);
        let zone = signer.unwrap_or_else(|| above_cut(&name, at_parent));
        let keys = match self.chain.zone_of(&zone, context).ok_or(Stop::Wait)? {
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
        if let Proof::Missing(error) = proof {
            return Err(Stop::Bogus(error));
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
        for (index, rrset) in section.iter().enumerate() {
            if let Some((_, ttl)) = verified.iter().find(|(place, _)| *place == index) {
                kept.push(with_ttl(rrset, *ttl));
            } else if !context.settings.responses.minimal
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
    }
}

/// DS RRsets belong to the zone above the cut.
fn above_cut(name: &Name, at_parent: bool) -> Name {
    if at_parent {
        name.parent().unwrap_or_else(Name::root)
    } else {
        name.clone()
    }
}

/// The deepest zone that claims to have signed one of these RRsets and that `name` lies in. A zone above
/// the trust anchor nearest to `name` has no say, or it could take the name out of validation.
fn signer_of<'a>(
    rrsets: impl Iterator<Item = &'a Arc<Rrset>>,
    name: &Name,
    at_parent: bool,
    context: &Context<'_>,
) -> Option<Name> {
    let lowest = above_cut(name, at_parent);
    let anchor = trust_anchor::closest(&context.settings.dnssec, context.now.unix, &lowest);
    let Anchor::Positive(anchor) = anchor else {
        return None;
    };
    rrsets
        .flat_map(|rrset| rrset.signatures.iter().filter_map(Rrsig::parse))
        .map(|rrsig| rrsig.signer)
        .filter(|signer| lowest.is_within(signer))
        .filter(|signer| signer.is_within(&anchor))
        .max_by_key(Name::label_count)
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
