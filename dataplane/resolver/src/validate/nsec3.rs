//! Proofs of absence by NSEC3 (RFC 5155, 8; RFC 9276).
//!
//! Owns the NSEC3 records of one zone whose signatures are good, the hashes of the names asked about,
//! and what follows from both. Every hash is paid from the question's budget (CVE-2023-50868).

use std::collections::BTreeMap;
use std::sync::Arc;

use hickory_proto::dnssec::DigestType;
use hickory_proto::dnssec::crypto::Digest;

use crate::budget::{Budget, Exhausted};
use crate::name::Name;
use crate::rdata::{Nsec3, TypeBitmap};
use crate::rrset::{RecordType, Rrset};

/// Octets of a SHA-1 hash.
const HASH_OCTETS: usize = 20;
type Hash = [u8; HASH_OCTETS];

/// One verified NSEC3 record.
#[derive(Clone, Debug)]
struct Nsec3Record {
    owner: Hash,
    next: Hash,
    opt_out: bool,
    iterations: u16,
    rrset: Arc<Rrset>,
}

impl Nsec3Record {
    fn parsed(&self) -> Option<Nsec3<'_>> {
        self.rrset.rdata.iter().next().and_then(Nsec3::parse)
    }

    fn salt(&self) -> &[u8] {
        self.parsed().map_or(&[], |nsec3| nsec3.salt)
    }

    fn has(&self, record_type: RecordType) -> bool {
        let bitmap = self.parsed().map(|nsec3| nsec3.types);
        bitmap.is_some_and(|types: TypeBitmap<'_>| types.contains(record_type))
    }

    fn is_delegation(&self) -> bool {
        self.has(RecordType::NS) && !self.has(RecordType::SOA)
    }

    fn covers(&self, hash: &Hash) -> bool {
        if self.owner < self.next {
            self.owner < *hash && *hash < self.next
        } else {
            *hash > self.owner || *hash < self.next
        }
    }
}

/// What the records came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nsec3Proof {
    /// It is proven.
    Proven,
    /// It is proven but for unsigned delegations that may lie there (Opt-Out; RFC 5155, 9.2).
    OptOut,
    /// It is not proven.
    Unproven,
}

/// What the records say of a delegation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nsec3NoDs {
    /// A zone is delegated here without DS, or may be (Opt-Out).
    Unsigned,
    /// No zone is delegated here.
    Inside,
    /// Neither is proven.
    Unproven,
}

/// The verified NSEC3 records of one zone.
#[derive(Clone, Debug)]
pub struct Nsec3Set {
    zone: Name,
    records: Vec<Nsec3Record>,
    hashes: BTreeMap<(Name, u16, Box<[u8]>), Hash>,
    /// The records hash in more than one way, so they are not of one chain.
    mixed: bool,
}

/// The closest encloser proof of a name (RFC 5155, 8.3), by index of record.
struct ClosestEncloser {
    name: Name,
    next_closer: Option<usize>,
}

impl Nsec3Set {
    /// An empty set of a zone.
    #[must_use]
    pub const fn new(zone: Name) -> Self {
        Self {
            zone,
            records: Vec::new(),
            hashes: BTreeMap::new(),
            mixed: false,
        }
    }

    /// Adds a verified NSEC3 RRset. Unknown hash algorithms and flags are ignored (RFC 5155, 8.1 and 8.2).
    pub fn add(&mut self, rrset: &Arc<Rrset>) {
        let mut records = rrset.rdata.iter();
        let (Some(first), None) = (records.next(), records.next()) else {
            return;
        };
        let Some(nsec3) = Nsec3::parse(first) else {
            return;
        };
        let owner = rrset.owner.labels().next().and_then(decode_hash);
        let (Some(owner), Ok(next)) = (owner, Hash::try_from(nsec3.next_hash)) else {
            return;
        };
        if nsec3.algorithm != 1 || nsec3.flags > 1 {
            return;
        }
        // RFC 5155, 7.2: the records of one answer share their parameters; RFC 5155, 8.2 lets others be bogus.
        self.mixed |= self
            .records
            .iter()
            .any(|other| other.iterations != nsec3.iterations || other.salt() != nsec3.salt);
        self.records.push(Nsec3Record {
            owner,
            next,
            opt_out: nsec3.opt_out(),
            iterations: nsec3.iterations,
            rrset: Arc::clone(rrset),
        });
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The most iterations of any record (RFC 9276, 3.2).
    #[must_use]
    pub fn iterations(&self) -> u16 {
        let iterations = self.records.iter().map(|record| record.iterations);
        iterations.max().unwrap_or(0)
    }

    /// The hash of `name` as `record` hashes.
    fn hash(
        &mut self,
        name: &Name,
        record: usize,
        budget: &mut Budget,
    ) -> Result<Option<Hash>, Exhausted> {
        let Some(record) = self.records.get(record) else {
            return Ok(None);
        };
        let key = (name.clone(), record.iterations, record.salt().into());
        if let Some(hash) = self.hashes.get(&key) {
            return Ok(Some(*hash));
        }
        budget.spend_hash()?;
        let digest = Digest::iterated(&key.2, name.as_wire(), DigestType::SHA1, record.iterations);
        let hash = digest
            .ok()
            .and_then(|digest| Hash::try_from(digest.as_ref()).ok());
        if let Some(hash) = hash {
            self.hashes.insert(key, hash);
        }
        Ok(hash)
    }

    /// The record of `name`, if there is one.
    fn matching(&mut self, name: &Name, budget: &mut Budget) -> Result<Option<usize>, Exhausted> {
        self.find(name, budget, |record, hash| record.owner == *hash)
    }

    /// A record that denies `name`, if there is one; of several one without Opt-Out.
    fn covering(&mut self, name: &Name, budget: &mut Budget) -> Result<Option<usize>, Exhausted> {
        let strict = self.find(name, budget, |record, hash| {
            record.covers(hash) && !record.opt_out
        })?;
        match strict {
            Some(found) => Ok(Some(found)),
            None => self.find(name, budget, Nsec3Record::covers),
        }
    }

    fn find(
        &mut self,
        name: &Name,
        budget: &mut Budget,
        fits: impl Fn(&Nsec3Record, &Hash) -> bool,
    ) -> Result<Option<usize>, Exhausted> {
        if self.mixed {
            return Ok(None);
        }
        for index in 0..self.records.len() {
            let hash = self.hash(name, index, budget)?;
            if let (Some(hash), Some(record)) = (hash, self.records.get(index))
                && fits(record, &hash)
            {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn test(&self, index: Option<usize>, test: impl Fn(&Nsec3Record) -> bool) -> bool {
        index
            .and_then(|index| self.records.get(index))
            .is_some_and(test)
    }

    /// The nearest existing ancestor of a name that does not exist, and what denies the name one label
    /// longer (RFC 5155, 8.3). None without one, or when it is a delegation or DNAME (RFC 6840, 4.1).
    fn closest_encloser(
        &mut self,
        name: &Name,
        budget: &mut Budget,
    ) -> Result<Option<ClosestEncloser>, Exhausted> {
        let mut next_closer = name.clone();
        while let Some(candidate) = next_closer.parent() {
            if !candidate.is_within(&self.zone) {
                return Ok(None);
            }
            if let Some(found) = self.matching(&candidate, budget)? {
                if self.test(Some(found), |record| {
                    record.is_delegation() || record.has(RecordType::DNAME)
                }) {
                    return Ok(None);
                }
                let next_closer = self.covering(&next_closer, budget)?;
                return Ok(Some(ClosestEncloser {
                    name: candidate,
                    next_closer,
                }));
            }
            next_closer = candidate;
        }
        Ok(None)
    }

    fn strength(&self, next_closer: Option<usize>) -> Nsec3Proof {
        if next_closer.is_none() {
            Nsec3Proof::Unproven
        } else if self.test(next_closer, |record| record.opt_out) {
            Nsec3Proof::OptOut
        } else {
            Nsec3Proof::Proven
        }
    }

    /// Whether neither `name` nor a wildcard for it exists (RFC 5155, 8.4).
    ///
    /// # Errors
    /// When the budget has no more hashes.
    pub fn prove_name_error(
        &mut self,
        name: &Name,
        budget: &mut Budget,
    ) -> Result<Nsec3Proof, Exhausted> {
        if self.matching(name, budget)?.is_some() {
            return Ok(Nsec3Proof::Unproven);
        }
        let Some(encloser) = self.closest_encloser(name, budget)? else {
            return Ok(Nsec3Proof::Unproven);
        };
        if let Ok(wildcard) = encloser.name.child(b"*")
            && self.covering(&wildcard, budget)?.is_none()
        {
            return Ok(Nsec3Proof::Unproven);
        }
        Ok(self.strength(encloser.next_closer))
    }

    /// Whether `name` exists without `record_type`, or a wildcard for it does (RFC 5155, 8.5 to 8.7).
    ///
    /// # Errors
    /// When the budget has no more hashes.
    pub fn prove_no_data(
        &mut self,
        name: &Name,
        record_type: RecordType,
        budget: &mut Budget,
    ) -> Result<Nsec3Proof, Exhausted> {
        if let Some(found) = self.matching(name, budget)? {
            let lacks = self.test(Some(found), |record| lacks(record, name, record_type));
            return Ok(if lacks {
                Nsec3Proof::Proven
            } else {
                Nsec3Proof::Unproven
            });
        }
        let Some(encloser) = self.closest_encloser(name, budget)? else {
            return Ok(Nsec3Proof::Unproven);
        };
        if let Ok(wildcard) = encloser.name.child(b"*")
            && let Some(found) = self.matching(&wildcard, budget)?
        {
            let lacks = self.test(Some(found), |record| lacks(record, &wildcard, record_type));
            return Ok(if lacks {
                self.strength(encloser.next_closer)
            } else {
                Nsec3Proof::Unproven
            });
        }
        // RFC 5155, 8.6, and for other types data below an unsigned delegation that lies in the span.
        match self.strength(encloser.next_closer) {
            Nsec3Proof::OptOut => Ok(Nsec3Proof::OptOut),
            Nsec3Proof::Proven | Nsec3Proof::Unproven => Ok(Nsec3Proof::Unproven),
        }
    }

    /// Whether `name` itself does not exist, so that `*.closest_encloser` stands for it (RFC 5155, 8.8).
    ///
    /// # Errors
    /// When the budget has no more hashes.
    pub fn prove_expansion(
        &mut self,
        name: &Name,
        closest_encloser: &Name,
        budget: &mut Budget,
    ) -> Result<Nsec3Proof, Exhausted> {
        let next_closer = name.suffix(closest_encloser.label_count() + 1);
        let covering = self.covering(&next_closer, budget)?;
        Ok(self.strength(covering))
    }

    /// What the records say of a delegation at `name`, asked for its DS (RFC 5155, 8.6 and 8.9).
    ///
    /// # Errors
    /// When the budget has no more hashes.
    pub fn prove_no_ds(
        &mut self,
        name: &Name,
        budget: &mut Budget,
    ) -> Result<Nsec3NoDs, Exhausted> {
        if let Some(found) = self.matching(name, budget)? {
            let record = Some(found);
            // The apex of the child has another NSEC3 of the same name, which proves nothing here.
            let child = self.test(record, |each| each.has(RecordType::SOA)) && !name.is_root();
            return Ok(
                if child || self.test(record, |each| each.has(RecordType::DS)) {
                    Nsec3NoDs::Unproven
                } else if self.test(record, |each| each.has(RecordType::NS)) {
                    Nsec3NoDs::Unsigned
                } else {
                    Nsec3NoDs::Inside
                },
            );
        }
        let Some(encloser) = self.closest_encloser(name, budget)? else {
            return Ok(Nsec3NoDs::Unproven);
        };
        if self.strength(encloser.next_closer) == Nsec3Proof::OptOut {
            return Ok(Nsec3NoDs::Unsigned);
        }
        Ok(match self.prove_name_error(name, budget)? {
            Nsec3Proof::Proven => Nsec3NoDs::Inside,
            Nsec3Proof::OptOut => Nsec3NoDs::Unsigned,
            Nsec3Proof::Unproven => match self.prove_no_data(name, RecordType::DS, budget)? {
                Nsec3Proof::Proven => Nsec3NoDs::Inside,
                Nsec3Proof::OptOut | Nsec3Proof::Unproven => Nsec3NoDs::Unproven,
            },
        })
    }
}

/// Whether the name of this record has no RRset of the type, and no alias that stands for one.
fn lacks(record: &Nsec3Record, name: &Name, record_type: RecordType) -> bool {
    if record.has(record_type) || record.has(RecordType::CNAME) {
        return false;
    }
    if record_type == RecordType::DS {
        return !record.has(RecordType::SOA) || name.is_root();
    }
    !record.is_delegation()
}

/// The first label of the NSEC3 owner of `name`, in lower case.
#[must_use]
pub fn hash_label(salt: &[u8], iterations: u16, name: &Name) -> Option<Vec<u8>> {
    let digest = Digest::iterated(salt, name.as_wire(), DigestType::SHA1, iterations).ok()?;
    let (mut bits, mut count, mut label) = (0u32, 0u32, Vec::new());
    for &octet in digest.as_ref() {
        bits = (bits << 8 | u32::from(octet)) & 0xfff;
        count += 8;
        while count >= 5 {
            count -= 5;
            let digit = usize::try_from(bits >> count & 31).ok()?;
            label.push(*b"0123456789abcdefghijklmnopqrstuv".get(digit)?);
        }
    }
    Some(label)
}

/// The hash that the first label of an NSEC3 owner spells in base 32 with extended hex alphabet (RFC 4648, 7).
fn decode_hash(label: &[u8]) -> Option<Hash> {
    let mut hash = [0u8; HASH_OCTETS];
    let mut place = hash.iter_mut();
    let (mut bits, mut count) = (0u32, 0u32);
    if label.len() != HASH_OCTETS * 8 / 5 {
        return None;
    }
    for &character in label {
        let value = match character.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => digit - b'0',
            letter @ b'a'..=b'v' => letter - b'a' + 10,
            _ => return None,
        };
        bits = (bits << 5 | u32::from(value)) & 0xfff;
        count += 5;
        if count >= 8 {
            count -= 8;
            *place.next()? = u8::try_from(bits >> count & 0xff).ok()?;
        }
    }
    Some(hash)
}
