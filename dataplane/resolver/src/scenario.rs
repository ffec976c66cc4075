//! A small world of servers for unit tests: it drives iterations, and the questions they need, to
//! their answers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::answer::{Answer, ExtendedError, ResponseCode};
use crate::budget::Budget;
use crate::cache::Cache;
use crate::context::Context;
use crate::fetch::{FetchFailure, FetchPlan, Transport};
use crate::infra::Infra;
use crate::iterate::Iteration;
use crate::name::Name;
use crate::outcome::{Input, Outcome, Request};
use crate::question::{Question, StateKind};
use crate::random::Random;
use crate::rrset::{Class, RecordType};
use crate::settings::{Hint, Settings};
use crate::time::{Instant, Now, UnixTime};

/// What a server does with a query.
#[derive(Clone, Debug)]
pub(crate) enum Reaction {
    /// It replies: header bits, answer, authority and additional records as text.
    Reply(u16, Vec<String>, Vec<String>, Vec<String>),
    /// It replies with AA, this code, this cookie option and this answer.
    Cookie(ResponseCode, Vec<u8>, Vec<String>),
    /// Nothing comes.
    Silence,
    /// A reply comes, with the name in another case.
    CaseLost,
}

pub(crate) const AA: u16 = 0x0400;
pub(crate) const RA: u16 = 0x0080;
pub(crate) const TC: u16 = 0x0200;

/// A reply with AA.
pub(crate) fn answers(records: &[&str]) -> Reaction {
    Reaction::Reply(AA, texts(records), vec![], vec![])
}

/// A referral.
pub(crate) fn refers(authority: &[&str], additional: &[&str]) -> Reaction {
    Reaction::Reply(0, vec![], texts(authority), texts(additional))
}

/// A negative reply with this code.
pub(crate) fn denies(rcode: ResponseCode, soa: &str) -> Reaction {
    Reaction::Reply(AA | rcode.0, vec![], texts(&[soa]), vec![])
}

pub(crate) fn texts(records: &[&str]) -> Vec<String> {
    records.iter().map(|&record| record.to_owned()).collect()
}

type Server = Box<dyn Fn(&FetchPlan) -> Reaction>;

/// Servers by address, and all that iterations share.
pub(crate) struct World {
    servers: BTreeMap<IpAddr, Server>,
    pub(crate) settings: Settings,
    pub(crate) cache: Cache,
    pub(crate) infra: Infra,
    pub(crate) now: Now,
    pub(crate) log: Vec<FetchPlan>,
    random: Random,
    budget: Budget,
}

impl World {
    /// A root server at 10.0.0.1; no priming, no eager lookups, no randomised case.
    pub(crate) fn new() -> Self {
        let mut settings = Settings::default();
        settings.resolution.prime_root = false;
        settings.resolution.target_fetch_policy = [0; 5];
        settings.resolution.root_hints = vec![Hint {
            name: Name::from_text("k.root").unwrap(),
            addresses: vec!["10.0.0.1:53".parse().unwrap()],
        }];
        settings.resolution.ipv6 = false;
        let budget = Budget::new(&settings);
        Self {
            servers: BTreeMap::new(),
            settings,
            cache: Cache::default(),
            infra: Infra::default(),
            now: Now {
                instant: Instant::ORIGIN.after(Duration::from_secs(1000)),
                unix: UnixTime(1_700_000_000),
            },
            log: Vec::new(),
            random: Random::from_seed([1, 2]),
            budget,
        }
    }

    pub(crate) fn server(
        &mut self,
        address: &str,
        react: impl Fn(&FetchPlan) -> Reaction + 'static,
    ) -> &mut Self {
        self.servers
            .insert(address.parse().unwrap(), Box::new(react));
        self
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        let duration = Duration::from_secs(seconds);
        self.now.instant = self.now.instant.after(duration);
        self.now.unix.0 += seconds;
    }

    /// Resolves a question as a client asks it.
    pub(crate) fn resolve(&mut self, name: &str, record_type: RecordType) -> Answer {
        self.budget = Budget::new(&self.settings);
        self.log.clear();
        let question = question(name, record_type);
        self.run(&question, StateKind::Client, &mut Vec::new())
            .unwrap()
    }

    /// The same, and once more with the servers used avoided.
    pub(crate) fn resolve_twice(&mut self, name: &str, record_type: RecordType) -> Answer {
        self.budget = Budget::new(&self.settings);
        self.log.clear();
        let mut iteration =
            Iteration::new(question(name, record_type), StateKind::Client, true, false);
        let mut path = vec![question(name, record_type)];
        let mut requests = Vec::new();
        let outcome = self.step(&mut iteration, 0, &mut requests, Input::Start);
        self.drive(&mut iteration, outcome, requests, &mut path);
        let avoid = iteration.servers();
        let mut requests = Vec::new();
        let mut context = context_of(self, 0, &mut requests);
        let outcome = iteration.retry(&mut context, &avoid);
        self.drive(&mut iteration, outcome, requests, &mut path)
    }

    fn run(
        &mut self,
        question: &Question,
        kind: StateKind,
        path: &mut Vec<Question>,
    ) -> Option<Answer> {
        if path.contains(question) || path.len() > 6 {
            return None;
        }
        path.push(question.clone());
        let mut iteration = Iteration::new(question.clone(), kind, true, false);
        let mut requests = Vec::new();
        let depth = path.len() - 1;
        let outcome = self.step(&mut iteration, depth, &mut requests, Input::Start);
        let answer = self.drive(&mut iteration, outcome, requests, path);
        path.pop();
        Some(answer)
    }

    fn drive(
        &mut self,
        iteration: &mut Iteration,
        mut outcome: Outcome,
        mut pending: Vec<Request>,
        path: &mut Vec<Question>,
    ) -> Answer {
        let depth = path.len() - 1;
        for _ in 0..500 {
            if let Outcome::Finish(answer) = outcome {
                return answer;
            }
            if pending.is_empty() {
                return Answer::empty(ResponseCode::SERVFAIL, Some(ExtendedError::OTHER));
            }
            let mut requests = Vec::new();
            outcome = match pending.remove(0) {
                Request::Fetch(plan) => self.fetch(iteration, depth, &plan, &mut requests),
                Request::Need { question, kind } => match self.run(&question, kind, path) {
                    Some(answer) => {
                        let input = Input::Answered {
                            question: &question,
                            answer: &Arc::new(answer),
                        };
                        self.step(iteration, depth, &mut requests, input)
                    }
                    None => {
                        let input = Input::NeedRefused {
                            question: &question,
                        };
                        self.step(iteration, depth, &mut requests, input)
                    }
                },
                Request::Background { .. } => Outcome::Wait,
            };
            pending.append(&mut requests);
        }
        panic!("the iteration does not end");
    }

    fn fetch(
        &mut self,
        iteration: &mut Iteration,
        depth: usize,
        plan: &FetchPlan,
        requests: &mut Vec<Request>,
    ) -> Outcome {
        self.log.push(plan.clone());
        let reaction = match self.servers.get(&plan.server.ip()) {
            Some(server) if self.budget.spend_upstream_query().is_ok() => server(plan),
            _ => Reaction::Silence,
        };
        let message = match &reaction {
            Reaction::Reply(bits, answer, authority, additional) => {
                let sections = [answer.clone(), authority.clone(), additional.clone()];
                encode(plan, *bits, &sections, (0, &[]))
            }
            Reaction::Cookie(rcode, cookie, answer) => {
                let sections = [answer.clone(), vec![], vec![]];
                encode(
                    plan,
                    AA | rcode.0 & 15,
                    &sections,
                    ((rcode.0 >> 4) as u8, cookie),
                )
            }
            _ => Vec::new(),
        };
        match reaction {
            Reaction::Reply(..) | Reaction::Cookie(..) => {
                let input = Input::Reply {
                    plan,
                    message: &message,
                    round_trip: Duration::from_millis(20),
                };
                self.step(iteration, depth, requests, input)
            }
            Reaction::Silence | Reaction::CaseLost => {
                self.now.instant = self.now.instant.after(plan.timeout);
                let failure = match reaction {
                    Reaction::Silence => FetchFailure::Timeout,
                    _ => FetchFailure::CaseLost,
                };
                let input = Input::FetchFailed { plan, failure };
                self.step(iteration, depth, requests, input)
            }
        }
    }

    fn step(
        &mut self,
        iteration: &mut Iteration,
        depth: usize,
        requests: &mut Vec<Request>,
        input: Input<'_>,
    ) -> Outcome {
        let mut context = context_of(self, depth, requests);
        iteration.step(&mut context, input)
    }

    /// What was asked of whom, as text.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.log
            .iter()
            .map(|plan| {
                let tcp = if plan.transport == Transport::Tcp {
                    " tcp"
                } else {
                    ""
                };
                let question = &plan.question;
                format!(
                    "{} {} {}{tcp}",
                    plan.server.ip(),
                    question.name,
                    question.record_type
                )
            })
            .collect()
    }
}

fn context_of<'a>(
    world: &'a mut World,
    depth: usize,
    requests: &'a mut Vec<Request>,
) -> Context<'a> {
    Context {
        now: world.now,
        settings: &world.settings,
        cache: &world.cache,
        infra: &world.infra,
        random: &mut world.random,
        budget: &mut world.budget,
        depth: depth as u32,
        pressure: false,
        skip_cache: false,
        requests,
    }
}

pub(crate) fn question(name: &str, record_type: RecordType) -> Question {
    Question {
        name: Name::from_text(name).unwrap(),
        record_type,
        class: Class::IN,
    }
}

/// The addresses and names in an answer section, as text.
pub(crate) fn shown(answer: &Answer) -> Vec<String> {
    let show = |rrset: &Arc<crate::rrset::Rrset>| {
        let data = rrset.rdata.iter().map(|item| match rrset.record_type {
            RecordType::A => format!("{}.{}.{}.{}", item[0], item[1], item[2], item[3]),
            RecordType::CNAME | RecordType::DNAME | RecordType::NS => {
                Name::from_wire(item).unwrap().to_string()
            }
            _ => format!("{item:?}"),
        });
        let data: Vec<String> = data.collect();
        format!("{} {} {}", rrset.owner, rrset.record_type, data.join(","))
    };
    answer.answer.iter().map(show).collect()
}

fn encode(
    plan: &FetchPlan,
    bits: u16,
    sections: &[Vec<String>; 3],
    (high_rcode, cookie): (u8, &[u8]),
) -> Vec<u8> {
    let mut out = Vec::new();
    let opt = u16::from(plan.edns && bits & 0x0f != 1 && bits & 0x0f != 4);
    let counts: Vec<u16> = sections.iter().map(|s| s.len() as u16).collect();
    for field in [0, 0x8000 | bits, 1, counts[0], counts[1], counts[2] + opt] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    out.extend_from_slice(plan.question.name.as_wire());
    out.extend_from_slice(&plan.question.record_type.0.to_be_bytes());
    out.extend_from_slice(&plan.question.class.0.to_be_bytes());
    for record in sections.iter().flatten() {
        out.extend_from_slice(&record_octets(record));
    }
    if opt == 1 {
        out.extend_from_slice(&[0, 0, 41, 4, 0xd0, high_rcode, 0, 0x80, 0]);
        let option = if cookie.is_empty() {
            0
        } else {
            cookie.len() + 4
        };
        out.extend_from_slice(&(option as u16).to_be_bytes());
        if option > 0 {
            out.extend_from_slice(&[0, 10, 0, cookie.len() as u8]);
            out.extend_from_slice(cookie);
        }
    }
    out
}

/// `owner ttl type data`; data is an address, a name, or numbers for an SOA's minimum.
fn record_octets(text: &str) -> Vec<u8> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [owner, ttl, kind, data] = fields[..] else {
        panic!("{text}");
    };
    let record_type = RecordType::from_text(kind).unwrap();
    let rdata = match record_type {
        RecordType::A => match data.parse::<IpAddr>().unwrap() {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(_) => panic!("{text}"),
        },
        RecordType::AAAA => match data.parse::<IpAddr>().unwrap() {
            IpAddr::V6(v6) => v6.octets().to_vec(),
            IpAddr::V4(_) => panic!("{text}"),
        },
        RecordType::SOA => {
            let minimum: u32 = data.parse().unwrap();
            let mut soa = vec![0, 0];
            for field in [1, 2, 3, 4, minimum] {
                soa.extend_from_slice(&field.to_be_bytes());
            }
            soa
        }
        _ => Name::from_text(data).unwrap().as_wire().to_vec(),
    };
    let mut out = Name::from_text(owner).unwrap().as_wire().to_vec();
    out.extend_from_slice(&record_type.0.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    out.extend_from_slice(&ttl.parse::<u32>().unwrap().to_be_bytes());
    out.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
    out.extend_from_slice(&rdata);
    out
}

/// The socket address of a server of the world.
pub(crate) fn socket(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), 53)
}
