//! Proofs of absence by NSEC (RFC 4035, 5.4; RFC 6840, 4).
//!
//! Owns the NSEC records of one zone whose signatures are good, and what follows from them. Never
//! looks at NSEC3, and never verifies.

use std::sync::Arc;

use crate::name::Name;
use crate::rdata::{Nsec, TypeBitmap};
use crate::rrset::{RecordType, Rrset};

/// One verified NSEC record.
#[derive(Clone, Debug)]
pub struct NsecRecord {
    /// The name that it is about.
    pub owner: Name,
    next: Name,
    rrset: Arc<Rrset>,
}

impl NsecRecord {
    /// The only record of a verified NSEC RRset.
    #[must_use]
    pub fn new(rrset: &Arc<Rrset>) -> Option<Self> {
        let mut records = rrset.rdata.iter();
        let nsec = Nsec::parse(records.next()?)?;
        if records.next().is_some() {
            return None;
        }
        Some(Self {
            owner: rrset.owner.clone(),
            next: nsec.next,
            rrset: Arc::clone(rrset),
        })
    }

    fn types(&self) -> TypeBitmap<'_> {
        let bitmap = self.rrset.rdata.iter().next().and_then(Nsec::parse);
        bitmap.map_or(TypeBitmap::new(&[]), |nsec| nsec.types)
    }

    fn has(&self, record_type: RecordType) -> bool {
        self.types().contains(record_type)
    }

    /// Whether it stands in the zone above a zone cut.
    fn is_delegation(&self) -> bool {
        self.has(RecordType::NS) && !self.has(RecordType::SOA)
    }

    /// Whether `name` lies between owner and next name.
    fn spans(&self, name: &Name, zone: &Name) -> bool {
        let last = self.next == *zone;
        let within = self.owner < *name && (last || *name < self.next);
        // RFC 6840, 4.1: a delegation or DNAME says nothing of what is below it.
        let beyond =
            name.is_within(&self.owner) && (self.is_delegation() || self.has(RecordType::DNAME));
        within && name.is_within(zone) && !beyond
    }

    /// Whether `name` has no records but names below it: an empty non-terminal.
    fn shows_empty_non_terminal(&self, name: &Name, zone: &Name) -> bool {
        self.spans(name, zone) && self.next.is_within(name)
    }

    /// Whether no name `name` exists.
    fn denies(&self, name: &Name, zone: &Name) -> bool {
        self.spans(name, zone) && !self.next.is_within(name)
    }

    /// The nearest ancestor of a denied name that exists.
    #[must_use]
    pub fn closest_encloser(&self, name: &Name) -> Name {
        let by_owner = name.common_ancestor(&self.owner);
        let by_next = name.common_ancestor(&self.next);
        if by_owner.label_count() > by_next.label_count() {
            by_owner
        } else {
            by_next
        }
    }
}

/// What NSEC records say of a delegation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoDs {
    /// A zone is delegated here, without DS.
    Unsigned,
    /// No zone is delegated here.
    Inside,
    /// The NSEC of this very name says otherwise.
    Contradicted,
}

/// The verified NSEC records of one zone.
#[derive(Clone, Debug)]
pub struct NsecSet {
    zone: Name,
    records: Vec<NsecRecord>,
}

impl NsecSet {
    /// The set of a zone.
    #[must_use]
    pub const fn new(zone: Name, records: Vec<NsecRecord>) -> Self {
        Self { zone, records }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn at(&self, name: &Name) -> Option<&NsecRecord> {
        self.records.iter().find(|record| record.owner == *name)
    }

    fn denying(&self, name: &Name) -> Option<&NsecRecord> {
        self.records
            .iter()
            .find(|record| record.denies(name, &self.zone))
    }

    fn is_empty_non_terminal(&self, name: &Name) -> bool {
        self.records
            .iter()
            .any(|record| record.shows_empty_non_terminal(name, &self.zone))
    }

    /// Whether neither `name` nor a wildcard for it exists (RFC 4035, 5.4).
    #[must_use]
    pub fn proves_name_error(&self, name: &Name) -> bool {
        self.records
            .iter()
            .filter(|record| record.denies(name, &self.zone))
            .any(|record| {
                let wildcard = record.closest_encloser(name).child(b"*");
                // A wildcard that would be too long cannot exist.
                wildcard.map_or(true, |wildcard| self.denying(&wildcard).is_some())
            })
    }

    /// Whether `name` exists without `record_type`, or a wildcard for it does (RFC 4035, 5.4).
    #[must_use]
    pub fn proves_no_data(&self, name: &Name, record_type: RecordType) -> bool {
        if let Some(record) = self.at(name) {
            return lacks(record, record_type);
        }
        if self.is_empty_non_terminal(name) {
            return true;
        }
        self.records
            .iter()
            .filter(|record| record.denies(name, &self.zone))
            .any(|record| {
                let Ok(wildcard) = record.closest_encloser(name).child(b"*") else {
                    return false;
                };
                match self.at(&wildcard) {
                    Some(at) => lacks(at, record_type),
                    None => self.is_empty_non_terminal(&wildcard),
                }
            })
    }

    /// Whether `name` itself does not exist, so that `*.closest_encloser` stands for it (RFC 4035, 5.3.4).
    #[must_use]
    pub fn proves_expansion(&self, name: &Name, closest_encloser: &Name) -> bool {
        self.records
            .iter()
            .filter(|record| record.denies(name, &self.zone))
            .any(|record| record.closest_encloser(name) == *closest_encloser)
    }

    /// What the records say of a delegation at `name`, asked for its DS (RFC 6840, 4.4).
    #[must_use]
    pub fn proves_no_ds(&self, name: &Name) -> Option<NoDs> {
        if let Some(record) = self.at(name) {
            // The apex of the child has another NSEC of the same name, which proves nothing here.
            let child = record.has(RecordType::SOA) && !name.is_root();
            return Some(if child || record.has(RecordType::DS) {
                NoDs::Contradicted
            } else if record.has(RecordType::NS) {
                NoDs::Unsigned
            } else {
                NoDs::Inside
            });
        }
        if self.is_empty_non_terminal(name) || self.proves_name_error(name) {
            return Some(NoDs::Inside);
        }
        let mut wildcards = self
            .records
            .iter()
            .filter(|record| record.denies(name, &self.zone))
            .filter_map(|record| record.closest_encloser(name).child(b"*").ok());
        let at = wildcards.find_map(|wildcard| self.at(&wildcard))?;
        Some(if at.has(RecordType::DS) || at.has(RecordType::SOA) {
            NoDs::Contradicted
        } else if at.has(RecordType::NS) {
            NoDs::Unsigned
        } else {
            NoDs::Inside
        })
    }
}

/// Whether the name of this record has no RRset of the type, and no alias that stands for one.
fn lacks(record: &NsecRecord, record_type: RecordType) -> bool {
    if record.has(record_type) || record.has(RecordType::CNAME) {
        return false;
    }
    if record_type == RecordType::DS {
        // DS lives above the cut: the NSEC of the child's apex says nothing of it.
        return !record.has(RecordType::SOA) || record.owner.is_root();
    }
    !record.is_delegation()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rrset::RdataList;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    fn bitmap(types: &[RecordType]) -> Vec<u8> {
        let mut bits = [0u8; 32];
        for each in types {
            let low = usize::from(each.0);
            bits[low / 8] |= 0x80 >> (low % 8);
        }
        let mut wire = vec![0, 32];
        wire.extend(bits);
        wire
    }

    fn set(records: &[(&str, &str, &[RecordType])]) -> NsecSet {
        let records = records.iter().map(|(owner, next, types)| {
            let mut rdata = name(next).as_wire().to_vec();
            rdata.extend(bitmap(types));
            let rdata = RdataList::new([&rdata[..]]);
            let rrset = Rrset::unsigned(name(owner), RecordType::NSEC, 3600, rdata);
            NsecRecord::new(&Arc::new(rrset)).unwrap()
        });
        NsecSet::new(name("example"), records.collect())
    }

    const A: RecordType = RecordType::A;
    const NS: RecordType = RecordType::NS;
    const APEX: &[RecordType] = &[RecordType::SOA, RecordType::NS];

    #[test]
    fn name_errors_need_the_wildcard_denied() {
        let both = set(&[
            ("b.example", "d.example", &[A]),
            ("example", "a.example", APEX),
        ]);
        assert!(both.proves_name_error(&name("c.example")));
        assert!(both.proves_name_error(&name("x.c.example")));
        assert!(!both.proves_name_error(&name("b.example")));
        assert!(!both.proves_name_error(&name("e.example")));
        let name_only = set(&[("b.example", "d.example", &[A])]);
        assert!(!name_only.proves_name_error(&name("c.example")));
        // Below an existing name the wildcard may lie within the same span.
        assert!(name_only.proves_name_error(&name("c.b.example")));
    }

    #[test]
    fn the_last_record_spans_to_the_end() {
        let last = set(&[
            ("y.example", "example", &[A]),
            ("example", "a.example", APEX),
        ]);
        assert!(last.proves_name_error(&name("z.example")));
        assert!(!last.proves_name_error(&name("z.other")));
    }

    #[test]
    fn a_delegation_denies_nothing_below_it() {
        let cut = set(&[
            ("b.example", "d.example", &[NS]),
            ("example", "a.example", APEX),
        ]);
        assert!(!cut.proves_name_error(&name("x.b.example")));
        assert!(!cut.proves_no_data(&name("b.example"), A));
        assert!(cut.proves_no_data(&name("b.example"), RecordType::DS));
        assert!(cut.proves_name_error(&name("c.example")));
        let alias = set(&[("b.example", "d.example", &[RecordType::DNAME])]);
        assert!(!alias.proves_name_error(&name("x.b.example")));
    }

    #[test]
    fn no_data_of_names_and_of_empty_non_terminals() {
        let records = set(&[("a.example", "x.c.example", &[A])]);
        assert!(records.proves_no_data(&name("a.example"), NS));
        assert!(!records.proves_no_data(&name("a.example"), A));
        assert!(records.proves_no_data(&name("c.example"), A));
        assert!(!records.proves_name_error(&name("c.example")));
        let alias = set(&[("a.example", "b.example", &[RecordType::CNAME])]);
        assert!(!alias.proves_no_data(&name("a.example"), A));
        assert!(
            !set(&[("example", "a.example", APEX)])
                .proves_no_data(&name("example"), RecordType::DS)
        );
    }

    #[test]
    fn no_data_by_a_wildcard() {
        let records = set(&[("*.example", "d.example", &[A])]);
        assert!(records.proves_no_data(&name("c.example"), NS));
        assert!(!records.proves_no_data(&name("c.example"), A));
        assert!(!records.proves_name_error(&name("c.example")));
        assert!(records.proves_expansion(&name("c.example"), &name("example")));
        assert!(!records.proves_expansion(&name("c.b.example"), &name("b.example")));
        let below = set(&[
            ("a.example", "x.*.b.example", &[A]),
            ("x.*.b.example", "e.example", &[A]),
        ]);
        assert!(
            below.proves_no_data(&name("c.b.example"), A),
            "*.b is an empty non-terminal"
        );
    }

    #[test]
    fn delegations_without_ds() {
        let records = set(&[
            ("b.example", "d.example", &[NS]),
            ("d.example", "e.example", &[A]),
            ("e.example", "x.f.example", &[NS, RecordType::DS]),
            ("example", "a.example", APEX),
        ]);
        assert_eq!(
            records.proves_no_ds(&name("b.example")),
            Some(NoDs::Unsigned)
        );
        assert_eq!(records.proves_no_ds(&name("d.example")), Some(NoDs::Inside));
        assert_eq!(
            records.proves_no_ds(&name("e.example")),
            Some(NoDs::Contradicted)
        );
        assert_eq!(records.proves_no_ds(&name("f.example")), Some(NoDs::Inside));
        assert_eq!(records.proves_no_ds(&name("c.example")), Some(NoDs::Inside));
        assert_eq!(records.proves_no_ds(&name("y.example")), None);
        assert_eq!(
            records.proves_no_ds(&name("example")),
            Some(NoDs::Contradicted)
        );
    }
}
