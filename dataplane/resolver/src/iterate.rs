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
    use crate::fetch::Transport;
    use crate::name::Name;
    use crate::rrset::RecordType;
    use crate::scenario::{
        AA, RA, Reaction, TC, World, answers, denies, question, refers, shown, socket, texts,
    };
    use crate::settings::QnameMinimisation;

    /// The root refers `com` and `org` to 10.0.0.2, which refers `example.com` to 10.0.0.3 and
    /// `example.org` to `ns.example.com`.
    fn internet() -> World {
        let mut world = World::new();
        world.server("10.0.0.1", |plan| {
            let tld = plan.question.name.suffix(1);
            let ns = format!("{tld} 86400 NS a.gtld.com");
            refers(&[&ns], &["a.gtld.com 86400 A 10.0.0.2"])
        });
        world.server("10.0.0.2", |plan| {
            let cut = plan.question.name.suffix(2).to_string();
            match cut.as_str() {
                "example.com." => refers(
                    &["example.com 3600 NS ns.example.com"],
                    &["ns.example.com 3600 A 10.0.0.3"],
                ),
                "example.org." => refers(&["example.org 3600 NS ns.example.com"], &[]),
                _ => denies(ResponseCode::NXDOMAIN, "com 900 SOA 60"),
            }
        });
        world.server("10.0.0.3", |plan| {
            let name = plan.question.name.to_string();
            match (name.as_str(), plan.question.record_type) {
                ("www.example.com.", RecordType::A) => {
                    answers(&["www.example.com 300 A 192.0.2.1"])
                }
                ("www.example.org.", RecordType::A) => {
                    answers(&["www.example.org 300 A 192.0.2.2"])
                }
                ("ns.example.com.", RecordType::A) => answers(&["ns.example.com 300 A 10.0.0.3"]),
                ("a.example.com.", RecordType::A) => {
                    answers(&["a.example.com 60 CNAME www.example.org"])
                }
                ("big.example.com.", RecordType::A) if plan.transport == Transport::Udp => {
                    Reaction::Reply(AA | TC, vec![], vec![], vec![])
                }
                ("big.example.com.", RecordType::A) => {
                    answers(&["big.example.com 300 A 192.0.2.3"])
                }
                ("loop.example.com.", RecordType::A) => {
                    answers(&["loop.example.com 300 CNAME loop2.example.com"])
                }
                ("loop2.example.com.", RecordType::A) => {
                    answers(&["loop2.example.com 300 CNAME loop.example.com"])
                }
                ("empty.example.com.", _) | ("www.example.com.", _) => {
                    denies(ResponseCode::NOERROR, "example.com 900 SOA 60")
                }
                ("www.empty.example.com.", RecordType::A) => {
                    answers(&["www.empty.example.com 300 A 192.0.2.4"])
                }
                _ if name.ends_with("org.") => {
                    denies(ResponseCode::NXDOMAIN, "example.org 900 SOA 60")
                }
                _ => denies(ResponseCode::NXDOMAIN, "example.com 900 SOA 60"),
            }
        });
        world
    }

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
    fn name_servers_elsewhere_are_looked_up() {
        let mut world = internet();
        let answer = world.resolve("www.example.org", RecordType::A);
        assert_eq!(shown(&answer), ["www.example.org. A 192.0.2.2"]);
    }

    #[test]
    fn aliases_are_followed_across_zones_and_loops_end() {
        let mut world = internet();
        let answer = world.resolve("a.example.com", RecordType::A);
        assert_eq!(
            shown(&answer),
            [
                "a.example.com. CNAME www.example.org.",
                "www.example.org. A 192.0.2.2"
            ]
        );
        assert_eq!(answer.ttl, 60);
        let looped = world.resolve("loop.example.com", RecordType::A);
        assert_eq!(looped.rcode, ResponseCode::SERVFAIL);
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
    fn truncated_replies_are_asked_for_over_tcp() {
        let mut world = internet();
        let answer = world.resolve("big.example.com", RecordType::A);
        assert_eq!(shown(&answer), ["big.example.com. A 192.0.2.3"]);
        assert_eq!(
            world.asked().last().unwrap(),
            "10.0.0.3 big.example.com. A tcp"
        );
    }

    #[test]
    fn a_stream_that_is_lost_after_truncation_is_tried_once_more() {
        for (lost, rcode) in [(1, ResponseCode::NOERROR), (2, ResponseCode::SERVFAIL)] {
            let mut world = internet();
            let streams = core::cell::Cell::new(0);
            world.server("10.0.0.3", move |plan| match plan.transport {
                Transport::Udp => Reaction::Reply(AA | TC, vec![], vec![], vec![]),
                _ if streams.replace(streams.get() + 1) < lost => Reaction::Silence,
                _ => answers(&["big.example.com 300 A 192.0.2.3"]),
            });
            assert_eq!(world.resolve("big.example.com", RecordType::A).rcode, rcode);
            let streams = world
                .log
                .iter()
                .filter(|plan| plan.transport == Transport::Tcp);
            assert!(streams.clone().all(|plan| plan.timeout.as_millis() >= 1000));
            assert_eq!(streams.count(), 2);
        }
    }

    #[test]
    fn denied_empty_non_terminals_do_not_hide_names() {
        let mut world = internet();
        world.server("10.0.0.3", |plan| match plan.question.name.label_count() {
            3 => denies(ResponseCode::NXDOMAIN, "example.com 900 SOA 60"),
            _ => answers(&["www.empty.example.com 300 A 192.0.2.4"]),
        });
        let answer = world.resolve("www.empty.example.com", RecordType::A);
        assert_eq!(answer.rcode, ResponseCode::NOERROR);
        world.settings.resolution.qname_minimisation = QnameMinimisation::Strict;
        let mut fresh = internet();
        fresh.settings.resolution.qname_minimisation = QnameMinimisation::Strict;
        fresh.server("10.0.0.3", |_| {
            denies(ResponseCode::NXDOMAIN, "example.com 900 SOA 60")
        });
        let answer = fresh.resolve("www.empty.example.com", RecordType::A);
        assert_eq!(answer.rcode, ResponseCode::NXDOMAIN);
        assert_eq!(
            fresh.asked().last().unwrap(),
            "10.0.0.3 empty.example.com. A"
        );
    }

    #[test]
    fn dead_and_lame_servers_are_passed_over() {
        let mut world = internet();
        world.server("10.0.0.2", |_| {
            refers(
                &[
                    "example.com 3600 NS ns1.example.com",
                    "example.com 3600 NS ns2.example.com",
                    "example.com 3600 NS ns3.example.com",
                    "example.com 3600 NS ns4.example.com",
                ],
                &[
                    "ns1.example.com 3600 A 10.0.1.1",
                    "ns2.example.com 3600 A 10.0.1.2",
                    "ns3.example.com 3600 A 10.0.1.3",
                    "ns4.example.com 3600 A 10.0.0.3",
                ],
            )
        });
        world.server("10.0.1.1", |_| Reaction::Silence);
        world.server("10.0.1.2", |_| refers(&[". 60 NS a.root"], &[]));
        world.server("10.0.1.3", |_| {
            Reaction::Reply(RA, texts(&["www.example.com 60 A 6.6.6.6"]), vec![], vec![])
        });
        for _ in 0..10 {
            let answer = world.resolve("www.example.com", RecordType::A);
            assert_eq!(shown(&answer), ["www.example.com. A 192.0.2.1"]);
        }
        let lame = |address: &str| {
            let zone = Name::from_text("example.com").unwrap();
            world
                .infra
                .view(world.now.instant, socket(address), &zone)
                .lame
        };
        assert!(lame("10.0.0.3").is_none());
    }

    #[test]
    fn silence_backs_off_and_ends() {
        let mut world = internet();
        world.server("10.0.0.3", |_| Reaction::Silence);
        let answer = world.resolve("www.example.com", RecordType::A);
        assert_eq!(answer.rcode, ResponseCode::SERVFAIL);
        let timeouts: Vec<u128> = world
            .log
            .iter()
            .filter(|plan| plan.server == socket("10.0.0.3"))
            .map(|plan| plan.timeout.as_millis())
            .collect();
        assert_eq!(timeouts, [376, 752, 1504]);
    }

    #[test]
    fn servers_without_edns_are_asked_without_it() {
        let mut world = internet();
        world.server("10.0.0.3", |plan| {
            if plan.edns {
                Reaction::Reply(ResponseCode::FORMERR.0, vec![], vec![], vec![])
            } else {
                answers(&["www.example.com 300 A 192.0.2.1"])
            }
        });
        let answer = world.resolve("www.example.com", RecordType::A);
        assert_eq!(shown(&answer), ["www.example.com. A 192.0.2.1"]);
        let view = world
            .infra
            .view(world.now.instant, socket("10.0.0.3"), &Name::root());
        assert!(!view.edns);
    }

    #[test]
    fn a_server_that_loses_case_is_asked_plainly() {
        let mut world = internet();
        world.settings.resolution.case_randomisation = true;
        world.server("10.0.0.3", |plan| {
            if plan.randomise_case {
                Reaction::CaseLost
            } else {
                answers(&["www.example.com 300 A 192.0.2.1"])
            }
        });
        let answer = world.resolve("www.example.com", RecordType::A);
        assert_eq!(shown(&answer), ["www.example.com. A 192.0.2.1"]);
        assert_eq!(
            world.asked().last().unwrap(),
            "10.0.0.3 www.example.com. A tcp"
        );
        let view = world
            .infra
            .view(world.now.instant, socket("10.0.0.3"), &Name::root());
        assert!(!view.keeps_case && view.edns);
    }

    #[test]
    fn a_zone_over_its_rate_is_left_alone() {
        let mut world = internet();
        let zone = Name::from_text("example.com").unwrap();
        world.settings.resolution.rate_limits.zone_overrides = vec![(zone, 2)];
        let mut resolve = |name: &str| world.resolve(name, RecordType::A).rcode;
        assert_eq!(resolve("www.example.com"), ResponseCode::NOERROR);
        assert_eq!(resolve("empty.example.com"), ResponseCode::NOERROR);
        assert_eq!(resolve("b.example.com"), ResponseCode::SERVFAIL);
        assert!(world.log.is_empty());
        world.pass(1);
        world.resolve("b.example.com", RecordType::A);
        assert!(!world.log.is_empty());
    }

    #[test]
    fn loss_does_not_take_the_defences_down() {
        let mut world = internet();
        world.settings.resolution.case_randomisation = true;
        let asked = core::cell::Cell::new(0);
        world.server("10.0.0.3", move |plan| {
            asked.set(asked.get() + 1);
            if plan.transport == Transport::Udp && asked.get() > 1 {
                Reaction::Silence
            } else {
                answers(&["x.example.com 0 A 192.0.2.1"])
            }
        });
        world.resolve("x.example.com", RecordType::A);
        let answer = world.resolve("x.example.com", RecordType::A);
        assert_eq!(shown(&answer), ["x.example.com. A 192.0.2.1"]);
        let sent: Vec<bool> = world.log.iter().map(|plan| plan.randomise_case).collect();
        assert_eq!(sent, [true, true, false]);
        assert_eq!(world.log.last().unwrap().transport, Transport::Tcp);
        let view = world
            .infra
            .view(world.now.instant, socket("10.0.0.3"), &Name::root());
        assert!(view.keeps_case && view.edns);
    }

    #[test]
    fn foreign_records_are_left_out() {
        let mut world = internet();
        world.server("10.0.0.3", |_| {
            Reaction::Reply(
                AA,
                texts(&[
                    "www.example.com 300 A 192.0.2.1",
                    "www.bank.org 300 A 6.6.6.6",
                ]),
                texts(&["org 300 NS ns.example.com"]),
                texts(&["a.gtld.com 300 A 6.6.6.6"]),
            )
        });
        let answer = world.resolve("www.example.com", RecordType::A);
        assert_eq!(shown(&answer), ["www.example.com. A 192.0.2.1"]);
        assert!(answer.authority.is_empty() && answer.additional.is_empty());
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

    #[test]
    fn a_hostile_referral_costs_a_bounded_number_of_queries() {
        let mut world = internet();
        world.server("10.0.0.2", |plan| {
            let cut = plan.question.name.suffix(2);
            let ns: Vec<String> = (0..100)
                .map(|number| format!("{cut} 3600 NS n{number}.{cut}victim{number}.com"))
                .collect();
            Reaction::Reply(0, vec![], ns, vec![])
        });
        let answer = world.resolve("www.example.com", RecordType::A);
        assert_eq!(answer.rcode, ResponseCode::SERVFAIL);
        assert!(world.log.len() <= 200, "{}", world.log.len());
    }

    #[test]
    fn priming_is_asked_for_once() {
        let mut world = internet();
        world.settings.resolution.prime_root = true;
        world.server("10.0.0.1", |plan| {
            if plan.question.name.is_root() {
                answers(&[". 86400 NS k.root"])
            } else {
                refers(
                    &["com 86400 NS a.gtld.com"],
                    &["a.gtld.com 86400 A 10.0.0.2"],
                )
            }
        });
        let answer = world.resolve("www.example.com", RecordType::A);
        assert_eq!(answer.rcode, ResponseCode::NOERROR);
        assert_eq!(world.asked()[0], "10.0.0.1 . NS");
        assert_eq!(question(".", RecordType::NS).name, Name::root());
    }

    #[test]
    fn referrals_are_remembered_until_they_expire() {
        let mut world = internet();
        world.resolve("www.example.com", RecordType::A);
        world.resolve("www.empty.example.com", RecordType::A);
        assert_eq!(
            world.asked(),
            [
                "10.0.0.3 empty.example.com. A",
                "10.0.0.3 www.empty.example.com. A"
            ]
        );
        world.pass(4000);
        world.resolve("www.empty.example.com", RecordType::A);
        assert_eq!(world.asked()[0], "10.0.0.2 example.com. A");
    }

    #[test]
    fn a_child_below_an_expired_delegation_is_not_trusted() {
        let mut world = internet();
        world.server("10.0.0.2", |plan| match plan.question.name.label_count() {
            2 => refers(
                &["example.com 5 NS ns.example.com"],
                &["ns.example.com 5 A 10.0.0.3"],
            ),
            _ => denies(ResponseCode::NXDOMAIN, "com 900 SOA 60"),
        });
        world.server("10.0.0.3", |_| {
            refers(
                &["sub.example.com 86400 NS ns.sub.example.com"],
                &["ns.sub.example.com 86400 A 10.0.0.4"],
            )
        });
        world.server("10.0.0.4", |_| {
            answers(&["a.sub.example.com 1 A 192.0.2.9"])
        });
        world.resolve("a.sub.example.com", RecordType::A);
        world.pass(10);
        world.resolve("a.sub.example.com", RecordType::A);
        assert_eq!(world.asked()[0], "10.0.0.2 example.com. A");
    }

    #[test]
    fn glue_leads_on_when_the_zone_contradicts_it() {
        let mut world = internet();
        world.server("10.0.0.3", |plan| {
            match (
                plan.question.name.to_string().as_str(),
                plan.question.record_type,
            ) {
                ("ns.example.com.", RecordType::A) => answers(&["ns.example.com 300 A 10.0.0.9"]),
                ("www.example.org.", RecordType::A) => {
                    answers(&["www.example.org 300 A 192.0.2.2"])
                }
                _ => denies(ResponseCode::NOERROR, "example.com 900 SOA 60"),
            }
        });
        world.server("10.0.0.9", |_| Reaction::Reply(5, vec![], vec![], vec![]));
        let answer = world.resolve("www.example.org", RecordType::A);
        assert_eq!(shown(&answer), ["www.example.org. A 192.0.2.2"]);
        assert!(
            world
                .asked()
                .contains(&"10.0.0.9 www.example.org. A".to_owned())
        );
    }
}
