//! Plays a Deckard scenario: every query is answered before the next step.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use weir_resolver::fetch::FetchFailure;

use crate::replay::config::Config;
use crate::replay::describe::question_text;
use crate::replay::driver::{Driver, Given, Outstanding};
use crate::replay::matching::{Comparison, Terms, fits};
use crate::replay::message::{Draft, Section};
use crate::replay::reply::reply;
use crate::replay::scenario::{Dialect, Elapse, Entry, Match, Scenario, Step, StepKind};

/// More replies than this to one client query count as a loop.
const REPLIES_MAX: usize = 5000;

/// Plays the scenario; gives what is worth noting.
///
/// # Errors
/// The first difference.
pub fn run(
    scenario: &Scenario,
    config: &Config,
    comparison: Comparison,
    log: &mut Vec<String>,
) -> Result<Vec<String>, String> {
    let mut run = Run {
        scenario,
        comparison,
        driver: Driver::new(config.settings.clone(), config.start, None),
        last: None,
        used: BTreeSet::new(),
        notes: Vec::new(),
    };
    let result = run
        .play()
        .and_then(|()| run.driver.difference.take().map_or(Ok(()), Err));
    log.append(&mut run.driver.log);
    result.map(|()| run.notes)
}

struct Run<'a> {
    scenario: &'a Scenario,
    comparison: Comparison,
    driver: Driver,
    last: Option<Given>,
    /// The lines of the entries that were used.
    used: BTreeSet<usize>,
    notes: Vec<String>,
}

impl<'a> Run<'a> {
    fn play(&mut self) -> Result<(), String> {
        for step in &self.scenario.steps {
            self.driver.log.push(format!("step {}", step.number));
            self.step(step)
                .map_err(|what| format!("step {} (line {}): {what}", step.number, step.line))?;
        }
        self.mandatory()
    }

    fn step(&mut self, step: &'a Step) -> Result<(), String> {
        match &step.kind {
            StepKind::Query { client, entry } => self.query(step.number, *client, entry),
            StepKind::CheckAnswer { entry, .. } => self.check_answer(entry),
            StepKind::TimePasses(Elapse::Nanoseconds(nanoseconds)) => self
                .driver
                .advance(Duration::from_nanos(*nanoseconds))
                .map_err(|error| error.0),
            _ => Ok(()),
        }
    }

    fn query(&mut self, number: u32, client: Option<IpAddr>, entry: &Entry) -> Result<(), String> {
        let client = client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let tcp = entry.matches.contains(&Match::Tcp);
        if let Some(raw) = &entry.raw {
            if let Err(error) = self.driver.ask(client, raw, tcp, u16::MAX) {
                self.notes.push(error.0);
            }
            self.pump(number)?;
            self.driver.given.clear();
            return Ok(());
        }
        self.driver
            .ask(client, &entry.draft().to_wire(0), tcp, u16::MAX)
            .map_err(|error| error.0)?;
        self.pump(number)?;
        match self.driver.given.pop_back() {
            Some(given) => {
                self.driver.given.clear();
                self.last = Some(given);
                Ok(())
            }
            None => Err("there is no answer".to_owned()),
        }
    }

    /// Answers upstream queries, oldest first, until none is left.
    fn pump(&mut self, number: u32) -> Result<(), String> {
        for _ in 0..REPLIES_MAX {
            let Some(query) = self.driver.outstanding.last().cloned() else {
                return Ok(());
            };
            let octets = match self.entry_for(number, &query) {
                Some(entry) => {
                    self.used.insert(entry.line);
                    reply(entry, &query.octets, &query.message, Dialect::Deckard)
                }
                None => {
                    self.notes.push(format!(
                        "unforeseen query to {}: {}",
                        query.server.ip(),
                        question_text(&query.message)
                    ));
                    Some(server_failure(&query))
                }
            };
            match octets {
                Some(octets) => self.driver.reply(query.fetch, octets),
                None => self.driver.fail(query.fetch, FetchFailure::Timeout),
            }
            .map_err(|error| error.0)?;
        }
        Err("the scenario runs in a circle".to_owned())
    }

    fn entry_for(&self, number: u32, query: &Outstanding) -> Option<&'a Entry> {
        let address = query.server.ip();
        let named = self
            .scenario
            .ranges
            .iter()
            .any(|range| range.addresses.iter().any(|server| server.ip() == address));
        let range = self.scenario.ranges.iter().find(|range| {
            (range.first..=range.last).contains(&number)
                && (!named || range.addresses.iter().any(|server| server.ip() == address))
        });
        if let Some(range) = range {
            return range.entries.iter().find(|entry| asks(entry, query));
        }
        self.scenario
            .steps
            .iter()
            .find_map(|step| match &step.kind {
                StepKind::Reply(entry)
                    if step.number >= number
                        && !self.used.contains(&entry.line)
                        && asks(entry, query) =>
                {
                    Some(entry)
                }
                _ => None,
            })
    }

    fn check_answer(&self, entry: &Entry) -> Result<(), String> {
        let Some(given) = &self.last else {
            return Err("there is no answer".to_owned());
        };
        let Some(message) = &given.message else {
            return Err("the answer is not a message".to_owned());
        };
        let terms = Terms {
            dialect: Dialect::Deckard,
            comparison: self.comparison,
            tcp: given.tcp,
        };
        fits(entry, message, terms)
    }

    fn mandatory(&self) -> Result<(), String> {
        let entries = self.scenario.ranges.iter().flat_map(|range| &range.entries);
        for entry in entries {
            if entry.mandatory && !self.used.contains(&entry.line) {
                return Err(format!(
                    "the mandatory entry of line {} was not used",
                    entry.line
                ));
            }
        }
        Ok(())
    }
}

/// Whether an upstream query is what an entry says.
fn asks(entry: &Entry, query: &Outstanding) -> bool {
    let terms = Terms {
        dialect: Dialect::Deckard,
        comparison: Comparison::Full,
        tcp: query.tcp,
    };
    fits(entry, &query.message, terms).is_ok()
}

/// SERVFAIL for a query that the scenario does not foresee.
fn server_failure(query: &Outstanding) -> Vec<u8> {
    let mut draft = Draft {
        flags: 0x8000,
        rcode: 2,
        ..Draft::default()
    };
    if let Some(question) = query.message.question.first() {
        let mut question = question.clone();
        question.owner = query.message.spelling.clone().unwrap_or_default();
        draft.records.push((Section::Question, question));
    }
    let id = query
        .octets
        .first_chunk()
        .map_or(0, |octets| u16::from_be_bytes(*octets));
    draft.to_wire(id)
}
