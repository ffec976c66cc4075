//! Iterative resolution of one question, without validating (RFC 1034, 5.3.3).
//!
//! Owns `Iteration`, driven by the mesh one `Input` at a time. The work is done by the files below:
//! `start` (cache and closest delegation), `send` (whom to ask), `reply` (what came back), `needs`
//! (addresses of name servers). Never does input or output, never sees who waits.
//!
//! ```text
//! start -> send -> reply -> finish
//!   ^       ^  |     |
//!   | alias +--|-----+ referral, another server
//!   +----------|-----+
//!              +-> needs (addresses of name servers) -> send
//! ```

pub mod alias;
pub mod cached;
pub mod classify;
pub mod conclude;
pub mod cookies;
pub mod delegation;
pub mod expect;
#[cfg(test)]
mod internet;
pub mod minimise;
pub mod needs;
pub mod phase;
pub mod prime;
pub mod refer;
pub mod reply;
pub mod scrub;
pub mod send;
pub mod start;
pub mod store;
pub mod target;
pub mod work;

use std::net::IpAddr;

use self::phase::Phase;
use self::work::{Next, Work};
use crate::context::Context;
use crate::name::Name;
use crate::outcome::{Input, Outcome};
use crate::question::{Question, StateKind};

/// Turns of one step: more than aliases, cuts and fall-backs that the limits allow.
const TURNS_MAX: usize = 256;

/// The resolution of one question.
#[derive(Clone, Debug)]
pub struct Iteration {
    work: Work,
}

impl Iteration {
    /// Nothing done yet.
    #[must_use]
    pub fn new(
        question: Question,
        kind: StateKind,
        recursion_desired: bool,
        checking_disabled: bool,
    ) -> Self {
        Self {
            work: Work::new(question, kind, recursion_desired, checking_disabled),
        }
    }

    /// Takes one thing that happened into account.
    pub fn step(&mut self, context: &mut Context<'_>, input: Input<'_>) -> Outcome {
        let work = &mut self.work;
        let next = match input {
            Input::Start => {
                work.reset_delegation(context.settings);
                Next::Start
            }
            Input::Reply {
                plan,
                message,
                round_trip,
            } => reply::replied(work, context, plan, message, round_trip),
            Input::FetchFailed { plan, failure } => reply::failed(work, context, plan, failure),
            Input::Answered { question, answer } => {
                needs::answered(work, context, question, answer)
            }
            Input::NeedRefused { question } => needs::refused(work, context, question),
        };
        self.go_on(context, next)
    }

    /// Resolves the question again at other servers, after validation found the answer bogus. Cached
    /// answers are not used; what was spent stays spent.
    pub fn retry(&mut self, context: &mut Context<'_>, avoid: &[IpAddr]) -> Outcome {
        let work = &mut self.work;
        avoid.iter().for_each(|&address| work.shun(address));
        let name = work.question.name.clone();
        work.skip_cache = true;
        work.visited = vec![name.clone()];
        work.answer.clear();
        work.authority.clear();
        work.servers.clear();
        work.open = None;
        work.unsigned = 0;
        work.take_up(name, context.settings);
        work.enter(Phase::Start);
        self.go_on(context, Next::Start)
    }

    fn go_on(&mut self, context: &mut Context<'_>, mut next: Next) -> Outcome {
        let work = &mut self.work;
        for _ in 0..TURNS_MAX {
            next = match next {
                Next::Start => start::begin(work, context),
                Next::Choose => send::choose(work, context),
                Next::Wait => return Outcome::Wait,
                Next::Finish(answer) => {
                    work.enter(Phase::Finished);
                    return Outcome::Finish(answer);
                }
            };
        }
        work.enter(Phase::Finished);
        Outcome::Finish(work.fail(context.settings))
    }

    /// The servers whose replies the answer is made of, to be avoided when it turns out bogus.
    #[must_use]
    pub fn servers(&self) -> Vec<IpAddr> {
        self.work
            .servers
            .iter()
            .map(|(_, server)| server.ip())
            .collect()
    }

    /// The agent to tell when the answer turns out bogus, if its server named one (RFC 9567). None behind an alias:
    /// which of its zones failed is not known here.
    #[must_use]
    pub fn agent(&self) -> Option<&Name> {
        let agent = self.work.agent.as_ref();
        agent.filter(|_| self.work.is_at_start())
    }

    /// Where the iteration stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.work.phase
    }
}

#[cfg(test)]
mod tests {
    use crate::answer::ResponseCode;
    use crate::iterate::internet::internet;
    use crate::rrset::RecordType;
    use crate::scenario::{answers, refers, shown};

    #[test]
    fn referrals_lead_to_the_answer() {
        let mut world = internet();
        let answer = world.resolve("www.example.com", RecordType::A);
        assert_eq!(shown(&answer), ["www.example.com. A 192.0.2.1"]);
        assert_eq!(
            world.asked(),
            [
                "10.0.0.1 com. A",
                "10.0.0.2 example.com. A",
                "10.0.0.3 www.example.com. A"
            ]
        );
    }

    #[test]
    fn negative_answers_carry_the_soa_and_its_minimum() {
        let mut world = internet();
        let answer = world.resolve("nx.example.com", RecordType::A);
        assert_eq!(answer.rcode, ResponseCode::NXDOMAIN);
        assert_eq!((answer.ttl, answer.authority[0].ttl), (60, 60));
        let answer = world.resolve("www.example.com", RecordType::AAAA);
        assert_eq!(answer.rcode, ResponseCode::NOERROR);
        assert!(answer.answer.is_empty() && answer.authority.len() == 1);
    }

    #[test]
    fn a_retry_avoids_the_servers_of_the_bogus_answer() {
        let mut world = internet();
        world.server("10.0.0.2", |_| {
            refers(
                &[
                    "example.com 3600 NS ns1.example.com",
                    "example.com 3600 NS ns2.example.com",
                ],
                &[
                    "ns1.example.com 3600 A 10.0.1.1",
                    "ns2.example.com 3600 A 10.0.1.2",
                ],
            )
        });
        world.server("10.0.0.1", |_| {
            refers(
                &["com 3600 NS a.gtld.com", "com 3600 NS b.gtld.com"],
                &["a.gtld.com 3600 A 10.0.0.2", "b.gtld.com 3600 A 10.0.0.4"],
            )
        });
        world.server("10.0.1.1", |_| answers(&["www.example.com 300 A 1.1.1.1"]));
        world.server("10.0.1.2", |_| answers(&["www.example.com 300 A 1.1.1.1"]));
        world.resolve_twice("www.example.com", RecordType::A);
        let used: Vec<_> = world
            .log
            .iter()
            .filter(|plan| plan.server.ip().to_string().starts_with("10.0.1."))
            .collect();
        assert!(used.len() >= 2, "{:?}", world.asked());
        assert_ne!(used[0].server, used[1].server);
    }
}
