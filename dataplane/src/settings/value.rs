//! Single values of the document as the core has them.
//!
//! Owns no group of settings.

use std::net::IpAddr;

use weir_config::unit::cidr::Cidr;
use weir_resolver::settings::Prefix;

/// A network as the core has it.
pub(crate) fn prefix(cidr: &Cidr) -> Prefix {
    let address: IpAddr = cidr.network();
    Prefix {
        address,
        length: cidr.prefix(),
    }
}

/// The document has checked the bounds; this only changes the width.
pub(crate) fn clamp(value: u32) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}
