//! DNS messages of a scenario: drafts that become octets, and messages read back for comparison.
//!
//! `Draft` keeps what the scenario gave, right or wrong; `Message` is any message with its names in lower
//! case and uncompressed, so that two can be compared. Neither judges whether a message makes sense.

use weir_resolver::rrset::{Class, RecordType};

use crate::replay::record::Record;
use crate::replay::record_data::{canonical, read_name};

/// Header bits by their names in a scenario.
pub const FLAGS: [(&str, u16); 8] = [
    ("QR", 0x8000),
    ("AA", 0x0400),
    ("TC", 0x0200),
    ("RD", 0x0100),
    ("RA", 0x0080),
    ("Z", 0x0040),
    ("AD", 0x0020),
    ("CD", 0x0010),
];

/// The section that a record stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// What was asked.
    Question,
    /// The answer.
    Answer,
    /// Authority.
    Authority,
    /// Additional.
    Additional,
}

/// The OPT record (RFC 6891).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opt {
    /// The UDP payload size.
    pub payload_size: u16,
    /// The EDNS version.
    pub version: u8,
    /// The flags: 0x8000 is DO, 0x4000 CO.
    pub flags: u16,
    /// Option data, whole.
    pub data: Vec<u8>,
}

impl Opt {
    /// The first option with this code.
    #[must_use]
    pub fn option(&self, code: u16) -> Option<&[u8]> {
        let mut rest = self.data.as_slice();
        while let Some((head, tail)) = rest.split_first_chunk::<4>() {
            let [code_high, code_low, length_high, length_low] = *head;
            let length = usize::from(u16::from_be_bytes([length_high, length_low]));
            let value = tail.get(..length)?;
            if u16::from_be_bytes([code_high, code_low]) == code {
                return Some(value);
            }
            rest = tail.get(length..)?;
        }
        None
    }

    /// Takes every option with this code out.
    pub fn remove_option(&mut self, code: u16) {
        let mut kept = Vec::new();
        let mut rest = self.data.as_slice();
        while let Some((head, tail)) = rest.split_first_chunk::<4>() {
            let [code_high, code_low, length_high, length_low] = *head;
            let length = usize::from(u16::from_be_bytes([length_high, length_low])).min(tail.len());
            let (value, after) = tail.split_at(length);
            if u16::from_be_bytes([code_high, code_low]) != code {
                kept.extend_from_slice(head);
                kept.extend_from_slice(value);
            }
            rest = after;
        }
        self.data = kept;
    }
}

/// A message that a scenario describes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// The second and third octet pair of the header, without the response code.
    pub flags: u16,
    /// The opcode.
    pub opcode: u8,
    /// The response code, with its extended part.
    pub rcode: u16,
    /// The records in the order in which they go on the wire.
    pub records: Vec<(Section, Record)>,
    /// The OPT record, the last of the additional section.
    pub opt: Option<Opt>,
}

impl Draft {
    /// The octets, with this identifier.
    #[must_use]
    pub fn to_wire(&self, id: u16) -> Vec<u8> {
        let mut wire = Vec::with_capacity(512);
        let header = self.flags | (u16::from(self.opcode & 15) << 11) | (self.rcode & 15);
        let count = |section| {
            let count = self.records.iter().filter(|(of, _)| *of == section).count();
            let opt = usize::from(section == Section::Additional && self.opt.is_some());
            (count + opt) as u16
        };
        for value in [
            id,
            header,
            count(Section::Question),
            count(Section::Answer),
            count(Section::Authority),
            count(Section::Additional),
        ] {
            wire.extend(value.to_be_bytes());
        }
        for (section, record) in &self.records {
            wire.extend_from_slice(&record.owner);
            wire.extend(record.record_type.0.to_be_bytes());
            wire.extend(record.class.0.to_be_bytes());
            if *section != Section::Question {
                wire.extend(record.ttl.to_be_bytes());
                wire.extend((record.data.len() as u16).to_be_bytes());
                wire.extend_from_slice(&record.data);
            }
        }
        if let Some(opt) = &self.opt {
            wire.push(0);
            wire.extend(RecordType::OPT.0.to_be_bytes());
            wire.extend(opt.payload_size.to_be_bytes());
            wire.push((self.rcode >> 4) as u8);
            wire.push(opt.version);
            wire.extend(opt.flags.to_be_bytes());
            wire.extend((opt.data.len() as u16).to_be_bytes());
            wire.extend_from_slice(&opt.data);
        }
        wire
    }

    /// The message for comparison.
    #[must_use]
    pub fn message(&self) -> Message {
        let section = |wanted| -> Vec<Record> {
            self.records
                .iter()
                .filter(|(section, _)| *section == wanted)
                .map(|(_, record)| record.canonical())
                .collect()
        };
        Message {
            flags: self.flags,
            opcode: self.opcode,
            rcode: self.rcode,
            spelling: self.question().map(|record| record.owner.clone()),
            question: section(Section::Question),
            answer: section(Section::Answer),
            authority: section(Section::Authority),
            additional: section(Section::Additional),
            opt: self.opt.clone(),
        }
    }

    /// The first question.
    #[must_use]
    pub fn question(&self) -> Option<&Record> {
        self.records
            .iter()
            .find(|(section, _)| *section == Section::Question)
            .map(|(_, record)| record)
    }
}

/// A message with its names uncompressed and in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The header's flag bits, opcode and response code taken out.
    pub flags: u16,
    /// The opcode.
    pub opcode: u8,
    /// The response code, with its extended part.
    pub rcode: u16,
    /// The first question's name as it was spelled.
    pub spelling: Option<Vec<u8>>,
    /// The question section.
    pub question: Vec<Record>,
    /// The answer section.
    pub answer: Vec<Record>,
    /// The authority section.
    pub authority: Vec<Record>,
    /// The additional section, without OPT.
    pub additional: Vec<Record>,
    /// The OPT record.
    pub opt: Option<Opt>,
}

impl Message {
    /// Reads a message; none when it is not one.
    #[must_use]
    pub fn parse(wire: &[u8]) -> Option<Self> {
        let mut reader = Reader { wire, at: 12 };
        let header = short(wire, 2)?;
        let mut message = Self {
            flags: header & 0x87f0,
            opcode: ((header >> 11) & 15) as u8,
            rcode: header & 15,
            ..Self::default()
        };
        for _ in 0..short(wire, 4)? {
            let spelled = reader.at;
            message.question.push(reader.question()?);
            if message.spelling.is_none() {
                message.spelling = wire.get(spelled..reader.at - 4).map(<[u8]>::to_vec);
            }
        }
        for _ in 0..short(wire, 6)? {
            message.answer.push(reader.record()?);
        }
        for _ in 0..short(wire, 8)? {
            message.authority.push(reader.record()?);
        }
        for _ in 0..short(wire, 10)? {
            let record = reader.record()?;
            if record.record_type == RecordType::OPT {
                message.rcode |= ((record.ttl >> 24) as u16) << 4;
                message.opt = Some(Opt {
                    payload_size: record.class.0,
                    version: (record.ttl >> 16) as u8,
                    flags: record.ttl as u16,
                    data: record.data,
                });
            } else {
                message.additional.push(record);
            }
        }
        Some(message)
    }
}

fn short(wire: &[u8], at: usize) -> Option<u16> {
    wire.get(at..at + 2).map(|octets| {
        octets
            .iter()
            .fold(0, |value, octet| value << 8 | u16::from(*octet))
    })
}

struct Reader<'a> {
    wire: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn short(&mut self) -> Option<u16> {
        let value = short(self.wire, self.at)?;
        self.at += 2;
        Some(value)
    }

    fn question(&mut self) -> Option<Record> {
        let (owner, next) = read_name(self.wire, self.at)?;
        self.at = next;
        Some(Record {
            owner,
            record_type: RecordType(self.short()?),
            class: Class(self.short()?),
            ttl: 0,
            data: Vec::new(),
        })
    }

    fn record(&mut self) -> Option<Record> {
        let mut record = self.question()?;
        record.ttl = (u32::from(self.short()?) << 16) | u32::from(self.short()?);
        let length = usize::from(self.short()?);
        let end = self.at + length;
        if end > self.wire.len() {
            return None;
        }
        record.data = canonical(self.wire, self.at, end, record.record_type);
        self.at = end;
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::record::{Defaults, parse_question, parse_record};

    #[test]
    fn drafts_read_back() {
        let defaults = Defaults::default();
        let mut draft = Draft {
            flags: 0x8580,
            rcode: 23,
            ..Draft::default()
        };
        let question = parse_question("Www.Example. IN A", &defaults).unwrap();
        draft.records.push((Section::Question, question));
        for (section, line) in [
            (Section::Answer, "www.example. 60 IN CNAME Other.Example."),
            (Section::Additional, "ns.example. IN A 10.0.0.1"),
        ] {
            let record = parse_record(line, &defaults).unwrap();
            draft.records.push((section, record));
        }
        draft.opt = Some(Opt {
            payload_size: 1232,
            version: 0,
            flags: 0x8000,
            data: vec![0, 15, 0, 2, 0, 6, 0, 10, 0, 1, 9],
        });
        let read = Message::parse(&draft.to_wire(7)).unwrap();
        assert_eq!(read, draft.message());
        let mut opt = read.opt.unwrap();
        assert_eq!(opt.option(15), Some(&[0, 6][..]));
        opt.remove_option(15);
        assert_eq!(opt.data, [0, 10, 0, 1, 9]);
    }

    #[test]
    fn cut_messages_are_none() {
        assert_eq!(Message::parse(&[0; 11]), None);
        assert_eq!(Message::parse(&[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]), None);
    }
}
