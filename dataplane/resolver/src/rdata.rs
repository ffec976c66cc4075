//! What this crate knows of the inside of record data, type by type.
//!
//! Owns where names stand in record data (RFC 1035, 3.3; RFC 3597, 4; RFC 4034, 6.2), and accessors of
//! the types that resolution and validation look into. Works on uncompressed octets and never copies
//! more than it returns. Wrong octets give `None`, never a panic.

mod dnssec;
mod layout;

pub use dnssec::{Dnskey, Ds, Nsec, Nsec3, Nsec3Param, Rrsig, TypeBitmap, key_tag};
pub(crate) use layout::{Field, layout, name_length};

use crate::name::Name;
use crate::rrset::RecordType;

/// The name that record data of type NS, CNAME, DNAME, PTR, MD, MF, MB, MG or MR consists of.
#[must_use]
pub fn target(rdata: &[u8]) -> Option<Name> {
    Name::from_wire(rdata).ok()
}

/// The parts of an SOA record (RFC 1035, 3.3.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Soa {
    /// MNAME: the primary server.
    pub primary: Name,
    /// RNAME: the mailbox of who is responsible.
    pub mailbox: Name,
    /// SERIAL.
    pub serial: u32,
    /// REFRESH, in seconds.
    pub refresh: u32,
    /// RETRY, in seconds.
    pub retry: u32,
    /// EXPIRE, in seconds.
    pub expire: u32,
    /// MINIMUM: the time to live of negative answers, in seconds (RFC 2308, 4).
    pub minimum: u32,
}

impl Soa {
    /// Reads SOA record data.
    #[must_use]
    pub fn parse(rdata: &[u8]) -> Option<Self> {
        let (primary, rest) = rdata.split_at_checked(name_length(rdata)?)?;
        let (mailbox, rest) = rest.split_at_checked(name_length(rest)?)?;
        let numbers: &[u8; 20] = rest.try_into().ok()?;
        let mut parts = numbers
            .as_chunks::<4>()
            .0
            .iter()
            .map(|part| u32::from_be_bytes(*part));
        Some(Self {
            primary: Name::from_wire(primary).ok()?,
            mailbox: Name::from_wire(mailbox).ok()?,
            serial: parts.next()?,
            refresh: parts.next()?,
            retry: parts.next()?,
            expire: parts.next()?,
            minimum: parts.next()?,
        })
    }
}

/// MINIMUM of SOA record data, without reading the rest (RFC 2308, 4).
#[must_use]
pub fn soa_minimum(rdata: &[u8]) -> Option<u32> {
    // Two names of at least one octet, then five numbers of four.
    if rdata.len() < 22 {
        return None;
    }
    rdata
        .last_chunk::<4>()
        .map(|last| u32::from_be_bytes(*last))
}

/// Record data in canonical form: names lowered for the types that RFC 4034, 6.2 lists, as corrected
/// by RFC 6840, 5.1 (not the next name of NSEC, but the signer of RRSIG). Other octets stay.
///
/// Record data that does not follow its type's layout is returned as it is: it can then only fail to verify.
#[must_use]
pub fn canonical(record_type: RecordType, rdata: &[u8]) -> Vec<u8> {
    let mut out = rdata.to_vec();
    lower(record_type, &mut out);
    out
}

/// Brings record data into canonical form in place; see [`canonical`].
pub fn lower(record_type: RecordType, rdata: &mut [u8]) {
    let layout = layout(record_type);
    if !layout.lower {
        return;
    }
    let mut rest = rdata;
    for field in layout.fields {
        let Some(length) = field.length(rest) else {
            return;
        };
        let Some((part, tail)) = rest.split_at_mut_checked(length) else {
            return;
        };
        if matches!(field, Field::Name) {
            // Length octets are below 64 and so never mistaken for an upper-case letter.
            part.make_ascii_lowercase();
        }
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOA: &[u8] = b"\x01M\x00\x01r\x00\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\x0e\x10";

    #[test]
    fn soa_parts() {
        let soa = Soa::parse(SOA).unwrap();
        assert_eq!(
            (soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum),
            (1, 2, 3, 4, 3600)
        );
        assert_eq!(soa.primary.to_string(), "m.");
        assert_eq!(soa_minimum(SOA), Some(3600));
        assert_eq!(Soa::parse(&SOA[..25]), None);
        assert_eq!(soa_minimum(&SOA[..21]), None);
    }

    #[test]
    fn canonical_form_lowers_names_of_listed_types_only() {
        assert_eq!(canonical(RecordType::NS, b"\x01A\x00"), b"\x01a\x00");
        assert_eq!(canonical(RecordType::MX, b"AA\x01A\x00"), b"AA\x01a\x00");
        assert_eq!(canonical(RecordType::TXT, b"\x01A"), b"\x01A");
        assert_eq!(
            canonical(RecordType::NSEC, b"\x01A\x00\x00\x01\x40"),
            b"\x01A\x00\x00\x01\x40"
        );
        assert_eq!(
            canonical(RecordType::SVCB, b"\x00\x01\x01A\x00"),
            b"\x00\x01\x01A\x00"
        );
        let mut rrsig = b"ABCDEFGHIJKLMNOPQR\x01S\x00SIG".to_vec();
        lower(RecordType::RRSIG, &mut rrsig);
        assert_eq!(rrsig, b"ABCDEFGHIJKLMNOPQR\x01s\x00SIG");
        assert_eq!(canonical(RecordType::SOA, SOA)[..6], *b"\x01m\x00\x01r\x00");
        // Broken data stays as it is.
        assert_eq!(canonical(RecordType::NS, b"\x09A"), b"\x09A");
    }
}
