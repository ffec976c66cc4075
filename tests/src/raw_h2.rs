//! HTTP/2 frame by frame (RFC 9113, 4), for what no well-behaved client library would send.
//!
//! Owns one TLS connection and writes whatever frames a test wants; reads frames only to learn how the
//! server ends it. Never follows the protocol on its own: no SETTINGS ACK, no window updates.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::bench::load::{query, trusting_client};

/// Frame types (RFC 9113, 6).
#[allow(missing_docs, reason = "the names are those of the RFC")]
pub mod frame_type {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// END_STREAM.
pub const END_STREAM: u8 = 1;
/// END_HEADERS.
pub const END_HEADERS: u8 = 4;
/// The error code of GOAWAY that abuse earns (RFC 9113, 7).
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// How a server ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// GOAWAY with this error code.
    Goaway(u32),
    /// Closed without a word.
    Closed,
    /// It did not, within the time given.
    Open,
}

/// One connection, unencumbered by the protocol.
#[derive(Debug)]
pub struct RawConnection {
    stream: TlsStream<TcpStream>,
    received: Vec<u8>,
    /// RST_STREAM frames that the server sent so far.
    pub resets: u32,
    /// HEADERS frames that the server sent so far.
    pub responses: u32,
}

/// One frame in octets.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    let mut octets = Vec::with_capacity(9 + payload.len());
    octets.extend_from_slice(&length[1..]);
    octets.extend_from_slice(&[kind, flags]);
    octets.extend_from_slice(&stream.to_be_bytes());
    octets.extend_from_slice(payload);
    octets
}

/// A header block for a GET of this name, without Huffman coding or indexing (RFC 7541, 6.2.2).
#[must_use]
pub fn get_headers(name: &str) -> Vec<u8> {
    let path = format!("/dns-query?dns={}", BASE64URL_NOPAD.encode(&query(name)));
    // :method GET, :scheme https, then :path and :authority as literals.
    let mut block = vec![0x82, 0x87, 0x04];
    push_string(&mut block, path.as_bytes());
    block.push(0x01);
    push_string(&mut block, b"127.0.0.1");
    block
}

/// A header block for a POST of `length` octets (-1: none is told).
#[must_use]
pub fn post_headers() -> Vec<u8> {
    let mut block = vec![0x83, 0x87, 0x04];
    push_string(&mut block, b"/dns-query");
    block.push(0x01);
    push_string(&mut block, b"127.0.0.1");
    block.push(0x00);
    push_string(&mut block, b"content-type");
    push_string(&mut block, b"application/dns-message");
    block
}

/// A string literal of HPACK with its length (RFC 7541, 5.2).
pub fn push_string(block: &mut Vec<u8>, text: &[u8]) {
    let mut length = text.len();
    if length < 127 {
        block.push(u8::try_from(length).unwrap_or(0));
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push(u8::try_from(length % 128).unwrap_or(0) | 128);
            length /= 128;
        }
        block.push(u8::try_from(length).unwrap_or(0));
    }
    block.extend_from_slice(text);
}

impl RawConnection {
    /// Connects, and sends the preface with these SETTINGS as `(identifier, value)`.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn open(address: SocketAddr, settings: &[(u16, u32)]) -> io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let name = rustls_pki_types::ServerName::IpAddress(address.ip().into());
        let stream = TlsConnector::from(trusting_client(false))
            .connect(name, socket)
            .await?;
        let mut connection = Self {
            stream,
            received: Vec::new(),
            resets: 0,
            responses: 0,
        };
        let mut payload = Vec::new();
        for (identifier, value) in settings {
            payload.extend_from_slice(&identifier.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        let mut octets = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        octets.extend_from_slice(&frame(frame_type::SETTINGS, 0, 0, &payload));
        connection.send(&octets).await?;
        Ok(connection)
    }

    /// Writes octets as they are; what the server sends meanwhile is read, so that it never has to wait.
    ///
    /// # Errors
    /// When the server has closed the connection, or takes nothing for ten seconds.
    pub async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        let mut chunk = [0; 16_384];
        let write = async {
            writer.write_all(octets).await?;
            writer.flush().await
        };
        tokio::pin!(write);
        let deadline = tokio::time::sleep(Duration::from_secs(10));
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                result = &mut write => return result,
                length = reader.read(&mut chunk) => match length? {
                    0 => return Err(io::ErrorKind::ConnectionReset.into()),
                    length => self.received.extend_from_slice(chunk.get(..length).unwrap_or_default()),
                },
                () = &mut deadline => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }

    /// Reads until the server ends the connection, or the time is up.
    pub async fn end(&mut self, within: Duration) -> End {
        let deadline = tokio::time::Instant::now() + within;
        let mut chunk = [0; 16_384];
        loop {
            while let Some((kind, payload)) = self.take_frame() {
                match kind {
                    frame_type::GOAWAY => {
                        let code = payload.get(4..8).and_then(|octets| octets.try_into().ok());
                        return End::Goaway(code.map_or(0, u32::from_be_bytes));
                    }
                    frame_type::RST_STREAM => self.resets += 1,
                    frame_type::HEADERS => self.responses += 1,
                    _ => {}
                }
            }
            match tokio::time::timeout_at(deadline, self.stream.read(&mut chunk)).await {
                Err(_) => return End::Open,
                Ok(Err(_) | Ok(0)) => return End::Closed,
                Ok(Ok(length)) => self
                    .received
                    .extend_from_slice(chunk.get(..length).unwrap_or_default()),
            }
        }
    }

    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let head: [u8; 9] = self.received.get(..9)?.try_into().ok()?;
        let length = usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).ok()?;
        let payload = self.received.get(9..9 + length)?.to_vec();
        self.received.drain(..9 + length);
        Some((head[3], payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_strings_have_their_lengths() {
        assert_eq!(frame(6, 0, 0, &[7; 8])[..9], [0, 0, 8, 6, 0, 0, 0, 0, 0]);
        let mut block = Vec::new();
        push_string(&mut block, &[b'a'; 300]);
        // 300 = 127 + 173; 173 = 45 + 128 * 1 (RFC 7541, 5.1).
        assert_eq!(block[..3], [127, 45 | 128, 1]);
    }
}
