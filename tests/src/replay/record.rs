//! One record or question of a scenario, from text to octets.

use weir_resolver::rrset::{Class, RecordType};

use crate::replay::record_data::{self, duration};
use crate::replay::token::{TextError, Word, name, words, wrong};

/// What completes the records of a scenario: `$ORIGIN` and `$TTL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// The origin in wire form.
    pub origin: Vec<u8>,
    /// The time to live of records without one.
    pub ttl: u32,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            origin: vec![0],
            ttl: 3600,
        }
    }
}

/// A record, its octets as they go on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The owner in wire form, its case kept.
    pub owner: Vec<u8>,
    /// The type.
    pub record_type: RecordType,
    /// The class.
    pub class: Class,
    /// The time to live in seconds.
    pub ttl: u32,
    /// The record data.
    pub data: Vec<u8>,
}

impl Record {
    /// The record with every name in lower case.
    #[must_use]
    pub fn canonical(&self) -> Self {
        Self {
            owner: self.owner.to_ascii_lowercase(),
            data: record_data::canonical(&self.data, 0, self.data.len(), self.record_type),
            ..self.clone()
        }
    }
}

fn class(text: &str) -> Option<Class> {
    match text.to_ascii_uppercase().as_str() {
        "IN" => Some(Class::IN),
        "CH" => Some(Class::CH),
        "HS" => Some(Class(4)),
        "ANY" => Some(Class::ANY),
        other => other
            .strip_prefix("CLASS")
            .and_then(|number| number.parse().ok())
            .map(Class),
    }
}

fn record_type(word: Option<&Word>) -> Result<RecordType, TextError> {
    let Some(word) = word else {
        return wrong("the record has no type");
    };
    RecordType::from_text(&word.text)
        .map_or_else(|| wrong(format!("{} is not a record type", word.text)), Ok)
}

/// A record from `owner [TTL] [class] type data`.
///
/// # Errors
/// When the line is not a record.
pub fn parse_record(line: &str, defaults: &Defaults) -> Result<Record, TextError> {
    let words = words(line);
    let Some((owner, mut rest)) = words.split_first() else {
        return wrong("the line is empty");
    };
    let mut record = Record {
        owner: name(&owner.text, &defaults.origin)?,
        record_type: RecordType(0),
        class: Class::IN,
        ttl: defaults.ttl,
        data: Vec::new(),
    };
    while let Some((word, tail)) = rest.split_first() {
        if word.text.starts_with(|first: char| first.is_ascii_digit()) {
            record.ttl = duration(&word.text)?;
        } else if let Some(class) = class(&word.text) {
            record.class = class;
        } else {
            break;
        }
        rest = tail;
    }
    record.record_type = record_type(rest.first())?;
    let data = rest.get(1..).unwrap_or_default();
    record.data = record_data::from_words(record.record_type, data, &defaults.origin)?;
    Ok(record)
}

/// A question from `owner [class] type`, as a record without data.
///
/// # Errors
/// When the line is not a question.
pub fn parse_question(line: &str, defaults: &Defaults) -> Result<Record, TextError> {
    let words = words(line);
    let Some((owner, rest)) = words.split_first() else {
        return wrong("the line is empty");
    };
    let (class, record_type) = match rest {
        [class_word, type_word, ..] => match class(&class_word.text) {
            Some(class) => (class, record_type(Some(type_word))?),
            None => (Class::IN, record_type(Some(class_word))?),
        },
        _ => (Class::IN, record_type(rest.first())?),
    };
    Ok(Record {
        owner: name(&owner.text, &defaults.origin)?,
        record_type,
        class,
        ttl: 0,
        data: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_parts_in_any_order() {
        let defaults = Defaults::default();
        for line in [
            "a. 60 IN A 10.0.0.1",
            "a. IN 60 A 10.0.0.1",
            "a 60 A 10.0.0.1 ; x",
        ] {
            let record = parse_record(line, &defaults).unwrap();
            assert_eq!((record.ttl, record.class), (60, Class::IN), "{line}");
            assert_eq!(record.data, [10, 0, 0, 1]);
        }
        assert_eq!(parse_record("a. A 10.0.0.1", &defaults).unwrap().ttl, 3600);
        let chaos = parse_record("id.server. CH TXT \"x\"", &defaults).unwrap();
        assert_eq!(chaos.class, Class::CH);
        assert!(parse_record("a. IN NOSUCH x", &defaults).is_err());
    }

    #[test]
    fn questions_of_any_type_and_class() {
        let defaults = Defaults::default();
        let any = parse_question("a. IN ANY", &defaults).unwrap();
        assert_eq!((any.class, any.record_type), (Class::IN, RecordType::ANY));
        let class = parse_question("a. ANY A", &defaults).unwrap();
        assert_eq!(
            (class.class, class.record_type),
            (Class::ANY, RecordType::A)
        );
        let bare = parse_question("a. MX", &defaults).unwrap();
        assert_eq!(bare.record_type, RecordType::MX);
    }
}
