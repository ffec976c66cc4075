//! Proofs that a name or type is absent, by whichever of NSEC and NSEC3 a zone has.
//!
//! Owns the verified denial records that one answer carries of one zone. A missing proof is never
//! taken for a proof of the opposite.

use std::sync::Arc;

use crate::answer::ExtendedError;
use crate::budget::{Budget, Exhausted};
use crate::cache::keys::ZoneKeys;
use crate::name::Name;
use crate::rdata::Rrsig;
use crate::rrset::{RecordType, Rrset};
use crate::validate::nsec::{NoDs, NsecRecord, NsecSet};
use crate::validate::nsec3::{Nsec3NoDs, Nsec3Proof, Nsec3Set};
use crate::validate::signature::{Fault, Policy, verify};

/// What a proof came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Proven.
    Secure,
    /// What is denied may exist unsigned, or the proof is not worth its work: the code says, if it tells.
    Insecure(Option<ExtendedError>),
    /// Not proven; the code says why.
    Missing(ExtendedError),
}

/// What the DS question of a name came to without a DS record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delegation {
    /// An unsigned zone begins here, or may.
    Unsigned(Option<ExtendedError>),
    /// No zone begins here.
    Inside,
    /// Neither is proven; the code says why.
    Missing(ExtendedError),
}

/// The verified denial records of one zone in one answer.
#[derive(Debug)]
pub struct Denial {
    nsec: NsecSet,
    nsec3: Nsec3Set,
    fault: Option<Fault>,
    too_many_iterations: bool,
    ttl: u32,
    /// The RRsets that verified, by their place in the section, with the time that they may be kept.
    verified: Vec<(usize, u32)>,
}

/// Whether some RRSIG of the RRset names this signer.
#[must_use]
pub fn is_signed_by(rrset: &Rrset, zone: &Name) -> bool {
    let mut signatures = rrset.signatures.iter();
    signatures.any(|each| Rrsig::parse(each).is_some_and(|rrsig| rrsig.signer == *zone))
}

impl Denial {
    /// Verifies the NSEC, NSEC3 and SOA RRsets of `section` that belong to the zone.
    pub fn collect(
        section: &[Arc<Rrset>],
        zone: &ZoneKeys,
        policy: &Policy<'_>,
        budget: &mut Budget,
    ) -> Self {
        let mut denial = Self {
            nsec: NsecSet::new(zone.zone.clone(), Vec::new()),
            nsec3: Nsec3Set::new(zone.zone.clone()),
            fault: None,
            too_many_iterations: false,
            ttl: u32::MAX,
            verified: Vec::new(),
        };
        let mut nsec = Vec::new();
        for (index, rrset) in section.iter().enumerate() {
            let wanted = matches!(
                rrset.record_type,
                RecordType::NSEC | RecordType::NSEC3 | RecordType::SOA
            );
            if !wanted || !rrset.owner.is_within(&zone.zone) {
                continue;
            }
            match verify(rrset, zone, policy, budget) {
                Ok(verified) => {
                    denial.ttl = denial.ttl.min(verified.ttl());
                    denial.verified.push((index, verified.ttl()));
                    match rrset.record_type {
                        RecordType::NSEC => nsec.extend(NsecRecord::new(rrset)),
                        RecordType::NSEC3 => denial.nsec3.add(rrset),
                        _ => {}
                    }
                }
                Err(fault) => denial.fault = denial.fault.max(Some(fault)),
            }
        }
        denial.nsec = NsecSet::new(zone.zone.clone(), nsec);
        denial.too_many_iterations =
            denial.nsec3.iterations() > policy.settings.dnssec.nsec3_iterations;
        denial
    }

    /// How long the proofs may be kept.
    #[must_use]
    pub const fn ttl(&self) -> u32 {
        self.ttl
    }

    /// The RRsets that verified, by their place in the section, with the time that they may be kept.
    #[must_use]
    pub fn verified(&self) -> &[(usize, u32)] {
        &self.verified
    }

    /// Why a proof is missing.
    fn missing(&self) -> ExtendedError {
        match self.fault {
            Some(fault) => fault.extended_error(),
            None if self.nsec.is_empty() && self.nsec3.is_empty() => ExtendedError::NSEC_MISSING,
            None => ExtendedError::DNSSEC_BOGUS,
        }
    }

    fn by_nsec3(
        &mut self,
        prove: impl FnOnce(&mut Nsec3Set) -> Result<Nsec3Proof, Exhausted>,
    ) -> Proof {
        if self.too_many_iterations {
            return Proof::Insecure(Some(ExtendedError::UNSUPPORTED_NSEC3_ITERATIONS));
        }
        if self.nsec3.is_empty() {
            return Proof::Missing(self.missing());
        }
        match prove(&mut self.nsec3) {
            Ok(Nsec3Proof::Proven) => Proof::Secure,
            Ok(Nsec3Proof::OptOut) => Proof::Insecure(None),
            Ok(Nsec3Proof::Unproven) => Proof::Missing(self.missing()),
            Err(_) => Proof::Missing(ExtendedError::DNSSEC_BOGUS),
        }
    }

    /// Whether neither `name` nor a wildcard for it exists.
    pub fn name_error(&mut self, name: &Name, budget: &mut Budget) -> Proof {
        if self.nsec.proves_name_error(name) {
            return Proof::Secure;
        }
        self.by_nsec3(|nsec3| nsec3.prove_name_error(name, budget))
    }

    /// Whether `name` exists without this type.
    pub fn no_data(&mut self, name: &Name, record_type: RecordType, budget: &mut Budget) -> Proof {
        if self.nsec.proves_no_data(name, record_type) {
            return Proof::Secure;
        }
        self.by_nsec3(|nsec3| nsec3.prove_no_data(name, record_type, budget))
    }

    /// Whether `name` does not exist itself, so that the wildcard below `closest_encloser` stands for it.
    pub fn expansion(
        &mut self,
        name: &Name,
        closest_encloser: &Name,
        budget: &mut Budget,
    ) -> Proof {
        if self.nsec.proves_expansion(name, closest_encloser) {
            return Proof::Secure;
        }
        self.by_nsec3(|nsec3| nsec3.prove_expansion(name, closest_encloser, budget))
    }

    /// Whether these records show an unsigned delegation between the zone and `name`, or at it.
    pub fn cut_above(
        &mut self,
        name: &Name,
        zone: &Name,
        budget: &mut Budget,
    ) -> Option<Option<ExtendedError>> {
        let steps = zone.label_count() + 1..=name.label_count();
        steps
            .into_iter()
            .find_map(|labels| match self.no_ds(&name.suffix(labels), budget) {
                Delegation::Unsigned(error) => Some(error),
                Delegation::Inside | Delegation::Missing(_) => None,
            })
    }

    /// What follows for a delegation at `name`, when its DS was asked for and there is none.
    pub fn no_ds(&mut self, name: &Name, budget: &mut Budget) -> Delegation {
        match self.nsec.proves_no_ds(name) {
            Some(NoDs::Unsigned) => return Delegation::Unsigned(None),
            Some(NoDs::Inside) => return Delegation::Inside,
            Some(NoDs::Contradicted) => return Delegation::Missing(ExtendedError::DNSSEC_BOGUS),
            None => {}
        }
        if self.too_many_iterations {
            return Delegation::Unsigned(Some(ExtendedError::UNSUPPORTED_NSEC3_ITERATIONS));
        }
        match self.nsec3.prove_no_ds(name, budget) {
            Ok(Nsec3NoDs::Unsigned) => Delegation::Unsigned(None),
            Ok(Nsec3NoDs::Inside) => Delegation::Inside,
            Ok(Nsec3NoDs::Unproven) | Err(_) => Delegation::Missing(self.missing()),
        }
    }
}
