//! Plays a Deckard scenario: every query is answered before the next step.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use weir_resolver::fetch::FetchFailure;

use crate::replay::driver::{Given, Outstanding};
use crate::replay::message::{Draft, Section};
use crate::replay::reply::reply;
use crate::replay::scenario::{Dialect, Elapse, Entry, Match, Step, StepKind};
use crate::replay::scene::{Scene, at_step};

/// More replies than this to one client query count as a loop.
const REPLIES_MAX: usize = 5000;

/// Plays the steps of a scenario.
///
/// # Errors
/// The first difference.
pub(crate) fn run(scene: &mut Scene<'_>) -> Result<(), String> {
    let mut run = Run {
        scene,
        last: None,
        used: BTreeSet::new(),
    };
    run.play()
}

struct Run<'s, 'a> {
    scene: &'s mut Scene<'a>,
    last: Option<Given>,
    /// The lines of the entries that were used.
    used: BTreeSet<usize>,
}

impl<'a> Run<'_, 'a> {
    fn play(&mut self) -> Result<(), String> {
        for step in &self.scene.scenario.steps {
            self.scene.driver.log.push(format!("step {}", step.number));
            self.step(step).map_err(|what| at_step(step, what))?;
        }
        self.mandatory()
    }

    fn step(&mut self, step: &'a Step) -> Result<(), String> {
        match &step.kind {
            StepKind::Query { client, entry } => self.query(step.number, *client, entry),
            StepKind::CheckAnswer { entry, .. } => self.check_answer(entry),
            StepKind::TimePasses(Elapse::Nanoseconds(nanoseconds)) => self
                .scene
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
            if let Err(error) = self.scene.driver.ask(client, raw, tcp, u16::MAX) {
                self.scene.notes.push(error.0);
            }
            self.pump(number)?;
            self.scene.driver.given.clear();
            return Ok(());
        }
        self.scene
            .driver
            .ask(client, &entry.draft().to_wire(0), tcp, u16::MAX)
            .map_err(|error| error.0)?;
        self.pump(number)?;
        match self.scene.driver.given.pop_back() {
            Some(given) => {
                self.scene.driver.given.clear();
                self.last = Some(given);
                Ok(())
            }
            None => Err("there is no answer".to_owned()),
        }
    }

    /// Answers upstream queries, oldest first, until none is left.
    fn pump(&mut self, number: u32) -> Result<(), String> {
        for _ in 0..REPLIES_MAX {
            let Some(query) = self.scene.driver.outstanding.last().cloned() else {
                return Ok(());
            };
            let octets = match self.entry_for(number, &query) {
                Some(entry) => {
                    self.used.insert(entry.line);
                    reply(entry, &query.octets, &query.message, Dialect::Deckard)
                }
                None => {
                    self.scene.note_unforeseen(&query);
                    Some(server_failure(&query))
                }
            };
            match octets {
                Some(octets) => self.scene.driver.reply(query.fetch, octets),
                None => self.scene.driver.fail(query.fetch, FetchFailure::Timeout),
            }
            .map_err(|error| error.0)?;
        }
        Err("the scenario runs in a circle".to_owned())
    }

    fn entry_for(&self, number: u32, query: &Outstanding) -> Option<&'a Entry> {
        let address = query.server.ip();
        let named = self
            .scene
            .scenario
            .ranges
            .iter()
            .any(|range| range.addresses.iter().any(|server| server.ip() == address));
        let range = self.scene.scenario.ranges.iter().find(|range| {
            (range.first..=range.last).contains(&number)
                && (!named || range.addresses.iter().any(|server| server.ip() == address))
        });
        if let Some(range) = range {
            return range
                .entries
                .iter()
                .find(|entry| self.scene.asks(entry, query));
        }
        self.scene
            .scenario
            .steps
            .iter()
            .find_map(|step| match &step.kind {
                StepKind::Reply(entry)
                    if step.number >= number
                        && !self.used.contains(&entry.line)
                        && self.scene.asks(entry, query) =>
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
        self.scene.answers(entry, given)
    }

    fn mandatory(&self) -> Result<(), String> {
        let entries = self
            .scene
            .scenario
            .ranges
            .iter()
            .flat_map(|range| &range.entries);
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
