//! Every answer of a replay, read and written again by `hickory-proto`: the two codecs must agree.
//!
//! Owns the comparison as messages: names without regard to case and compression, records in order. Of EDNS
//! options only how many octets they take is compared, since they have no order. Never looks at a scenario.

use hickory_proto::op::Message as Second;

use crate::replay::message::Message;

/// What is wrong with an answer by the second codec, if anything.
#[must_use]
pub fn difference(octets: &[u8]) -> Option<String> {
    let read = match Second::from_vec(octets) {
        Ok(read) => read,
        Err(error) => return Some(format!("hickory does not read an answer: {error}")),
    };
    let written = match read.to_vec() {
        Ok(written) => written,
        Err(error) => return Some(format!("hickory does not write an answer: {error}")),
    };
    let (own, second) = (comparable(octets), comparable(&written));
    (own.is_none() || own != second)
        .then(|| format!("hickory reads an answer differently: {own:?}, {second:?}"))
}

fn comparable(octets: &[u8]) -> Option<Message> {
    let mut message = Message::parse(octets)?;
    if let Some(opt) = &mut message.opt {
        opt.data.fill(0);
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"\0\0\x81\x80\0\x01\0\x01\0\0\0\0\x01a\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x01\x02\x03\x04";

    #[test]
    fn what_both_read_the_same_agrees() {
        assert_eq!(difference(ANSWER), None);
    }

    #[test]
    fn a_wrong_count_and_a_wrong_pointer_are_seen() {
        let mut wrong = ANSWER.to_vec();
        wrong[7] = 2;
        assert!(difference(&wrong).is_some());
        let mut wrong = ANSWER.to_vec();
        wrong[20] = 0x40;
        assert!(difference(&wrong).is_some());
    }
}
