//! The layout of record data by type, from text and to its canonical form.
//!
//! Owns one table that serves both ways. Tolerant in both: missing trailing fields leave the data short,
//! surplus ones are dropped, and data that does not fit its type is taken as it is, since scenarios
//! put such data on the wire on purpose.

use std::net::{Ipv4Addr, Ipv6Addr};

use weir_resolver::rrset::RecordType;

use crate::replay::service_parameters;
use crate::replay::token::{
    TextError, Word, base32hex, base64, hex, name, timestamp, unescape, wrong,
};

/// One field of record data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// A domain name.
    Name,
    /// A number of one octet.
    Octet,
    /// A number of two octets.
    Short,
    /// A number or a duration such as `1h` of four octets.
    Long,
    /// A DNSSEC algorithm by number or mnemonic.
    Algorithm,
    /// A record type by mnemonic.
    Type,
    /// A point in time, four octets.
    Time,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// One character string with its length before it.
    Text,
    /// All further words as character strings.
    Texts,
    /// One text without a length.
    Bare,
    /// All further words as base64.
    Base64,
    /// All further words as hexadecimal digits.
    Hex,
    /// An NSEC3 salt: `-`, or hexadecimal digits, with a length.
    Salt,
    /// An NSEC3 hash in base32hex, with a length.
    Hash,
    /// All further words as a type bit map (RFC 4034, 4.1.2).
    Types,
    /// All further words as service parameters (RFC 9460, 2.1).
    Parameters,
}

/// The fields of a type, or none for types whose data has no text form here but RFC 3597's.
const fn layout(record_type: RecordType) -> Option<&'static [Field]> {
    use Field::*;
    Some(match record_type {
        RecordType::A => &[Ipv4],
        RecordType::AAAA => &[Ipv6],
        RecordType::NS
        | RecordType::MD
        | RecordType::MF
        | RecordType::CNAME
        | RecordType::MB
        | RecordType::MG
        | RecordType::MR
        | RecordType::PTR
        | RecordType::DNAME => &[Name],
        RecordType::SOA => &[Name, Name, Long, Long, Long, Long, Long],
        RecordType::MX | RecordType::AFSDB | RecordType::RT | RecordType::KX => &[Short, Name],
        RecordType::PX => &[Short, Name, Name],
        RecordType::RP | RecordType::MINFO => &[Name, Name],
        RecordType::TXT | RecordType::SPF | RecordType::ISDN => &[Texts],
        RecordType::X25 => &[Text],
        RecordType::HINFO => &[Text, Text],
        RecordType::SRV => &[Short, Short, Short, Name],
        RecordType::NAPTR => &[Short, Short, Text, Text, Text, Name],
        RecordType::DS | RecordType::CDS => &[Short, Algorithm, Octet, Hex],
        RecordType::DNSKEY | RecordType::CDNSKEY | RecordType::KEY => {
            &[Short, Octet, Algorithm, Base64]
        }
        RecordType::RRSIG | RecordType::SIG => &[
            Type, Algorithm, Octet, Long, Time, Time, Short, Name, Base64,
        ],
        RecordType::NSEC => &[Name, Types],
        RecordType::NSEC3 => &[Octet, Octet, Short, Salt, Hash, Types],
        RecordType::NSEC3PARAM => &[Octet, Octet, Short, Salt],
        RecordType::CSYNC => &[Long, Short, Types],
        RecordType::TLSA | RecordType::SMIMEA => &[Octet, Octet, Octet, Hex],
        RecordType::SSHFP => &[Octet, Octet, Hex],
        RecordType::ZONEMD => &[Long, Octet, Octet, Hex],
        RecordType::CERT => &[Short, Short, Algorithm, Base64],
        RecordType::DHCID | RecordType::OPENPGPKEY => &[Base64],
        RecordType::CAA => &[Octet, Text, Bare],
        RecordType::URI => &[Short, Short, Bare],
        RecordType::SVCB | RecordType::HTTPS => &[Short, Name, Parameters],
        _ => return None,
    })
}

const ALGORITHMS: [(&str, u8); 16] = [
    ("RSAMD5", 1),
    ("DH", 2),
    ("DSA", 3),
    ("ECC", 4),
    ("RSASHA1", 5),
    ("DSA-NSEC3-SHA1", 6),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("NSEC3RSASHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECC-GOST", 12),
    ("ECDSAP256SHA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
    ("PRIVATEDNS", 253),
];

/// Record data from its words; names are completed with `origin`.
///
/// # Errors
/// When a field is not what the type asks for, or the type is only known by number.
pub fn from_words(
    record_type: RecordType,
    words: &[Word],
    origin: &[u8],
) -> Result<Vec<u8>, TextError> {
    if let [first, _length, rest @ ..] = words
        && first.text == "\\#"
    {
        return Ok(hex(&joined(rest)));
    }
    let Some(fields) = layout(record_type) else {
        return wrong(format!(
            "{record_type} data can only be given as \\# LENGTH HEX"
        ));
    };
    let mut wire = Vec::new();
    let mut rest = words;
    for field in fields {
        if rest.is_empty() && !matches!(field, Field::Types | Field::Parameters) {
            break;
        }
        rest = push_field(&mut wire, *field, rest, origin)?;
    }
    Ok(wire)
}

fn joined(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect()
}

/// Writes one field; gives the words that are left.
fn push_field<'a>(
    wire: &mut Vec<u8>,
    field: Field,
    words: &'a [Word],
    origin: &[u8],
) -> Result<&'a [Word], TextError> {
    match field {
        Field::Texts => {
            for word in words {
                push_counted(wire, &unescape(&word.text)?)?;
            }
            return Ok(&[]);
        }
        Field::Base64 => wire.extend(base64(&joined(words))),
        Field::Hex => wire.extend(hex(&joined(words))),
        Field::Types => push_type_bitmap(wire, words)?,
        Field::Parameters => service_parameters::push(wire, words)?,
        _ => {
            let Some((word, rest)) = words.split_first() else {
                return Ok(words);
            };
            push_word(wire, field, &word.text, origin)?;
            return Ok(rest);
        }
    }
    Ok(&[])
}

fn number<T: core::str::FromStr>(text: &str) -> Result<T, TextError> {
    text.parse()
        .or_else(|_| wrong(format!("{text} is not a number of the right size")))
}

/// Writes a field that is one word.
fn push_word(wire: &mut Vec<u8>, field: Field, text: &str, origin: &[u8]) -> Result<(), TextError> {
    match field {
        Field::Name => wire.extend(name(text, origin)?),
        Field::Octet => wire.push(number(text)?),
        Field::Short => wire.extend(number::<u16>(text)?.to_be_bytes()),
        Field::Long => wire.extend(duration(text)?.to_be_bytes()),
        Field::Time => wire.extend((timestamp(text)? as u32).to_be_bytes()),
        Field::Algorithm => wire.push(
            match ALGORITHMS
                .iter()
                .find(|(mnemonic, _)| mnemonic.eq_ignore_ascii_case(text))
            {
                Some((_, value)) => *value,
                None => number(text)?,
            },
        ),
        Field::Type => match RecordType::from_text(text) {
            Some(record_type) => wire.extend(record_type.0.to_be_bytes()),
            None => return wrong(format!("{text} is not a record type")),
        },
        Field::Ipv4 => match text.parse::<Ipv4Addr>() {
            Ok(address) => wire.extend(address.octets()),
            Err(_) => return wrong(format!("{text} is not an IPv4 address")),
        },
        Field::Ipv6 => match text.parse::<Ipv6Addr>() {
            Ok(address) => wire.extend(address.octets()),
            Err(_) => return wrong(format!("{text} is not an IPv6 address")),
        },
        Field::Text => push_counted(wire, &unescape(text)?)?,
        Field::Bare => wire.extend(unescape(text)?),
        Field::Salt if text == "-" => wire.push(0),
        Field::Salt => push_counted(wire, &hex(text))?,
        Field::Hash => push_counted(wire, &base32hex(text))?,
        Field::Texts | Field::Base64 | Field::Hex | Field::Types | Field::Parameters => {}
    }
    Ok(())
}

/// Seconds, or a number with units as in zone files (`1w2d3h4m5s`).
pub(crate) fn duration(text: &str) -> Result<u32, TextError> {
    let (mut total, mut current, mut digits) = (0u64, 0u64, false);
    for character in text.chars() {
        if let Some(digit) = character.to_digit(10) {
            current = current.saturating_mul(10).saturating_add(u64::from(digit));
            digits = true;
            continue;
        }
        let unit = match character.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return wrong(format!("{text} is not a number of seconds")),
        };
        total = total.saturating_add(current.saturating_mul(unit));
        current = 0;
    }
    match u32::try_from(total.saturating_add(current)) {
        Ok(seconds) if digits => Ok(seconds),
        _ => wrong(format!("{text} is not a number of seconds")),
    }
}

fn push_counted(wire: &mut Vec<u8>, octets: &[u8]) -> Result<(), TextError> {
    match u8::try_from(octets.len()) {
        Ok(length) => {
            wire.push(length);
            wire.extend_from_slice(octets);
            Ok(())
        }
        Err(_) => wrong("a character string is longer than 255 octets"),
    }
}

fn push_type_bitmap(wire: &mut Vec<u8>, words: &[Word]) -> Result<(), TextError> {
    let mut types = Vec::new();
    for word in words {
        match RecordType::from_text(&word.text) {
            Some(record_type) => types.push(record_type.0),
            None => return wrong(format!("{} is not a record type", word.text)),
        }
    }
    types.sort_unstable();
    for window in 0..=255u8 {
        let mut bits = [0u8; 32];
        let mut used = 0u8;
        for value in types
            .iter()
            .filter(|value| value.to_be_bytes()[0] == window)
        {
            let low = value.to_be_bytes()[1];
            if let Some(octet) = bits.get_mut(usize::from(low / 8)) {
                *octet |= 0x80 >> (low % 8);
            }
            used = low / 8 + 1;
        }
        if used > 0 {
            wire.extend([window, used]);
            wire.extend(bits.iter().take(usize::from(used)));
        }
    }
    Ok(())
}

/// Record data with its names uncompressed and in lower case, out of `message` at `start..end`.
///
/// Data that does not fit its type is taken as it is.
#[must_use]
pub fn canonical(message: &[u8], start: usize, end: usize, record_type: RecordType) -> Vec<u8> {
    let raw = || message.get(start..end).unwrap_or_default().to_vec();
    let Some(fields) = layout(record_type) else {
        return raw();
    };
    let mut canonical = Vec::new();
    let mut at = start;
    for field in fields {
        let length = match field {
            Field::Name => match read_name(message, at) {
                Some((name, next)) if next <= end => {
                    canonical.extend(name);
                    at = next;
                    continue;
                }
                _ => return raw(),
            },
            Field::Octet | Field::Algorithm => 1,
            Field::Short | Field::Type => 2,
            Field::Long | Field::Time | Field::Ipv4 => 4,
            Field::Ipv6 => 16,
            Field::Text | Field::Salt | Field::Hash => {
                1 + usize::from(message.get(at).copied().unwrap_or_default())
            }
            Field::Texts
            | Field::Bare
            | Field::Base64
            | Field::Hex
            | Field::Types
            | Field::Parameters => break,
        };
        match message.get(at..at + length) {
            Some(octets) if at + length <= end => canonical.extend_from_slice(octets),
            _ => return raw(),
        }
        at += length;
    }
    canonical.extend_from_slice(message.get(at..end).unwrap_or_default());
    canonical
}

/// A name of a message, uncompressed and in lower case, and where it ends.
#[must_use]
pub fn read_name(message: &[u8], start: usize) -> Option<(Vec<u8>, usize)> {
    let mut name = Vec::new();
    let mut at = start;
    let mut end = None;
    // A pointer leads back at most once per label, so 128 steps are enough for any name.
    for _ in 0..256 {
        let length = usize::from(*message.get(at)?);
        match length {
            0 => {
                name.push(0);
                return (name.len() <= 255).then(|| (name, end.unwrap_or(at + 1)));
            }
            1..=63 => {
                let label = message.get(at..=at + length)?;
                name.extend(label.iter().map(u8::to_ascii_lowercase));
                at += 1 + length;
            }
            0xc0.. => {
                let low = usize::from(*message.get(at + 1)?);
                end = end.or(Some(at + 2));
                at = ((length & 0x3f) << 8) | low;
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::token::words;

    fn data(record_type: RecordType, text: &str) -> Vec<u8> {
        from_words(record_type, &words(text), &[0]).unwrap()
    }

    #[test]
    fn wrong_data_goes_through() {
        assert_eq!(data(RecordType::A, "\\# 3 0A 0000"), [10, 0, 0]);
        let soa = data(RecordType::SOA, "a. b. 1 2 3 4 5 6 7");
        assert_eq!(soa.len(), 3 + 3 + 20);
        let empty = data(
            RecordType::RRSIG,
            "A DSA 2 3600 20070926134150 20070829134150 2854 example.com. ",
        );
        assert_eq!(empty.len(), 18 + 13);
        assert_eq!(
            data(RecordType::DS, "1 RSASHA1 1 ab cd"),
            [0, 1, 5, 1, 0xab, 0xcd]
        );
        assert!(from_words(RecordType(4711), &words("x"), &[0]).is_err());
    }

    #[test]
    fn bitmaps_have_windows() {
        let nsec = data(RecordType::NSEC, "b. A MX RRSIG NSEC TYPE1234");
        let expected =
            b"\x01b\x00\x00\x06\x40\x01\x00\x00\x00\x03\x04\x1b\x00\x00\x00\x00\x00\x00\x00\x00\
            \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20";
        assert_eq!(nsec, expected);
    }

    #[test]
    fn canonical_form_lowers_names_only() {
        let wire = data(RecordType::NAPTR, "1 2 \"S\" \"SIP\" \"\" Foo.Example.");
        let canonical = canonical(&wire, 0, wire.len(), RecordType::NAPTR);
        assert_eq!(
            canonical,
            data(RecordType::NAPTR, "1 2 S SIP \"\" foo.example.")
        );
        let short = [0, 10, 0];
        assert_eq!(super::canonical(&short, 0, 3, RecordType::PX), short);
    }

    #[test]
    fn pointers_end() {
        assert_eq!(read_name(&[0xc0, 0], 0), None);
        assert_eq!(
            read_name(b"\x01A\x00\xc0\x00", 3),
            Some((b"\x01a\x00".to_vec(), 5))
        );
    }
}
