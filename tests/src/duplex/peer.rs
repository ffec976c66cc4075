//! The client's side of a duplex: frames as a seed wants them, and what it knows of each of its streams.
//!
//! Owns the frames that are sent and those that came back. Never knows what the server makes of them.

use std::collections::BTreeMap;

use crate::bench::load::query;
use crate::raw_h2::{END_HEADERS, END_STREAM, frame, frame_type, get_headers, post_headers};
use crate::simulate::seed::Draw;

/// What a client knows of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Its request is whole.
    pub whole: bool,
    /// The client has reset it.
    pub reset: bool,
    /// Response heads that came.
    pub heads: u32,
    /// Ends of responses that came.
    pub ends: u32,
    /// Resets that came.
    pub resets: u32,
    /// Octets of the body that came.
    pub body: usize,
}

/// The client.
#[derive(Debug)]
pub struct Peer {
    /// Its streams.
    pub streams: BTreeMap<u32, Sent>,
    /// Bodies that are still to be sent.
    bodies: BTreeMap<u32, Vec<u8>>,
    /// It has broken the protocol, or has said that it goes.
    pub misbehaved: bool,
    /// The server has said that it goes.
    pub goaway: bool,
    next: u32,
    received: Vec<u8>,
    windowless: bool,
}

/// The name that a stream asks, so that each question is known by its stream.
#[must_use]
pub fn name(stream: u32) -> String {
    format!("s{stream}.duplex.example")
}

impl Peer {
    /// A client, and the octets that it begins with.
    pub fn new(draw: &mut Draw) -> (Self, Vec<u8>) {
        let windowless = draw.chance(30);
        let window: u32 = if windowless { 0 } else { 65_535 };
        let mut octets = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        octets.extend(frame(frame_type::SETTINGS, 0, 0, &window_setting(window)));
        let peer = Self {
            streams: BTreeMap::new(),
            bodies: BTreeMap::new(),
            misbehaved: false,
            goaway: false,
            next: 1,
            received: Vec::new(),
            windowless,
        };
        (peer, octets)
    }

    /// Streams that have no end yet.
    #[must_use]
    pub fn open(&self) -> usize {
        let ended = |sent: &&Sent| sent.ends == 0 && sent.resets == 0 && !sent.reset;
        self.streams.values().filter(ended).count()
    }

    /// Begins a request by GET, or by POST with its body to follow.
    pub fn ask(&mut self, draw: &mut Draw) -> Vec<u8> {
        let number = self.next;
        self.next += 2;
        let post = draw.chance(40);
        let (head, flags) = if post {
            (post_headers(), END_HEADERS)
        } else {
            (get_headers(&name(number)), END_STREAM | END_HEADERS)
        };
        if post {
            self.bodies.insert(number, query(&name(number)));
        }
        let sent = Sent {
            whole: !post,
            ..Sent::default()
        };
        self.streams.insert(number, sent);
        if draw.chance(20) {
            // The same in two frames.
            let half = head.len() / 2;
            let (first, rest) = head.split_at(half);
            let mut octets = frame(frame_type::HEADERS, flags & END_STREAM, number, first);
            octets.extend(frame(frame_type::CONTINUATION, END_HEADERS, number, rest));
            return octets;
        }
        frame(frame_type::HEADERS, flags, number, &head)
    }

    /// Sends more of a body, or all that is left of one.
    pub fn send_body(&mut self, draw: &mut Draw, all: bool) -> Vec<u8> {
        let Some((&number, body)) = self.bodies.iter_mut().next() else {
            return Vec::new();
        };
        let length = draw.between(1, body.len().max(1) as u64) as usize;
        let length = if all {
            body.len()
        } else {
            length.min(body.len())
        };
        let piece: Vec<u8> = body.drain(..length).collect();
        let last = body.is_empty();
        if last {
            self.bodies.remove(&number);
            if let Some(sent) = self.streams.get_mut(&number) {
                sent.whole = true;
            }
        }
        let flags = if last { END_STREAM } else { 0 };
        frame(frame_type::DATA, flags, number, &piece)
    }

    /// Whether a body is still to be sent.
    #[must_use]
    pub fn has_bodies(&self) -> bool {
        !self.bodies.is_empty()
    }

    /// Resets one of the streams, whatever became of it.
    pub fn reset(&mut self, draw: &mut Draw) -> Vec<u8> {
        let at = draw.below(self.streams.len() as u64) as usize;
        let Some((&number, sent)) = self.streams.iter_mut().nth(at) else {
            return Vec::new();
        };
        if sent.reset {
            return Vec::new();
        }
        sent.reset = true;
        self.bodies.remove(&number);
        frame(frame_type::RST_STREAM, 0, number, &8u32.to_be_bytes())
    }

    /// Makes room for answers, once.
    pub fn open_windows(&mut self) -> Vec<u8> {
        if !std::mem::take(&mut self.windowless) {
            return Vec::new();
        }
        frame(frame_type::SETTINGS, 0, 0, &window_setting(65_535))
    }

    /// Gives the whole connection room for what came.
    #[must_use]
    pub fn release(&self) -> Vec<u8> {
        frame(frame_type::WINDOW_UPDATE, 0, 0, &60_000u32.to_be_bytes())
    }

    /// Something that ends a connection (RFC 9113, 5.4.1), or says that the client goes.
    pub fn misbehave(&mut self, draw: &mut Draw) -> Vec<u8> {
        self.misbehaved = true;
        match draw.below(5) {
            0 => frame(frame_type::GOAWAY, 0, 0, &[0; 8]),
            1 => frame(frame_type::DATA, 0, 0, &[1]),
            2 => frame(frame_type::WINDOW_UPDATE, 0, 0, &[0; 4]),
            3 => frame(frame_type::HEADERS, END_HEADERS, 2, &[0x82]),
            _ => (0..40).map(|_| draw.next() as u8).collect(),
        }
    }

    /// Reads what the server sent; gives what is to be said to it.
    ///
    /// # Errors
    /// Something that no stream may get.
    pub fn read(&mut self, octets: &[u8]) -> Result<Vec<u8>, String> {
        self.received.extend_from_slice(octets);
        let received = std::mem::take(&mut self.received);
        let mut rest = received.as_slice();
        let mut reply = Vec::new();
        while let Some((head, after)) = rest.split_first_chunk::<9>() {
            let [a, b, c, kind, flags, stream @ ..] = *head;
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            let Some((payload, after)) = after.split_at_checked(length) else {
                break;
            };
            rest = after;
            let number = u32::from_be_bytes(stream);
            match kind {
                frame_type::SETTINGS if flags & 1 == 0 => {
                    reply.extend(frame(frame_type::SETTINGS, 1, 0, &[]));
                }
                frame_type::PING if flags & 1 == 0 => {
                    reply.extend(frame(frame_type::PING, 1, 0, payload));
                }
                frame_type::GOAWAY => self.goaway = true,
                frame_type::HEADERS | frame_type::DATA | frame_type::RST_STREAM => {
                    self.note(kind, flags, number, payload.len())?;
                }
                _ => {}
            }
        }
        self.received = rest.to_vec();
        Ok(reply)
    }

    fn note(&mut self, kind: u8, flags: u8, number: u32, length: usize) -> Result<(), String> {
        let sent = self
            .streams
            .get_mut(&number)
            .ok_or_else(|| format!("a frame for stream {number}, which was never opened"))?;
        if sent.resets > 0 || (sent.ends > 0 && kind != frame_type::RST_STREAM) {
            return Err(format!(
                "B2: a frame of type {kind} after the end of stream {number}"
            ));
        }
        match kind {
            frame_type::HEADERS => sent.heads += 1,
            frame_type::DATA => sent.body += length,
            _ => sent.resets += 1,
        }
        if kind != frame_type::RST_STREAM && flags & END_STREAM != 0 {
            sent.ends += 1;
        }
        if sent.heads > 1 {
            return Err(format!("B2: two heads on stream {number}"));
        }
        Ok(())
    }
}

/// SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113, 6.5.2).
fn window_setting(size: u32) -> Vec<u8> {
    let mut payload = 4u16.to_be_bytes().to_vec();
    payload.extend_from_slice(&size.to_be_bytes());
    payload
}
