//! Reads the header by which a proxy names the client of a connection, versions 1 and 2 of the
//! PROXY protocol. Reads not one octet more than the header.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};
use weir_config::listener::Listener;
use weir_config::unit::cidr::Cidr;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, its end included.
const LINE_MAX: usize = 107;
/// The longest header of version 2 that is taken; longer ones carry nothing that is used here.
const BLOCK_MAX: usize = 1024;

/// The networks of a listener whose peers send the header.
#[must_use]
pub fn proxies(listener: &Listener) -> Vec<Cidr> {
    let protocol = listener.client_address.proxy_protocol.as_ref();
    protocol
        .map(|protocol| protocol.trusted_cidrs.clone())
        .unwrap_or_default()
}

/// Reads the header; none when the proxy speaks for itself (LOCAL, UNKNOWN).
///
/// # Errors
/// The connection ended, or did not begin with a header.
pub async fn read<S: AsyncRead + Unpin>(io: &mut S) -> io::Result<Option<SocketAddr>> {
    let mut head = [0; 12];
    io.read_exact(&mut head).await?;
    if head == SIGNATURE {
        return read_block(io).await;
    }
    if !head.starts_with(b"PROXY ") {
        return Err(malformed());
    }
    let mut line = head.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= LINE_MAX {
            return Err(malformed());
        }
        line.push(io.read_u8().await?);
    }
    parse_line(&line).ok_or_else(malformed)
}

fn parse_line(line: &[u8]) -> Option<Option<SocketAddr>> {
    let text = std::str::from_utf8(line).ok()?.trim_end();
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Some(None),
        ["PROXY", "TCP4" | "TCP6", source, _, port, _] => {
            let (ip, port) = (source.parse().ok()?, port.parse().ok()?);
            Some(Some(SocketAddr::new(ip, port)))
        }
        _ => None,
    }
}

async fn read_block<S: AsyncRead + Unpin>(io: &mut S) -> io::Result<Option<SocketAddr>> {
    let (command, family) = (io.read_u8().await?, io.read_u8().await?);
    let length = usize::from(io.read_u16().await?);
    if length > BLOCK_MAX || command >> 4 != 2 {
        return Err(malformed());
    }
    let mut block = vec![0; length];
    io.read_exact(&mut block).await?;
    if command & 0x0f == 0 {
        return Ok(None);
    }
    let port = |at: usize| {
        let octets = block.get(at..).and_then(|rest| rest.first_chunk());
        octets
            .map(|octets| u16::from_be_bytes(*octets))
            .ok_or_else(malformed)
    };
    match family >> 4 {
        1 => {
            let octets: [u8; 4] = *block.first_chunk().ok_or_else(malformed)?;
            Ok(Some(SocketAddr::new(
                IpAddr::V4(Ipv4Addr::from(octets)),
                port(8)?,
            )))
        }
        2 => {
            let octets: [u8; 16] = *block.first_chunk().ok_or_else(malformed)?;
            Ok(Some(SocketAddr::new(
                IpAddr::V6(Ipv6Addr::from(octets)),
                port(32)?,
            )))
        }
        _ => Ok(None),
    }
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parse(header: &[u8]) -> Result<(Option<String>, Vec<u8>), io::ErrorKind> {
        let mut io = header;
        let address = read(&mut io).await.map_err(|error| error.kind())?;
        Ok((address.map(|address| address.to_string()), io.to_vec()))
    }

    #[tokio::test]
    async fn both_versions_name_the_client_and_leave_the_rest() {
        let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\nrest";
        let named = Some("192.0.2.7:4711".to_owned());
        assert_eq!(parse(line).await, Ok((named.clone(), b"rest".to_vec())));
        assert_eq!(
            parse(b"PROXY UNKNOWN\r\nx").await,
            Ok((None, b"x".to_vec()))
        );
        let mut block = SIGNATURE.to_vec();
        block.extend([0x21, 0x11, 0, 12, 192, 0, 2, 7, 198, 51, 100, 1]);
        block.extend([0x12, 0x67, 1, 187]);
        block.extend(b"rest");
        assert_eq!(parse(&block).await, Ok((named, b"rest".to_vec())));
        let mut local = SIGNATURE.to_vec();
        local.extend([0x20, 0, 0, 0]);
        assert_eq!(parse(&local).await, Ok((None, Vec::new())));
    }

    #[tokio::test]
    async fn what_is_no_header_ends_the_connection() {
        let long = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat();
        for header in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"PROXY TCP4 x y 1 2\r\n",
            &long,
        ] {
            assert_eq!(parse(header).await, Err(io::ErrorKind::InvalidData));
        }
        assert_eq!(parse(b"PROXY").await, Err(io::ErrorKind::UnexpectedEof));
    }
}
