//! Answers fitted to one client.
//!
//! Owns what an answer looks like on the wire: header bits (RFC 4035, 3.2; RFC 6840, 5.7 and 5.8), which
//! records a client is spared (RFC 4035, 3.2.1; RFC 8482), size, EDNS (RFC 6891, 8914, 8467). One writer serves
//! answers of the mesh and hits of the cache, so that they cannot differ. Decides no answer.

use bytes::{BufMut, BytesMut};

use crate::answer::{Answer, ExtendedError, Origin, ResponseCode, Security, Shaped};
use crate::question::{ClientEdns, Query};
use crate::rdata::{Field, layout, soa_minimum};
use crate::rrset::{Class, RdataList, RecordType, Rrset};
use crate::settings::Settings;
use crate::wire::compress::Compressor;
use crate::wire::edns::{EXTENDED_ERROR_SIZE, OPT_SIZE, pad, write_opt};
use crate::wire::flags::{self, QUESTION_AT, put_header};

/// What of a query shapes its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) id: u16,
    /// QNAME as the client spelled it.
    pub(crate) spelling: &'a [u8],
    /// QNAME in lower case.
    pub(crate) name: &'a [u8],
    pub(crate) record_type: RecordType,
    pub(crate) class: Class,
    pub(crate) recursion_desired: bool,
    pub(crate) checking_disabled: bool,
    pub(crate) authentic_data: bool,
    pub(crate) edns: Option<ClientEdns>,
    pub(crate) size_limit: u16,
}

impl<'a> Head<'a> {
    fn of(query: &'a Query) -> Self {
        Self {
            id: query.id,
            spelling: &query.spelling,
            name: query.question.name.as_wire(),
            record_type: query.question.record_type,
            class: query.question.class,
            recursion_desired: query.recursion_desired,
            checking_disabled: query.checking_disabled,
            authentic_data: query.authentic_data,
            edns: query.edns,
            size_limit: query.size_limit,
        }
    }

    fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }
}

/// One RRset, wherever its octets are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RrsetView<'a> {
    pub(crate) owner: &'a [u8],
    pub(crate) record_type: RecordType,
    pub(crate) class: Class,
    pub(crate) ttl: u32,
    /// Record data in packed form.
    pub(crate) rdata: &'a [u8],
    /// Signatures in packed form.
    pub(crate) signatures: &'a [u8],
}

impl<'a> RrsetView<'a> {
    pub(crate) fn of(set: &'a Rrset) -> Self {
        Self {
            owner: set.owner.as_wire(),
            record_type: set.record_type,
            class: set.class,
            ttl: set.ttl,
            rdata: set.rdata.as_packed(),
            signatures: set.signatures.as_packed(),
        }
    }
}

/// What is answered, its sections as iterators.
pub(crate) struct Body<I> {
    pub(crate) rcode: ResponseCode,
    pub(crate) authoritative: bool,
    pub(crate) security: Security,
    pub(crate) extended_error: Option<ExtendedError>,
    /// Seconds for which the answer may be kept.
    pub(crate) ttl: u32,
    pub(crate) answer: I,
    pub(crate) authority: I,
    pub(crate) additional: I,
}

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
            // RFC 2308, 3 and 5: a denial is kept for the least of the SOA's TTL and its MINIMUM.
            let minimum = RdataList::items(set.rdata).next().and_then(soa_minimum);
            let (least, most) = (
                settings.cache.ttl_negative_min,
                settings.cache.ttl_negative_max,
            );
            set.ttl = set.ttl.min(minimum.unwrap_or(0).max(least)).min(most);
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

/// Which records this client gets.
struct Rules {
    record_type: RecordType,
    dnssec_ok: bool,
    authentic_data: bool,
    signatures_in_answer: bool,
    answer_max: usize,
    /// Whether NS in the authority section and the additional section are spared.
    minimal: bool,
}

impl Rules {
    fn of<'a, I>(head: &Head<'_>, settings: &Settings, body: &Body<I>) -> Self
    where
        I: Iterator<Item = RrsetView<'a>> + Clone,
    {
        let dnssec_ok = head.dnssec_ok();
        let is_any = head.record_type == RecordType::ANY;
        let is_referral = || {
            body.answer.clone().next().is_none()
                && !body
                    .authority
                    .clone()
                    .any(|set| set.record_type == RecordType::SOA)
        };
        // Who checks the proof of a wildcard gets all of the section that it stands in.
        let has_proof = || {
            let mut authority = body.authority.clone();
            dnssec_ok
                && body.answer.clone().next().is_some()
                && authority.any(|set| is_denial(set.record_type))
        };
        Self {
            record_type: head.record_type,
            dnssec_ok,
            authentic_data: dnssec_ok || head.authentic_data,
            signatures_in_answer: dnssec_ok || is_any || head.record_type == RecordType::RRSIG,
            answer_max: if is_any && settings.responses.minimal_any {
                1
            } else {
                usize::MAX
            },
            minimal: settings.responses.minimal && !is_referral() && !has_proof(),
        }
    }

    /// RFC 4035, 3.2.1: without DO, no authenticating records that were not asked for.
    fn in_answer(&self, set: &RrsetView<'_>) -> bool {
        let asked = self.record_type == set.record_type || self.record_type == RecordType::ANY;
        let proof = is_denial(set.record_type);
        (self.dnssec_ok || asked || !proof) && (self.signatures_in_answer || !set.rdata.is_empty())
    }

    fn in_authority(&self, set: &RrsetView<'_>) -> bool {
        match set.record_type {
            RecordType::NSEC | RecordType::NSEC3 | RecordType::DS | RecordType::DNSKEY => {
                self.dnssec_ok
            }
            RecordType::NS => !self.minimal,
            _ => self.dnssec_ok || !set.rdata.is_empty(),
        }
    }

    fn in_additional(&self, set: &RrsetView<'_>) -> bool {
        !self.minimal && (self.dnssec_ok || !set.rdata.is_empty())
    }
}

const fn is_denial(record_type: RecordType) -> bool {
    matches!(record_type, RecordType::NSEC | RecordType::NSEC3)
}

/// A message being written.
struct Writer<'o, 'h> {
    out: &'o mut BytesMut,
    start: usize,
    head: &'h Head<'h>,
    settings: &'h Settings,
    compressor: Option<Compressor>,
    counts: [u16; 3],
    /// Where records must end, so that OPT fits behind them.
    records_end_max: usize,
    truncated: bool,
    full: bool,
}

impl<'o, 'h> Writer<'o, 'h> {
    fn begin(
        out: &'o mut BytesMut,
        head: &'h Head<'h>,
        settings: &'h Settings,
        with_error: bool,
    ) -> Self {
        let start = out.len();
        out.put_slice(&[0; QUESTION_AT]);
        out.put_slice(head.spelling);
        out.put_u16(head.record_type.0);
        out.put_u16(head.class.0);
        let mut opt = 0;
        if let Some(edns) = head.edns {
            opt += OPT_SIZE;
            opt += if with_error { EXTENDED_ERROR_SIZE } else { 0 };
            opt += if edns.padding { 4 } else { 0 };
        }
        Self {
            out,
            start,
            head,
            settings,
            compressor: None,
            counts: [0; 3],
            records_end_max: start + usize::from(head.size_limit).saturating_sub(opt),
            truncated: false,
            full: false,
        }
    }

    /// Writes one RRset into a section, whole or not at all.
    fn set(&mut self, section: usize, set: &RrsetView<'_>, signatures: bool) {
        if self.full {
            self.truncated |= section < 2;
            return;
        }
        let end = self.out.len();
        let mark = self.compressor.as_ref().map(Compressor::mark);
        let mut count = 0u16;
        for rdata in RdataList::items(set.rdata) {
            self.record(set, set.record_type, rdata);
            count = count.saturating_add(1);
        }
        if signatures {
            for rdata in RdataList::items(set.signatures) {
                self.record(set, RecordType::RRSIG, rdata);
                count = count.saturating_add(1);
            }
        }
        let fits = self.out.len() <= self.records_end_max;
        match self.counts.get_mut(section) {
            Some(total) if fits => *total = total.saturating_add(count),
            _ => {
                self.out.truncate(end);
                if let (Some(compressor), Some(mark)) = (&mut self.compressor, mark) {
                    compressor.rewind(mark);
                }
                self.full = true;
                // RFC 2181, 9: TC only when required data is missing.
                self.truncated |= section < 2;
            }
        }
    }

    fn record(&mut self, set: &RrsetView<'_>, record_type: RecordType, rdata: &[u8]) {
        self.name(set.owner);
        self.out.put_u16(record_type.0);
        self.out.put_u16(set.class.0);
        self.out.put_u32(set.ttl);
        let length_at = self.out.len();
        self.out.put_u16(rdata.len() as u16);
        let layout = layout(record_type);
        if !layout.compress {
            self.out.put_slice(rdata);
            return;
        }
        let mut rest = rdata;
        for field in layout.fields {
            let length = field.length(rest).unwrap_or(rest.len());
            let (part, tail) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            if matches!(field, Field::Name) {
                self.name(part);
            } else {
                self.out.put_slice(part);
            }
            rest = tail;
        }
        let length = (self.out.len() - length_at - 2) as u16;
        if let Some(place) = self.out.get_mut(length_at..length_at + 2) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }

    /// Writes a name, compressed. Most are the question's.
    fn name(&mut self, name: &[u8]) {
        if name == self.head.name && name.len() > 1 {
            self.out.put_u16(0xc000 | QUESTION_AT as u16);
            return;
        }
        let compressor = self.compressor.get_or_insert_with(|| {
            let pointers_max = self.settings.limits.compressed_names_max;
            let mut compressor = Compressor::new(self.start, pointers_max);
            compressor.note_question(self.head.name);
            compressor
        });
        compressor.write(self.out, name);
    }

    /// Writes OPT and the header.
    fn finish(self, mut bits: u16, rcode: ResponseCode, error: Option<ExtendedError>) {
        let mut additional = self.counts.get(2).copied().unwrap_or(0);
        if let Some(edns) = self.head.edns {
            additional = additional.saturating_add(1);
            let size = self.settings.resolution.udp_payload_size;
            write_opt(self.out, edns, rcode, size, error);
            let block = usize::from(self.settings.responses.padding_block_size);
            if edns.padding && block > 0 {
                pad(
                    self.out,
                    self.start,
                    block,
                    self.head.size_limit,
                    error.is_some(),
                );
            }
        }
        if self.truncated {
            bits |= flags::TC;
        }
        let [answer, authority, _] = self.counts;
        let header = [self.head.id, bits, 1, answer, authority, additional];
        put_header(self.out, self.start, header);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hickory_proto::op::Message;

    use super::*;
    use crate::name::Name;
    use crate::question::Question;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    fn query(spelling: &str, record_type: RecordType, edns: Option<ClientEdns>) -> Query {
        let wire = spelling
            .split('.')
            .flat_map(|label| [&[label.len() as u8][..], label.as_bytes()].concat())
            .chain([0])
            .collect::<Vec<u8>>();
        Query {
            id: 0x1234,
            question: Question {
                name: name(spelling),
                record_type,
                class: Class::IN,
            },
            spelling: wire.into(),
            recursion_desired: true,
            checking_disabled: false,
            authentic_data: false,
            edns,
            size_limit: u16::MAX,
            client: None,
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
