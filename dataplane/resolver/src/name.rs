//! Domain names in canonical wire form.
//!
//! Owns `Name`: always lower case (RFC 4034, 6.2), at most 255 octets (RFC 1035, 3.1), compared
//! octet by octet for equality and by RFC 4034, 6.1 for order. Never keeps a client's spelling:
//! that travels beside it, with the query.

use core::fmt;
use std::sync::Arc;

/// Names up to this many octets are kept in place; longer ones on the heap, shared by their clones.
const INLINE_MAX: usize = 38;
/// RFC 1035, 3.1: a name is 255 octets or less.
pub const NAME_MAX: usize = 255;
/// RFC 1035, 3.1: a label is 63 octets or less.
pub const LABEL_MAX: usize = 63;

/// A domain name: its labels, each with its length before it, ending with the root label.
#[derive(Clone)]
pub struct Name(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE_MAX] },
    Heap(Arc<[u8]>),
}

/// Why some bytes or text are not a domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name ends before its root label.
    #[error("the name ends before its root label")]
    Truncated,
    /// More than 255 octets.
    #[error("the name is longer than 255 octets")]
    TooLong,
    /// A label of more than 63 octets, or a compression pointer where none may stand.
    #[error("a label is longer than 63 octets")]
    LabelTooLong,
    /// An empty label inside the name, as in `a..b`.
    #[error("the name has an empty label")]
    EmptyLabel,
    /// A backslash that is followed by neither a character nor three digits up to 255.
    #[error("the name has a broken escape")]
    BadEscape,
}

impl Name {
    /// The root.
    #[must_use]
    pub const fn root() -> Self {
        Self(Repr::Inline {
            len: 1,
            bytes: [0; INLINE_MAX],
        })
    }

    /// Reads an uncompressed name that fills `wire` exactly, and lowers its case.
    ///
    /// # Errors
    /// When `wire` is not one whole uncompressed name.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        let mut rest = wire;
        loop {
            let (&length, tail) = rest.split_first().ok_or(NameError::Truncated)?;
            let length = usize::from(length);
            if length == 0 {
                if !tail.is_empty() {
                    return Err(NameError::EmptyLabel);
                }
                break;
            }
            if length > LABEL_MAX {
                return Err(NameError::LabelTooLong);
            }
            rest = tail.get(length..).ok_or(NameError::Truncated)?;
        }
        if wire.len() > NAME_MAX {
            return Err(NameError::TooLong);
        }
        Ok(Self::from_checked(wire))
    }

    /// `wire` is known to be a whole name; copies it in lower case.
    fn from_checked(wire: &[u8]) -> Self {
        let mut bytes = [0u8; INLINE_MAX];
        if let (Some(place), Ok(len)) = (bytes.get_mut(..wire.len()), u8::try_from(wire.len())) {
            place.copy_from_slice(wire);
            // Length octets are below 64 and so never mistaken for an upper-case letter.
            place.make_ascii_lowercase();
            Self(Repr::Inline { len, bytes })
        } else {
            let mut heap: Vec<u8> = wire.to_vec();
            heap.make_ascii_lowercase();
            Self(Repr::Heap(heap.into()))
        }
    }

    /// Reads presentation form (RFC 1035, 5.1): labels with dots between, `\.` and `\ddd` escapes,
    /// with or without the final dot.
    ///
    /// # Errors
    /// When the text is not a name.
    pub fn from_text(text: &str) -> Result<Self, NameError> {
        let mut wire: Vec<u8> = Vec::with_capacity(text.len() + 2);
        let mut label: Vec<u8> = Vec::with_capacity(LABEL_MAX);
        if text == "." || text.is_empty() {
            return Ok(Self::root());
        }
        let mut bytes = text.bytes();
        let mut finish = |label: &mut Vec<u8>| -> Result<(), NameError> {
            if label.is_empty() {
                return Err(NameError::EmptyLabel);
            }
            let length = u8::try_from(label.len()).map_err(|_| NameError::LabelTooLong)?;
            if label.len() > LABEL_MAX {
                return Err(NameError::LabelTooLong);
            }
            wire.push(length);
            wire.append(label);
            Ok(())
        };
        let mut ended = false;
        while let Some(byte) = bytes.next() {
            ended = false;
            match byte {
                b'.' => {
                    finish(&mut label)?;
                    ended = true;
                }
                b'\\' => label.push(unescape(&mut bytes)?),
                _ => label.push(byte),
            }
        }
        if !ended {
            finish(&mut label)?;
        }
        wire.push(0);
        if wire.len() > NAME_MAX {
            return Err(NameError::TooLong);
        }
        Ok(Self::from_checked(&wire))
    }

    /// The name's octets in wire form, lower case, with the root label at the end.
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Repr::Heap(bytes) => bytes,
        }
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.as_wire().len() == 1
    }

    /// The labels from the left, without the root label.
    pub fn labels(&self) -> Labels<'_> {
        Labels {
            rest: self.as_wire(),
        }
    }

    /// How many labels the name has, the root label not counted.
    #[must_use]
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// The name without its leftmost label; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let wire = self.as_wire();
        let first = usize::from(*wire.first()?);
        if first == 0 {
            return None;
        }
        Some(Self::from_checked(wire.get(first + 1..)?))
    }

    /// The name and all names above it, the root last.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + use<> {
        core::iter::successors(Some(self.clone()), Self::parent)
    }

    /// The rightmost `count` labels; the whole name when it has no more than that.
    #[must_use]
    pub fn suffix(&self, count: usize) -> Self {
        let mut skip = self.label_count().saturating_sub(count);
        let mut rest = self.as_wire();
        while skip > 0 {
            let first = rest.first().map_or(0, |&length| usize::from(length));
            rest = rest.get(first + 1..).unwrap_or(&[0]);
            skip -= 1;
        }
        Self::from_checked(rest)
    }

    /// Whether this name is `ancestor` or lies below it.
    #[must_use]
    pub fn is_within(&self, ancestor: &Self) -> bool {
        let own = self.as_wire();
        let suffix = ancestor.as_wire();
        let Some(start) = own.len().checked_sub(suffix.len()) else {
            return false;
        };
        if own.get(start..) != Some(suffix) {
            return false;
        }
        // The suffix must begin at a label.
        let mut position = 0;
        while position < start {
            position += own
                .get(position)
                .map_or(1, |&length| usize::from(length) + 1);
        }
        position == start
    }

    /// The longest name that both lie within.
    #[must_use]
    pub fn common_ancestor(&self, other: &Self) -> Self {
        let mut candidate = self.clone();
        while !other.is_within(&candidate) {
            match candidate.parent() {
                Some(parent) => candidate = parent,
                None => break,
            }
        }
        candidate
    }

    /// The name with one more label on the left.
    ///
    /// # Errors
    /// When the label or the whole would be too long.
    pub fn child(&self, label: &[u8]) -> Result<Self, NameError> {
        if label.is_empty() {
            return Err(NameError::EmptyLabel);
        }
        if label.len() > LABEL_MAX {
            return Err(NameError::LabelTooLong);
        }
        let mut wire = Vec::with_capacity(self.as_wire().len() + label.len() + 1);
        wire.push(u8::try_from(label.len()).map_err(|_| NameError::LabelTooLong)?);
        wire.extend_from_slice(label);
        wire.extend_from_slice(self.as_wire());
        if wire.len() > NAME_MAX {
            return Err(NameError::TooLong);
        }
        Ok(Self::from_checked(&wire))
    }

    /// This name with its suffix `from` replaced by `to`, as a DNAME does it (RFC 6672, 2.2).
    ///
    /// # Errors
    /// `TooLong` when the result is (the YXDOMAIN case); `Truncated` when this name is not below `from`.
    pub fn substitute(&self, from: &Self, to: &Self) -> Result<Self, NameError> {
        if !self.is_within(from) {
            return Err(NameError::Truncated);
        }
        let own = self.as_wire();
        let keep = own.len() - from.as_wire().len();
        let mut wire = own.get(..keep).unwrap_or_default().to_vec();
        wire.extend_from_slice(to.as_wire());
        if wire.len() > NAME_MAX {
            return Err(NameError::TooLong);
        }
        Ok(Self::from_checked(&wire))
    }

    /// Whether the leftmost label is `*` (RFC 4592).
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.labels().next() == Some(b"*")
    }
}

/// One escaped octet, the backslash already read.
fn unescape(bytes: &mut core::str::Bytes<'_>) -> Result<u8, NameError> {
    let first = bytes.next().ok_or(NameError::BadEscape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u16::from(first - b'0');
    for _ in 0..2 {
        let digit = bytes
            .next()
            .filter(u8::is_ascii_digit)
            .ok_or(NameError::BadEscape)?;
        value = value * 10 + u16::from(digit - b'0');
    }
    u8::try_from(value).map_err(|_| NameError::BadEscape)
}

/// The labels of a name, from the left.
#[derive(Clone, Debug)]
pub struct Labels<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let (&length, tail) = self.rest.split_first()?;
        if length == 0 {
            return None;
        }
        let label = tail.get(..usize::from(length))?;
        self.rest = tail.get(usize::from(length)..)?;
        Some(label)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_wire() == other.as_wire()
    }
}
impl Eq for Name {}
impl core::hash::Hash for Name {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.as_wire().hash(state);
    }
}
impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Name {
    /// Canonical order: by label from the right, each as octets (RFC 4034, 6.1).
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        let own: Vec<&[u8]> = self.labels().collect();
        let others: Vec<&[u8]> = other.labels().collect();
        own.iter().rev().cmp(others.iter().rev())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for label in self.labels() {
            for &byte in label {
                match byte {
                    b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                        write!(f, "\\{}", char::from(byte))?;
                    }
                    0x21..=0x7e => write!(f, "{}", char::from(byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    #[test]
    fn text_and_wire_agree() {
        let www = name("WWW.Example.");
        assert_eq!(www.as_wire(), b"\x03www\x07example\x00");
        assert_eq!(Name::from_wire(b"\x03wWw\x07example\x00"), Ok(www.clone()));
        assert_eq!(www.to_string(), "www.example.");
        assert_eq!(name(".").as_wire(), b"\x00");
        assert_eq!(name("a\\.b.c").to_string(), "a\\.b.c.");
        assert_eq!(name("\\000\\255.c").to_string(), "\\000\\255.c.");
    }

    #[test]
    fn wrong_names_are_refused() {
        assert_eq!(Name::from_text("a..b"), Err(NameError::EmptyLabel));
        assert_eq!(Name::from_text(".a"), Err(NameError::EmptyLabel));
        assert_eq!(Name::from_text("a\\25"), Err(NameError::BadEscape));
        assert_eq!(Name::from_text("a\\256"), Err(NameError::BadEscape));
        assert_eq!(
            Name::from_text(&"a".repeat(64)),
            Err(NameError::LabelTooLong)
        );
        assert_eq!(Name::from_text(&"a.".repeat(128)), Err(NameError::TooLong));
        assert_eq!(Name::from_wire(b"\x03www"), Err(NameError::Truncated));
        assert_eq!(Name::from_wire(b"\xc0\x0c"), Err(NameError::LabelTooLong));
        assert_eq!(Name::from_wire(b"\x00\x00"), Err(NameError::EmptyLabel));
    }

    #[test]
    fn ancestry() {
        let www = name("www.example.com");
        assert!(www.is_within(&name("example.com")));
        assert!(www.is_within(&www) && www.is_within(&Name::root()));
        assert!(!www.is_within(&name("ample.com")) && !name("com").is_within(&www));
        assert_eq!(www.parent(), Some(name("example.com")));
        assert_eq!(Name::root().parent(), None);
        assert_eq!(www.suffix(1), name("com"));
        assert_eq!(www.suffix(9), www);
        assert_eq!(www.suffix(0), Name::root());
        assert_eq!(www.common_ancestor(&name("a.b.com")), name("com"));
        assert_eq!(name("com").child(b"X"), Ok(name("x.com")));
        assert_eq!(
            www.substitute(&name("com"), &name("net")),
            Ok(name("www.example.net"))
        );
        assert!(name("*.a").is_wildcard() && !www.is_wildcard());
    }

    #[test]
    fn canonical_order_of_rfc_4034_6_1() {
        let sorted = [
            "example",
            "a.example",
            "yljkjljk.a.example",
            "Z.a.example",
            "zABC.a.EXAMPLE",
            "z.example",
            "\\001.z.example",
            "*.z.example",
            "\\200.z.example",
        ];
        let names: Vec<Name> = sorted.iter().map(|text| name(text)).collect();
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn long_names_live_on_the_heap() {
        let long = name(&"abcdefg.".repeat(20));
        assert_eq!(long.label_count(), 20);
        assert_eq!(long.suffix(19), long.parent().unwrap());
    }
}
