//! What resolves a simulated question: a small script that the number in its name selects.
//!
//! Owns `Plot` and the world of names `q0.` to `q63.`. Each class drives the mesh in another way: chains,
//! needs in parallel, circles, trees that fan out, endless retries. Its answer names the question and the
//! settings under which it ran, so that an answer that crosses over shows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use weir_resolver::answer::{Answer, ExtendedError, ResponseCode, Security};
use weir_resolver::context::Context;
use weir_resolver::fetch::{FetchFailure, FetchPlan, Transport};
use weir_resolver::mesh::stage::Stage;
use weir_resolver::name::Name;
use weir_resolver::outcome::{Input, Outcome, Request};
use weir_resolver::program::Program;
use weir_resolver::question::{Question, StateKind};
use weir_resolver::rrset::{Class, RdataList, RecordType, Rrset};

/// How many names there are.
pub const NAMES: u8 = 64;
/// How many classes of scripts they fall into.
pub const CLASSES: u8 = 16;

/// The wire form of a name, as a client spells it.
#[must_use]
pub fn spelling(number: u8, upper: bool) -> Box<[u8]> {
    let number = number % NAMES;
    let letter = if upper { b'Q' } else { b'q' };
    if number < 10 {
        Box::new([2, letter, b'0' + number, 0])
    } else {
        Box::new([3, letter, b'0' + number / 10, b'0' + number % 10, 0])
    }
}

/// The question with this number.
#[must_use]
pub fn question(number: u8) -> Question {
    Question {
        name: Name::from_wire(&spelling(number, false)).unwrap_or_else(|_| Name::root()),
        record_type: RecordType::A,
        class: Class::IN,
    }
}

/// The number of a question.
#[must_use]
pub fn number(question: &Question) -> u8 {
    question
        .name
        .as_wire()
        .iter()
        .filter(|octet| octet.is_ascii_digit())
        .fold(0, |number: u8, digit| {
            number.wrapping_mul(10).wrapping_add(digit - b'0')
        })
}

/// The record data of the right answer: the number of the question, and the settings that it ran under.
#[must_use]
pub const fn rdata(number: u8, epoch: u32) -> [u8; 4] {
    let [_, high, middle, low] = epoch.to_be_bytes();
    [number, high, middle, low]
}

/// The script of one question.
#[derive(Clone, Debug, Hash)]
pub struct Plot {
    number: u8,
    stage: Stage,
    left: u8,
    tries: u8,
    waits: u8,
}

impl Plot {
    const fn class(&self) -> u8 {
        self.number % CLASSES
    }

    fn plan(&self, server: u8, transport: Transport) -> FetchPlan {
        FetchPlan {
            server: SocketAddr::from(([192, 0, 2, server], 53)),
            transport,
            zone: Name::root(),
            question: question(self.number),
            recursion_desired: false,
            checking_disabled: true,
            edns: true,
            cookie: None,
            randomise_case: true,
            timeout: Duration::from_millis(400),
        }
    }

    fn fetch(&mut self, context: &mut Context<'_>) {
        self.tries = self.tries.saturating_add(1);
        let plan = self.plan(self.tries, Transport::Udp);
        context.requests.push(Request::Fetch(plan));
    }

    fn need(&mut self, context: &mut Context<'_>, ahead: u8, kind: StateKind) {
        self.waits = self.waits.saturating_add(1);
        context.requests.push(Request::Need {
            question: question((self.number + ahead) % NAMES),
            kind,
        });
    }

    fn done(&mut self, context: &Context<'_>) -> Outcome {
        self.stage = Stage::Answered;
        let mut answer = Answer::empty(ResponseCode::NOERROR, None);
        answer.security = Security::Insecure;
        answer.ttl = 1 + u32::from(self.number % 4);
        answer.answer.push(Arc::new(Rrset {
            owner: question(self.number).name,
            record_type: RecordType::A,
            class: Class::IN,
            ttl: answer.ttl,
            rdata: RdataList::new([&rdata(self.number, context.settings.epoch)[..]]),
            signatures: RdataList::default(),
        }));
        Outcome::Finish(answer)
    }

    fn failed(&mut self) -> Outcome {
        self.stage = Stage::Answered;
        Outcome::Finish(Answer::empty(
            ResponseCode::SERVFAIL,
            Some(ExtendedError::NETWORK_ERROR),
        ))
    }

    fn start(&mut self, context: &mut Context<'_>) -> Outcome {
        match self.class() {
            1 => self.left = 2,
            2 => self.need(context, 1, StateKind::Sub),
            3 => {
                self.need(context, 1, StateKind::Sub);
                self.need(context, 2, StateKind::Sub);
                self.fetch(context);
                return Outcome::Wait;
            }
            4 => self.need(context, 1, StateKind::Sub),
            5 => self.need(context, NAMES - 1, StateKind::Sub),
            6 => return self.done(context),
            8 => (1..=20).for_each(|ahead| self.need(context, ahead * 3, StateKind::Sub)),
            9 => self.need(context, CLASSES, StateKind::Sub),
            12 => self.need(context, 1, StateKind::Prime),
            13 => context.requests.push(Request::Background {
                question: question((self.number + 4) % NAMES),
                kind: StateKind::Prefetch,
            }),
            14 => (0..5).for_each(|_| self.fetch(context)),
            15 => return Outcome::Wait,
            _ => {}
        }
        if self.waits == 0 {
            self.fetch(context);
        }
        Outcome::Wait
    }

    fn replied(&mut self, context: &mut Context<'_>, plan: &FetchPlan, message: &[u8]) -> Outcome {
        let Some(&[flags, rcode]) = message.get(2..4) else {
            return self.try_again(context);
        };
        if flags & 2 != 0 && plan.transport == Transport::Udp {
            let plan = self.plan(self.tries, Transport::Tcp);
            context.requests.push(Request::Fetch(plan));
            return Outcome::Wait;
        }
        if rcode & 0x0f != 0 {
            return self.try_again(context);
        }
        match self.class() {
            10 => {
                self.fetch(context);
                Outcome::Wait
            }
            11 if self.stage == Stage::Iterating => {
                self.stage = Stage::Validating;
                self.need(context, 1, StateKind::Validation);
                Outcome::Wait
            }
            1 if self.left > 0 => {
                self.left -= 1;
                self.fetch(context);
                Outcome::Wait
            }
            _ => self.done(context),
        }
    }

    /// Asks another server, a few times.
    fn try_again(&mut self, context: &mut Context<'_>) -> Outcome {
        if self.tries >= 4 && self.class() != 10 {
            return self.failed();
        }
        self.fetch(context);
        Outcome::Wait
    }

    /// One of the needed questions came back, or could not be asked.
    fn needed(&mut self, context: &mut Context<'_>, good: bool) -> Outcome {
        self.waits = self.waits.saturating_sub(1);
        match self.class() {
            3 => Outcome::Wait,
            8 if self.waits > 10 => Outcome::Wait,
            8 => self.done(context),
            11 if good => self.done(context),
            // Bogus: iterate again at another server.
            11 if self.left < 2 => {
                self.left += 1;
                self.stage = Stage::Iterating;
                self.fetch(context);
                Outcome::Wait
            }
            11 => self.failed(),
            _ => {
                self.fetch(context);
                Outcome::Wait
            }
        }
    }
}

impl Program for Plot {
    fn begin(question: &Question, _: StateKind, _: bool, _: bool) -> Self {
        Self {
            number: number(question),
            stage: Stage::Iterating,
            left: 0,
            tries: 0,
            waits: 0,
        }
    }

    fn step(&mut self, context: &mut Context<'_>, input: Input<'_>) -> Outcome {
        match input {
            Input::Start => self.start(context),
            Input::Reply { plan, message, .. } => self.replied(context, plan, message),
            Input::FetchFailed {
                failure: FetchFailure::Exhausted,
                ..
            } => self.failed(),
            Input::FetchFailed { .. } => self.try_again(context),
            Input::Answered { answer, .. } => {
                let good = answer.rcode == ResponseCode::NOERROR;
                self.needed(context, good)
            }
            Input::NeedRefused { .. } => self.needed(context, false),
        }
    }

    fn stage(&self) -> Stage {
        self.stage
    }
}
