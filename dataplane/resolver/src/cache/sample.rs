//! Answers and questions that the tests of the caches share.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use crate::answer::{Answer, ResponseCode, Security};
use crate::cache::{Cache, Hit};
use crate::name::{NAME_MAX, Name};
use crate::question::{Question, QuestionKey};
use crate::rrset::{Class, RdataList, RecordType, Rrset};
use crate::settings::Settings;
use crate::time::{Instant, Now};
use crate::wire::parse_query;

const SOA: &[u8] = b"\x01n\x00\x01r\x00\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x1e";

pub(crate) const RD: u16 = 0x0100;
pub(crate) const CD: u16 = 0x0110;

pub(crate) fn at(seconds: u64) -> Now {
    Now {
        instant: Instant::ORIGIN.after(Duration::from_secs(seconds)),
        ..Now::default()
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

pub(crate) fn question(text: &str, record_type: RecordType) -> Question {
    Question {
        name: name(text),
        record_type,
        class: Class::IN,
    }
}

pub(crate) fn key(text: &str, record_type: RecordType) -> QuestionKey {
    QuestionKey {
        question: question(text, record_type),
        recursion_desired: true,
        checking_disabled: false,
        priming: false,
        sub: false,
        epoch: 0,
    }
}

pub(crate) fn set(owner: &str, record_type: RecordType, ttl: u32, rdata: &[&[u8]]) -> Arc<Rrset> {
    let signature = [&record_type.0.to_be_bytes()[..], &[0; 16], b"\x00sig"].concat();
    Arc::new(Rrset {
        owner: name(owner),
        record_type,
        class: Class::IN,
        ttl,
        rdata: RdataList::new(rdata.iter().copied()),
        signatures: RdataList::new([&signature[..]]),
    })
}

pub(crate) fn address(owner: &str, ttl: u32) -> Arc<Rrset> {
    set(owner, RecordType::A, ttl, &[&[1, 2, 3, 4]])
}

pub(crate) fn positive(owner: &str, ttl: u32) -> Answer {
    Answer::data(vec![address(owner, ttl)], Security::Insecure)
}

pub(crate) fn nxdomain(zone: &str, security: Security) -> Answer {
    Answer {
        security,
        authority: vec![set(zone, RecordType::SOA, 3600, &[SOA])],
        ttl: 30,
        ..Answer::empty(ResponseCode::NXDOMAIN, None)
    }
}

pub(crate) fn message(
    name: &Name,
    record_type: RecordType,
    bits: u16,
    edns: Option<bool>,
) -> Vec<u8> {
    let mut out = Vec::new();
    for field in [4711, bits, 1, 0, 0, u16::from(edns.is_some())] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    out.extend(name.as_wire().to_ascii_uppercase());
    out.extend_from_slice(&record_type.0.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    if let Some(dnssec_ok) = edns {
        out.extend_from_slice(&[0, 0, 41, 4, 0xd0, 0, 0]);
        out.extend_from_slice(&[if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    }
    out
}

/// Asks over the fast path, without EDNS.
pub(crate) fn hit(
    cache: &Cache,
    now: Now,
    text: &str,
    bits: u16,
    settings: &Settings,
) -> Option<Hit> {
    let message = message(&name(text), RecordType::A, bits, None);
    let mut buffer = [0; NAME_MAX];
    let view = parse_query(&message, &mut buffer).unwrap();
    let mut out = BytesMut::new();
    let hit = cache.hit(now, &view, u16::MAX, settings, &mut out);
    assert_eq!(hit.is_some(), !out.is_empty());
    hit
}
