//! The message header (RFC 1035, 4.1.1; RFC 4035, 3).
//!
//! Owns the positions of its bits and the writing of its fields; knows nothing of what they mean to anybody.

use bytes::BytesMut;

/// Octets of the header, behind which the name of the question stands.
pub(crate) const QUESTION_AT: usize = 12;

/// QR: this is a response.
pub(crate) const QR: u16 = 0x8000;
/// The bits of OPCODE.
pub(crate) const OPCODE: u16 = 0x7800;
/// AA: authoritative answer.
pub(crate) const AA: u16 = 0x0400;
/// TC: truncated.
pub(crate) const TC: u16 = 0x0200;
/// RD: recursion desired.
pub(crate) const RD: u16 = 0x0100;
/// RA: recursion available.
pub(crate) const RA: u16 = 0x0080;
/// AD: authentic data.
pub(crate) const AD: u16 = 0x0020;
/// CD: checking disabled.
pub(crate) const CD: u16 = 0x0010;
/// The bits of RCODE.
pub(crate) const RCODE: u16 = 0x000f;

/// Writes the six fields of a header into the place left for it.
pub(crate) fn put_header(out: &mut BytesMut, start: usize, header: [u16; 6]) {
    let place = out.get_mut(start..start + QUESTION_AT).unwrap_or_default();
    for (pair, field) in place.as_chunks_mut::<2>().0.iter_mut().zip(header) {
        *pair = field.to_be_bytes();
    }
}
