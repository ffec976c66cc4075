//! Whether a message that arrived is the reply to a query that was sent. Anything else is passed
//! over and the exchange goes on: a forged or broken message never ends one.

/// A message has at least its header (RFC 1035, 4.1.1).
const HEADER_LENGTH: usize = 12;
const QR: u8 = 0x80;
const OPCODE: u8 = 0x78;
const RCODE: u8 = 0x0f;

/// Whether `reply` answers `query`: the same identifier, a response, the same opcode, and the same
/// question octet by octet (RFC 5452, 9.1), so that randomised case counts (0x20). An error
/// without a question also counts: servers that cannot read a query send it (RFC 1035, 4.1.1
/// FORMERR), and the identifier and the port vouch for it.
#[must_use]
pub fn answers(query: &[u8], reply: &[u8]) -> bool {
    let (Some(asked), Some(head)) = (
        query.first_chunk::<HEADER_LENGTH>(),
        reply.first_chunk::<HEADER_LENGTH>(),
    ) else {
        return false;
    };
    if asked[..2] != head[..2] || head[2] & QR == 0 || (head[2] ^ asked[2]) & OPCODE != 0 {
        return false;
    }
    match u16::from_be_bytes([head[4], head[5]]) {
        0 => head[3] & RCODE != 0,
        1 => {
            let Some(length) = question_length(query) else {
                return false;
            };
            query.get(HEADER_LENGTH..HEADER_LENGTH + length)
                == reply.get(HEADER_LENGTH..HEADER_LENGTH + length)
        }
        _ => false,
    }
}

/// The octets of the one question of a message that we wrote ourselves.
fn question_length(query: &[u8]) -> Option<usize> {
    let mut at = HEADER_LENGTH;
    loop {
        let label = usize::from(*query.get(at)?);
        at += label + 1;
        if label == 0 {
            let end = at + 4;
            return (end <= query.len()).then_some(end - HEADER_LENGTH);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x00\x00\x00\x01\0\0\0\0\0\0\x03wWw\x07example\0\0\x01\0\x01";

    fn changed(at: usize, to: u8) -> Vec<u8> {
        let mut reply = QUERY.to_vec();
        reply[2] |= QR;
        reply[at] = to;
        reply
    }

    #[test]
    fn only_the_reply_counts() {
        assert!(answers(QUERY, &changed(3, 0)));
        assert!(answers(QUERY, &[&changed(3, 3)[..], b"more"].concat()));
        assert!(!answers(QUERY, QUERY), "QR");
        assert!(!answers(QUERY, &changed(1, 0x35)), "identifier");
        assert!(!answers(QUERY, &changed(2, 0x88)), "opcode");
        assert!(!answers(QUERY, &changed(14, b'w')), "case");
        assert!(!answers(QUERY, &changed(26, 28)), "type");
        assert!(!answers(QUERY, &changed(5, 2)), "two questions");
        for length in 0..QUERY.len() {
            assert!(!answers(QUERY, &changed(3, 0)[..length]), "{length} octets");
        }
    }

    #[test]
    fn an_error_without_question_counts() {
        let mut reply = changed(5, 0)[..12].to_vec();
        assert!(!answers(QUERY, &reply));
        reply[3] = 1;
        assert!(answers(QUERY, &reply));
    }
}
