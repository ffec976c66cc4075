//! One local zone with its records, and what its kind says of a name.
//!
//! Owns the kinds of local zones (`LocalZoneKind`), each as documented there. Follows no alias and chooses no zone.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::answer::{Answer, ExtendedError, ResponseCode, Security};
use crate::local::outcome::LocalOutcome;
use crate::name::Name;
use crate::rdata::soa_minimum;
use crate::rrset::{RdataList, RecordType, Rrset};
use crate::settings::{LocalZone, LocalZoneKind};

/// The time to live of records that no zone gives, in seconds.
const TTL: u32 = 3600;

/// A zone with its records by name.
#[derive(Debug)]
pub(crate) struct Zone {
    pub(crate) name: Name,
    pub(crate) kind: LocalZoneKind,
    records: BTreeMap<Name, Vec<Arc<Rrset>>>,
}

impl Zone {
    /// The zone, its records by name.
    pub(crate) fn new(zone: &LocalZone) -> Self {
        let mut records: BTreeMap<Name, Vec<Arc<Rrset>>> = BTreeMap::new();
        for set in &zone.records {
            records
                .entry(set.owner.clone())
                .or_default()
                .push(Arc::clone(set));
        }
        Self {
            name: zone.name.clone(),
            kind: zone.kind,
            records,
        }
    }

    fn at(&self, name: &Name) -> &[Arc<Rrset>] {
        self.records
            .get(name)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Whether the name exists: it has records, or names below it have (RFC 8020, 2).
    fn has_name(&self, name: &Name) -> bool {
        // In canonical order whatever lies below a name follows it at once (RFC 4034, 6.1).
        self.records
            .range(name..)
            .next()
            .is_some_and(|(first, _)| first.is_within(name))
    }

    /// The apex's SOA, as a denial carries it (RFC 2308, 3).
    fn soa(&self) -> Option<Arc<Rrset>> {
        let soa = self
            .at(&self.name)
            .iter()
            .find(|set| set.record_type == RecordType::SOA)?;
        let minimum = soa.rdata.iter().next().and_then(soa_minimum)?;
        let mut soa = Rrset::clone(soa);
        soa.ttl = soa.ttl.min(minimum);
        Some(Arc::new(soa))
    }

    fn denial(&self, rcode: ResponseCode) -> LocalOutcome {
        let authority: Vec<_> = self.soa().into_iter().collect();
        LocalOutcome::Answer(Answer {
            authoritative: true,
            security: Security::Insecure,
            ttl: authority.first().map_or(TTL, |soa| soa.ttl),
            authority,
            ..Answer::empty(rcode, None)
        })
    }

    /// Whether the zone does anything at all: a transparent one only gives its records.
    pub(crate) fn is_effective(&self) -> bool {
        match self.kind {
            LocalZoneKind::AlwaysTransparent | LocalZoneKind::NoDefault => false,
            LocalZoneKind::Transparent | LocalZoneKind::TypeTransparent => !self.records.is_empty(),
            _ => true,
        }
    }

    /// What the zone says of `name`, which lies in it (its DS may lie above it).
    pub(crate) fn answer(&self, name: &Name, record_type: RecordType) -> LocalOutcome {
        if let Some(always) = always(self, name, record_type) {
            return always;
        }
        let is_redirect = self.kind == LocalZoneKind::Redirect;
        let owner = if is_redirect { &self.name } else { name };
        let here = self.at(owner);
        let found: Vec<Arc<Rrset>> = match here.iter().find(|set| is_alias(set, record_type)) {
            Some(alias) => vec![Arc::clone(alias)],
            None => here
                .iter()
                .filter(|set| record_type == RecordType::ANY || set.record_type == record_type)
                .cloned()
                .collect(),
        };
        if found.is_empty() {
            return without_records(self, owner, record_type, !here.is_empty());
        }
        let renamed = found.into_iter().map(|set| {
            if set.owner == *name {
                return set;
            }
            let mut set = Rrset::clone(&set);
            set.owner = name.clone();
            Arc::new(set)
        });
        LocalOutcome::data(renamed.collect())
    }
}

/// An answer of the zone whatever its records are, for kinds that work so.
fn always(zone: &Zone, name: &Name, record_type: RecordType) -> Option<LocalOutcome> {
    let blocked = |rcode| {
        LocalOutcome::Answer(Answer {
            security: Security::Insecure,
            ..Answer::empty(rcode, Some(ExtendedError::BLOCKED))
        })
    };
    match zone.kind {
        LocalZoneKind::AlwaysNxdomain => Some(zone.denial(ResponseCode::NXDOMAIN)),
        LocalZoneKind::AlwaysNodata => Some(zone.denial(ResponseCode::NOERROR)),
        LocalZoneKind::AlwaysRefuse => Some(blocked(ResponseCode::REFUSED)),
        LocalZoneKind::InformDeny => Some(LocalOutcome::Deny),
        LocalZoneKind::AlwaysNull => match record_type {
            RecordType::A => Some(null(name, record_type, &[0; 4])),
            RecordType::AAAA => Some(null(name, record_type, &[0; 16])),
            _ => Some(zone.denial(ResponseCode::NOERROR)),
        },
        LocalZoneKind::BlockA if record_type == RecordType::A => {
            Some(zone.denial(ResponseCode::NOERROR))
        }
        LocalZoneKind::BlockAaaa if record_type == RecordType::AAAA => {
            Some(zone.denial(ResponseCode::NOERROR))
        }
        _ => None,
    }
}

/// The address that leads nowhere.
fn null(name: &Name, record_type: RecordType, address: &[u8]) -> LocalOutcome {
    let rdata = RdataList::new([address]);
    let set = Rrset::unsigned(name.clone(), record_type, TTL, rdata);
    LocalOutcome::data(vec![Arc::new(set)])
}

/// What a zone says of a question for which it has no records; `here` tells of other types at the name.
fn without_records(zone: &Zone, name: &Name, record_type: RecordType, here: bool) -> LocalOutcome {
    match zone.kind {
        LocalZoneKind::Static | LocalZoneKind::Redirect if here || zone.has_name(name) => {
            zone.denial(ResponseCode::NOERROR)
        }
        LocalZoneKind::Static | LocalZoneKind::Redirect => zone.denial(ResponseCode::NXDOMAIN),
        LocalZoneKind::Refuse => {
            LocalOutcome::bare(ResponseCode::REFUSED, Some(ExtendedError::BLOCKED))
        }
        LocalZoneKind::Deny => LocalOutcome::Deny,
        // A DS of a name with records is the business of the zone above, if that is real.
        LocalZoneKind::Transparent | LocalZoneKind::Inform
            if here && record_type != RecordType::DS =>
        {
            zone.denial(ResponseCode::NOERROR)
        }
        LocalZoneKind::BlockAWithData if here || record_type == RecordType::A => {
            zone.denial(ResponseCode::NOERROR)
        }
        LocalZoneKind::BlockAaaaWithData if here || record_type == RecordType::AAAA => {
            zone.denial(ResponseCode::NOERROR)
        }
        _ => LocalOutcome::Resolve,
    }
}

/// Whether a set is an alias that stands for all other types at its name.
fn is_alias(set: &Rrset, record_type: RecordType) -> bool {
    set.record_type == RecordType::CNAME
        && record_type != RecordType::CNAME
        && record_type != RecordType::ANY
}
