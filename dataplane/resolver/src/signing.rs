//! Signs RRsets for the tests of this crate.
//!
//! Owns keys that are made when a test runs. Compiled for tests alone.

use std::sync::Arc;

use hickory_proto::dnssec::crypto::{Digest, Ed25519SigningKey};
use hickory_proto::dnssec::{DigestType, PublicKey, SigningKey, TBS};

use crate::name::Name;
use crate::rdata;
use crate::rrset::{RdataList, RecordType, Rrset};

/// The date around which signatures are made: 2026-11-24.
pub(crate) const DATE: u64 = 1_795_500_000;

/// An unsigned RRset.
pub(crate) fn rrset(owner: &str, record_type: RecordType, rdata: &[&[u8]]) -> Rrset {
    let rdata = RdataList::new(rdata.iter().copied());
    Rrset::unsigned(Name::from_text(owner).unwrap(), record_type, 3600, rdata)
}

/// A zone with one key that signs everything.
pub(crate) struct Signer {
    pub(crate) zone: Name,
    key: Ed25519SigningKey,
    pub(crate) flags: u16,
    pub(crate) algorithm: u8,
    pub(crate) inception: u64,
    pub(crate) expiration: u64,
}

impl Signer {
    pub(crate) fn new(zone: &str) -> Self {
        let key = Ed25519SigningKey::generate_pkcs8().unwrap();
        Self {
            zone: Name::from_text(zone).unwrap(),
            key: Ed25519SigningKey::from_pkcs8(&key).unwrap(),
            flags: 0x0101,
            algorithm: 15,
            inception: DATE - 86_400,
            expiration: DATE + 86_400,
        }
    }

    pub(crate) fn dnskey(&self) -> Vec<u8> {
        let mut rdata = self.flags.to_be_bytes().to_vec();
        rdata.extend([3, self.algorithm]);
        rdata.extend(self.key.to_public_key().unwrap().public_bytes());
        rdata
    }

    pub(crate) fn tag(&self) -> u16 {
        rdata::key_tag(&self.dnskey())
    }

    pub(crate) fn ds(&self, digest_type: u8) -> Vec<u8> {
        let kind = match digest_type {
            1 => DigestType::SHA1,
            4 => DigestType::SHA384,
            _ => DigestType::SHA256,
        };
        let digest = Digest::from_iter([self.zone.as_wire(), &self.dnskey()], kind).unwrap();
        let mut rdata = self.tag().to_be_bytes().to_vec();
        rdata.extend([self.algorithm, digest_type]);
        rdata.extend(digest.as_ref());
        rdata
    }

    /// The RRset with a signature; `labels` fewer than its owner's make it an expanded wildcard.
    pub(crate) fn sign_as(&self, mut rrset: Rrset, labels: usize) -> Arc<Rrset> {
        let count = rrset.owner.label_count() - usize::from(rrset.owner.is_wildcard());
        let owner = if labels < count {
            rrset.owner.suffix(labels).child(b"*").unwrap()
        } else {
            rrset.owner.clone()
        };
        let mut signature = rrset.record_type.0.to_be_bytes().to_vec();
        signature.extend([self.algorithm, u8::try_from(labels).unwrap()]);
        signature.extend(rrset.ttl.to_be_bytes());
        signature.extend(u32::try_from(self.expiration).unwrap().to_be_bytes());
        signature.extend(u32::try_from(self.inception).unwrap().to_be_bytes());
        signature.extend(self.tag().to_be_bytes());
        signature.extend(self.zone.as_wire());
        let mut octets = signature.clone();
        let mut records: Vec<Vec<u8>> = rrset
            .rdata
            .iter()
            .map(|record| rdata::canonical(rrset.record_type, record))
            .collect();
        records.sort();
        for record in records {
            octets.extend(owner.as_wire());
            octets.extend(rrset.record_type.0.to_be_bytes());
            octets.extend(rrset.class.0.to_be_bytes());
            octets.extend(rrset.ttl.to_be_bytes());
            octets.extend(u16::try_from(record.len()).unwrap().to_be_bytes());
            octets.extend(record);
        }
        signature.extend(self.key.sign(&TBS::from(&octets[..])).unwrap());
        let mut signatures: Vec<Vec<u8>> = rrset.signatures.iter().map(<[u8]>::to_vec).collect();
        signatures.push(signature);
        rrset.signatures = RdataList::new(signatures.iter().map(Vec::as_slice));
        Arc::new(rrset)
    }

    /// The RRset with a signature.
    pub(crate) fn sign(&self, rrset: Rrset) -> Arc<Rrset> {
        let labels = rrset.owner.label_count() - usize::from(rrset.owner.is_wildcard());
        self.sign_as(rrset, labels)
    }

    /// The zone's signed DNSKEY RRset.
    pub(crate) fn keys(&self) -> Arc<Rrset> {
        self.sign(rrset(
            &self.zone.to_string(),
            RecordType::DNSKEY,
            &[&self.dnskey()],
        ))
    }

    /// A signed NSEC record.
    pub(crate) fn nsec(&self, owner: &str, next: &str, types: &[RecordType]) -> Arc<Rrset> {
        let mut rdata = Name::from_text(next).unwrap().as_wire().to_vec();
        rdata.extend(bitmap(types));
        self.sign(rrset(owner, RecordType::NSEC, &[&rdata]))
    }

    /// A signed NSEC3 record for the name `of`, its next hash so far on that it spans `reach` of 256 parts.
    pub(crate) fn nsec3(
        &self,
        of: &str,
        before: u8,
        types: &[RecordType],
        flags: u8,
    ) -> Arc<Rrset> {
        let name = Name::from_text(of).unwrap();
        let hash = Digest::iterated(b"\xab", name.as_wire(), DigestType::SHA1, 1).unwrap();
        let mut owner: Vec<u8> = hash.as_ref().to_vec();
        let mut next = owner.clone();
        // A record of this very name, or one that spans it.
        owner[0] = owner[0].wrapping_sub(before);
        next[19] = next[19].wrapping_add(1);
        let mut rdata = vec![1, flags, 0, 1, 1, 0xab, 20];
        rdata.extend(&next);
        rdata.extend(bitmap(types));
        let owner = self.zone.child(&base32(&owner)).unwrap().to_string();
        self.sign(rrset(&owner, RecordType::NSEC3, &[&rdata]))
    }
}

fn bitmap(types: &[RecordType]) -> Vec<u8> {
    let mut wire = vec![0, 32];
    wire.resize(34, 0);
    for each in types {
        let low = usize::from(each.0);
        wire[2 + low / 8] |= 0x80 >> (low % 8);
    }
    wire
}

fn base32(octets: &[u8]) -> Vec<u8> {
    let (mut bits, mut count, mut text) = (0u32, 0, Vec::new());
    for &octet in octets {
        bits = bits << 8 | u32::from(octet);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(b"0123456789abcdefghijklmnopqrstuv"[(bits >> count & 31) as usize]);
        }
    }
    text
}
