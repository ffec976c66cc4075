//! Gives an answer its security status (RFC 4033 to 4035, 5155, 6840).
//!
//! Owns `Validation`, driven by the mesh one `Input` at a time. The work is done by the files below:
//! `answer_section` (RRsets and expanded wildcards), `absence` (what is denied), `chain` (from trust anchor to keys),
//! `conclude` (what is left of the answer). Asks the mesh for DS and DNSKEY RRsets. Never asks a server, never stores
//! an answer.

mod absence;
mod answer_section;
pub mod chain;
mod conclude;
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
mod work;
#[cfg(test)]
mod world;

use crate::answer::{Answer, ResponseCode};
use crate::context::Context;
use crate::outcome::Input;
use crate::question::Question;
use crate::rrset::{Class, RecordType};
use crate::settings::DnssecMode;
use crate::validate::absence::judge_absence;
use crate::validate::answer_section::{judge_answers, judge_expansions};
use crate::validate::conclude::{bogus, conclude};
use crate::validate::phase::ValidatePhase;
use crate::validate::work::{Stop, Work};

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

/// The validation of one answer.
#[derive(Debug)]
pub struct Validation {
    phase: ValidatePhase,
    work: Work,
}

impl Validation {
    /// The validation of an answer as iteration gave it.
    #[must_use]
    pub fn new(question: Question, answer: Answer) -> Self {
        Self {
            phase: ValidatePhase::Start,
            work: Work::new(question, answer),
        }
    }

    /// Takes one thing that happened into account. Only `Answered` and `NeedRefused` of questions that it
    /// asked for matter after `Start`.
    pub fn step(&mut self, context: &mut Context<'_>, input: Input<'_>) -> Verdict {
        match input {
            Input::Answered { question, answer } => {
                self.work.chain.answered(question, Some(answer), context);
            }
            Input::NeedRefused { question } => self.work.chain.answered(question, None, context),
            Input::Start | Input::Reply { .. } | Input::FetchFailed { .. } => {}
        }
        loop {
            let work = &mut self.work;
            let next = match self.phase {
                ValidatePhase::Start => Ok(start(work, context)),
                ValidatePhase::Answer => judge_answers(work, context),
                ValidatePhase::Expansion => judge_expansions(work, context),
                ValidatePhase::Absence => judge_absence(work, context),
                ValidatePhase::Done => return Verdict::Done(conclude(work, context)),
            };
            match next {
                Ok(next) => self.phase = self.phase.to(next),
                Err(Stop::Wait) => return Verdict::Wait,
                Err(Stop::Bogus(error)) => {
                    self.phase = self.phase.to(ValidatePhase::Done);
                    let otherwise = bogus(work, error, context);
                    return Verdict::Retry { otherwise };
                }
            }
        }
    }
}

/// Whether the answer is one to validate at all.
fn start(work: &mut Work, context: &Context<'_>) -> ValidatePhase {
    let rcodes = [
        ResponseCode::NOERROR,
        ResponseCode::NXDOMAIN,
        ResponseCode::YXDOMAIN,
    ];
    // Signatures are not signed, so an answer made of them cannot be validated.
    let unsigned = matches!(
        work.question.record_type,
        RecordType::RRSIG | RecordType::SIG
    );
    let skip = context.settings.dnssec.mode == DnssecMode::Off
        || work.question.class != Class::IN
        || !rcodes.contains(&work.answer.rcode)
        || context.settings.dnssec.trust_anchors.is_empty()
        || unsigned;
    work.indeterminate = skip;
    if skip {
        ValidatePhase::Done
    } else {
        ValidatePhase::Answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{ExtendedError, Security};
    use crate::name::Name;
    use crate::signing::rrset;
    use crate::validate::world::{A, ADDRESS, World, assert_bogus, negative, positive};

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
}
