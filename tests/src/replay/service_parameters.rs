//! Service parameters of SVCB and HTTPS records (RFC 9460, 2.1) from text.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::replay::token::{TextError, Word, base64, unescape, wrong};

const KEYS: [(&str, u16); 8] = [
    ("mandatory", 0),
    ("alpn", 1),
    ("no-default-alpn", 2),
    ("port", 3),
    ("ipv4hint", 4),
    ("ech", 5),
    ("ipv6hint", 6),
    ("dohpath", 7),
];

/// Writes the parameters in ascending order of their keys.
///
/// # Errors
/// When a key is unknown or a value does not fit its key.
pub(crate) fn push(wire: &mut Vec<u8>, words: &[Word]) -> Result<(), TextError> {
    let mut parameters = Vec::new();
    for word in words {
        let (key, value) = word.text.split_once('=').unwrap_or((&word.text, ""));
        let number = key_number(key)?;
        parameters.push((number, octets(number, value)?));
    }
    parameters.sort_by_key(|(key, _)| *key);
    for (key, value) in parameters {
        let Ok(length) = u16::try_from(value.len()) else {
            return wrong("a service parameter is too long");
        };
        wire.extend(key.to_be_bytes());
        wire.extend(length.to_be_bytes());
        wire.extend(value);
    }
    Ok(())
}

fn key_number(text: &str) -> Result<u16, TextError> {
    if let Some((_, number)) = KEYS.iter().find(|(key, _)| *key == text) {
        return Ok(*number);
    }
    match text.strip_prefix("key").map(str::parse) {
        Some(Ok(number)) => Ok(number),
        _ => wrong(format!("{text} is not a service parameter")),
    }
}

fn octets(key: u16, value: &str) -> Result<Vec<u8>, TextError> {
    let items = || value.split(',').filter(|item| !item.is_empty());
    let mut octets = Vec::new();
    match key {
        0 => {
            let mut keys = items().map(key_number).collect::<Result<Vec<_>, _>>()?;
            keys.sort_unstable();
            octets.extend(keys.into_iter().flat_map(u16::to_be_bytes));
        }
        1 => {
            for item in items() {
                octets.push(item.len() as u8);
                octets.extend(item.bytes());
            }
        }
        3 => match value.parse::<u16>() {
            Ok(port) => octets.extend(port.to_be_bytes()),
            Err(_) => return wrong(format!("{value} is not a port")),
        },
        4 => {
            for item in items() {
                match item.parse::<Ipv4Addr>() {
                    Ok(address) => octets.extend(address.octets()),
                    Err(_) => return wrong(format!("{item} is not an IPv4 address")),
                }
            }
        }
        5 => octets = base64(value),
        6 => {
            for item in items() {
                match item.parse::<Ipv6Addr>() {
                    Ok(address) => octets.extend(address.octets()),
                    Err(_) => return wrong(format!("{item} is not an IPv6 address")),
                }
            }
        }
        _ => octets = unescape(value)?,
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::token::words;

    #[test]
    fn parameters_are_sorted() {
        let mut wire = Vec::new();
        push(&mut wire, &words("ipv4hint=192.0.2.1 alpn=h2,h3 port=53")).unwrap();
        let expected =
            b"\x00\x01\x00\x06\x02h2\x02h3\x00\x03\x00\x02\x00\x35\x00\x04\x00\x04\xc0\x00\x02\x01";
        assert_eq!(wire, expected);
        assert!(push(&mut wire, &words("nokey=1")).is_err());
    }
}
