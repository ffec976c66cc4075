//! RRsets as wire octets (RFC 2181, 5).
//!
//! Owns the record types and classes by number, and `Rrset`: one owner, type and class with its
//! record data uncompressed and its signatures beside it. Keeps octets, not parsed values, so that
//! what came in is what is verified, cached and sent on. Never interprets record data: `rdata.rs` does.

use core::fmt;
use std::sync::Arc;

use crate::name::Name;

/// A resource record type (RFC 1035, 3.2.2, and the IANA registry).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordType(pub u16);

/// A DNS class (RFC 1035, 3.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(pub u16);

impl Class {
    /// The Internet.
    pub const IN: Self = Self(1);
    /// Chaosnet, used for `version.bind` and `id.server`.
    pub const CH: Self = Self(3);
    /// Any class.
    pub const ANY: Self = Self(255);
}

macro_rules! record_types {
    ($($name:ident = $number:literal),* $(,)?) => {
        #[allow(missing_docs, reason = "the names are those of the IANA registry")]
        impl RecordType {
            $(pub const $name: Self = Self($number);)*

            /// The type's mnemonic, when this crate knows one.
            #[must_use]
            pub const fn mnemonic(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// The type of a mnemonic or of `TYPE12345` (RFC 3597, 5); case does not matter.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                $(if text.eq_ignore_ascii_case(stringify!($name)) {
                    return Some(Self($number));
                })*
                let (prefix, digits) = text.split_at_checked(4)?;
                if !prefix.eq_ignore_ascii_case("TYPE") {
                    return None;
                }
                digits.parse().ok().map(Self)
            }
        }
    };
}

record_types! {
    A = 1, NS = 2, MD = 3, MF = 4, CNAME = 5, SOA = 6, MB = 7, MG = 8, MR = 9, NULL = 10, WKS = 11, PTR = 12,
    HINFO = 13, MINFO = 14, MX = 15, TXT = 16, RP = 17, AFSDB = 18, X25 = 19, ISDN = 20, RT = 21,
    SIG = 24, KEY = 25, PX = 26, AAAA = 28, LOC = 29, NXT = 30, SRV = 33, NAPTR = 35, KX = 36, CERT = 37,
    DNAME = 39, OPT = 41, APL = 42, DS = 43, SSHFP = 44, IPSECKEY = 45, RRSIG = 46, NSEC = 47,
    DNSKEY = 48, DHCID = 49, NSEC3 = 50, NSEC3PARAM = 51, TLSA = 52, SMIMEA = 53, HIP = 55,
    CDS = 59, CDNSKEY = 60, OPENPGPKEY = 61, CSYNC = 62, ZONEMD = 63, SVCB = 64, HTTPS = 65,
    SPF = 99, TKEY = 249, TSIG = 250, IXFR = 251, AXFR = 252, MAILB = 253, MAILA = 254, ANY = 255,
    URI = 256, CAA = 257,
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(mnemonic) => f.write_str(mnemonic),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl fmt::Debug for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The record data of several records, each with its length before it, in one allocation.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct RdataList(Box<[u8]>);

impl RdataList {
    /// Packs record data; each item is at most 65 535 octets, longer ones are left out.
    pub fn new<'a>(items: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut packed = Vec::new();
        for item in items {
            if let Ok(length) = u16::try_from(item.len()) {
                packed.extend_from_slice(&length.to_be_bytes());
                packed.extend_from_slice(item);
            }
        }
        Self(packed.into_boxed_slice())
    }

    /// Takes over record data that is packed already: each with its length in two octets before it.
    pub(crate) fn from_packed(packed: Vec<u8>) -> Self {
        Self(packed.into_boxed_slice())
    }

    /// The packed form.
    pub(crate) const fn as_packed(&self) -> &[u8] {
        &self.0
    }

    /// The record data, uncompressed, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        Self::items(&self.0)
    }

    /// The record data of a list in packed form.
    pub(crate) fn items(packed: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
        let mut rest = packed;
        core::iter::from_fn(move || {
            let (length, tail) = rest.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            let item = tail.get(..length)?;
            rest = tail.get(length..)?;
            Some(item)
        })
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Octets held on the heap.
    #[must_use]
    pub const fn heap_bytes(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for RdataList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One RRset with the RRSIGs that cover it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rrset {
    /// The owner name.
    pub owner: Name,
    /// The type of every record.
    pub record_type: RecordType,
    /// The class of every record.
    pub class: Class,
    /// Time to live in seconds, the least of its records (RFC 2181, 5.2), as received.
    pub ttl: u32,
    /// The record data. Empty only while a set is known by its signatures alone.
    pub rdata: RdataList,
    /// The record data of the RRSIGs that cover this set.
    pub signatures: RdataList,
}

impl Rrset {
    /// An RRset of class IN without signatures; `ttl` in seconds.
    #[must_use]
    pub fn unsigned(owner: Name, record_type: RecordType, ttl: u32, rdata: RdataList) -> Self {
        Self {
            owner,
            record_type,
            class: Class::IN,
            ttl,
            rdata,
            signatures: RdataList::default(),
        }
    }
}

/// The places of the CNAMEs in `section` that a DNAME there stands for (RFC 6672, 3.1). They are never signed, so none
/// may be kept or given without its DNAME.
#[must_use]
pub fn made_by_dname(section: &[Arc<Rrset>]) -> Vec<usize> {
    let is_below = |cname: &Rrset| {
        section.iter().any(|dname| {
            dname.record_type == RecordType::DNAME
                && dname.owner != cname.owner
                && cname.owner.is_within(&dname.owner)
        })
    };
    let cnames = section.iter().enumerate();
    cnames
        .filter(|(_, cname)| cname.record_type == RecordType::CNAME && is_below(cname))
        .map(|(index, _)| index)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_by_name_and_number() {
        assert_eq!(RecordType::from_text("aaaa"), Some(RecordType::AAAA));
        assert_eq!(RecordType::from_text("TYPE65535"), Some(RecordType(65535)));
        assert_eq!(RecordType::from_text("TYPE65536"), None);
        assert_eq!(RecordType(4711).to_string(), "TYPE4711");
    }

    #[test]
    fn rdata_keeps_order_and_empty_items() {
        let list = RdataList::new([&b"abc"[..], b"", b"z"]);
        assert_eq!(list.iter().collect::<Vec<_>>(), [&b"abc"[..], b"", b"z"]);
        assert_eq!(list.len(), 3);
    }

    #[test]
    fn a_cname_below_a_dname_is_made_by_it() {
        let set = |owner: &str, record_type| {
            let owner = Name::from_text(owner).unwrap();
            Arc::new(Rrset::unsigned(
                owner,
                record_type,
                60,
                RdataList::default(),
            ))
        };
        let section = [
            set("y", RecordType::CNAME),
            set("y", RecordType::DNAME),
            set("b.y", RecordType::CNAME),
            set("b.z", RecordType::CNAME),
            set("b.y", RecordType::A),
        ];
        assert_eq!(made_by_dname(&section), [2]);
    }
}
