//! What is wrong with a document: each problem with the path of its field and what to change.
//!
//! Owns how paths are built; never decides what is wrong.

use std::fmt;
use std::time::Duration;

use crate::unit::{duration, size};

/// One thing to change in a document.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The path of the field, such as `resolution.forwardZones[0].name`; empty for the whole
    /// document.
    pub field: String,
    /// A sentence that says what to change.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            formatter.write_str(&self.message)
        } else {
            write!(formatter, "{}: {}", self.field, self.message)
        }
    }
}

/// The problems found so far, and the path of the field that is being looked at.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
    path: Vec<String>,
}

impl Problems {
    /// Looks at a field below the current one.
    pub(crate) fn field(&mut self, name: &str, look: impl FnOnce(&mut Self)) {
        let segment = if self.path.is_empty() {
            name.to_owned()
        } else {
            format!(".{name}")
        };
        self.path.push(segment);
        look(self);
        self.path.pop();
    }

    /// Looks at each item of a list field below the current one.
    pub(crate) fn items<'a, T>(
        &mut self,
        name: &str,
        items: &'a [T],
        mut look: impl FnMut(&mut Self, &'a T),
    ) {
        self.field(name, |problems| {
            for (index, item) in items.iter().enumerate() {
                problems.path.push(format!("[{index}]"));
                look(problems, item);
                problems.path.pop();
            }
        });
    }

    /// Notes a problem of a field below the current one.
    pub(crate) fn add(&mut self, name: &str, message: impl Into<String>) {
        self.field(name, |problems| problems.here(message));
    }

    /// Notes a problem of the current field itself.
    pub(crate) fn here(&mut self, message: impl Into<String>) {
        self.found.push(Problem {
            field: self.path.concat(),
            message: message.into(),
        });
    }

    /// Notes a problem of a field below the current one unless the value lies within the bounds.
    pub(crate) fn within<T: PartialOrd + fmt::Display>(
        &mut self,
        name: &str,
        value: T,
        least: T,
        most: T,
    ) {
        if value < least || value > most {
            self.add(
                name,
                format!("{value} is out of range: use {least} to {most}"),
            );
        }
    }

    /// Everything that was found, in the order of the document.
    pub(crate) fn into_found(self) -> Vec<Problem> {
        self.found
    }
}

impl Problems {
    /// As [`Problems::within`] for a duration, with bounds in milliseconds.
    pub(crate) fn duration(&mut self, name: &str, value: Duration, least: u64, most: u64) {
        let (least, most) = (Duration::from_millis(least), Duration::from_millis(most));
        if value < least || value > most {
            let [value, least, most] = [value, least, most].map(duration::format);
            self.add(
                name,
                format!("{value} is out of range: use {least} to {most}"),
            );
        }
    }

    /// As [`Problems::within`] for a size in bytes.
    pub(crate) fn size(&mut self, name: &str, value: u64, least: u64, most: u64) {
        if value < least || value > most {
            let [value, least, most] = [value, least, most].map(size::format);
            self.add(
                name,
                format!("{value} is out of range: use {least} to {most}"),
            );
        }
    }
}
