//! What one entry of the cache holds, as octets in one allocation.
//!
//! Owns the packed form of RRsets and of messages, and reading it without copying. A single address with its
//! name takes some thirty octets here. Never judges freshness or trust.

use crate::answer::{Answer, ExtendedError, ResponseCode};
use crate::rdata::name_length;
use crate::rrset::{Class, RecordType, Rrset};
use crate::wire::RrsetView;

/// No extended error.
const NO_ERROR: u16 = u16::MAX;

/// The name at the start of every block.
pub(crate) fn name_of(block: &[u8]) -> &[u8] {
    name_length(block)
        .and_then(|length| block.get(..length))
        .unwrap_or_default()
}

/// Packs one RRset under its owner.
pub(crate) fn pack_rrset(set: &Rrset) -> Box<[u8]> {
    let owner = set.owner.as_wire();
    let rdata = set.rdata.as_packed();
    let signatures = set.signatures.as_packed();
    let mut block = Vec::with_capacity(owner.len() + 4 + rdata.len() + signatures.len());
    block.extend_from_slice(owner);
    put_length(&mut block, rdata.len());
    block.extend_from_slice(rdata);
    block.extend_from_slice(signatures);
    block.into_boxed_slice()
}

/// The record data and the signatures of a packed RRset, each in packed form.
pub(crate) fn rrset_parts(block: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = block.get(name_length(block)?..)?;
    let (length, rest) = take_length(rest)?;
    rest.split_at_checked(length)
}

fn put_length(block: &mut Vec<u8>, length: usize) {
    // A message has at most 65 535 octets and so has everything in it.
    block.extend_from_slice(&u32::try_from(length).unwrap_or(0).to_be_bytes());
}

fn take_length(block: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = block.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*length) as usize, rest))
}

/// Packs a whole answer under the name that was asked for.
///
/// `ttl_of` gives each RRset the time to live that it is kept with.
pub(crate) fn pack_message(name: &[u8], answer: &Answer, ttl_of: impl Fn(u32) -> u32) -> Box<[u8]> {
    let mut block = name.to_vec();
    block.extend_from_slice(&answer.rcode.0.to_be_bytes());
    let error = answer.extended_error.map_or(NO_ERROR, |error| error.0);
    block.extend_from_slice(&error.to_be_bytes());
    let sections = [&answer.answer, &answer.authority, &answer.additional];
    for section in sections {
        let count = u16::try_from(section.len()).unwrap_or(u16::MAX);
        block.extend_from_slice(&count.to_be_bytes());
    }
    for set in sections
        .into_iter()
        .flat_map(|section| section.iter().take(usize::from(u16::MAX)))
    {
        block.extend_from_slice(set.owner.as_wire());
        block.extend_from_slice(&set.record_type.0.to_be_bytes());
        block.extend_from_slice(&set.class.0.to_be_bytes());
        block.extend_from_slice(&ttl_of(set.ttl).to_be_bytes());
        put_length(&mut block, set.rdata.as_packed().len());
        block.extend_from_slice(set.rdata.as_packed());
        put_length(&mut block, set.signatures.as_packed().len());
        block.extend_from_slice(set.signatures.as_packed());
    }
    block.into_boxed_slice()
}

/// A packed message, its RRsets still in their block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageView<'a> {
    pub(crate) rcode: ResponseCode,
    pub(crate) extended_error: Option<ExtendedError>,
    counts: [u16; 3],
    sets: &'a [u8],
}

impl<'a> MessageView<'a> {
    /// Reads a packed message in place; none when it is cut off.
    pub(crate) fn read(block: &'a [u8]) -> Option<Self> {
        let rest = block.get(name_length(block)?..)?;
        let (head, sets) = rest.split_first_chunk::<10>()?;
        let mut fields = head
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| u16::from_be_bytes(*pair));
        Some(Self {
            rcode: ResponseCode(fields.next()?),
            extended_error: fields
                .next()
                .filter(|&code| code != NO_ERROR)
                .map(ExtendedError),
            counts: [fields.next()?, fields.next()?, fields.next()?],
            sets,
        })
    }

    /// The answer, authority and additional sections; `ttl_of` gives each RRset the time to live left.
    pub(crate) fn sections(self, age: Age) -> [Sets<'a>; 3] {
        let [answer, authority, additional] = self.counts;
        let mut first = Sets {
            rest: self.sets,
            left: answer,
            age,
        };
        let answers = first;
        first.skip_all();
        let second = Sets {
            rest: first.rest,
            left: authority,
            age,
        };
        let mut walk = second;
        walk.skip_all();
        let third = Sets {
            rest: walk.rest,
            left: additional,
            age,
        };
        [answers, second, third]
    }
}

/// How the time to live of a kept RRset is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age {
    /// Seconds since it was stored.
    pub(crate) elapsed: u32,
    /// What an expired RRset shows (RFC 8767, 4).
    pub(crate) expired_ttl: u32,
}

impl Age {
    /// What is left, in seconds, of a TTL that was `kept`; that of stale records when nothing is.
    pub(crate) const fn ttl(self, kept: u32) -> u32 {
        match kept.saturating_sub(self.elapsed) {
            0 => self.expired_ttl,
            left => left,
        }
    }
}

/// The RRsets of one section of a packed message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sets<'a> {
    rest: &'a [u8],
    left: u16,
    age: Age,
}

impl<'a> Sets<'a> {
    /// A section of no RRset, or of one that is not part of a packed message: see [`Section`].
    fn read(&mut self) -> Option<RrsetView<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (owner, rest) = self.rest.split_at_checked(name_length(self.rest)?)?;
        let (head, rest) = rest.split_first_chunk::<8>()?;
        let &[type_high, type_low, class_high, class_low, ttl @ ..] = head;
        let (length, rest) = take_length(rest)?;
        let (rdata, rest) = rest.split_at_checked(length)?;
        let (length, rest) = take_length(rest)?;
        let (signatures, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(RrsetView {
            owner,
            record_type: RecordType(u16::from_be_bytes([type_high, type_low])),
            class: Class(u16::from_be_bytes([class_high, class_low])),
            ttl: self.age.ttl(u32::from_be_bytes(ttl)),
            rdata,
            signatures,
        })
    }

    fn skip_all(&mut self) {
        while self.read().is_some() {}
    }
}

/// One section of an answer, whether it is kept as a message or as an RRset alone.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Section<'a> {
    /// At most one RRset.
    One(Option<RrsetView<'a>>),
    /// Those of a packed message.
    Many(Sets<'a>),
}

impl<'a> Iterator for Section<'a> {
    type Item = RrsetView<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::One(set) => set.take(),
            Self::Many(sets) => sets.read(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::name::Name;
    use crate::rrset::RdataList;

    fn set(owner: &str, ttl: u32) -> Rrset {
        Rrset {
            owner: Name::from_text(owner).unwrap(),
            record_type: RecordType::A,
            class: Class::IN,
            ttl,
            rdata: RdataList::new([&[1, 2, 3, 4][..], &[5, 6, 7, 8]]),
            signatures: RdataList::new([&b"sig"[..]]),
        }
    }

    #[test]
    fn rrsets_come_back() {
        let set = set("a.example", 7);
        let block = pack_rrset(&set);
        assert_eq!(name_of(&block), set.owner.as_wire());
        let (rdata, signatures) = rrset_parts(&block).unwrap();
        assert_eq!(rdata, set.rdata.as_packed());
        assert_eq!(signatures, set.signatures.as_packed());
    }

    #[test]
    fn messages_come_back_older() {
        let answer = Answer {
            answer: vec![Arc::new(set("a.example", 100)), Arc::new(set("b", 50))],
            authority: vec![Arc::new(set("c", 10))],
            ..Answer::empty(ResponseCode::NXDOMAIN, Some(ExtendedError::OTHER))
        };
        let block = pack_message(b"\x01q\x00", &answer, |ttl| ttl.min(80));
        let view = MessageView::read(&block).unwrap();
        assert_eq!(
            (view.rcode, view.extended_error),
            (answer.rcode, answer.extended_error)
        );
        let age = Age {
            elapsed: 20,
            expired_ttl: 3,
        };
        let sections = view.sections(age).map(|sets| {
            Section::Many(sets)
                .map(|set| (set.owner.to_vec(), set.ttl))
                .collect::<Vec<_>>()
        });
        assert_eq!(
            sections,
            [
                vec![
                    (b"\x01a\x07example\x00".to_vec(), 60),
                    (b"\x01b\x00".to_vec(), 30)
                ],
                vec![(b"\x01c\x00".to_vec(), 3)],
                vec![]
            ]
        );
    }
}
