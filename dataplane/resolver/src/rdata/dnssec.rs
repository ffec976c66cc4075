//! Record data of the DNSSEC types (RFC 4034, RFC 5155).
//!
//! Owns borrowed views of RRSIG, DNSKEY, DS, NSEC, NSEC3 and NSEC3PARAM. Verifies nothing.

use crate::name::Name;
use crate::rdata::layout::name_length;
use crate::rrset::RecordType;

fn u16_at(data: &[u8], position: usize) -> Option<u16> {
    let octets = data.get(position..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*octets))
}

fn u32_at(data: &[u8], position: usize) -> Option<u32> {
    let octets = data.get(position..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*octets))
}

/// RRSIG record data (RFC 4034, 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rrsig<'a> {
    /// The type that is signed.
    pub type_covered: RecordType,
    /// The algorithm's number.
    pub algorithm: u8,
    /// Labels of the owner that was signed, wildcard and root labels not counted.
    pub labels: u8,
    /// The TTL of the RRset as the zone has it.
    pub original_ttl: u32,
    /// The end of validity, in seconds modulo 2^32 (RFC 1982 arithmetic).
    pub expiration: u32,
    /// The start of validity, likewise.
    pub inception: u32,
    /// The key tag of the key that signed.
    pub key_tag: u16,
    /// The zone that signed.
    pub signer: Name,
    /// The record data before the signer's name: the first 18 octets, as signed.
    pub fixed: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
}

impl<'a> Rrsig<'a> {
    /// Reads RRSIG record data.
    #[must_use]
    pub fn parse(rdata: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = rdata.split_at_checked(18)?;
        let (signer, signature) = rest.split_at_checked(name_length(rest)?)?;
        Some(Self {
            type_covered: RecordType(u16_at(fixed, 0)?),
            algorithm: *fixed.get(2)?,
            labels: *fixed.get(3)?,
            original_ttl: u32_at(fixed, 4)?,
            expiration: u32_at(fixed, 8)?,
            inception: u32_at(fixed, 12)?,
            key_tag: u16_at(fixed, 16)?,
            signer: Name::from_wire(signer).ok()?,
            fixed,
            signature,
        })
    }

    /// The type covered, without reading the rest.
    #[must_use]
    pub fn type_covered(rdata: &[u8]) -> Option<RecordType> {
        u16_at(rdata, 0).map(RecordType)
    }
}

/// DNSKEY record data (RFC 4034, 2.1), also that of CDNSKEY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dnskey<'a> {
    /// The flags field.
    pub flags: u16,
    /// The protocol field; only 3 makes a zone key.
    pub protocol: u8,
    /// The algorithm's number.
    pub algorithm: u8,
    /// The public key, in the form of its algorithm.
    pub public_key: &'a [u8],
    rdata: &'a [u8],
}

impl<'a> Dnskey<'a> {
    /// Reads DNSKEY record data.
    #[must_use]
    pub fn parse(rdata: &'a [u8]) -> Option<Self> {
        Some(Self {
            flags: u16_at(rdata, 0)?,
            protocol: *rdata.get(2)?,
            algorithm: *rdata.get(3)?,
            public_key: rdata.get(4..)?,
            rdata,
        })
    }

    /// Whether it may sign RRsets of a zone: Zone Key flag set and protocol 3 (RFC 4034, 2.1.1 and 2.1.2).
    #[must_use]
    pub const fn is_zone_key(&self) -> bool {
        self.flags & 0x0100 != 0 && self.protocol == 3
    }

    /// Whether it is marked as secure entry point (RFC 4034, 2.1.1).
    #[must_use]
    pub const fn is_secure_entry_point(&self) -> bool {
        self.flags & 0x0001 != 0
    }

    /// Whether it was revoked (RFC 5011, 2.1).
    #[must_use]
    pub const fn is_revoked(&self) -> bool {
        self.flags & 0x0080 != 0
    }

    /// Its key tag (RFC 4034, appendix B).
    #[must_use]
    pub fn key_tag(&self) -> u16 {
        key_tag(self.rdata)
    }

    /// The whole record data.
    #[must_use]
    pub const fn rdata(&self) -> &'a [u8] {
        self.rdata
    }
}

/// The key tag of DNSKEY record data (RFC 4034, appendix B; B.1 for algorithm 1).
#[must_use]
pub fn key_tag(rdata: &[u8]) -> u16 {
    if rdata.get(3) == Some(&1) {
        let start = rdata.len().saturating_sub(3);
        return u16_at(rdata, start).unwrap_or(0);
    }
    let mut sum: u32 = 0;
    for (position, &octet) in rdata.iter().enumerate() {
        let octet = u32::from(octet);
        sum = sum.wrapping_add(if position % 2 == 0 { octet << 8 } else { octet });
    }
    (sum.wrapping_add(sum >> 16 & 0xffff) & 0xffff) as u16
}

/// DS record data (RFC 4034, 5.1), also that of CDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ds<'a> {
    /// The key tag of the DNSKEY that it stands for.
    pub key_tag: u16,
    /// That key's algorithm.
    pub algorithm: u8,
    /// The digest's type.
    pub digest_type: u8,
    /// The digest.
    pub digest: &'a [u8],
}

impl<'a> Ds<'a> {
    /// Reads DS record data.
    #[must_use]
    pub fn parse(rdata: &'a [u8]) -> Option<Self> {
        Some(Self {
            key_tag: u16_at(rdata, 0)?,
            algorithm: *rdata.get(2)?,
            digest_type: *rdata.get(3)?,
            digest: rdata.get(4..)?,
        })
    }
}

/// The type bitmap of NSEC, NSEC3, NXT-successors and CSYNC (RFC 4034, 4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeBitmap<'a>(&'a [u8]);

impl<'a> TypeBitmap<'a> {
    /// A bitmap from its wire form; broken windows simply hold no types.
    #[must_use]
    pub const fn new(wire: &'a [u8]) -> Self {
        Self(wire)
    }

    /// Whether the type is there.
    #[must_use]
    pub fn contains(self, record_type: RecordType) -> bool {
        let [window, low] = record_type.0.to_be_bytes();
        self.windows().any(|(number, bits)| {
            number == window
                && bits
                    .get(usize::from(low / 8))
                    .is_some_and(|octet| octet & (0x80 >> (low % 8)) != 0)
        })
    }

    /// Every type that is there, in the order of the bitmap.
    pub fn types(self) -> impl Iterator<Item = RecordType> + 'a {
        self.windows().flat_map(|(window, bits)| {
            (0..=255u8).filter_map(move |low| {
                let octet = bits.get(usize::from(low / 8))?;
                (octet & (0x80 >> (low % 8)) != 0)
                    .then(|| RecordType(u16::from_be_bytes([window, low])))
            })
        })
    }

    fn windows(self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (&[window, length], tail) = rest.split_first_chunk::<2>()?;
            let bits = tail.get(..usize::from(length))?;
            rest = tail.get(usize::from(length)..)?;
            Some((window, bits))
        })
    }
}

/// NSEC record data (RFC 4034, 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nsec<'a> {
    /// The next name of the zone in canonical order.
    pub next: Name,
    /// The types at the owner.
    pub types: TypeBitmap<'a>,
}

impl<'a> Nsec<'a> {
    /// Reads NSEC record data.
    #[must_use]
    pub fn parse(rdata: &'a [u8]) -> Option<Self> {
        let (next, bitmap) = rdata.split_at_checked(name_length(rdata)?)?;
        Some(Self {
            next: Name::from_wire(next).ok()?,
            types: TypeBitmap(bitmap),
        })
    }
}

/// NSEC3 record data (RFC 5155, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nsec3<'a> {
    /// The hash algorithm; 1 is SHA-1.
    pub algorithm: u8,
    /// The flags field.
    pub flags: u8,
    /// Iterations beyond the first.
    pub iterations: u16,
    /// The salt.
    pub salt: &'a [u8],
    /// The next hashed owner, binary.
    pub next_hash: &'a [u8],
    /// The types at the original owner.
    pub types: TypeBitmap<'a>,
}

impl<'a> Nsec3<'a> {
    /// Reads NSEC3 record data.
    #[must_use]
    pub fn parse(rdata: &'a [u8]) -> Option<Self> {
        let salt_end = 5 + usize::from(*rdata.get(4)?);
        let hash_start = salt_end + 1;
        let hash_end = hash_start + usize::from(*rdata.get(salt_end)?);
        Some(Self {
            algorithm: *rdata.first()?,
            flags: *rdata.get(1)?,
            iterations: u16_at(rdata, 2)?,
            salt: rdata.get(5..salt_end)?,
            next_hash: rdata.get(hash_start..hash_end)?,
            types: TypeBitmap(rdata.get(hash_end..)?),
        })
    }

    /// Opt-Out: unsigned delegations may lie between (RFC 5155, 3.1.2.1).
    #[must_use]
    pub const fn opt_out(&self) -> bool {
        self.flags & 0x01 != 0
    }
}

/// NSEC3PARAM record data (RFC 5155, 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nsec3Param<'a> {
    /// The hash algorithm.
    pub algorithm: u8,
    /// The flags field.
    pub flags: u8,
    /// Iterations beyond the first.
    pub iterations: u16,
    /// The salt.
    pub salt: &'a [u8],
}

impl<'a> Nsec3Param<'a> {
    /// Reads NSEC3PARAM record data.
    #[must_use]
    pub fn parse(rdata: &'a [u8]) -> Option<Self> {
        let salt_end = 5 + usize::from(*rdata.get(4)?);
        Some(Self {
            algorithm: *rdata.first()?,
            flags: *rdata.get(1)?,
            iterations: u16_at(rdata, 2)?,
            salt: rdata.get(5..salt_end)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmap_of_rfc_4034_4_3() {
        // host.example.com: A MX RRSIG NSEC TYPE1234
        let wire = b"\x00\x06\x40\x01\x00\x00\x00\x03\x04\x1b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20";
        let bitmap = TypeBitmap::new(wire);
        let types: Vec<u16> = bitmap.types().map(|each| each.0).collect();
        assert_eq!(types, [1, 15, 46, 47, 1234]);
        for number in 0..=u16::MAX {
            assert_eq!(bitmap.contains(RecordType(number)), types.contains(&number));
        }
        assert!(!TypeBitmap::new(b"\x00\x06\x40").contains(RecordType::A));
    }

    #[test]
    fn key_tag_of_rfc_4034_5_4() {
        let key = "AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZDRD99WYwYqUSdjMmmAphXdvxegXd/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9XzcnOf+EPbtG9DMBmADjFDc2w/rljwvFw==";
        let mut rdata = vec![1, 0, 3, 5];
        rdata.extend(decode_base64(key));
        let dnskey = Dnskey::parse(&rdata).unwrap();
        assert_eq!(dnskey.key_tag(), 60485);
        assert!(dnskey.is_zone_key() && !dnskey.is_revoked() && !dnskey.is_secure_entry_point());
    }

    fn decode_base64(text: &str) -> Vec<u8> {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (mut bits, mut count, mut out) = (0u32, 0, Vec::new());
        for byte in text.bytes().filter(|&byte| byte != b'=') {
            let value = alphabet.iter().position(|&each| each == byte).unwrap();
            bits = bits << 6 | value as u32;
            count += 6;
            if count >= 8 {
                count -= 8;
                out.push((bits >> count) as u8);
            }
        }
        out
    }

    #[test]
    fn short_data_is_none() {
        let nsec3 = b"\x01\x01\x00\x0c\x02\xaa\xbb\x03abc\x00\x01\x40";
        let parsed = Nsec3::parse(nsec3).unwrap();
        assert_eq!((parsed.iterations, parsed.salt), (12, &b"\xaa\xbb"[..]));
        assert_eq!(parsed.next_hash, b"abc");
        assert!(parsed.opt_out() && parsed.types.contains(RecordType::A));
        for cut in 0..11 {
            assert_eq!(Nsec3::parse(&nsec3[..cut]), None, "{cut}");
        }
        assert_eq!(Rrsig::parse(&[0; 18]), None);
        assert!(Rrsig::parse(&[0; 19]).is_some());
        assert_eq!(Ds::parse(&[0; 3]), None);
        assert_eq!(Dnskey::parse(&[0; 3]), None);
        assert_eq!(Nsec3Param::parse(&[1, 0, 0, 0, 1]), None);
        assert_eq!(Nsec::parse(b"\x01a"), None);
    }
}
