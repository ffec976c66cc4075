//! Answers fitted to one client.
//!
//! Owns what an answer looks like on the wire: header bits (RFC 4035, 3.2; RFC 6840, 5.7 and 5.8), how long each
//! record may be kept, and freshness (RFC 8484, 5.1). One writer serves answers of the mesh and hits of the cache, so
//! that they cannot differ. Decides no answer.

mod rules;
mod view;
mod writer;

use bytes::BytesMut;

use crate::answer::{Answer, ExtendedError, Origin, ResponseCode, Security, Shaped};
use crate::question::Query;
use crate::rdata::soa_minimum;
use crate::rrset::{Class, RdataList, RecordType};
use crate::settings::Settings;
use crate::wire::encode::rules::Rules;
use crate::wire::encode::writer::Writer;
use crate::wire::flags;

pub(crate) use view::{Body, Head, RrsetView};

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    pub(crate) rcode: ResponseCode,
    pub(crate) extended_error: Option<ExtendedError>,
    pub(crate) max_age: Option<u32>,
}

/// Writes the answer to a query.
///
/// The question is spelled as the client did; signatures and proofs go only to who asked for them with DO; what
/// does not fit `Query::size_limit` is left out by whole RRsets, with TC set unless it was additional.
#[must_use]
pub fn encode_answer(
    query: &Query,
    answer: &Answer,
    settings: &Settings,
    origin: Origin,
) -> Shaped {
    let view = |set| RrsetView::of(set);
    let body = Body {
        rcode: answer.rcode,
        authoritative: answer.authoritative,
        security: answer.security,
        extended_error: answer.extended_error,
        ttl: answer.ttl,
        answer: answer.answer.iter().map(AsRef::as_ref).map(view),
        authority: answer.authority.iter().map(AsRef::as_ref).map(view),
        additional: answer.additional.iter().map(AsRef::as_ref).map(view),
    };
    let mut out = BytesMut::with_capacity(512);
    let encoded = encode(&mut out, &Head::of(query), body, settings);
    Shaped {
        message: out.freeze(),
        max_age: encoded.max_age,
        rcode: encoded.rcode,
        extended_error: encoded.extended_error,
        origin,
        security: answer.security,
    }
}

/// Appends the answer to `out`.
pub(crate) fn encode<'a, I>(
    out: &mut BytesMut,
    head: &Head<'_>,
    body: Body<I>,
    settings: &Settings,
) -> Encoded
where
    I: Iterator<Item = RrsetView<'a>> + Clone,
{
    let rcode = match body.rcode {
        // The upper bits of a response code travel in OPT alone.
        ResponseCode(16..) if head.edns.is_none() => ResponseCode::SERVFAIL,
        rcode => rcode,
    };
    let extended_error = body
        .extended_error
        .filter(|_| settings.responses.extended_errors && head.edns.is_some());
    let mut writer = Writer::begin(out, head, settings, extended_error.is_some());
    let rules = Rules::of(head, settings, &body);
    // Recursion is not available to a client that may not ask at all.
    let barred =
        rcode == ResponseCode::REFUSED && body.extended_error == Some(ExtendedError::PROHIBITED);
    let recursion = if barred { 0 } else { flags::RA };
    let mut bits = flags::QR | recursion | (rcode.0 & flags::RCODE);
    for (bit, on) in [
        // RFC 1034, 3.7.1: nobody is an authority for every class.
        (flags::AA, body.authoritative && head.class != Class::ANY),
        (flags::RD, head.recursion_desired),
        (flags::CD, head.checking_disabled),
        (
            flags::AD,
            body.security == Security::Secure && rules.authentic_data,
        ),
    ] {
        bits |= if on { bit } else { 0 };
    }
    let mut max_age = None;
    let answers = body
        .answer
        .filter(|set| rules.in_answer(set))
        .take(rules.answer_max);
    for mut set in answers {
        set.ttl = set.ttl.min(settings.cache.ttl_max);
        max_age = Some(max_age.unwrap_or(u32::MAX).min(set.ttl));
        writer.set(0, &set, rules.signatures_in_answer);
    }
    for mut set in body.authority.filter(|set| rules.in_authority(set)) {
        set.ttl = set.ttl.min(settings.cache.ttl_max);
        if set.record_type == RecordType::SOA {
            set.ttl = denial_ttl(&set, settings);
            max_age = max_age.or(Some(set.ttl));
        }
        writer.set(1, &set, rules.dnssec_ok);
    }
    for set in body.additional.filter(|set| rules.in_additional(set)) {
        writer.set(2, &set, rules.dnssec_ok);
    }
    writer.finish(bits, rcode, extended_error);
    // RFC 8484, 5.1: freshness never exceeds the least TTL; failures are not for caches.
    let keeps = matches!(
        rcode,
        ResponseCode::NOERROR | ResponseCode::NXDOMAIN | ResponseCode::YXDOMAIN
    );
    Encoded {
        rcode,
        extended_error,
        max_age: max_age.filter(|_| keeps).map(|age| age.min(body.ttl)),
    }
}

/// RFC 2308, 3 and 5: a denial is kept for the least of the SOA's TTL and its MINIMUM, within the settings.
fn denial_ttl(soa: &RrsetView<'_>, settings: &Settings) -> u32 {
    let minimum = RdataList::items(soa.rdata).next().and_then(soa_minimum);
    let (least, most) = (
        settings.cache.ttl_negative_min,
        settings.cache.ttl_negative_max,
    );
    soa.ttl.min(minimum.unwrap_or(0).max(least)).min(most)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hickory_proto::op::Message;

    use super::*;
    use crate::name::Name;
    use crate::question::{ClientEdns, Question};
    use crate::rrset::Rrset;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    fn query(spelling: &str, record_type: RecordType, edns: Option<ClientEdns>) -> Query {
        let wire = spelling
            .split('.')
            .flat_map(|label| [&[label.len() as u8][..], label.as_bytes()].concat())
            .chain([0])
            .collect::<Vec<u8>>();
        let question = Question {
            name: name(spelling),
            record_type,
            class: Class::IN,
        };
        Query {
            spelling: wire.into(),
            edns,
            ..Query::plain(0x1234, question)
        }
    }

    fn set(owner: &str, record_type: RecordType, rdata: &[&[u8]]) -> Arc<Rrset> {
        let signature = [&record_type.0.to_be_bytes()[..], &[0; 16], b"\x00sig"].concat();
        Arc::new(Rrset {
            owner: name(owner),
            record_type,
            class: Class::IN,
            ttl: 60,
            rdata: RdataList::new(rdata.iter().copied()),
            signatures: RdataList::new([&signature[..]]),
        })
    }

    fn alias_answer() -> Answer {
        Answer {
            security: Security::Secure,
            answer: vec![
                set("www.example", RecordType::CNAME, &[b"\x01h\x07example\x00"]),
                set("h.example", RecordType::A, &[&[1, 2, 3, 4], &[5, 6, 7, 8]]),
            ],
            authority: vec![set("example", RecordType::NS, &[b"\x01n\x07example\x00"])],
            additional: vec![set("n.example", RecordType::A, &[&[9, 9, 9, 9]])],
            ttl: 50,
            ..Answer::empty(ResponseCode::NOERROR, None)
        }
    }

    const DO: ClientEdns = ClientEdns {
        version: 0,
        udp_payload_size: 4096,
        dnssec_ok: true,
        padding: false,
    };

    fn shape(query: &Query, answer: &Answer, settings: &Settings) -> (Shaped, Message) {
        let shaped = encode_answer(query, answer, settings, Origin::Resolved);
        let message = Message::from_vec(&shaped.message).unwrap();
        (shaped, message)
    }

    #[test]
    fn minimal_answer_without_dnssec() {
        let query = query("WWW.eXample", RecordType::A, None);
        let (shaped, message) = shape(&query, &alias_answer(), &Settings::default());
        assert_eq!(message.queries[0].name().to_string(), "WWW.eXample.");
        let lines: Vec<String> = message.answers.iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].ends_with("CNAME h.eXample."), "{lines:?}");
        assert!(message.authorities.is_empty() && message.additionals.is_empty());
        assert!(message.recursion_available && !message.authentic_data);
        assert_eq!(shaped.max_age, Some(50));
        assert!(shaped.message.len() < 100, "{}", shaped.message.len());
    }

    #[test]
    fn full_answer_with_dnssec() {
        let mut settings = Settings::default();
        settings.responses.minimal = false;
        let query = query("www.example", RecordType::A, Some(DO));
        let (_, message) = shape(&query, &alias_answer(), &settings);
        assert_eq!(message.answers.len(), 5);
        assert_eq!(message.authorities.len(), 2);
        assert_eq!(message.additionals.len(), 2);
        assert!(message.authentic_data);
        assert!(message.edns.unwrap().flags().dnssec_ok);
    }

    #[test]
    fn negative_answer_is_kept_as_long_as_its_soa_says() {
        let soa = b"\x01n\x07example\x00\x01r\x07example\x00\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x1e";
        let answer = Answer {
            authority: vec![
                set("example", RecordType::SOA, &[soa]),
                set("example", RecordType::NSEC, &[b"\x00\x00\x01\x40"]),
            ],
            ttl: 3600,
            ..Answer::empty(ResponseCode::NXDOMAIN, Some(ExtendedError::OTHER))
        };
        let plain = query("x.example", RecordType::A, None);
        let (shaped, message) = shape(&plain, &answer, &Settings::default());
        assert_eq!((shaped.max_age, shaped.extended_error), (Some(30), None));
        assert_eq!(message.authorities.len(), 1);
        let signed = query("x.example", RecordType::A, Some(DO));
        let (shaped, message) = shape(&signed, &answer, &Settings::default());
        assert_eq!(shaped.extended_error, Some(ExtendedError::OTHER));
        assert_eq!(message.authorities.len(), 4);
    }

    #[test]
    fn failures_are_not_for_caches() {
        let answer = Answer::empty(ResponseCode::SERVFAIL, Some(ExtendedError::DNSSEC_BOGUS));
        let query = query("x.example", RecordType::A, Some(DO));
        let (shaped, _) = shape(&query, &answer, &Settings::default());
        assert_eq!(shaped.max_age, None);
        assert!(
            shaped
                .message
                .ends_with(b"\x00\x06\x00\x0f\x00\x02\x00\x06")
        );
    }

    #[test]
    fn extended_response_codes_need_edns() {
        let answer = Answer::empty(ResponseCode(23), None);
        let (_, message) = shape(
            &query("a", RecordType::A, Some(DO)),
            &answer,
            &Settings::default(),
        );
        assert_eq!(u16::from(message.response_code), 23);
        let (shaped, _) = shape(
            &query("a", RecordType::A, None),
            &answer,
            &Settings::default(),
        );
        assert_eq!(shaped.rcode, ResponseCode::SERVFAIL);
    }

    #[test]
    fn padding_fills_whole_blocks() {
        let padded = ClientEdns {
            padding: true,
            ..DO
        };
        for with_error in [None, Some(ExtendedError::OTHER)] {
            let mut answer = alias_answer();
            answer.extended_error = with_error;
            let query = query("www.example", RecordType::A, Some(padded));
            let (shaped, _) = shape(&query, &answer, &Settings::default());
            assert_eq!(shaped.message.len(), 468);
        }
        let mut query = query("www.example", RecordType::A, Some(padded));
        query.size_limit = 300;
        let (shaped, _) = shape(&query, &alias_answer(), &Settings::default());
        assert_eq!(shaped.message.len(), 300);
    }

    #[test]
    fn what_does_not_fit_is_cut_at_sets() {
        let mut settings = Settings::default();
        settings.responses.minimal = false;
        let mut query = query("www.example", RecordType::A, Some(DO));
        let (whole, _) = shape(&query, &alias_answer(), &settings);
        for limit in 40..whole.message.len() {
            query.size_limit = limit as u16;
            let (shaped, message) = shape(&query, &alias_answer(), &settings);
            assert!(shaped.message.len() <= limit);
            assert!([0, 2, 5].contains(&message.answers.len()));
            let complete = message.answers.len() == 5 && message.authorities.len() == 2;
            assert_eq!(message.truncation, !complete, "{limit}");
            assert!(message.edns.is_some());
        }
    }

    #[test]
    fn any_gets_one_set() {
        let mut answer = alias_answer();
        answer.answer = vec![
            set("example", RecordType::A, &[&[1, 2, 3, 4]]),
            set("example", RecordType::TXT, &[b"\x01a"]),
        ];
        let query = query("example", RecordType::ANY, None);
        let (_, message) = shape(&query, &answer, &Settings::default());
        assert_eq!(message.answers.len(), 2, "the set and its signature");
        let mut settings = Settings::default();
        settings.responses.minimal_any = false;
        let (_, message) = shape(&query, &answer, &settings);
        assert_eq!(message.answers.len(), 4);
    }
}
