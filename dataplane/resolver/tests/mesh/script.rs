//! A program that does what the name of its question says.
//!
//! Owns no state but its own. Resolves nothing: no record of the DNS is in it.

use std::net::SocketAddr;
use std::time::Duration;

use weir_resolver::answer::{Answer, ResponseCode};
use weir_resolver::context::Context;
use weir_resolver::fetch::{FetchPlan, Transport};
use weir_resolver::mesh::stage::Stage;
use weir_resolver::name::Name;
use weir_resolver::outcome::{Input, Outcome, Request};
use weir_resolver::program::Program;
use weir_resolver::question::{Query, Question, StateKind};
use weir_resolver::rrset::{Class, RecordType};

pub(crate) fn question(name: &str) -> Question {
    Question {
        name: Name::from_text(name).unwrap(),
        record_type: RecordType::A,
        class: Class::IN,
    }
}

/// A query for an A record, with RD set and no EDNS.
pub(crate) fn query(id: u16, name: &str) -> Query {
    Query::plain(id, question(name))
}

/// `ask.*` asks one server and answers with its reply; `a-b.need.*` needs the states of `b.need.*`
/// and so on; `circle.need` needs itself; `many.need` needs twenty others; `now.*` answers at once.
#[derive(Debug)]
pub(crate) struct Script {
    text: String,
    waits: usize,
    stage: Stage,
}

impl Script {
    fn plan(&self) -> FetchPlan {
        FetchPlan {
            server: SocketAddr::from(([192, 0, 2, 1], 53)),
            transport: Transport::Udp,
            zone: Name::root(),
            question: question(&self.text),
            recursion_desired: false,
            checking_disabled: true,
            edns: true,
            cookie: None,
            randomise_case: false,
            timeout: Duration::from_secs(if self.text.starts_with("ask.slow") {
                60
            } else {
                3
            }),
        }
    }

    fn needs(&self) -> Vec<String> {
        let text = self.text.trim_end_matches('.');
        let Some(chain) = text.strip_suffix(".need") else {
            return Vec::new();
        };
        match chain.split_once('-') {
            Some((_, rest)) => vec![format!("{rest}.need")],
            None if chain == "circle" => vec!["one-circle.need".to_owned()],
            None if chain == "many" => (0..20).map(|i| format!("ask.{i}")).collect(),
            None => vec![format!("ask.{chain}")],
        }
    }
}

impl Program for Script {
    fn begin(question: &Question, _: StateKind, _: bool, _: bool) -> Self {
        Self {
            text: question.name.to_string(),
            waits: 0,
            stage: Stage::Iterating,
        }
    }

    fn step(&mut self, context: &mut Context<'_>, input: Input<'_>) -> Outcome {
        let done = |rcode| Outcome::Finish(Answer::empty(rcode, None));
        match input {
            Input::Start if self.text.starts_with("now.") => done(ResponseCode::NXDOMAIN),
            Input::Start if self.text.starts_with("ask.") => {
                context.requests.push(Request::Fetch(self.plan()));
                Outcome::Wait
            }
            Input::Start if self.text.starts_with("stuck.") => Outcome::Wait,
            Input::Start => {
                for name in self.needs() {
                    self.waits += 1;
                    context.requests.push(Request::Need {
                        question: question(&name),
                        kind: StateKind::Sub,
                    });
                }
                Outcome::Wait
            }
            Input::Reply { .. } => {
                self.stage = Stage::Answered;
                done(ResponseCode::NXDOMAIN)
            }
            Input::FetchFailed { .. } if self.text.starts_with("ask.ever") => {
                context.requests.push(Request::Fetch(self.plan()));
                Outcome::Wait
            }
            Input::FetchFailed { .. } => done(ResponseCode::SERVFAIL),
            Input::Answered { .. } | Input::NeedRefused { .. } => {
                self.waits -= 1;
                if self.waits > 0 {
                    return Outcome::Wait;
                }
                done(ResponseCode::NXDOMAIN)
            }
        }
    }

    fn stage(&self) -> Stage {
        self.stage
    }
}
