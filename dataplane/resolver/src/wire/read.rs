//! A bounds-checked walk over a message.
//!
//! Owns the cursor and the decompression of names (RFC 1035, 4.1.4). Pointers must point backward, so
//! every name ends (CVE-2024-8508 and older kin were about names that do not).

use crate::name::NAME_MAX;
use crate::rdata::{Field, layout};
use crate::rrset::RecordType;

/// Why octets are not a DNS message that this crate accepts. All of them are the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Malformed {
    /// It ends too early.
    #[error("the message ends too early")]
    Truncated,
    /// A name is broken: too long, a reserved label type, or a pointer that does not point backward.
    #[error("the message holds a broken name")]
    BrokenName,
    /// Record data does not follow the layout of its type.
    #[error("record data does not follow its type")]
    BrokenRdata,
    /// More than one question.
    #[error("the message asks more than one question")]
    Questions,
    /// More than one OPT record, or one in the wrong place (RFC 6891, 6.1.1).
    #[error("the OPT record is wrong or repeated")]
    BrokenEdns,
    /// More records than `Limits::records_per_reply_max`.
    #[error("the message holds too many records")]
    TooManyRecords,
    /// Not a response to a standard query.
    #[error("the message is not a response to a query")]
    NotResponse,
}

/// A name as it stood in the message, uncompressed, in the case it had there.
pub(crate) struct WireName {
    octets: [u8; NAME_MAX],
    length: u8,
}

impl WireName {
    /// Its octets in wire form, the root label included.
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.octets
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }
}

/// A position in a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    message: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    /// A position in a message, in octets from its start.
    pub(crate) const fn new(message: &'a [u8], position: usize) -> Self {
        Self { message, position }
    }

    /// Octets from the start of the message.
    pub(crate) const fn position(&self) -> usize {
        self.position
    }

    /// Whether all of the message is read.
    pub(crate) const fn is_at_end(&self) -> bool {
        self.position == self.message.len()
    }

    /// Reads so many octets.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.position.saturating_add(count);
        let part = self
            .message
            .get(self.position..end)
            .ok_or(Malformed::Truncated)?;
        self.position = end;
        Ok(part)
    }

    /// Reads two octets as a number.
    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        let part = self
            .take(2)?
            .first_chunk::<2>()
            .ok_or(Malformed::Truncated)?;
        Ok(u16::from_be_bytes(*part))
    }

    /// Reads four octets as a number.
    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        let part = self
            .take(4)?
            .first_chunk::<4>()
            .ok_or(Malformed::Truncated)?;
        Ok(u32::from_be_bytes(*part))
    }

    /// Reads a name, following pointers.
    pub(crate) fn name(&mut self) -> Result<WireName, Malformed> {
        let mut name = WireName {
            octets: [0; NAME_MAX],
            length: 0,
        };
        let mut filled = 0usize;
        let mut at = self.position;
        // Where this run of labels began: a pointer must lead to before it.
        let mut run = at;
        let mut after = None;
        loop {
            let length = usize::from(*self.message.get(at).ok_or(Malformed::Truncated)?);
            if length >= 0xc0 {
                let low = *self.message.get(at + 1).ok_or(Malformed::Truncated)?;
                after.get_or_insert(at + 2);
                at = (length & 0x3f) << 8 | usize::from(low);
                if at >= run {
                    return Err(Malformed::BrokenName);
                }
                run = at;
                continue;
            }
            if length > 63 {
                return Err(Malformed::BrokenName);
            }
            let label = self
                .message
                .get(at..=at + length)
                .ok_or(Malformed::Truncated)?;
            name.octets
                .get_mut(filled..=filled + length)
                .ok_or(Malformed::BrokenName)?
                .copy_from_slice(label);
            filled += length + 1;
            at += length + 1;
            if length == 0 {
                break;
            }
        }
        self.position = after.unwrap_or(at);
        name.length = u8::try_from(filled).map_err(|_| Malformed::BrokenName)?;
        Ok(name)
    }

    /// Passes over a name without reading what its pointer leads to.
    pub(crate) fn skip_name(&mut self) -> Result<(), Malformed> {
        loop {
            let length = self.take(1)?.first().copied().unwrap_or(0);
            match length {
                0 => return Ok(()),
                1..=63 => {
                    self.take(usize::from(length))?;
                }
                0xc0.. => {
                    self.take(1)?;
                    return Ok(());
                }
                _ => return Err(Malformed::BrokenName),
            }
        }
    }

    /// Reads `length` octets of record data, appending them uncompressed to `out`.
    pub(crate) fn rdata(
        &mut self,
        record_type: RecordType,
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let end = self.position.saturating_add(length);
        if end > self.message.len() {
            return Err(Malformed::Truncated);
        }
        let fields = layout(record_type).fields;
        for field in fields {
            let rest = self
                .message
                .get(self.position..end)
                .ok_or(Malformed::BrokenRdata)?;
            if matches!(field, Field::Name) {
                out.extend_from_slice(self.name()?.as_slice());
            } else {
                let count = field.length(rest).ok_or(Malformed::BrokenRdata)?;
                out.extend_from_slice(rest.get(..count).ok_or(Malformed::BrokenRdata)?);
                self.position += count;
            }
        }
        if fields.is_empty() {
            out.extend_from_slice(self.take(length)?);
        }
        if self.position == end {
            Ok(())
        } else {
            Err(Malformed::BrokenRdata)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_at(message: &[u8], position: usize) -> Result<Vec<u8>, Malformed> {
        let name = Cursor::new(message, position).name()?;
        Ok(name.as_slice().to_vec())
    }

    #[test]
    fn pointers_lead_backward_only() {
        let message = b"\x01a\x00\x01B\xc0\x00\xc0\x03\xc0\x09";
        assert_eq!(name_at(message, 3).unwrap(), b"\x01B\x01a\x00");
        assert_eq!(name_at(message, 7).unwrap(), b"\x01B\x01a\x00");
        assert_eq!(name_at(message, 9), Err(Malformed::BrokenName));
        assert_eq!(name_at(b"\xc0\x02\x00", 0), Err(Malformed::BrokenName));
        // A pointer into the run that it ends would never end.
        assert_eq!(name_at(b"\x01a\xc0\x00", 0), Err(Malformed::BrokenName));
        assert_eq!(name_at(b"\x40a\x00", 0), Err(Malformed::BrokenName));
        assert_eq!(name_at(b"\x05a\x00", 0), Err(Malformed::Truncated));
    }

    #[test]
    fn a_name_has_255_octets_at_most() {
        let mut wire = Vec::new();
        for _ in 0..127 {
            wire.extend_from_slice(b"\x01a");
        }
        wire.push(0);
        assert_eq!(name_at(&wire, 0).unwrap().len(), 255);
        wire.splice(0..0, *b"\x01b");
        assert_eq!(name_at(&wire, 0), Err(Malformed::BrokenName));
    }

    #[test]
    fn rdata_is_laid_out_as_its_type_says() {
        let soa = b"\x01M\x00\x01r\x00\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\x0e\x10";
        let cases: [(RecordType, &[u8], bool); 8] = [
            (RecordType::A, &[1, 2, 3, 4], true),
            (RecordType::A, &[1, 2, 3, 4, 5], false),
            (RecordType::AAAA, &[1, 2, 3, 4], false),
            (RecordType::SOA, soa, true),
            (RecordType::NS, b"\x01a\x00\x00", false),
            (RecordType(4711), b"", true),
            (RecordType::TXT, b"\x01a\x00", true),
            (
                RecordType::NAPTR,
                b"\0\x01\0\x02\x01S\x00\x00\x01a\x00",
                true,
            ),
        ];
        for (record_type, octets, fits) in cases {
            let mut out = Vec::new();
            let read = Cursor::new(octets, 0).rdata(record_type, octets.len(), &mut out);
            assert_eq!(read.is_ok(), fits, "{record_type} {octets:?}");
            assert!(!fits || out == octets);
        }
    }

    #[test]
    fn rdata_is_uncompressed_and_ends_where_it_says() {
        let message = b"\x01a\x00\x00\x05\x01B\xc0\x00!";
        let mut out = Vec::new();
        let mut cursor = Cursor::new(message, 3);
        assert_eq!(cursor.rdata(RecordType::MX, 6, &mut out), Ok(()));
        assert_eq!(out, b"\x00\x05\x01B\x01a\x00");
        let mut cursor = Cursor::new(message, 3);
        let result = cursor.rdata(RecordType::MX, 7, &mut Vec::new());
        assert_eq!(result, Err(Malformed::BrokenRdata));
        let mut cursor = Cursor::new(message, 3);
        let result = cursor.rdata(RecordType::MX, 5, &mut Vec::new());
        assert_eq!(result, Err(Malformed::BrokenRdata));
        let mut cursor = Cursor::new(message, 3);
        let result = cursor.rdata(RecordType::NULL, 8, &mut Vec::new());
        assert_eq!(result, Err(Malformed::Truncated));
    }
}
