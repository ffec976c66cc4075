//! Queries: those of clients read, those to servers written.
//!
//! Owns the borrowed view that the hot path works on (RFC 1035, 4.1; RFC 6891) and the refusals that a
//! message can earn before anything is looked up (RFC 9619). Allocates nothing while reading.

use std::net::IpAddr;

use bytes::Bytes;

use crate::answer::ResponseCode;
use crate::fetch::{FetchPlan, Transport};
use crate::name::{NAME_MAX, Name};
use crate::question::{ClientEdns, Query, Question};
use crate::random::Random;
use crate::rrset::{Class, RecordType};
use crate::wire::edns::{COOKIE, Opt, PADDING};
use crate::wire::flags;
use crate::wire::read::Cursor;

/// Queries to TLS and HTTPS forwarders are padded to a multiple of this (RFC 8467, 4.1).
const QUERY_BLOCK_SIZE: usize = 128;

/// One query, borrowed from the message and from the caller's buffer.
#[derive(Clone, Copy, Debug)]
pub struct QueryView<'a> {
    /// The message identifier.
    pub id: u16,
    /// RD.
    pub recursion_desired: bool,
    /// CD.
    pub checking_disabled: bool,
    /// AD: the client understands the AD bit (RFC 6840, 5.7).
    pub authentic_data: bool,
    /// QNAME in wire form as the client spelled it.
    pub spelling: &'a [u8],
    /// QNAME in wire form, lower case.
    pub name: &'a [u8],
    /// QTYPE.
    pub record_type: RecordType,
    /// QCLASS.
    pub class: Class,
    /// The OPT record, if there is one.
    pub edns: Option<ClientEdns>,
}

/// Why a message is not a query that can be answered from data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Shorter than a header: HTTP 400.
    #[error("the message is shorter than a DNS header")]
    Short,
    /// QR is set: HTTP 400.
    #[error("the message is a response")]
    IsResponse,
    /// Its counts promise more than it holds, or a name in it is broken: HTTP 400.
    #[error("the message is malformed")]
    Malformed,
    /// Octets follow the last record: HTTP 400.
    #[error("octets follow the end of the message")]
    TrailingOctets,
    /// It is whole but gets only this response code: HTTP 200 with what `encode_error` gives.
    #[error("answered with response code {}", .0.0)]
    Answered(ResponseCode),
}

/// Reads a client's query. `name` is filled with QNAME in lower case and lent to the view.
///
/// # Errors
/// [`QueryError::Answered`] when an answer with only a response code is due: FORMERR without exactly one
/// question, with records in other sections, or with a wrong OPT record (RFC 9619; RFC 6891, 6.1.1);
/// NOTIMP for another opcode; BADVERS for another EDNS version; REFUSED for zone transfers. Else an error of
/// the transport: HTTP 400.
pub fn parse_query<'a>(
    message: &'a [u8],
    name: &'a mut [u8; NAME_MAX],
) -> Result<QueryView<'a>, QueryError> {
    let mut cursor = Cursor::new(message, 0);
    let mut header = [0u16; 6];
    for field in &mut header {
        *field = cursor.u16().map_err(|_| QueryError::Short)?;
    }
    let [id, bits, questions, answers, authorities, additionals] = header;
    if bits & flags::QR != 0 {
        return Err(QueryError::IsResponse);
    }
    if bits & flags::OPCODE != 0 {
        return Err(QueryError::Answered(ResponseCode::NOTIMP));
    }
    // RFC 9619, 4: QDCOUNT of a standard query is one; with RFC 7873 cookies off, none is no use either.
    if questions != 1 || answers != 0 || authorities != 0 || additionals > 1 {
        skim(cursor, questions, [answers, authorities, additionals])?;
        return Err(QueryError::Answered(ResponseCode::FORMERR));
    }
    let spelling = question_name(&mut cursor, message)?;
    let record_type = RecordType(cursor.u16().map_err(|_| QueryError::Malformed)?);
    let class = Class(cursor.u16().map_err(|_| QueryError::Malformed)?);
    let opt = if additionals == 1 {
        Some(read_opt(&mut cursor)?)
    } else {
        None
    };
    if cursor.position() != message.len() {
        return Err(QueryError::TrailingOctets);
    }
    let opt = opt.transpose()?;
    refuse(record_type, opt.as_ref())?;
    let lowered = name
        .get_mut(..spelling.len())
        .ok_or(QueryError::Malformed)?;
    lowered.copy_from_slice(spelling);
    lowered.make_ascii_lowercase();
    Ok(QueryView {
        id,
        recursion_desired: bits & flags::RD != 0,
        checking_disabled: bits & flags::CD != 0,
        authentic_data: bits & flags::AD != 0,
        spelling,
        name: lowered,
        record_type,
        class,
        edns: opt.as_ref().map(Opt::of_client),
    })
}

/// QNAME: nothing precedes it that a pointer could lead to.
fn question_name<'a>(cursor: &mut Cursor<'a>, message: &'a [u8]) -> Result<&'a [u8], QueryError> {
    let start = cursor.position();
    let rest = message.get(start..).ok_or(QueryError::Malformed)?;
    let length = crate::rdata::name_length(rest).ok_or(QueryError::Malformed)?;
    cursor.take(length).map_err(|_| QueryError::Malformed)
}

/// Reads the one additional record. The inner error is what is answered once the whole has been read.
fn read_opt<'a>(cursor: &mut Cursor<'a>) -> Result<Result<Opt<'a>, QueryError>, QueryError> {
    let start = cursor.position();
    cursor.skip_name().map_err(|_| QueryError::Malformed)?;
    let at_root = cursor.position() == start + 1;
    let record_type = RecordType(cursor.u16().map_err(|_| QueryError::Malformed)?);
    if record_type == RecordType::OPT && at_root {
        let mut ahead = *cursor;
        if let Ok(opt) = Opt::read(&mut ahead) {
            *cursor = ahead;
            return Ok(Ok(opt));
        }
    }
    // Not an OPT record, or one with broken options: passed over, and answered FORMERR.
    cursor.take(6).map_err(|_| QueryError::Malformed)?;
    let length = cursor.u16().map_err(|_| QueryError::Malformed)?;
    cursor
        .take(usize::from(length))
        .map_err(|_| QueryError::Malformed)?;
    Ok(Err(QueryError::Answered(ResponseCode::FORMERR)))
}

/// Response codes that are due whatever the data.
fn refuse(record_type: RecordType, opt: Option<&Opt<'_>>) -> Result<(), QueryError> {
    if opt.is_some_and(|opt| opt.version != 0) {
        // RFC 6891, 6.1.3.
        return Err(QueryError::Answered(ResponseCode::BADVERS));
    }
    match record_type {
        RecordType::AXFR | RecordType::IXFR => Err(QueryError::Answered(ResponseCode::REFUSED)),
        RecordType(0)
        | RecordType::OPT
        | RecordType::TKEY
        | RecordType::TSIG
        | RecordType::MAILA
        | RecordType::MAILB => Err(QueryError::Answered(ResponseCode::FORMERR)),
        _ => Ok(()),
    }
}

/// Walks over the whole message, so that one that cannot be parsed is told from one that asks wrongly.
fn skim(mut cursor: Cursor<'_>, questions: u16, records: [u16; 3]) -> Result<(), QueryError> {
    let malformed = |_| QueryError::Malformed;
    for _ in 0..questions {
        cursor.skip_name().map_err(malformed)?;
        cursor.take(4).map_err(malformed)?;
    }
    for _ in 0..records.into_iter().map(u32::from).sum() {
        cursor.skip_name().map_err(malformed)?;
        cursor.take(8).map_err(malformed)?;
        let length = cursor.u16().map_err(malformed)?;
        cursor.take(usize::from(length)).map_err(malformed)?;
    }
    if cursor.is_at_end() {
        Ok(())
    } else {
        Err(QueryError::TrailingOctets)
    }
}

impl QueryView<'_> {
    /// The query as a value of its own, for a mesh. `size_limit` is what the transport can carry, 65 535 for DoH.
    #[must_use]
    pub fn to_query(&self, client: Option<IpAddr>, size_limit: u16) -> Query {
        Query {
            id: self.id,
            question: Question {
                name: Name::from_wire(self.name).unwrap_or_else(|_| Name::root()),
                record_type: self.record_type,
                class: self.class,
            },
            spelling: self.spelling.into(),
            recursion_desired: self.recursion_desired,
            checking_disabled: self.checking_disabled,
            authentic_data: self.authentic_data,
            edns: self.edns,
            size_limit,
            client,
        }
    }

    /// DO: whether DNSSEC records are wanted.
    #[must_use]
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }
}

/// Writes the query of a plan: a random identifier (0 over HTTPS, RFC 8484, 4.1), QNAME in random case if
/// the plan says so (0x20), and an OPT record with DO and this UDP payload size unless it says not to.
#[must_use]
pub fn encode_query(plan: &FetchPlan, udp_payload_size: u16, random: &mut Random) -> Bytes {
    let encrypted = matches!(plan.transport, Transport::Tls(_) | Transport::Https { .. });
    let id = match plan.transport {
        Transport::Https { .. } => 0,
        Transport::Udp | Transport::Tcp | Transport::Tls(_) => random.next_u16(),
    };
    let mut bits = 0;
    if plan.recursion_desired {
        bits |= flags::RD;
    }
    if plan.checking_disabled {
        bits |= flags::CD;
    }
    let mut out = Vec::with_capacity(QUERY_BLOCK_SIZE);
    for field in [id, bits, 1, 0, 0, u16::from(plan.edns)] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    let start = out.len();
    out.extend_from_slice(plan.question.name.as_wire());
    if plan.randomise_case {
        randomise_case(out.get_mut(start..).unwrap_or_default(), random);
    }
    out.extend_from_slice(&plan.question.record_type.0.to_be_bytes());
    out.extend_from_slice(&plan.question.class.0.to_be_bytes());
    if plan.edns {
        out.extend_from_slice(&[0, 0, 41]);
        out.extend_from_slice(&udp_payload_size.max(512).to_be_bytes());
        out.extend_from_slice(&[0, 0, 0x80, 0]);
        let padding = if encrypted {
            // The record data's length and the option's own header are counted in.
            let unpadded = out.len() + 6;
            Some(unpadded.next_multiple_of(QUERY_BLOCK_SIZE) - unpadded)
        } else {
            None
        };
        let cookie = plan.cookie.filter(|_| !encrypted);
        let rdata_length = padding.map_or(0, |padding| padding + 4)
            + cookie.map_or(0, |cookie| cookie.as_octets().len() + 4);
        out.extend_from_slice(&(rdata_length as u16).to_be_bytes());
        if let Some(cookie) = cookie {
            let octets = cookie.as_octets();
            out.extend_from_slice(&COOKIE.to_be_bytes());
            out.extend_from_slice(&(octets.len() as u16).to_be_bytes());
            out.extend_from_slice(octets);
        }
        if let Some(padding) = padding {
            out.extend_from_slice(&PADDING.to_be_bytes());
            out.extend_from_slice(&(padding as u16).to_be_bytes());
            out.resize(out.len() + padding, 0);
        }
    }
    out.into()
}

/// Flips letters of a lower-case name by the generator; length octets are below every letter.
fn randomise_case(name: &mut [u8], random: &mut Random) {
    let mut coins = 0u64;
    let mut left = 0;
    for octet in name {
        if !octet.is_ascii_lowercase() {
            continue;
        }
        if left == 0 {
            (coins, left) = (random.next_u64(), 64);
        }
        if coins & 1 == 1 {
            octet.make_ascii_uppercase();
        }
        coins >>= 1;
        left -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hickory_proto::op::Message;

    use super::*;
    use crate::wire::reply_matches;

    const PLAIN: &[u8] = b"\x12\x34\x01\x10\0\x01\0\0\0\0\0\0\x03WwW\x01a\x00\0\x1c\0\x01";
    const EDNS: &[u8] =
        b"\0\0\x01\x20\0\x01\0\0\0\0\0\x01\x01a\x00\0\x01\0\x01\x00\0\x29\x04\xd0\0\0\x80\0\0\x05\0\x0c\0\x01\0";

    fn error(message: &[u8]) -> QueryError {
        parse_query(message, &mut [0; NAME_MAX]).unwrap_err()
    }

    #[test]
    fn a_query_is_seen_as_sent() {
        let mut buffer = [0; NAME_MAX];
        let view = parse_query(PLAIN, &mut buffer).unwrap();
        assert_eq!(
            (view.id, view.record_type, view.class),
            (0x1234, RecordType::AAAA, Class::IN)
        );
        assert_eq!(
            (view.spelling, view.name),
            (&b"\x03WwW\x01a\x00"[..], &b"\x03www\x01a\x00"[..])
        );
        assert!(view.recursion_desired && view.checking_disabled && !view.authentic_data);
        assert_eq!(view.edns, None);
        let query = view.to_query(None, u16::MAX);
        assert_eq!(query.question.name.to_string(), "www.a.");
        assert_eq!(&*query.spelling, view.spelling);
    }

    #[test]
    fn edns_is_read() {
        let mut buffer = [0; NAME_MAX];
        let view = parse_query(EDNS, &mut buffer).unwrap();
        assert!(view.authentic_data && view.dnssec_ok());
        let edns = view.edns.unwrap();
        assert_eq!((edns.udp_payload_size, edns.padding), (1232, true));
    }

    #[test]
    fn transport_errors_and_answered_errors() {
        for cut in 0..12 {
            assert_eq!(error(&PLAIN[..cut]), QueryError::Short);
        }
        for cut in 12..PLAIN.len() {
            assert_eq!(error(&PLAIN[..cut]), QueryError::Malformed, "{cut}");
        }
        for cut in 19..EDNS.len() {
            assert_eq!(error(&EDNS[..cut]), QueryError::Malformed, "{cut}");
        }
        assert_eq!(error(&[PLAIN, b"x"].concat()), QueryError::TrailingOctets);
        let changed = |position: usize, value: u8| {
            let mut message = EDNS.to_vec();
            message[position] = value;
            error(&message)
        };
        assert_eq!(changed(2, 0x81), QueryError::IsResponse);
        assert_eq!(changed(2, 0x21), QueryError::Answered(ResponseCode::NOTIMP));
        assert_eq!(changed(5, 0), QueryError::Malformed);
        assert_eq!(error(&[0; 12]), QueryError::Answered(ResponseCode::FORMERR));
        assert_eq!(changed(25, 1), QueryError::Answered(ResponseCode::BADVERS));
        assert_eq!(
            changed(16, 252),
            QueryError::Answered(ResponseCode::REFUSED)
        );
        assert_eq!(changed(16, 41), QueryError::Answered(ResponseCode::FORMERR));
        assert_eq!(changed(33, 2), QueryError::Answered(ResponseCode::FORMERR));
        let two = b"\0\0\0\0\0\x02\0\0\0\0\0\0\x01a\x00\0\x01\0\x01\x01b\x00\0\x01\0\x01";
        assert_eq!(error(two), QueryError::Answered(ResponseCode::FORMERR));
        assert_eq!(
            error(&[&two[..], b"x"].concat()),
            QueryError::TrailingOctets
        );
    }

    fn plan(transport: Transport) -> FetchPlan {
        FetchPlan {
            server: ([127, 0, 0, 1], 53).into(),
            transport,
            zone: Name::root(),
            question: Question {
                name: Name::from_text("a-rather-long-name.example").unwrap(),
                record_type: RecordType::A,
                class: Class::IN,
            },
            recursion_desired: false,
            checking_disabled: true,
            edns: true,
            cookie: None,
            randomise_case: true,
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn queries_are_unpredictable_and_decodable() {
        let mut random = Random::from_seed([1, 2]);
        let first = encode_query(&plan(Transport::Udp), 1232, &mut random);
        let second = encode_query(&plan(Transport::Udp), 1232, &mut random);
        assert_ne!(first[..2], second[..2]);
        assert_ne!(first[12..], second[12..]);
        assert!(first[12..].eq_ignore_ascii_case(&second[12..]));
        let message = Message::from_vec(&first).unwrap();
        let edns = message.edns.as_ref().unwrap();
        assert!(edns.flags().dnssec_ok && message.checking_disabled);
        assert_eq!(edns.max_payload(), 1232);
        let mut reply = first.to_vec();
        reply[2] |= 0x80;
        assert!(reply_matches(&first, &reply) && !reply_matches(&second, &reply));
    }

    #[test]
    fn encrypted_queries_are_padded() {
        let https = Transport::Https {
            host: "h".into(),
            path: "/".into(),
        };
        for transport in [Transport::Tls("h".into()), https] {
            let message = encode_query(&plan(transport), 1232, &mut Random::from_seed([1, 2]));
            assert_eq!(message.len(), 128);
            assert!(Message::from_vec(&message).is_ok());
        }
    }
}
