//! RSA signatures by keys of 512 to 1023 bits (RFC 3110, 2; RFC 5702, 2.1).
//!
//! Owns the arithmetic for these sizes, which the RFCs allow and the cryptographic library refuses. All numbers are
//! public, so nothing has to take constant time. Never signs, and never looks at longer keys.

use hickory_proto::dnssec::DigestType;
use hickory_proto::dnssec::crypto::Digest;

/// Bits of the least modulus that a zone may have (RFC 5702, 2.1).
const BITS_MIN: usize = 512;
/// Bits from which on the cryptographic library verifies.
const BITS_END: usize = 1024;
/// Octets of the largest public exponent that is worth its work.
const EXPONENT_OCTETS_MAX: usize = 4;

/// DER of the `DigestInfo` before the digest itself (RFC 8017, 9.2, note 1).
const SHA1_HEAD: &[u8] = &[
    0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14,
];
const SHA256_HEAD: &[u8] = &[
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// Whether the signature is good; none when the key is no RSA key of 512 to 1023 bits.
#[must_use]
pub fn verify(algorithm: u8, public_key: &[u8], signed: &[u8], signature: &[u8]) -> Option<bool> {
    let (digest_type, head) = match algorithm {
        5 | 7 => (DigestType::SHA1, SHA1_HEAD),
        8 => (DigestType::SHA256, SHA256_HEAD),
        // RSA/SHA-512 keys have 1024 bits at least (RFC 5702, 2.2).
        _ => return None,
    };
    let (exponent, modulus) = split(public_key)?;
    let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
    if !(BITS_MIN..BITS_END).contains(&bits) {
        return None;
    }
    let even = modulus.last().is_none_or(|octet| octet & 1 == 0);
    if even || exponent.is_empty() || exponent.len() > EXPONENT_OCTETS_MAX {
        return Some(false);
    }
    let digest = Digest::new(signed, digest_type).ok()?;
    let expected = padded(modulus.len(), head, digest.as_ref());
    if signature.len() != modulus.len() || expected.is_none() {
        return Some(false);
    }
    let modulus = Number::new(modulus);
    let signature = Number::new(signature);
    if !signature.is_below(&modulus) {
        return Some(false);
    }
    let opened = signature.power(exponent, &modulus);
    Some(expected.is_some_and(|expected| opened == Number::new(&expected)))
}

/// The exponent and the modulus of a key (RFC 3110, 2), without leading zeros.
fn split(public_key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match public_key {
        [0, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [length, rest @ ..] => (usize::from(*length), rest),
        [] => return None,
    };
    let (exponent, modulus) = rest.split_at_checked(length)?;
    Some((without_zeros(exponent), without_zeros(modulus)))
}

fn without_zeros(octets: &[u8]) -> &[u8] {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    octets.get(zeros..).unwrap_or_default()
}

/// The message that a good signature opens to (RFC 8017, 9.2); none when the modulus is too short for it.
fn padded(length: usize, head: &[u8], digest: &[u8]) -> Option<Vec<u8>> {
    let filling = length.checked_sub(3 + head.len() + digest.len())?;
    if filling < 8 {
        return None;
    }
    let mut message = vec![0, 1];
    message.resize(2 + filling, 0xff);
    message.push(0);
    message.extend_from_slice(head);
    message.extend_from_slice(digest);
    Some(message)
}

/// 32-bit limbs of the longest modulus, and one for what is carried over.
const LIMBS: usize = BITS_END / 32 + 1;

/// A natural number; the least limb comes first.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Number([u32; LIMBS]);

impl Number {
    /// From octets, the greatest first; what does not fit is left out.
    fn new(octets: &[u8]) -> Self {
        let mut limbs = [0; LIMBS];
        for (limb, chunk) in limbs.iter_mut().zip(octets.rchunks(4)) {
            *limb = chunk
                .iter()
                .fold(0, |value, octet| value << 8 | u32::from(*octet));
        }
        Self(limbs)
    }

    fn is_below(&self, other: &Self) -> bool {
        self.0.iter().rev().lt(other.0.iter().rev())
    }

    /// `self + other - modulus` if that is a natural number, `self + other` else; both are below the modulus.
    fn add(&self, other: &Self, modulus: &Self) -> Self {
        let mut sum = [0; LIMBS];
        let mut carry = 0;
        for ((place, one), other) in sum.iter_mut().zip(self.0).zip(other.0) {
            let (first, over) = one.overflowing_add(other);
            let (second, again) = first.overflowing_add(carry);
            *place = second;
            carry = u32::from(over) + u32::from(again);
        }
        let sum = Self(sum);
        if sum.is_below(modulus) {
            return sum;
        }
        let mut rest = [0; LIMBS];
        let mut borrow = 0;
        for ((place, one), other) in rest.iter_mut().zip(sum.0).zip(modulus.0) {
            let (first, under) = one.overflowing_sub(other);
            let (second, again) = first.overflowing_sub(borrow);
            *place = second;
            borrow = u32::from(under) + u32::from(again);
        }
        Self(rest)
    }

    fn multiply(&self, other: &Self, modulus: &Self) -> Self {
        let mut product = Self([0; LIMBS]);
        for limb in self.0.iter().rev() {
            for bit in (0..32).rev() {
                product = product.add(&product, modulus);
                if limb >> bit & 1 == 1 {
                    product = product.add(other, modulus);
                }
            }
        }
        product
    }

    fn power(&self, exponent: &[u8], modulus: &Self) -> Self {
        let mut power = Self::new(&[1]);
        for octet in exponent {
            for bit in (0..8).rev() {
                power = power.multiply(&power, modulus);
                if octet >> bit & 1 == 1 {
                    power = power.multiply(self, modulus);
                }
            }
        }
        power
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex
            .bytes()
            .map(|digit| (digit as char).to_digit(16).unwrap() as u8)
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    #[test]
    fn powers_are_right() {
        // 2^255 - 19 is prime, so a^(p-1) is 1; the exponent is taken in steps of four octets.
        let mut prime = vec![0x7f];
        prime.resize(31, 0xff);
        prime.push(0xed);
        let modulus = Number::new(&prime);
        let mut exponent = prime.clone();
        exponent[31] -= 1;
        let base = Number::new(b"a natural number");
        assert!(base.power(&exponent, &modulus) == Number::new(&[1]));
        assert!(base.power(&[1], &modulus) == base);
        assert!(Number::new(&[3]).power(&[5], &Number::new(&[100])) == Number::new(&[43]));
    }

    /// Made by OpenSSL: a key of 768 bits and its signature by RSA and SHA-256.
    const MODULUS: &str = "b9b658c60544f403dec0aa12f06e3fb3e5dc44b034c1dc371baf542fa7eb2e0a1ae63ae6453bfd76\
             d39b422b357077059cdb6a0c9fe584507af77c38574c51a47f54e32faf13bfc80c28f4935074e167\
             f429980fce54e1903b0bf11e8989cd05";
    const SIGNATURE: &str = "186649ae694c0fb776dae85374966947f31bf959654e86c7bcfbe9b387f55d8d8f63d7c611faec25\
             1153635d0ef93e8edf8acb0e5bb2f1ed57ba668347447bfc93aefb8b6ae799b4822e951832b6501c\
             74b69fa2d03908ffb88ec630939c5225";

    #[test]
    fn a_good_signature_is_told_from_others() {
        let key = [&[3, 1, 0, 1][..], &octets(MODULUS)].concat();
        let signature = octets(SIGNATURE);
        assert_eq!(verify(8, &key, b"signed octets", &signature), Some(true));
        assert_eq!(verify(8, &key, b"other octets", &signature), Some(false));
        assert_eq!(verify(10, &key, b"signed octets", &signature), None);
        assert_eq!(
            verify(8, &key, b"signed octets", &signature[1..]),
            Some(false)
        );
        for place in [0, 50, 95] {
            let mut broken = signature.clone();
            broken[place] ^= 1;
            assert_eq!(verify(8, &key, b"signed octets", &broken), Some(false));
        }
    }

    #[test]
    fn other_keys_are_left_to_the_library() {
        let long = [&[3, 1, 0, 1, 0x80][..], &[1; 127]].concat();
        assert_eq!(verify(8, &long, b"", &[1; 128]), None);
        let tiny = [&[3, 1, 0, 1, 0x80][..], &[1; 31]].concat();
        assert_eq!(verify(8, &tiny, b"", &[1; 32]), None);
        assert_eq!(verify(13, &long, b"", b""), None);
        assert_eq!(verify(8, &[], b"", b""), None);
        let even = [&[3, 1, 0, 1, 0x80][..], &[2; 63]].concat();
        assert_eq!(verify(8, &even, b"", &[1; 64]), Some(false));
    }
}
