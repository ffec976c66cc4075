//! Where names stand in record data, as a table.
//!
//! Owns the layouts of RFC 1035, 3.3 and of later types that hold names, and which of them may be
//! compressed (RFC 3597, 4) or are lowered for signing (RFC 4034, 6.2). Never reads a whole message.

use crate::rrset::RecordType;

/// One part of record data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// A domain name.
    Name,
    /// So many octets.
    Octets(u8),
    /// A length octet and that many octets.
    Text,
    /// All that is left, also nothing.
    Rest,
}

impl Field {
    /// How many octets of uncompressed `rest` the field takes.
    pub(crate) fn length(self, rest: &[u8]) -> Option<usize> {
        match self {
            Self::Name => name_length(rest),
            Self::Octets(count) => Some(usize::from(count)),
            Self::Text => rest.first().map(|&length| usize::from(length) + 1),
            Self::Rest => Some(rest.len()),
        }
    }
}

/// How many octets the uncompressed name at the start of `wire` takes.
pub(crate) fn name_length(wire: &[u8]) -> Option<usize> {
    let mut position = 0;
    loop {
        let length = usize::from(*wire.get(position)?);
        position += length + 1;
        if length == 0 {
            break;
        }
        if length > 63 {
            return None;
        }
    }
    (position <= 255).then_some(position)
}

/// The layout of a type's record data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Its parts in order; empty when this crate has no need to look inside.
    pub(crate) fields: &'static [Field],
    /// Whether its names may be compressed when they are written (RFC 3597, 4: types of RFC 1035 only).
    pub(crate) compress: bool,
    /// Whether its names are lowered in canonical form (RFC 4034, 6.2; RFC 6840, 5.1).
    pub(crate) lower: bool,
}

/// The layout of `record_type`.
pub(crate) const fn layout(record_type: RecordType) -> Layout {
    use Field::{Name, Octets, Rest, Text};
    type Row = (&'static [Field], bool, bool);
    let (fields, compress, lower): Row = match record_type {
        RecordType::A => (&[Octets(4)], false, false),
        RecordType::AAAA => (&[Octets(16)], false, false),
        RecordType::NS
        | RecordType::MD
        | RecordType::MF
        | RecordType::CNAME
        | RecordType::MB
        | RecordType::MG
        | RecordType::MR
        | RecordType::PTR => (&[Name], true, true),
        RecordType::SOA => (&[Name, Name, Octets(20)], true, true),
        RecordType::MINFO => (&[Name, Name], true, true),
        RecordType::MX => (&[Octets(2), Name], true, true),
        RecordType::RP => (&[Name, Name], false, true),
        RecordType::AFSDB | RecordType::RT | RecordType::KX => (&[Octets(2), Name], false, true),
        RecordType::PX => (&[Octets(2), Name, Name], false, true),
        RecordType::SRV => (&[Octets(6), Name], false, true),
        RecordType::NAPTR => (&[Octets(4), Text, Text, Text, Name], false, true),
        RecordType::DNAME => (&[Name], false, true),
        RecordType::SIG | RecordType::RRSIG => (&[Octets(18), Name, Rest], false, true),
        RecordType::NXT => (&[Name, Rest], false, true),
        RecordType::NSEC => (&[Name, Rest], false, false),
        RecordType::SVCB | RecordType::HTTPS => (&[Octets(2), Name, Rest], false, false),
        _ => (&[], false, false),
    };
    Layout {
        fields,
        compress,
        lower,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_measured() {
        assert_eq!(name_length(b"\x00"), Some(1));
        assert_eq!(name_length(b"\x01a\x00rest"), Some(3));
        assert_eq!(name_length(b"\x01a"), None);
        assert_eq!(name_length(b"\xc0\x00"), None);
        assert_eq!(name_length(&[1; 300]), None);
    }

    #[test]
    fn only_types_of_rfc_1035_are_compressed() {
        for number in 0..=u16::MAX {
            let layout = layout(RecordType(number));
            assert!(!layout.compress || number <= 15, "TYPE{number}");
            assert!(!layout.compress || layout.lower, "TYPE{number}");
        }
    }
}
