//! Messages and records in words, for the difference that a failure reports.

use std::net::{Ipv4Addr, Ipv6Addr};

use weir_resolver::rrset::RecordType;

use crate::replay::message::{FLAGS, Message};
use crate::replay::record::Record;

/// A wire name as text.
#[must_use]
pub(crate) fn name_text(wire: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = wire;
    while let Some((length, tail)) = rest.split_first() {
        let (label, after) = tail
            .split_at_checked(usize::from(*length))
            .unwrap_or((tail, &[]));
        if *length == 0 {
            break;
        }
        text.push_str(&String::from_utf8_lossy(label));
        text.push('.');
        rest = after;
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

/// The names of flag bits.
#[must_use]
pub(crate) fn flags_text(flags: u16) -> String {
    let names: Vec<&str> = FLAGS
        .iter()
        .filter(|(_, bit)| flags & bit != 0)
        .map(|(name, _)| *name)
        .collect();
    names.join(" ")
}

/// A record as text, its time to live only when that matters.
#[must_use]
pub(crate) fn record_text(record: &Record, ttl: bool) -> String {
    let owner = name_text(&record.owner);
    let ttl = if ttl {
        format!(" {}", record.ttl)
    } else {
        String::new()
    };
    let data = match record.record_type {
        RecordType::A => record
            .data
            .first_chunk::<4>()
            .map(|octets| Ipv4Addr::from(*octets).to_string()),
        RecordType::AAAA => record
            .data
            .first_chunk::<16>()
            .map(|octets| Ipv6Addr::from(*octets).to_string()),
        RecordType::NS | RecordType::CNAME | RecordType::DNAME | RecordType::PTR => {
            Some(name_text(&record.data))
        }
        RecordType::RRSIG => record
            .data
            .first_chunk::<2>()
            .map(|octets| format!("of {}", RecordType(u16::from_be_bytes(*octets)))),
        _ => None,
    };
    let data = data.unwrap_or_else(|| {
        let shown: String = record
            .data
            .iter()
            .take(24)
            .map(|octet| format!("{octet:02x}"))
            .collect();
        format!("#{} {shown}", record.data.len())
    });
    format!("{owner}{ttl} {} {data}", record.record_type)
}

/// The question of a message as text.
#[must_use]
pub(crate) fn question_text(message: &Message) -> String {
    message.question.first().map_or_else(
        || "no question".to_owned(),
        |question| format!("{} {}", name_text(&question.owner), question.record_type),
    )
}

/// A message as text on one line.
#[must_use]
pub(crate) fn message_text(message: &Message) -> String {
    let section = |name: &str, records: &[Record]| {
        let texts: Vec<String> = records
            .iter()
            .map(|record| record_text(record, true))
            .collect();
        format!("{name}[{}]", texts.join(", "))
    };
    let error = message.opt.as_ref().and_then(|opt| opt.option(15));
    let error = error.map_or_else(String::new, |octets| format!(" ede {octets:?}"));
    format!(
        "{} rcode {} {} {} {} {}{error}",
        question_text(message),
        message.rcode,
        flags_text(message.flags),
        section("answer", &message.answer),
        section("authority", &message.authority),
        section("additional", &message.additional),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::record::{Defaults, parse_record};

    #[test]
    fn records_read_well() {
        let record = parse_record("A.b. 7 IN A 10.0.0.1", &Defaults::default()).unwrap();
        assert_eq!(record_text(&record, true), "A.b. 7 A 10.0.0.1");
        assert_eq!(flags_text(0x8180), "QR RD RA");
        assert_eq!(name_text(&[0]), ".");
    }
}
