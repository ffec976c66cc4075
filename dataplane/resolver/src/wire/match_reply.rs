//! Whether octets from a server answer the query that was sent to it.
//!
//! Owns the comparison of identifier and question (RFC 5452, 9.1; draft-vixie-dnsext-dns0x20). Looks
//! at nothing behind the question.

use crate::rdata::name_length;
use crate::wire::flags;

/// How a reply fits the query that it came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReplyMatch {
    /// Identifier and question are the same, octet by octet.
    Same,
    /// All is the same but the case of the name: a server that does not keep it, or a forgery.
    CaseDiffers,
    /// It belongs to another query.
    Other,
}

/// Compares a reply with the query that was sent.
///
/// A reply without a question counts only as an error without records: that is how servers without EDNS
/// say FORMERR or NOTIMP.
#[must_use]
pub fn match_reply(sent: &[u8], reply: &[u8]) -> ReplyMatch {
    let (Some((head, asked)), Some((reply_head, answered))) = (
        sent.split_first_chunk::<12>(),
        reply.split_first_chunk::<12>(),
    ) else {
        return ReplyMatch::Other;
    };
    let [id_high, id_low, bits, ..] = *head;
    let [
        reply_id_high,
        reply_id_low,
        reply_bits,
        reply_code,
        counts @ ..,
    ] = *reply_head;
    let opcode = (flags::OPCODE >> 8) as u8;
    let is_reply = reply_bits & 0x80 != 0 && (reply_bits ^ bits) & opcode == 0;
    if (id_high, id_low) != (reply_id_high, reply_id_low) || !is_reply {
        return ReplyMatch::Other;
    }
    if counts.starts_with(&[0, 0]) {
        let is_error = matches!(reply_code & 0x0f, 1 | 4) && counts.starts_with(&[0; 6]);
        return if is_error {
            ReplyMatch::Same
        } else {
            ReplyMatch::Other
        };
    }
    let Some(question_length) = name_length(asked).map(|length| length + 4) else {
        return ReplyMatch::Other;
    };
    let (Some(asked), Some(answered)) = (
        asked.get(..question_length),
        answered.get(..question_length),
    ) else {
        return ReplyMatch::Other;
    };
    if !counts.starts_with(&[0, 1]) {
        return ReplyMatch::Other;
    }
    if asked == answered {
        return ReplyMatch::Same;
    }
    let (Some((name, tail)), Some((reply_name, reply_tail))) = (
        asked.split_last_chunk::<4>(),
        answered.split_last_chunk::<4>(),
    ) else {
        return ReplyMatch::Other;
    };
    if tail == reply_tail && name.eq_ignore_ascii_case(reply_name) {
        ReplyMatch::CaseDiffers
    } else {
        ReplyMatch::Other
    }
}

/// Whether a reply fits its query in every octet; see [`match_reply`].
#[must_use]
pub fn reply_matches(sent: &[u8], reply: &[u8]) -> bool {
    match_reply(sent, reply) == ReplyMatch::Same
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_question_matches() {
        let sent = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x01A\x01b\x00\0\x01\0\x01";
        let mut reply = sent.to_vec();
        assert_eq!(
            match_reply(sent, &reply),
            ReplyMatch::Other,
            "not a response"
        );
        reply[2] |= 0x80;
        assert!(reply_matches(sent, &reply));
        for position in [0, 1, 4, 5, 12, 13, 14, 15, 17, 18, 19, 20] {
            let mut other = reply.clone();
            other[position] ^= 0x01;
            assert_eq!(match_reply(sent, &other), ReplyMatch::Other, "{position}");
        }
        let mut other = reply.clone();
        other[13] = b'a';
        assert_eq!(match_reply(sent, &other), ReplyMatch::CaseDiffers);
        for cut in 0..reply.len() {
            assert!(!reply_matches(sent, &reply[..cut]), "{cut}");
        }
    }

    #[test]
    fn a_bare_error_matches_by_identifier() {
        let sent = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\x01\x01a\x00\0\x01\0\x01";
        assert!(reply_matches(sent, b"\x12\x34\x81\x01\0\0\0\0\0\0\0\0"));
        assert!(!reply_matches(sent, b"\x12\x34\x81\x00\0\0\0\0\0\0\0\0"));
        assert!(!reply_matches(sent, b"\x12\x34\x81\x01\0\0\0\x01\0\0\0\0"));
        assert!(!reply_matches(sent, b"\x12\x35\x81\x01\0\0\0\0\0\0\0\0"));
    }
}
