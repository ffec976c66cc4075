//! The lines of a scenario, numbered, without comments.

use crate::replay::record::Defaults;
use crate::replay::record_data::duration;
use crate::replay::token::name;

/// A line that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ParseError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// A cursor over the lines of a file.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    rest: core::iter::Enumerate<core::str::Lines<'a>>,
    number: usize,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            rest: text.lines().enumerate(),
            number: 0,
        }
    }

    /// The number of the line that was read last.
    pub(crate) const fn number(&self) -> usize {
        self.number
    }

    /// An error at the line that was read last.
    pub(crate) fn error(&self, what: impl Into<String>) -> ParseError {
        ParseError {
            line: self.number,
            what: what.into(),
        }
    }

    /// The next line as it stands.
    pub(crate) fn next_verbatim(&mut self) -> Option<&'a str> {
        let (index, line) = self.rest.next()?;
        self.number = index + 1;
        Some(line)
    }

    /// The next line that is neither blank nor a comment, without white space around it.
    pub(crate) fn next_significant(&mut self) -> Option<&'a str> {
        loop {
            let line = self.next_verbatim()?.trim();
            if !line.is_empty() && !line.starts_with(';') {
                return Some(line);
            }
        }
    }

    /// Whether the line is `$ORIGIN` or `$TTL`, which it then obeys.
    pub(crate) fn directive(
        &self,
        line: &str,
        defaults: &mut Defaults,
    ) -> Result<bool, ParseError> {
        let mut words = line.split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default();
        let value = words.next().unwrap_or_default();
        match keyword {
            "$ORIGIN" => {
                defaults.origin =
                    name(value, &defaults.origin).map_err(|error| self.error(error.0))?;
            }
            "$TTL" => {
                defaults.ttl = duration(value).map_err(|error| self.error(error.0))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}
