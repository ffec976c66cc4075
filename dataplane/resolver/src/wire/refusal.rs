//! Answers to messages that are refused before anything is looked up.
//!
//! Owns the least answer that can be made from octets that are no usable query (RFC 9619, 4; RFC 6891, 7).
//! Never looks at data.

use bytes::{BufMut, BytesMut};

use crate::answer::{Origin, ResponseCode, Security, Shaped};
use crate::question::ClientEdns;
use crate::rdata::name_length;
use crate::rrset::RecordType;
use crate::settings::Settings;
use crate::wire::edns::write_opt;
use crate::wire::flags::{self, QUESTION_AT, put_header};

/// The answer to a message that earns only a response code, made from its octets.
///
/// `message` is what `parse_query` refused with `QueryError::Answered`: at least a header. Its question is repeated
/// when there is exactly one, and its OPT record is answered, unless the message was not understood.
#[must_use]
pub fn encode_error(message: &[u8], rcode: ResponseCode, settings: &Settings) -> Shaped {
    let mut out = BytesMut::with_capacity(64);
    out.put_slice(&[0; QUESTION_AT]);
    let header: [u8; QUESTION_AT] = *message.first_chunk().unwrap_or(&[0; QUESTION_AT]);
    let field = |index: usize| {
        let pair = header.as_chunks::<2>().0.get(index);
        pair.map_or(0, |pair| u16::from_be_bytes(*pair))
    };
    let mut counts = [0u16; 4];
    let rest = message.get(QUESTION_AT..).unwrap_or_default();
    let question = name_length(rest)
        .and_then(|length| rest.split_at_checked(length + 4))
        .filter(|_| field(2) == 1)
        .filter(|_| ![ResponseCode::NOTIMP, ResponseCode::FORMERR].contains(&rcode));
    if let Some((question, tail)) = question {
        out.put_slice(question);
        counts = [1, 0, 0, 0];
        let has_opt = tail.starts_with(&[0, 0, RecordType::OPT.0 as u8]);
        if has_opt {
            let edns = ClientEdns {
                // The DO bit stands in the seventh octet after the type's.
                dnssec_ok: tail.get(7).is_some_and(|octet| octet & 0x80 != 0),
                ..ClientEdns::default()
            };
            write_opt(
                &mut out,
                edns,
                rcode,
                settings.resolution.udp_payload_size,
                None,
            );
            counts = [1, 0, 0, 1];
        }
    }
    let bits = field(1) & (flags::OPCODE | flags::RD | flags::CD);
    // Recursion is not available to what is refused or not understood.
    let recursion = if matches!(rcode, ResponseCode::REFUSED | ResponseCode::FORMERR) {
        0
    } else {
        flags::RA
    };
    let bits = bits | flags::QR | recursion | (rcode.0 & flags::RCODE);
    let [questions, answers, authorities, additionals] = counts;
    put_header(
        &mut out,
        0,
        [field(0), bits, questions, answers, authorities, additionals],
    );
    Shaped {
        message: out.freeze(),
        max_age: None,
        rcode,
        extended_error: None,
        origin: Origin::Refused,
        security: Security::Unchecked,
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Message;

    use super::*;

    const QUERY: &[u8] =
        b"\0\x07\x01\0\0\x01\0\0\0\0\0\x01\x01A\x00\0\x01\0\x01\x00\0\x29\x04\xd0\0\x01\x80\0\0\0";

    #[test]
    fn the_least_answer_echoes_the_question() {
        let settings = Settings::default();
        let shaped = encode_error(QUERY, ResponseCode::BADVERS, &settings);
        let message = Message::from_vec(&shaped.message).unwrap();
        assert_eq!(message.id, 7);
        assert_eq!(u16::from(message.response_code), 16);
        assert!(message.edns.unwrap().flags().dnssec_ok);
        assert_eq!(message.queries[0].name().to_string(), "A.");
        let shaped = encode_error(QUERY, ResponseCode::FORMERR, &settings);
        assert_eq!(Message::from_vec(&shaped.message).unwrap().edns, None);
        let shaped = encode_error(&QUERY[..12], ResponseCode::NOTIMP, &settings);
        assert_eq!(shaped.message.len(), 12);
    }
}
