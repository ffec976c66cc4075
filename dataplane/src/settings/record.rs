//! Reads one record of presentation form (RFC 1035, 5.1): records of local zones, trust anchors.

use hickory_proto::rr::Name as ProtoName;
use hickory_proto::serialize::binary::BinEncodable;
use hickory_proto::serialize::txt::Parser;
use weir_resolver::name::Name;
use weir_resolver::rrset::{RdataList, RecordType, Rrset};
use weir_resolver::settings::TrustAnchor;

/// The time to live of a record that gives none.
const DEFAULT_TTL: u32 = 3600;

/// What is wrong with a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordFault {
    /// It is more than one line, or a directive.
    #[error("give one record, such as nas A 192.0.2.7")]
    Form,
    /// It cannot be read.
    #[error(
        "'{text}' is not a record: {fault}; write name, type and data, such as nas A 192.0.2.7"
    )]
    Unreadable {
        /// The record.
        text: String,
        /// What is wrong with it.
        fault: String,
    },
}

/// Reads a record whose relative names lie in `origin`.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str, origin: &Name) -> Result<Rrset, RecordFault> {
    if text.contains(['\n', '\r', '(']) || text.trim_start().starts_with('$') {
        return Err(RecordFault::Form);
    }
    let unreadable = |fault: String| RecordFault::Unreadable {
        text: text.to_owned(),
        fault,
    };
    let zone = ProtoName::from_ascii(origin.to_string());
    let zone = zone.map_err(|fault| unreadable(fault.to_string()))?;
    let lines = format!("$TTL {DEFAULT_TTL}\n{text}\n");
    let (_, sets) = Parser::new(lines, None, Some(zone))
        .parse()
        .map_err(|fault| unreadable(fault.to_string()))?;
    let record = sets
        .values()
        .next()
        .and_then(|set| set.records_without_rrsigs().next().cloned());
    let record = record.ok_or(RecordFault::Form)?;
    let encode = |value: &dyn Fn() -> Result<Vec<u8>, hickory_proto::ProtoError>| {
        value().map_err(|fault| unreadable(fault.to_string()))
    };
    let owner = encode(&|| record.name.to_bytes())?;
    let rdata = encode(&|| record.data.to_bytes())?;
    let owner = Name::from_wire(&owner).map_err(|fault| unreadable(fault.to_string()))?;
    let record_type = RecordType(record.record_type().into());
    let rdata = RdataList::new([rdata.as_slice()]);
    Ok(Rrset::unsigned(owner, record_type, record.ttl, rdata))
}

/// Adds a record to the RRset that it belongs to.
pub fn merge(sets: &mut Vec<Rrset>, record: Rrset) {
    let same =
        |set: &&mut Rrset| set.owner == record.owner && set.record_type == record.record_type;
    match sets.iter_mut().find(same) {
        Some(set) => {
            set.ttl = set.ttl.min(record.ttl);
            set.rdata = RdataList::new(set.rdata.iter().chain(record.rdata.iter()));
        }
        None => sets.push(record),
    }
}

/// Adds a DS or DNSKEY record to the trust anchor of its zone.
pub fn anchor(anchors: &mut Vec<TrustAnchor>, record: Rrset) {
    let index = anchors
        .iter()
        .position(|anchor| anchor.zone == record.owner);
    let index = index.unwrap_or_else(|| {
        anchors.push(TrustAnchor {
            zone: record.owner.clone(),
            ds: RdataList::default(),
            dnskey: RdataList::default(),
        });
        anchors.len() - 1
    });
    if let Some(anchor) = anchors.get_mut(index) {
        let list = match record.record_type {
            RecordType::DS => &mut anchor.ds,
            _ => &mut anchor.dnskey,
        };
        *list = RdataList::new(list.iter().chain(record.rdata.iter()));
    }
}
