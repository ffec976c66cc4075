//! The servers of the root zone, as IANA publishes them (`named.root`).
//!
//! Owns the built-in hints, used when the settings name none. Never more than a start: with priming
//! the root's own NS RRset takes their place (RFC 9609).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::name::Name;
use crate::settings::Hint;

/// Letter, IPv4 address and IPv6 address of each server below `root-servers.net`.
const SERVERS: [(&str, [u8; 4], [u16; 8]); 13] = [
    (
        "a",
        [198, 41, 0, 4],
        [0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30],
    ),
    (
        "b",
        [170, 247, 170, 2],
        [0x2801, 0x1b8, 0x10, 0, 0, 0, 0, 0xb],
    ),
    ("c", [192, 33, 4, 12], [0x2001, 0x500, 2, 0, 0, 0, 0, 0xc]),
    (
        "d",
        [199, 7, 91, 13],
        [0x2001, 0x500, 0x2d, 0, 0, 0, 0, 0xd],
    ),
    (
        "e",
        [192, 203, 230, 10],
        [0x2001, 0x500, 0xa8, 0, 0, 0, 0, 0xe],
    ),
    (
        "f",
        [192, 5, 5, 241],
        [0x2001, 0x500, 0x2f, 0, 0, 0, 0, 0xf],
    ),
    (
        "g",
        [192, 112, 36, 4],
        [0x2001, 0x500, 0x12, 0, 0, 0, 0, 0xd0d],
    ),
    (
        "h",
        [198, 97, 190, 53],
        [0x2001, 0x500, 1, 0, 0, 0, 0, 0x53],
    ),
    (
        "i",
        [192, 36, 148, 17],
        [0x2001, 0x7fe, 0, 0, 0, 0, 0, 0x53],
    ),
    (
        "j",
        [192, 58, 128, 30],
        [0x2001, 0x503, 0xc27, 0, 0, 0, 2, 0x30],
    ),
    ("k", [193, 0, 14, 129], [0x2001, 0x7fd, 0, 0, 0, 0, 0, 1]),
    (
        "l",
        [199, 7, 83, 42],
        [0x2001, 0x500, 0x9f, 0, 0, 0, 0, 0x42],
    ),
    ("m", [202, 12, 27, 33], [0x2001, 0xdc3, 0, 0, 0, 0, 0, 0x35]),
];

/// The built-in hints.
#[must_use]
pub fn builtin() -> Vec<Hint> {
    SERVERS
        .iter()
        .filter_map(|&(letter, v4, v6)| {
            let name = Name::from_text(&format!("{letter}.root-servers.net.")).ok()?;
            let addresses = vec![
                SocketAddr::new(IpAddr::V4(Ipv4Addr::from(v4)), 53),
                SocketAddr::new(IpAddr::V6(Ipv6Addr::from(v6)), 53),
            ];
            Some(Hint { name, addresses })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirteen_servers_of_both_families() {
        let hints = builtin();
        assert_eq!(hints.len(), 13);
        assert!(hints.iter().all(|hint| hint.addresses.len() == 2));
        assert_eq!(hints[10].name.to_string(), "k.root-servers.net.");
        assert_eq!(hints[10].addresses[1].to_string(), "[2001:7fd::1]:53");
    }
}
