//! The resolution of one question: iterate, then validate, then iterate again at other servers if the
//! data was bogus.
//!
//! Owns the order of the two stages and the bound on restarts. Never looks into an answer beyond its
//! security status and response code; the budget it spends is its root question's, whatever it restarts
//! (CVE-2026-50045).

use crate::answer::{Answer, ResponseCode, Security};
use crate::context::Context;
use crate::iterate::Iteration;
use crate::mesh::stage::Stage;
use crate::outcome::{Input, Outcome};
use crate::program::Program;
use crate::question::{Question, StateKind};
use crate::settings::DnssecMode;
use crate::validate::{Validation, Verdict, synthesis};

/// The work of a mesh state in production.
#[derive(Debug)]
pub struct Resolution {
    question: Question,
    validates: bool,
    iteration: Iteration,
    validation: Option<Box<Validation>>,
    restarts: u8,
    /// The verdict to fall back on when no other server gives a better answer.
    bogus: Option<Answer>,
    finished: bool,
}

/// What one stage of the work came to.
enum Next {
    /// The iteration has an answer, or waits.
    Iterated(Outcome),
    /// The validation has a verdict, or waits.
    Judged(Verdict),
}

impl Resolution {
    /// Whether this answer is still to be validated.
    fn is_to_be_validated(&self, context: &Context<'_>, answer: &Answer) -> bool {
        self.validates
            && context.settings.dnssec.mode != DnssecMode::Off
            && answer.security == Security::Unchecked
            && answer.rcode != ResponseCode::SERVFAIL
    }

    /// Whether cached denials may answer (RFC 8198): not those who check themselves, nor to renew something.
    fn may_synthesise(&self, context: &Context<'_>) -> bool {
        let (now, settings) = (context.now, context.settings);
        self.validates
            && !context.skip_cache
            && settings.dnssec.mode == DnssecMode::Validate
            && context.cache.verdict(now, &self.question).is_none()
    }

    fn finish(&mut self, answer: Answer) -> Outcome {
        self.finished = true;
        Outcome::Finish(answer)
    }

    /// Asks other servers than those that the bogus answer came from.
    fn restart(&mut self, context: &mut Context<'_>, otherwise: Answer) -> Option<Outcome> {
        self.validation = None;
        self.bogus = Some(otherwise);
        if self.restarts >= context.settings.limits.validation_restarts_max {
            return None;
        }
        self.restarts += 1;
        let avoid = self.iteration.servers().to_vec();
        Some(self.iteration.retry(context, &avoid))
    }
}

impl Program for Resolution {
    fn begin(
        question: &Question,
        kind: StateKind,
        recursion_desired: bool,
        checking_disabled: bool,
    ) -> Self {
        let iteration =
            Iteration::new(question.clone(), kind, recursion_desired, checking_disabled);
        Self {
            question: question.clone(),
            validates: kind.validates() && !checking_disabled,
            iteration,
            validation: None,
            restarts: 0,
            bogus: None,
            finished: false,
        }
    }

    fn step(&mut self, context: &mut Context<'_>, input: Input<'_>) -> Outcome {
        if let Input::Start = input
            && self.may_synthesise(context)
            && let Some(answer) = synthesis::answer(&self.question, context)
        {
            return self.finish(answer);
        }
        let mut next = match &mut self.validation {
            Some(validation) => Next::Judged(validation.step(context, input)),
            None => Next::Iterated(self.iteration.step(context, input)),
        };
        loop {
            next = match next {
                Next::Iterated(Outcome::Wait) | Next::Judged(Verdict::Wait) => {
                    return Outcome::Wait;
                }
                Next::Iterated(Outcome::Finish(answer)) => {
                    if answer.rcode == ResponseCode::SERVFAIL
                        && let Some(bogus) = self.bogus.take()
                    {
                        return self.finish(bogus);
                    }
                    if !self.is_to_be_validated(context, &answer) {
                        return self.finish(answer);
                    }
                    let validation = Box::new(Validation::new(self.question.clone(), answer));
                    let validation = self.validation.insert(validation);
                    Next::Judged(validation.step(context, Input::Start))
                }
                Next::Judged(Verdict::Done(answer)) => return self.finish(answer),
                Next::Judged(Verdict::Retry { otherwise }) => {
                    match self.restart(context, otherwise) {
                        Some(outcome) => Next::Iterated(outcome),
                        None => {
                            let servfail = Answer::empty(ResponseCode::SERVFAIL, None);
                            let answer = self.bogus.take().unwrap_or(servfail);
                            return self.finish(answer);
                        }
                    }
                }
            };
        }
    }

    fn stage(&self) -> Stage {
        match (self.finished, &self.validation) {
            (true, _) => Stage::Answered,
            (false, Some(_)) => Stage::Validating,
            (false, None) => Stage::Iterating,
        }
    }
}
