//! The OPT record (RFC 6891): what queries and replies say with it.
//!
//! Owns reading and writing of its fields and options. Decides nothing about the rest of the message.

use bytes::{BufMut, BytesMut};

use crate::answer::{ExtendedError, ResponseCode};
use crate::cookie::Cookie;
use crate::name::Name;
use crate::question::ClientEdns;
use crate::rrset::RecordType;
use crate::wire::read::{Cursor, Malformed};

/// The option code of cookies (RFC 7873, 4).
pub(crate) const COOKIE: u16 = 10;
/// The option code of extended errors (RFC 8914, 2).
pub(crate) const EXTENDED_ERROR: u16 = 15;
/// The option code of padding (RFC 7830, 3).
pub(crate) const PADDING: u16 = 12;
/// The option code of the agent for error reports (RFC 9567, 5).
pub(crate) const REPORT_CHANNEL: u16 = 18;
/// Octets of an OPT record without options.
pub(crate) const OPT_SIZE: usize = 11;
/// Octets of the extended error option, its text left empty.
pub(crate) const EXTENDED_ERROR_SIZE: usize = 6;

/// The part of EDNS that a server's reply can say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyEdns {
    /// The EDNS version of the server.
    pub version: u8,
    /// The largest UDP payload that the server takes.
    pub udp_payload_size: u16,
    /// DO, as the server echoed it.
    pub dnssec_ok: bool,
    /// The first extended error (RFC 8914).
    pub extended_error: Option<ExtendedError>,
    /// The cookie (RFC 7873).
    pub cookie: Option<Cookie>,
    /// The agent that errors may be reported to (RFC 9567, 5); none when the name cannot be read or is the root.
    pub agent: Option<Name>,
}

/// An OPT record after its owner name and type, whoever sent it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Opt<'a> {
    pub(crate) udp_payload_size: u16,
    pub(crate) extended_rcode: u8,
    pub(crate) version: u8,
    pub(crate) dnssec_ok: bool,
    pub(crate) padding: bool,
    pub(crate) extended_error: Option<ExtendedError>,
    pub(crate) cookie: Option<Cookie>,
    /// The agent domain as it was sent.
    pub(crate) report_channel: Option<&'a [u8]>,
}

impl<'a> Opt<'a> {
    /// Reads from CLASS to the end of the record data.
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let udp_payload_size = cursor.u16()?;
        let [extended_rcode, version, high, _] = cursor.u32()?.to_be_bytes();
        let length = usize::from(cursor.u16()?);
        let mut opt = Self {
            udp_payload_size,
            extended_rcode,
            version,
            dnssec_ok: high & 0x80 != 0,
            ..Self::default()
        };
        let mut options = Cursor::new(cursor.take(length)?, 0);
        while options.position() < length {
            let code = options.u16().map_err(|_| Malformed::BrokenEdns)?;
            let size = options.u16().map_err(|_| Malformed::BrokenEdns)?;
            let data = options
                .take(usize::from(size))
                .map_err(|_| Malformed::BrokenEdns)?;
            match code {
                PADDING => opt.padding = true,
                COOKIE if opt.cookie.is_none() => opt.cookie = Cookie::from_octets(data),
                REPORT_CHANNEL if opt.report_channel.is_none() => opt.report_channel = Some(data),
                EXTENDED_ERROR if opt.extended_error.is_none() => {
                    opt.extended_error = data
                        .first_chunk::<2>()
                        .map(|octets| ExtendedError(u16::from_be_bytes(*octets)));
                }
                _ => {}
            }
        }
        Ok(opt)
    }

    /// What of it a client can say.
    pub(crate) const fn of_client(&self) -> ClientEdns {
        ClientEdns {
            version: self.version,
            udp_payload_size: self.udp_payload_size,
            dnssec_ok: self.dnssec_ok,
            padding: self.padding,
        }
    }

    /// What of it a server can say.
    pub(crate) fn of_reply(&self) -> ReplyEdns {
        let agent = self.report_channel.map(Name::from_wire);
        ReplyEdns {
            version: self.version,
            udp_payload_size: self.udp_payload_size,
            dnssec_ok: self.dnssec_ok,
            extended_error: self.extended_error,
            cookie: self.cookie,
            agent: agent.and_then(Result::ok).filter(|agent| !agent.is_root()),
        }
    }
}

/// OPT with its extended error, if any (RFC 6891, 6.1.2; RFC 8914, 2).
pub(crate) fn write_opt(
    out: &mut BytesMut,
    edns: ClientEdns,
    rcode: ResponseCode,
    udp_payload_size: u16,
    error: Option<ExtendedError>,
) {
    out.put_u8(0);
    out.put_u16(RecordType::OPT.0);
    out.put_u16(udp_payload_size);
    out.put_u8((rcode.0 >> 4) as u8);
    out.put_u8(0);
    // RFC 3225, 3: DO is copied.
    out.put_u16(if edns.dnssec_ok { 0x8000 } else { 0 });
    let Some(error) = error else {
        out.put_u16(0);
        return;
    };
    out.put_u16(EXTENDED_ERROR_SIZE as u16);
    out.put_u16(EXTENDED_ERROR);
    out.put_u16(2);
    out.put_u16(error.0);
}

/// Pads the message to a multiple of `block` (RFC 8467, 4.1 and 4.2), as far as `limit` allows.
pub(crate) fn pad(out: &mut BytesMut, start: usize, block: usize, limit: u16, with_error: bool) {
    let unpadded = out.len() - start + 4;
    let target = unpadded.next_multiple_of(block).min(usize::from(limit));
    let Some(padding) = target.checked_sub(unpadded) else {
        return;
    };
    let own = if with_error { EXTENDED_ERROR_SIZE } else { 0 };
    let length_at = out.len() - own - 2;
    if let Some(place) = out.get_mut(length_at..length_at + 2) {
        place.copy_from_slice(&((own + 4 + padding) as u16).to_be_bytes());
    }
    out.put_u16(PADDING);
    out.put_u16(padding as u16);
    out.put_bytes(0, padding);
}
