//! Replies of servers, read into RRsets.
//!
//! Owns `Reply` and the grouping of records into RRsets with their signatures (RFC 2181, 5; RFC 4035,
//! 3.1.1). Judges nothing: what a zone may say is scrubbed later. Work and memory are bounded by `Limits`.

use crate::answer::ResponseCode;
use crate::limits::Limits;
use crate::name::Name;
use crate::question::Question;
use crate::rdata::{Rrsig, lower};
use crate::rrset::{Class, RdataList, RecordType, Rrset};
use crate::wire::edns::{Opt, ReplyEdns};
use crate::wire::flags;
use crate::wire::read::{Cursor, Malformed};

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The message identifier.
    pub id: u16,
    /// AA: the server is an authority for the first owner of the answer.
    pub authoritative: bool,
    /// TC: ask again over TCP. What was cut off is missing from the sections.
    pub truncated: bool,
    /// RD, echoed.
    pub recursion_desired: bool,
    /// RA.
    pub recursion_available: bool,
    /// AD.
    pub authentic_data: bool,
    /// CD, echoed.
    pub checking_disabled: bool,
    /// The response code, with its extension if there was an OPT record.
    pub rcode: ResponseCode,
    /// The question; some servers leave it out of an error.
    pub question: Option<Question>,
    /// The OPT record.
    pub edns: Option<ReplyEdns>,
    /// The answer section.
    pub answer: Vec<Rrset>,
    /// The authority section.
    pub authority: Vec<Rrset>,
    /// The additional section, without OPT and without transaction signatures.
    pub additional: Vec<Rrset>,
}

/// Reads a whole reply.
///
/// RRsets stand in the order of their first record, their record data in the order received, without
/// repetitions. An RRset's TTL is the least of its records, one with its top bit set counts as 0 (RFC 2181,
/// 5.2 and 8). RRSIGs stand with the RRset that they cover; with an RRset of empty record data when there is
/// none. More signatures than `Limits::signatures_per_rrset_max` are left out.
///
/// # Errors
/// When the octets are not a response, or go beyond `limits`. Octets behind the last record do not matter.
pub fn parse_reply(message: &[u8], limits: &Limits) -> Result<Reply, Malformed> {
    let mut cursor = Cursor::new(message, 0);
    let mut header = [0u16; 6];
    for field in &mut header {
        *field = cursor.u16()?;
    }
    let [id, bits, questions, answers, authorities, additionals] = header;
    if bits & flags::QR == 0 || bits & flags::OPCODE != 0 {
        return Err(Malformed::NotResponse);
    }
    let question = match questions {
        0 => None,
        1 => Some(read_question(&mut cursor)?),
        _ => return Err(Malformed::Questions),
    };
    let total = usize::from(answers) + usize::from(authorities) + usize::from(additionals);
    if total > limits.records_per_reply_max {
        return Err(Malformed::TooManyRecords);
    }
    let mut reply = Reply {
        id,
        authoritative: bits & flags::AA != 0,
        truncated: bits & flags::TC != 0,
        recursion_desired: bits & flags::RD != 0,
        recursion_available: bits & flags::RA != 0,
        authentic_data: bits & flags::AD != 0,
        checking_disabled: bits & flags::CD != 0,
        rcode: ResponseCode(bits & flags::RCODE),
        question,
        edns: None,
        answer: Vec::new(),
        authority: Vec::new(),
        additional: Vec::new(),
    };
    let mut sections = [
        (answers, Section::new(limits)),
        (authorities, Section::new(limits)),
        (additionals, Section::new(limits)),
    ];
    let mut opt = None;
    let outcome = sections
        .iter_mut()
        .enumerate()
        .try_for_each(|(index, (count, section))| {
            (0..*count).try_for_each(|_| read_record(&mut cursor, section, &mut opt, index == 2))
        });
    match outcome {
        // RFC 2181, 9: a truncated reply may end anywhere; it is asked for again.
        Err(Malformed::Truncated) if reply.truncated => {}
        other => other?,
    }
    if let Some(opt) = opt {
        reply.edns = Some(opt.of_reply());
        reply.rcode.0 |= u16::from(opt.extended_rcode) << 4;
    }
    let [answer, authority, additional] = sections.map(|(_, section)| section.finish());
    (reply.answer, reply.authority, reply.additional) = (answer, authority, additional);
    Ok(reply)
}

fn read_question(cursor: &mut Cursor<'_>) -> Result<Question, Malformed> {
    let name = read_owner(cursor)?;
    Ok(Question {
        name,
        record_type: RecordType(cursor.u16()?),
        class: Class(cursor.u16()?),
    })
}

fn read_owner(cursor: &mut Cursor<'_>) -> Result<Name, Malformed> {
    Name::from_wire(cursor.name()?.as_slice()).map_err(|_| Malformed::BrokenName)
}

/// Reads one record into its section, or sets it aside if it is about the message itself.
fn read_record<'a>(
    cursor: &mut Cursor<'a>,
    section: &mut Section<'_>,
    opt: &mut Option<Opt<'a>>,
    in_additional: bool,
) -> Result<(), Malformed> {
    let owner = read_owner(cursor)?;
    let record_type = RecordType(cursor.u16()?);
    if record_type == RecordType::OPT {
        if !in_additional || !owner.is_root() || opt.is_some() {
            return Err(Malformed::BrokenEdns);
        }
        *opt = Some(Opt::read(cursor)?);
        return Ok(());
    }
    let class = Class(cursor.u16()?);
    let ttl = match cursor.u32()? {
        ttl if ttl >> 31 == 0 => ttl,
        _ => 0,
    };
    let length = usize::from(cursor.u16()?);
    let of_message = matches!(record_type, RecordType::TSIG | RecordType::TKEY);
    if of_message || is_no_address(record_type, class, length) {
        return cursor.take(length).map(|_| ());
    }
    section.scratch.clear();
    cursor.rdata(record_type, length, &mut section.scratch)?;
    section.add(owner, record_type, class, ttl)
}

/// Whether an address record is of another length than an address. It is left out, and the rest of the message says
/// what it says: one record of a zone that somebody spoiled does not take the others down.
fn is_no_address(record_type: RecordType, class: Class, length: usize) -> bool {
    let octets = match record_type {
        RecordType::A => 4,
        RecordType::AAAA => 16,
        _ => return false,
    };
    class == Class::IN && length != octets
}

/// An RRset that still grows.
struct Growing {
    owner: Name,
    record_type: RecordType,
    class: Class,
    ttl: u32,
    rdata: Vec<u8>,
    signatures: Vec<u8>,
    signature_count: usize,
}

/// One section while it is read.
///
/// Finding an RRset or a repetition compares 32-bit digests first: a reply of as many records as the
/// limits allow costs some hundred microseconds, whatever its sender put into it.
struct Section<'l> {
    limits: &'l Limits,
    sets: Vec<Growing>,
    set_digests: Vec<u32>,
    record_digests: Vec<u64>,
    scratch: Vec<u8>,
}

impl<'l> Section<'l> {
    const fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            sets: Vec::new(),
            set_digests: Vec::new(),
            record_digests: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Adds the record whose data stands in `scratch`.
    fn add(
        &mut self,
        owner: Name,
        record_type: RecordType,
        class: Class,
        ttl: u32,
    ) -> Result<(), Malformed> {
        let is_signature = record_type == RecordType::RRSIG;
        let set_type = if is_signature {
            Rrsig::type_covered(&self.scratch).ok_or(Malformed::BrokenRdata)?
        } else {
            record_type
        };
        let index = self.find_or_begin(owner, set_type, class, ttl);
        let Some(set) = self.sets.get_mut(index) else {
            return Ok(());
        };
        set.ttl = set.ttl.min(ttl);
        let list = if is_signature {
            if set.signature_count >= self.limits.signatures_per_rrset_max {
                return Ok(());
            }
            &mut set.signatures
        } else {
            &mut set.rdata
        };
        let digest = (index as u64) << 33
            | u64::from(is_signature) << 32
            | u64::from(digest_of(record_type, &self.scratch));
        if self.record_digests.contains(&digest) && holds(list, record_type, &self.scratch) {
            return Ok(());
        }
        self.record_digests.push(digest);
        let length = u16::try_from(self.scratch.len()).map_err(|_| Malformed::BrokenRdata)?;
        list.extend_from_slice(&length.to_be_bytes());
        list.extend_from_slice(&self.scratch);
        set.signature_count += usize::from(is_signature);
        Ok(())
    }

    fn find_or_begin(
        &mut self,
        owner: Name,
        record_type: RecordType,
        class: Class,
        ttl: u32,
    ) -> usize {
        let digest = digest_octets(
            u32::from(record_type.0) << 16 | u32::from(class.0),
            owner.as_wire(),
        );
        let found = self
            .set_digests
            .iter()
            .zip(&self.sets)
            .rposition(|(&own, set)| {
                own == digest
                    && set.record_type == record_type
                    && set.class == class
                    && set.owner == owner
            });
        if let Some(index) = found {
            return index;
        }
        self.set_digests.push(digest);
        self.sets.push(Growing {
            owner,
            record_type,
            class,
            ttl,
            rdata: Vec::new(),
            signatures: Vec::new(),
            signature_count: 0,
        });
        self.sets.len() - 1
    }

    fn finish(self) -> Vec<Rrset> {
        let finished = self.sets.into_iter().map(|set| Rrset {
            owner: set.owner,
            record_type: set.record_type,
            class: set.class,
            ttl: set.ttl,
            rdata: RdataList::from_packed(set.rdata),
            signatures: RdataList::from_packed(set.signatures),
        });
        finished.collect()
    }
}

/// Whether a packed list holds this record data, names compared without case.
fn holds(list: &[u8], record_type: RecordType, rdata: &[u8]) -> bool {
    let mut own = Vec::new();
    let mut other = rdata.to_vec();
    lower(record_type, &mut other);
    RdataList::items(list).any(|item| {
        if item.len() != rdata.len() {
            return false;
        }
        own.clear();
        own.extend_from_slice(item);
        lower(record_type, &mut own);
        own == other
    })
}

/// A digest that is the same for record data that differs only in the case of names.
fn digest_of(record_type: RecordType, rdata: &[u8]) -> u32 {
    // ASCII case folded everywhere: a false match is sorted out by `holds`.
    digest_octets(u32::from(record_type.0), rdata)
}

fn digest_octets(start: u32, octets: &[u8]) -> u32 {
    octets.iter().fold(start ^ 0x811c_9dc5, |digest, octet| {
        (digest ^ u32::from(octet | 0x20)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with one question for `a. A` and these records, each already in wire form.
    fn message(bits: u16, counts: [u16; 3], records: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for field in [7, bits, 1, counts[0], counts[1], counts[2]] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        out.extend_from_slice(b"\x01A\x00\0\x01\0\x01");
        records
            .iter()
            .for_each(|record| out.extend_from_slice(record));
        out
    }

    fn parse(message: &[u8]) -> Result<Reply, Malformed> {
        parse_reply(message, &Limits::DEFAULT)
    }

    const A1: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\x09\0\x04\x01\x02\x03\x04";
    const A2: &[u8] = b"\x01a\x00\0\x01\0\x01\0\0\0\x05\0\x04\x01\x02\x03\x05";
    /// RRSIG covering A at `a.`, signer root, signature `S`.
    const SIG: &[u8] =
        b"\xc0\x0c\0\x2e\0\x01\0\0\0\x09\0\x14\0\x01\x08\x01\0\0\0\x09\0\0\0\x01\0\0\0\x00\0\x07\x00S";
    const OPT: &[u8] = b"\x00\0\x29\x04\xd0\x01\x00\x80\x00\0\x06\0\x0f\0\x02\0\x07";

    #[test]
    fn addresses_of_a_wrong_length_are_left_out() {
        let short = b"\xc0\x0c\0\x01\0\x01\0\0\0\x09\0\x03\x01\x02\x03";
        let long = b"\xc0\x0c\0\x1c\0\x01\0\0\0\x09\0\x04\x01\x02\x03\x04";
        let reply = parse(&message(0x8400, [3, 0, 0], &[short, A1, long])).unwrap();
        assert_eq!(reply.answer.len(), 1);
        assert_eq!(reply.answer[0].rdata.as_packed(), b"\0\x04\x01\x02\x03\x04");
        let cut = parse(&message(0x8400, [1, 0, 0], &[&short[..14]]));
        assert_eq!(cut.unwrap_err(), Malformed::Truncated);
    }

    #[test]
    fn records_become_sets() {
        let reply = parse(&message(0x8400, [4, 0, 1], &[A1, A2, A1, SIG, OPT])).unwrap();
        assert!(reply.authoritative && !reply.truncated);
        assert_eq!(reply.rcode, ResponseCode(0x10));
        assert_eq!(reply.question.unwrap().name.to_string(), "a.");
        let [set] = &reply.answer[..] else {
            panic!("{:?}", reply.answer)
        };
        assert_eq!(set.ttl, 5);
        let rdata: Vec<&[u8]> = set.rdata.iter().collect();
        assert_eq!(rdata, [&[1, 2, 3, 4], &[1, 2, 3, 5]]);
        assert_eq!(set.signatures.len(), 1);
        let edns = reply.edns.unwrap();
        assert_eq!((edns.udp_payload_size, edns.dnssec_ok), (1232, true));
        assert_eq!(edns.extended_error.unwrap().0, 7);
        assert!(reply.additional.is_empty());
    }

    #[test]
    fn signatures_without_their_set_stand_alone() {
        let reply = parse(&message(0x8000, [1, 0, 0], &[SIG])).unwrap();
        assert_eq!(reply.answer[0].record_type, RecordType::A);
        assert!(reply.answer[0].rdata.is_empty());
        assert_eq!(reply.answer[0].signatures.len(), 1);
    }

    #[test]
    fn time_to_live_with_its_top_bit_set_is_zero() {
        let mut record = A1.to_vec();
        record[6] = 0x80;
        let reply = parse(&message(0x8000, [1, 0, 0], &[&record])).unwrap();
        assert_eq!(reply.answer[0].ttl, 0);
    }

    #[test]
    fn names_that_differ_in_case_are_one_record() {
        let ns = |target: &[u8]| [b"\xc0\x0c\0\x02\0\x01\0\0\0\x09\0\x03", target].concat();
        let records: [&[u8]; 3] = [&ns(b"\x01n\x00"), &ns(b"\x01N\x00"), &ns(b"\x01m\x00")];
        let reply = parse(&message(0x8000, [0, 3, 0], &records)).unwrap();
        assert_eq!(reply.authority[0].rdata.len(), 2);
        let txt = |text: &[u8]| [b"\xc0\x0c\0\x10\0\x01\0\0\0\x09\0\x02", text].concat();
        let records: [&[u8]; 2] = [&txt(b"\x01n"), &txt(b"\x01N")];
        let reply = parse(&message(0x8000, [2, 0, 0], &records)).unwrap();
        assert_eq!(reply.answer[0].rdata.len(), 2, "text keeps its case");
    }

    #[test]
    fn limits_hold() {
        let limits = Limits {
            records_per_reply_max: 2,
            signatures_per_rrset_max: 1,
            ..Limits::DEFAULT
        };
        let mut other = SIG.to_vec();
        *other.last_mut().unwrap() = b'T';
        let two = message(0x8000, [2, 0, 0], &[SIG, &other]);
        assert_eq!(parse(&two).unwrap().answer[0].signatures.len(), 2);
        let reply = parse_reply(&two, &limits).unwrap();
        assert_eq!(reply.answer[0].signatures.len(), 1);
        let three = message(0x8000, [3, 0, 0], &[A1, A2, SIG]);
        assert_eq!(parse_reply(&three, &limits), Err(Malformed::TooManyRecords));
    }

    #[test]
    fn wrong_messages_are_refused() {
        assert_eq!(
            parse(&message(0x0000, [0, 0, 0], &[])),
            Err(Malformed::NotResponse)
        );
        assert_eq!(
            parse(&message(0x8000, [1, 0, 0], &[])),
            Err(Malformed::Truncated)
        );
        assert!(
            parse(&message(0x8200, [1, 0, 0], &[&A1[..9]]))
                .unwrap()
                .truncated
        );
        let twice = message(0x8000, [0, 0, 2], &[OPT, OPT]);
        assert_eq!(parse(&twice), Err(Malformed::BrokenEdns));
        assert_eq!(
            parse(&message(0x8000, [1, 0, 0], &[OPT])),
            Err(Malformed::BrokenEdns)
        );
        // An MX record that ends before its name does.
        let short = b"\xc0\x0c\0\x0f\0\x01\0\0\0\x09\0\x02\0\x05\0";
        assert_eq!(
            parse(&message(0x8000, [1, 0, 0], &[short])),
            Err(Malformed::BrokenRdata)
        );
    }
}
