//! Time that a reply spent in HTTP caches, taken off its TTLs (RFC 8484, 5.1).

use crate::wire::read::{Cursor, Malformed};

/// The type of the OPT record, whose TTL field is none (RFC 6891, 6.1.3).
const OPT: u16 = 41;

/// Takes `seconds` off the TTL of every record, down to 0.
///
/// # Errors
/// When the octets are not a DNS message; the TTLs before the fault are changed then.
pub fn age(message: &mut [u8], seconds: u32) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(message, 4);
    let questions = cursor.u16()?;
    let mut records = 0u32;
    for _ in 0..3 {
        records += u32::from(cursor.u16()?);
    }
    for _ in 0..questions {
        cursor.skip_name()?;
        cursor.take(4)?;
    }
    let mut position = cursor.position();
    for _ in 0..records {
        let mut cursor = Cursor::new(message, position);
        cursor.skip_name()?;
        let record_type = cursor.u16()?;
        cursor.take(2)?;
        let at = cursor.position();
        let ttl = cursor.u32()?;
        let length = cursor.u16()?;
        cursor.take(usize::from(length))?;
        position = cursor.position();
        if record_type != OPT
            && let Some(field) = message.get_mut(at..at + 4)
        {
            field.copy_from_slice(&ttl.saturating_sub(seconds).to_be_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Vec<u8> {
        let mut message = b"\0\0\x81\x80\0\x01\0\x01\0\x01\0\x01\x01a\0\0\x01\0\x01".to_vec();
        message.extend(b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc0\0\x02\x01");
        message.extend(b"\x01b\xc0\x0c\0\x02\0\x01\0\0\0\x0a\0\x02\xc0\x0c");
        message.extend(b"\0\0\x29\x04\xd0\0\0\x80\0\0\0");
        message
    }

    #[test]
    fn every_ttl_but_that_of_opt_is_less() {
        let mut aged = message();
        age(&mut aged, 20).unwrap();
        let mut expected = message();
        expected[19 + 6..19 + 10].copy_from_slice(&280u32.to_be_bytes());
        expected[35 + 8..35 + 12].copy_from_slice(&0u32.to_be_bytes());
        assert_eq!(aged, expected);
    }

    #[test]
    fn a_broken_message_is_refused() {
        for length in 0..message().len() {
            assert!(age(&mut message()[..length], 1).is_err(), "{length}");
        }
    }
}
