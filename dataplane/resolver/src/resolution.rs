//! The resolution of one question: iterate, then validate, then iterate again at other servers if the
//! data was bogus.
//!
//! Owns the order of the two stages, the bound on restarts, and when IPv4 addresses stand in for IPv6 ones
//! (RFC 6147). Never looks into an answer beyond its
//! security status and response code; the budget it spends is its root question's, whatever it restarts
//! (CVE-2026-50045).

use crate::answer::{Answer, ResponseCode, Security};
use crate::context::Context;
use crate::dns64;
use crate::iterate::Iteration;
use crate::mesh::stage::Stage;
use crate::name::Name;
use crate::outcome::{Input, Outcome, Request};
use crate::program::Program;
use crate::question::{Question, StateKind};
use crate::reporting;
use crate::rrset::{Class, RecordType};
use crate::settings::DnssecMode;
use crate::validate::{Validation, Verdict};

/// The work of a mesh state in production.
#[derive(Debug)]
pub struct Resolution {
    /// What is looked up: the question of the state, or A in place of it (DNS64).
    question: Question,
    kind: StateKind,
    recursion_desired: bool,
    validates: bool,
    iteration: Iteration,
    validation: Option<Box<Validation>>,
    restarts: u8,
    /// The verdict to fall back on when no other server gives a better answer.
    bogus: Option<Answer>,
    /// The agent that the server of the bogus answer named (RFC 9567).
    agent: Option<Name>,
    /// The answer without IPv6 addresses, while A is looked up in their place (RFC 6147, 5.1.6).
    without_ipv6: Option<Answer>,
    /// Whether the state's question is about every class; the answer is kept as one about IN.
    any_class: bool,
    /// The reverse name that was asked for, while that of its IPv4 address is looked up (RFC 6147, 5.3.1).
    renamed_from: Option<Name>,
    /// Whether the answer is made for clients that leave validation to Weir, and so not for others.
    synthesised: bool,
    finished: bool,
}

/// What one stage of the work came to.
enum Next {
    /// The iteration has an answer, or waits.
    Iterated(Outcome),
    /// The validation has a verdict, or waits.
    Judged(Verdict),
    /// There is an answer to the state's question.
    Finished(Answer),
}

impl Resolution {
    /// Whether this answer is still to be validated.
    fn is_to_be_validated(&self, context: &Context<'_>, answer: &Answer) -> bool {
        self.validates
            && context.settings.dnssec.mode != DnssecMode::Off
            && answer.security == Security::Unchecked
            && answer.rcode != ResponseCode::SERVFAIL
    }

    /// Keeps what an answer was made of under its own question.
    fn keep(&self, context: &Context<'_>, answer: &Answer) {
        context
            .cache
            .store(context.now, context.settings, &self.question, answer);
    }

    /// Whether the client leaves such things to Weir. RFC 6147, 5.5: one that validates itself makes its own addresses.
    fn is_for_dns64(&self) -> bool {
        self.kind.validates() && self.validates && self.recursion_desired
    }

    /// Looks the reverse name of an IPv4 address up in place of one that DNS64 made of it.
    fn rename(&mut self, context: &Context<'_>) {
        let prefix = context.settings.resolution.dns64_prefix;
        let wanted =
            self.question.record_type == RecordType::PTR && self.question.class == Class::IN;
        let reverse = prefix
            .filter(|_| wanted && self.is_for_dns64())
            .and_then(|prefix| dns64::reverse_of_ipv4(prefix, &self.question.name));
        if let Some(reverse) = reverse {
            self.renamed_from = Some(core::mem::replace(&mut self.question.name, reverse));
            let question = self.question.clone();
            self.iteration = Iteration::new(question, self.kind, self.recursion_desired, false);
        }
    }

    /// Gives the answer to the state's question, or looks for A in place of AAAA first.
    fn finish(&mut self, context: &mut Context<'_>, answer: Answer) -> Next {
        if self.any_class && self.validates {
            self.keep(context, &answer);
        }
        let Some(prefix) = context.settings.resolution.dns64_prefix else {
            return Next::Finished(answer);
        };
        if let Some(name) = self.renamed_from.take() {
            self.keep(context, &answer);
            self.synthesised = true;
            return Next::Finished(dns64::renamed(&answer, &self.question.name, &name));
        }
        if let Some(without_ipv6) = self.without_ipv6.take() {
            self.keep(context, &answer);
            self.synthesised = true;
            return Next::Finished(dns64::synthesise(prefix, without_ipv6, &answer));
        }
        let wanted = self.is_for_dns64()
            && self.question.record_type == RecordType::AAAA
            && dns64::is_without_ipv6(&answer);
        if !wanted {
            return Next::Finished(answer);
        }
        self.keep(context, &answer);
        self.without_ipv6 = Some(answer);
        self.question.record_type = RecordType::A;
        let question = self.question.clone();
        self.iteration = Iteration::new(question, self.kind, self.recursion_desired, false);
        self.validation = None;
        self.bogus = None;
        self.restarts = 0;
        Next::Iterated(self.iteration.step(context, Input::Start))
    }

    /// Tells the agent of the server, if it named one, of an answer that did not validate (RFC 9567, 6.1). The mesh
    /// makes no more of these than it has room for, from the budget of this question, and none while it is full;
    /// what the cache knows of a report is not sent again.
    fn report(&self, context: &mut Context<'_>, answer: &Answer) {
        let wanted = context.settings.resolution.error_reporting
            && self.validates
            && answer.security == Security::Bogus;
        let report = answer
            .extended_error
            .zip(self.agent.as_ref())
            .filter(|_| wanted)
            .and_then(|(error, agent)| reporting::question(&self.question, error, agent));
        if let Some(question) = report {
            let kind = StateKind::Report;
            context
                .requests
                .push(Request::Background { question, kind });
        }
    }

    /// Asks other servers than those that the bogus answer came from.
    fn restart(&mut self, context: &mut Context<'_>, otherwise: Answer) -> Option<Outcome> {
        self.validation = None;
        self.bogus = Some(otherwise);
        self.agent = self.iteration.agent().cloned();
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
        // RFC 1035, 3.2.5: of all classes, one is known here.
        let any_class = question.class == Class::ANY;
        let mut question = question.clone();
        if any_class {
            question.class = Class::IN;
        }
        let iteration =
            Iteration::new(question.clone(), kind, recursion_desired, checking_disabled);
        Self {
            question,
            kind,
            recursion_desired,
            validates: kind.validates() && !checking_disabled,
            iteration,
            validation: None,
            restarts: 0,
            bogus: None,
            agent: None,
            without_ipv6: None,
            renamed_from: None,
            synthesised: any_class,
            any_class,
            finished: false,
        }
    }

    fn step(&mut self, context: &mut Context<'_>, input: Input<'_>) -> Outcome {
        if matches!(input, Input::Start) {
            self.rename(context);
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
                        self.finish(context, bogus)
                    } else if !self.is_to_be_validated(context, &answer) {
                        self.finish(context, answer)
                    } else {
                        let validation = Box::new(Validation::new(self.question.clone(), answer));
                        let validation = self.validation.insert(validation);
                        Next::Judged(validation.step(context, Input::Start))
                    }
                }
                Next::Finished(answer) => {
                    self.report(context, &answer);
                    self.finished = true;
                    return Outcome::Finish(answer);
                }
                Next::Judged(Verdict::Done(answer)) => self.finish(context, answer),
                Next::Judged(Verdict::Retry { otherwise }) => {
                    match self.restart(context, otherwise) {
                        Some(outcome) => Next::Iterated(outcome),
                        None => {
                            let servfail = Answer::empty(ResponseCode::SERVFAIL, None);
                            let answer = self.bogus.take().unwrap_or(servfail);
                            self.finish(context, answer)
                        }
                    }
                }
            };
        }
    }

    fn may_be_kept(&self) -> bool {
        !self.synthesised
    }

    fn stage(&self) -> Stage {
        match (self.finished, &self.validation) {
            (true, _) => Stage::Answered,
            (false, Some(_)) => Stage::Validating,
            (false, None) => Stage::Iterating,
        }
    }
}
