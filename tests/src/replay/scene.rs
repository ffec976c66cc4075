//! What a scenario of either dialect is played on.
//!
//! Owns the driver beside the scenario, what fits what in its dialect, and the notes. Never chooses what comes next:
//! `run` and `run_deckard` do.

use crate::replay::anchor_file;
use crate::replay::config::Config;
use crate::replay::describe::question_text;
use crate::replay::driver::{Driver, Given, Outstanding};
use crate::replay::matching::{Comparison, Terms, fits};
use crate::replay::scenario::{Dialect, Entry, Scenario, Step};

/// A scenario being played.
pub(crate) struct Scene<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) driver: Driver,
    /// What is worth noting.
    pub(crate) notes: Vec<String>,
    comparison: Comparison,
}

impl<'a> Scene<'a> {
    /// Before the first step.
    ///
    /// # Errors
    /// The configuration has no sense here.
    pub(crate) fn new(
        scenario: &'a Scenario,
        config: &Config,
        comparison: Comparison,
    ) -> Result<Self, String> {
        let mut config = config.clone();
        let tracking = match scenario.dialect {
            Dialect::Testbound => anchor_file::tracking(&mut config)?,
            Dialect::Deckard => None,
        };
        Ok(Self {
            scenario,
            driver: Driver::new(config.settings, config.start, tracking),
            notes: Vec::new(),
            comparison,
        })
    }

    /// Takes what the steps came to, and what the driver saw that no step looks for; gives the notes.
    pub(crate) fn end(
        mut self,
        result: Result<(), String>,
        log: &mut Vec<String>,
    ) -> Result<Vec<String>, String> {
        let result = result.and_then(|()| self.driver.difference.take().map_or(Ok(()), Err));
        log.append(&mut self.driver.log);
        result.map(|()| self.notes)
    }

    /// Whether an upstream query is what an entry says.
    pub(crate) fn asks(&self, entry: &Entry, query: &Outstanding) -> bool {
        fits(
            entry,
            &query.message,
            self.terms(Comparison::Full, query.tcp),
        )
        .is_ok()
    }

    /// Whether an answer is what an entry says.
    ///
    /// # Errors
    /// The first difference.
    pub(crate) fn answers(&self, entry: &Entry, given: &Given) -> Result<(), String> {
        let Some(message) = &given.message else {
            return Err("the answer is not a message".to_owned());
        };
        fits(entry, message, self.terms(self.comparison, given.tcp))
    }

    /// Notes a query that the scenario has no reply for.
    pub(crate) fn note_unforeseen(&mut self, query: &Outstanding) {
        self.notes.push(format!(
            "unforeseen query to {}: {}",
            query.server.ip(),
            question_text(&query.message)
        ));
    }

    const fn terms(&self, comparison: Comparison, tcp: bool) -> Terms {
        Terms {
            dialect: self.scenario.dialect,
            comparison,
            tcp,
        }
    }
}

/// A difference, with the step where it was seen.
pub(crate) fn at_step(step: &Step, what: impl core::fmt::Display) -> String {
    format!("step {} (line {}): {what}", step.number, step.line)
}
