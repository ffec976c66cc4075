//! Address prefixes, as in CIDR notation.
//!
//! Owns the question whether an address lies within one. Never reads text.

use std::net::IpAddr;

/// An address prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The address; bits beyond `length` do not matter.
    pub address: IpAddr,
    /// Leading bits that count, at most 32 or 128.
    pub length: u8,
}

impl Prefix {
    /// Whether the address lies within.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.length.min(32)))
                    .unwrap_or(0);
                (own.to_bits() ^ other.to_bits()) & mask == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.length.min(128));
                let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
                (own.to_bits() ^ other.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        let prefix = |text: &str, length| Prefix {
            address: text.parse().unwrap(),
            length,
        };
        assert!(prefix("10.0.0.0", 8).contains("10.255.1.1".parse().unwrap()));
        assert!(!prefix("10.0.0.0", 8).contains("11.0.0.1".parse().unwrap()));
        assert!(prefix("0.0.0.0", 0).contains("8.8.8.8".parse().unwrap()));
        assert!(prefix("::", 0).contains("2001:db8::1".parse().unwrap()));
        assert!(!prefix("::", 0).contains("8.8.8.8".parse().unwrap()));
        assert!(prefix("2001:db8::1", 128).contains("2001:db8::1".parse().unwrap()));
    }
}
