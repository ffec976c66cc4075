//! Name compression while a message is written (RFC 1035, 4.1.4).
//!
//! Owns a table of what has been written, of fixed size and without allocation. The work for one message
//! is bounded whatever its names are (CVE-2024-8508 and RUSTSEC-2026-0119 were about such work).

use bytes::{BufMut, BytesMut};

use crate::wire::flags::QUESTION_AT;

/// Names that can be pointed to; also the most pointers in one message, unless the limits say fewer.
const ENTRIES: usize = 120;
/// A name has at most this many labels.
const LABELS: usize = 128;
/// Pointers reach this far.
const REACH: usize = 0x4000;

/// What may be pointed to in the message being written.
pub(crate) struct Compressor {
    /// Where the message starts in the buffer.
    start: usize,
    digests: [u32; ENTRIES],
    positions: [u16; ENTRIES],
    length: usize,
    pointers_left: usize,
}

impl Compressor {
    /// For a message that starts at the buffer's octet `start`, with at most so many pointers.
    pub(crate) fn new(start: usize, pointers_max: usize) -> Self {
        Self {
            start,
            digests: [0; ENTRIES],
            positions: [0; ENTRIES],
            length: 0,
            pointers_left: pointers_max,
        }
    }

    /// A mark to go back to with [`Self::rewind`].
    pub(crate) const fn mark(&self) -> usize {
        self.length
    }

    /// Forgets names written since the mark, when the message is cut back to there.
    pub(crate) const fn rewind(&mut self, mark: usize) {
        self.length = mark;
    }

    /// Remembers the name of the question, which stands right behind the header and was written already.
    pub(crate) fn note_question(&mut self, name: &[u8]) {
        for label in Labels::of(name).iter() {
            self.remember(label, QUESTION_AT);
        }
    }

    /// Writes a name, its longest known ancestor as a pointer.
    pub(crate) fn write(&mut self, out: &mut BytesMut, name: &[u8]) {
        let labels = Labels::of(name);
        let at = out.len() - self.start;
        let mut found = None;
        if self.pointers_left > 0 {
            for label in labels.iter() {
                let suffix = name.get(usize::from(label.start)..).unwrap_or_default();
                if let Some(position) = self.find(out, label.digest, suffix) {
                    found = Some((label, position));
                    break;
                }
            }
        }
        let Some((hit, position)) = found else {
            out.put_slice(name);
            for label in labels.iter() {
                self.remember(label, at);
            }
            return;
        };
        let own = usize::from(hit.start);
        out.put_slice(name.get(..own).unwrap_or_default());
        out.put_u16(0xc000 | position);
        self.pointers_left -= 1;
        for label in labels.iter().take_while(|label| label.start < hit.start) {
            self.remember(label, at);
        }
    }

    fn remember(&mut self, label: Label, name_at: usize) {
        let position = name_at + usize::from(label.start);
        if position >= REACH {
            return;
        }
        let place = (
            self.digests.get_mut(self.length),
            self.positions.get_mut(self.length),
        );
        if let (Some(digest), Some(slot)) = place {
            *digest = label.digest;
            *slot = position as u16;
            self.length += 1;
        }
    }

    fn find(&self, out: &BytesMut, digest: u32, suffix: &[u8]) -> Option<u16> {
        let digests = self.digests.get(..self.length)?;
        let message = out.get(self.start..)?;
        for (index, &own) in digests.iter().enumerate() {
            if own == digest {
                let position = *self.positions.get(index)?;
                if is_at(message, usize::from(position), suffix) {
                    return Some(position);
                }
            }
        }
        None
    }
}

/// Whether the name written at `position` is `name`, without regard to case.
fn is_at(message: &[u8], mut position: usize, name: &[u8]) -> bool {
    let mut rest = name;
    loop {
        let Some(&length) = message.get(position) else {
            return false;
        };
        if length >= 0xc0 {
            let Some(&low) = message.get(position + 1) else {
                return false;
            };
            // Pointers that this file writes lead backward, to a run of labels: this ends.
            position = usize::from(length & 0x3f) << 8 | usize::from(low);
            continue;
        }
        let count = usize::from(length) + 1;
        let (Some(own), Some((part, tail))) = (
            message.get(position..position + count),
            rest.split_at_checked(count),
        ) else {
            return false;
        };
        // The length octets are compared with the rest: they are below every letter.
        if !own.eq_ignore_ascii_case(part) {
            return false;
        }
        if length == 0 {
            return true;
        }
        rest = tail;
        position += count;
    }
}

/// Where a label starts in its name, and a digest of the name from there on.
#[derive(Clone, Copy, Default)]
struct Label {
    start: u8,
    digest: u32,
}

/// The labels of a name, the root label left out: a pointer to it would be longer than itself.
struct Labels {
    labels: [Label; LABELS],
    count: usize,
}

impl Labels {
    fn of(name: &[u8]) -> Self {
        let mut all = Self {
            labels: [Label::default(); LABELS],
            count: 0,
        };
        let mut position = 0usize;
        while let Some(&length) = name.get(position) {
            if length == 0 {
                break;
            }
            let Some(slot) = all.labels.get_mut(all.count) else {
                break;
            };
            slot.start = position as u8;
            all.count += 1;
            position += usize::from(length) + 1;
        }
        let mut digest = 0x811c_9dc5u32;
        let mut end = position;
        for label in all.labels.iter_mut().take(all.count).rev() {
            let start = usize::from(label.start);
            for octet in name.get(start..end).unwrap_or_default() {
                digest = (digest ^ u32::from(octet | 0x20)).wrapping_mul(0x0100_0193);
            }
            label.digest = digest;
            end = start;
        }
        all
    }

    fn iter(&self) -> impl Iterator<Item = Label> {
        self.labels.iter().take(self.count).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_ancestor_becomes_a_pointer() {
        let mut out = BytesMut::from(&b"junk"[..]);
        let mut compressor = Compressor::new(4, 2);
        compressor.write(&mut out, b"\x03WWW\x01a\x00");
        compressor.write(&mut out, b"\x03www\x01a\x00");
        compressor.write(&mut out, b"\x01b\x01A\x00");
        assert_eq!(&out[..], b"junk\x03WWW\x01a\x00\xc0\x00\x01b\xc0\x04");
        // No pointers are left.
        compressor.write(&mut out, b"\x01b\x01a\x00");
        assert!(out.ends_with(b"\xc0\x04\x01b\x01a\x00"));
    }

    #[test]
    fn names_behind_pointers_are_found_and_forgotten() {
        let mut out = BytesMut::new();
        let mut compressor = Compressor::new(0, 100);
        compressor.write(&mut out, b"\x01a\x00");
        let mark = compressor.mark();
        compressor.write(&mut out, b"\x01b\x01a\x00");
        compressor.write(&mut out, b"\x01c\x01b\x01a\x00");
        assert_eq!(&out[..], b"\x01a\x00\x01b\xc0\x00\x01c\xc0\x03");
        compressor.rewind(mark);
        out.truncate(3);
        compressor.write(&mut out, b"\x01c\x01b\x01a\x00");
        assert_eq!(&out[..], b"\x01a\x00\x01c\x01b\xc0\x00");
        compressor.write(&mut out, b"\x00");
        assert!(out.ends_with(b"\x00"));
    }

    #[test]
    fn positions_out_of_reach_are_not_remembered() {
        let mut out = BytesMut::zeroed(REACH - 2);
        let mut compressor = Compressor::new(0, 100);
        compressor.write(&mut out, b"\x01x\x01y\x00");
        let before = out.len();
        compressor.write(&mut out, b"\x01y\x00");
        assert_eq!(out.len(), before + 3);
        compressor.write(&mut out, b"\x01x\x01y\x00");
        assert_eq!(out.len(), before + 5);
    }
}
