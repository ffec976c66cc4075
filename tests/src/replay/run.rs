//! Plays a testbound scenario: the loop of steps.
//!
//! Owns the order in which replies, checks and steps happen. Never looks into the core.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use weir_resolver::fetch::FetchFailure;
use weir_resolver::key::FetchId;

use crate::replay::anchor_file;
use crate::replay::describe::question_text;
use crate::replay::driver::{DriverError, Outstanding};
use crate::replay::macro_expansion::Macros;
use crate::replay::reply::reply;
use crate::replay::scenario::{Dialect, Elapse, Entry, Match, Step, StepKind};
use crate::replay::scene::{Scene, at_step};
use crate::replay::state_steps;

/// More rounds than this count as a loop.
const ROUNDS_MAX: usize = 5000;
/// The largest UDP answer (`max-udp-size`).
const UDP_MAX: u16 = 1232;

/// Plays the steps of a scenario.
///
/// # Errors
/// The first difference.
pub(crate) fn run(scene: &mut Scene<'_>) -> Result<(), String> {
    let mut run = Run {
        scene,
        next: 0,
        macros: Macros::default(),
    };
    run.play()
}

struct Run<'s, 'a> {
    scene: &'s mut Scene<'a>,
    next: usize,
    macros: Macros,
}

impl<'a> Run<'_, 'a> {
    fn play(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            let Some(step) = self.scene.scenario.steps.get(self.next) else {
                return self.end();
            };
            let line = format!("step {}", step.number);
            if !self.scene.driver.log.contains(&line) {
                self.scene.driver.log.push(line);
            }
            self.round(step).map_err(|what| at_step(step, what))?;
        }
        Err("the scenario runs in a circle".to_owned())
    }

    fn round(&mut self, step: &'a Step) -> Result<(), String> {
        match &step.kind {
            StepKind::CheckOutQuery { server, entry } => {
                let found = self.scene.driver.outstanding.iter().find(|query| {
                    server.is_none_or(|server| server == query.server)
                        && self.scene.asks(entry, query)
                });
                if let Some(query) = found.cloned() {
                    self.next += 1;
                    if entry.adjust.copy_id {
                        self.answer(entry, &query)?;
                    }
                    return Ok(());
                }
            }
            StepKind::CheckAnswer { client, entry } if self.check_answer(*client, entry)? => {
                self.next += 1;
                return Ok(());
            }
            _ => {}
        }
        if let Some((entry, query)) = self.range_reply(step.number) {
            return self.answer(entry, &query);
        }
        self.execute(step)
    }

    fn range_reply(&self, number: u32) -> Option<(&'a Entry, Outstanding)> {
        self.scene.driver.outstanding.iter().find_map(|query| {
            let ranges = self.scene.scenario.ranges.iter().rev().filter(|range| {
                (range.first..=range.last).contains(&number)
                    && (range.addresses.is_empty() || range.addresses.contains(&query.server))
            });
            ranges
                .flat_map(|range| &range.entries)
                .find(|entry| self.scene.asks(entry, query))
                .map(|entry| (entry, query.clone()))
        })
    }

    fn answer(&mut self, entry: &Entry, query: &Outstanding) -> Result<(), String> {
        let result = match reply(entry, &query.octets, &query.message, Dialect::Testbound) {
            Some(octets) => self.scene.driver.reply(query.fetch, octets),
            None => self.scene.driver.fail(query.fetch, FetchFailure::Timeout),
        };
        self.settle(result)
    }

    /// After every event: queries that were sent may be what the step waits for.
    fn settle(&mut self, result: Result<(), DriverError>) -> Result<(), String> {
        result.map_err(|error| error.0)?;
        for fetch in core::mem::take(&mut self.scene.driver.sent) {
            let Some(step) = self.scene.scenario.steps.get(self.next) else {
                continue;
            };
            let StepKind::CheckOutQuery { server, entry } = &step.kind else {
                continue;
            };
            let fitting = self.scene.driver.outstanding.iter().any(|query| {
                query.fetch == fetch
                    && server.is_none_or(|server| server == query.server)
                    && self.scene.asks(entry, query)
            });
            if fitting {
                self.next += 1;
            }
        }
        Ok(())
    }

    /// Takes the oldest answer that fits; false when there is no answer at all.
    fn check_answer(&mut self, client: Option<IpAddr>, entry: &Entry) -> Result<bool, String> {
        let mut first_difference = None;
        for (at, given) in self.scene.driver.given.iter().enumerate() {
            if client.is_some_and(|client| client != given.client) {
                continue;
            }
            match self.scene.answers(entry, given) {
                Ok(()) => {
                    self.scene.driver.given.remove(at);
                    return Ok(true);
                }
                Err(difference) => {
                    first_difference.get_or_insert(difference);
                }
            }
        }
        first_difference.map_or(Ok(false), Err)
    }

    fn execute(&mut self, step: &'a Step) -> Result<(), String> {
        match &step.kind {
            StepKind::CheckAnswer { .. } => self.give_up_one("there is no answer"),
            StepKind::CheckOutQuery { .. } => self.give_up_one("no such query is outstanding"),
            StepKind::Query { client, entry } => {
                self.next += 1;
                let octets = entry
                    .raw
                    .clone()
                    .unwrap_or_else(|| entry.draft().to_wire(0));
                let client = client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
                let tcp = entry.matches.contains(&Match::Tcp);
                let asked = self.scene.driver.ask(client, &octets, tcp, UDP_MAX);
                self.settle(asked)
            }
            StepKind::Reply(entry) => {
                let Some(query) = self.wanted(entry) else {
                    return Err("no query is outstanding".to_owned());
                };
                self.next += 1;
                self.answer(entry, &query)
            }
            StepKind::Timeout => self.fail_newest(FetchFailure::Timeout),
            StepKind::Error => self.fail_newest(FetchFailure::Unreachable),
            _ => {
                self.next += 1;
                self.execute_quiet(&step.kind)
            }
        }
    }

    /// Steps that neither ask nor answer.
    fn execute_quiet(&mut self, kind: &StepKind) -> Result<(), String> {
        self.macros.time = self.scene.driver.clock();
        self.macros.timeout = self.scene.driver.timeout();
        match kind {
            StepKind::TimePasses(elapse) => {
                let nanoseconds = match elapse {
                    Elapse::Nanoseconds(nanoseconds) => *nanoseconds,
                    Elapse::Expression(expression) => {
                        let text = self.macros.expand(expression)?;
                        let seconds: f64 = text
                            .parse()
                            .map_err(|_| format!("{text} is not a number of seconds"))?;
                        (seconds * 1e9) as u64
                    }
                };
                let result = self.scene.driver.advance(Duration::from_nanos(nanoseconds));
                self.settle(result)
            }
            StepKind::Assign {
                variable,
                expression,
            } => {
                let value = self.macros.expand(expression)?;
                self.macros.variables.insert(variable.clone(), value);
                Ok(())
            }
            StepKind::CheckAutotrust { lines, .. } => {
                let lines: Result<Vec<String>, String> =
                    lines.iter().map(|line| self.macros.expand(line)).collect();
                match self.scene.driver.tracking() {
                    Some(tracking) => anchor_file::check(&lines?, tracking),
                    None => Err("no trust anchor is tracked".to_owned()),
                }
            }
            _ => state_steps::execute(&self.scene.driver, kind, &mut self.scene.notes),
        }
    }

    /// Lets the newest query that nobody answers time out, since nothing else can happen.
    fn give_up_one(&mut self, otherwise: &str) -> Result<(), String> {
        let Some(query) = self.scene.driver.outstanding.first() else {
            return Err(otherwise.to_owned());
        };
        let query = query.clone();
        self.scene.note_unforeseen(&query);
        let fetch = query.fetch;
        let result = self.scene.driver.fail(fetch, FetchFailure::Timeout);
        self.settle(result)
    }

    /// The newest query that asks what the entry's question says, else the newest of all.
    fn wanted(&self, entry: &Entry) -> Option<Outstanding> {
        let template = entry.draft().message();
        let outstanding = &self.scene.driver.outstanding;
        outstanding
            .iter()
            .find(|query| query.message.question == template.question)
            .or_else(|| outstanding.first())
            .cloned()
    }

    fn fail_newest(&mut self, failure: FetchFailure) -> Result<(), String> {
        self.next += 1;
        let fetch: Option<FetchId> = self
            .scene
            .driver
            .outstanding
            .first()
            .map(|query| query.fetch);
        match fetch {
            Some(fetch) => {
                let result = self.scene.driver.fail(fetch, failure);
                self.settle(result)
            }
            None => {
                self.scene
                    .notes
                    .push("a timeout with nothing outstanding".to_owned());
                Ok(())
            }
        }
    }

    fn end(&mut self) -> Result<(), String> {
        if !self.scene.driver.given.is_empty() {
            return Err("an answer was given that no step takes".to_owned());
        }
        for query in &self.scene.driver.outstanding {
            let question = question_text(&query.message);
            self.scene
                .notes
                .push(format!("still outstanding: {question}"));
        }
        Ok(())
    }
}
