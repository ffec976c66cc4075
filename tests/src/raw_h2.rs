//! HTTP/2 frame by frame (RFC 9113, 4), for what no well-behaved client library would send.
//!
//! Owns one TLS connection and writes whatever frames a test wants; reads frames only to learn how the
//! server ends it. Never follows the protocol on its own: no SETTINGS ACK, no window updates.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::bench::load::{query, trusting_client};
use crate::edge::connect_from;

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
    /// What the server sent so far, by stream.
    responses: BTreeMap<u32, Response>,
    goaway: Option<u32>,
}

/// What came on one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Whether the status is 200, once there is one.
    pub ok: Option<bool>,
    /// The octets of the body.
    pub body: Vec<u8>,
    /// Whether it is whole.
    pub ended: bool,
    /// The code that it was reset with.
    pub reset: Option<u32>,
}

/// A frame that was read.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
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
    query_headers(&query(name))
}

/// A header block for a GET of this DNS message, without Huffman coding or indexing.
#[must_use]
pub fn query_headers(message: &[u8]) -> Vec<u8> {
    let path = format!("/dns-query?dns={}", BASE64URL_NOPAD.encode(message));
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

/// The preface, with these SETTINGS (RFC 9113, 3.4).
fn preface(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (identifier, value) in settings {
        payload.extend_from_slice(&identifier.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    let mut octets = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    octets.extend_from_slice(&frame(frame_type::SETTINGS, 0, 0, &payload));
    octets
}

impl RawConnection {
    /// Connects, and sends the preface with these SETTINGS as `(identifier, value)`.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn open(address: SocketAddr, settings: &[(u16, u32)]) -> io::Result<Self> {
        Self::open_from(Ipv4Addr::LOCALHOST, address, settings).await
    }

    /// The same from another address of the loopback.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn open_from(
        source: Ipv4Addr,
        address: SocketAddr,
        settings: &[(u16, u32)],
    ) -> io::Result<Self> {
        let socket = connect_from(source, address).await?;
        let mut connection = Self::over(socket, address).await?;
        connection.send(&preface(settings)).await?;
        Ok(connection)
    }

    /// Connects and says nothing over TLS.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn open_silently(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect(address).await?, address).await
    }

    /// As [`Self::open`], with as little room for what is not read as the kernel allows; see [`Self::send_unread`].
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn open_unread(address: SocketAddr, settings: &[(u16, u32)]) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        let mut connection = Self::over(socket.connect(address).await?, address).await?;
        connection.send_unread(&preface(settings)).await?;
        Ok(connection)
    }

    async fn over(socket: TcpStream, address: SocketAddr) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let name = rustls_pki_types::ServerName::IpAddress(address.ip().into());
        let stream = TlsConnector::from(trusting_client(false))
            .connect(name, socket)
            .await?;
        Ok(Self {
            stream,
            received: Vec::new(),
            resets: 0,
            responses: BTreeMap::new(),
            goaway: None,
        })
    }

    /// Writes octets as they are, and reads nothing, however long the server takes to take them: up to 30 seconds.
    ///
    /// # Errors
    /// When the server has closed the connection.
    ///
    /// # Panics
    /// When it does neither: nothing ends this connection.
    pub async fn send_unread(&mut self, octets: &[u8]) -> io::Result<()> {
        let write = async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        };
        let written = tokio::time::timeout(Duration::from_secs(30), write).await;
        assert!(
            written.is_ok(),
            "the server neither takes octets nor hangs up"
        );
        written.unwrap_or(Ok(()))
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
        loop {
            if let Some(code) = self.goaway {
                return End::Goaway(code);
            }
            match tokio::time::timeout_at(deadline, self.read()).await {
                Err(_) => return End::Open,
                Ok(Err(_)) => return End::Closed,
                Ok(Ok(())) => {}
            }
        }
    }

    /// Reads until `enough` is true of what came on a stream.
    ///
    /// # Errors
    /// When the connection ends or the time is up first; what came is in the message.
    pub async fn response(
        &mut self,
        stream: u32,
        within: Duration,
        enough: fn(&Response) -> bool,
    ) -> io::Result<Response> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let seen = self.responses.entry(stream).or_default();
            if enough(seen) {
                return Ok(seen.clone());
            }
            let seen = format!("stream {stream} has {seen:?}, GOAWAY {:?}", self.goaway);
            match tokio::time::timeout_at(deadline, self.read()).await {
                Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, seen)),
                Ok(Err(error)) => {
                    return Err(io::Error::new(error.kind(), format!("{error}: {seen}")));
                }
                Ok(Ok(())) => {}
            }
        }
    }

    /// Closes TLS in order (RFC 8446, 6.1), and with it the sending half of TCP.
    ///
    /// # Errors
    /// When the server was faster.
    pub async fn close_notify(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Ends TCP with RST.
    ///
    /// # Errors
    /// When the socket does not take the option.
    pub fn abort(self) -> io::Result<()> {
        self.stream.get_ref().0.set_zero_linger()
    }

    /// Reads once and takes the frames that are whole.
    async fn read(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16_384];
        // What came while something was sent has not been looked at.
        let length = if self.has_frame() {
            0
        } else {
            match self.stream.read(&mut chunk).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => length,
            }
        };
        self.received
            .extend_from_slice(chunk.get(..length).unwrap_or_default());
        while let Some(frame) = self.take_frame() {
            self.note(frame);
        }
        Ok(())
    }

    fn note(&mut self, frame: Frame) {
        let code = |at: usize| {
            let octets = frame.payload.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_be_bytes(octets))
        };
        if frame.kind == frame_type::GOAWAY {
            self.goaway = Some(code(4).unwrap_or_default());
            return;
        }
        if frame.stream == 0 {
            return;
        }
        let response = self.responses.entry(frame.stream).or_default();
        match frame.kind {
            frame_type::RST_STREAM => {
                self.resets += 1;
                response.reset = Some(code(0).unwrap_or_default());
            }
            // The status comes first; 200 is the eighth of the static table (RFC 7541, A).
            frame_type::HEADERS => {
                response.ok = response
                    .ok
                    .or_else(|| frame.payload.first().map(|octet| *octet == 0x88));
            }
            frame_type::DATA => response.body.extend_from_slice(&frame.payload),
            _ => return,
        }
        response.ended |= frame.kind != frame_type::RST_STREAM && frame.flags & END_STREAM != 0;
    }

    fn has_frame(&self) -> bool {
        let head = self.received.get(..9);
        head.is_some_and(|head| self.received.len() >= 9 + length(head))
    }

    fn take_frame(&mut self) -> Option<Frame> {
        let head: [u8; 9] = self.received.get(..9)?.try_into().ok()?;
        let length = length(&head);
        let payload = self.received.get(9..9 + length)?.to_vec();
        self.received.drain(..9 + length);
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]),
            payload,
        })
    }
}

/// The length of a frame's payload, from its head.
fn length(head: &[u8]) -> usize {
    let octets = head.iter().take(3);
    octets.fold(0, |sum, octet| sum << 8 | usize::from(*octet))
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
