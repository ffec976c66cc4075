//! The words of one line of a scenario: quotes, escapes, parentheses and comments.
//!
//! Owns how a record's text is cut into words and how escapes and encodings become octets. Never knows
//! what a word means.

/// Why a piece of a scenario could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TextError(pub String);

/// Shortens `Err(TextError(..))`.
pub(crate) fn wrong<T>(what: impl Into<String>) -> Result<T, TextError> {
    Err(TextError(what.into()))
}

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Its text, escapes still in it, quotes taken off.
    pub text: String,
    /// Whether it stood in quotes.
    pub quoted: bool,
}

/// Cuts a line into words. A `;` outside quotes ends it; parentheses are white space.
#[must_use]
pub fn words(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut text = String::new();
    let mut quoted = false;
    let mut inside = false;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                text.push(character);
                text.extend(characters.next());
            }
            '"' => {
                inside = !inside;
                quoted = true;
            }
            _ if inside => text.push(character),
            ';' => break,
            _ if character.is_whitespace() || character == '(' || character == ')' => {
                finish(&mut words, &mut text, &mut quoted);
            }
            _ => text.push(character),
        }
    }
    finish(&mut words, &mut text, &mut quoted);
    words
}

fn finish(words: &mut Vec<Word>, text: &mut String, quoted: &mut bool) {
    if !text.is_empty() || *quoted {
        words.push(Word {
            text: core::mem::take(text),
            quoted: core::mem::take(quoted),
        });
    }
}

/// The octets of a text with `\ddd` and `\c` escapes (RFC 1035, 5.1).
///
/// # Errors
/// When a `\ddd` is above 255.
pub fn unescape(text: &str) -> Result<Vec<u8>, TextError> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        let Some(first) = rest.next() else {
            return wrong("a backslash ends the text");
        };
        if !first.is_ascii_digit() {
            octets.push(first);
            continue;
        }
        let mut value = u32::from(first - b'0');
        for _ in 0..2 {
            match rest.next() {
                Some(digit) if digit.is_ascii_digit() => {
                    value = value * 10 + u32::from(digit - b'0');
                }
                _ => return wrong("an escape \\ddd has three digits"),
            }
        }
        match u8::try_from(value) {
            Ok(value) => octets.push(value),
            Err(_) => return wrong("an escape \\ddd is at most 255"),
        }
    }
    Ok(octets)
}

/// A name as wire octets, its case kept, completed with `origin` when it has no final dot.
///
/// # Errors
/// When a label or the name is too long, or a label is empty.
pub fn name(text: &str, origin: &[u8]) -> Result<Vec<u8>, TextError> {
    if text == "." {
        return Ok(vec![0]);
    }
    if text == "@" {
        return Ok(origin.to_vec());
    }
    let mut wire = Vec::with_capacity(text.len() + 2);
    let mut label = String::new();
    let mut absolute = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        absolute = false;
        match character {
            '\\' => {
                label.push(character);
                label.extend(characters.next());
            }
            '.' => {
                push_label(&mut wire, &core::mem::take(&mut label), text)?;
                absolute = true;
            }
            _ => label.push(character),
        }
    }
    if absolute {
        wire.push(0);
    } else {
        push_label(&mut wire, &label, text)?;
        wire.extend_from_slice(origin);
    }
    if wire.len() > 255 {
        return wrong(format!("the name {text} is longer than 255 octets"));
    }
    Ok(wire)
}

fn push_label(wire: &mut Vec<u8>, label: &str, name: &str) -> Result<(), TextError> {
    let octets = unescape(label)?;
    match u8::try_from(octets.len()) {
        Ok(length @ 1..=63) => {
            wire.push(length);
            wire.extend_from_slice(&octets);
            Ok(())
        }
        _ => wrong(format!("the name {name} has an empty or too long label")),
    }
}

/// Hexadecimal digits in any grouping; other characters are skipped, an odd count is padded with 0.
#[must_use]
pub fn hex(text: &str) -> Vec<u8> {
    let mut digits: Vec<u8> = text
        .chars()
        .filter_map(|character| character.to_digit(16))
        .filter_map(|digit| u8::try_from(digit).ok())
        .collect();
    if digits.len() % 2 == 1 {
        digits.push(0);
    }
    digits
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |value, digit| value << 4 | digit))
        .collect()
}

/// Digits of a base of 2^`bits`, without regard to padding; left-over bits are dropped.
fn decode_bits(text: &str, bits: u32, value: impl Fn(u8) -> Option<u32>) -> Vec<u8> {
    let mut octets = Vec::new();
    let (mut held, mut count) = (0u32, 0);
    for digit in text.bytes().filter_map(value) {
        held = (held << bits) | digit;
        count += bits;
        if count >= 8 {
            count -= 8;
            octets.push((held >> count) as u8);
            held &= (1 << count) - 1;
        }
    }
    octets
}

/// Base64 (RFC 4648, 4) with any padding or none.
#[must_use]
pub fn base64(text: &str) -> Vec<u8> {
    decode_bits(text, 6, |character| match character {
        b'A'..=b'Z' => Some(u32::from(character - b'A')),
        b'a'..=b'z' => Some(u32::from(character - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(character - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    })
}

/// Base32 with the extended hex alphabet (RFC 4648, 7), as NSEC3 uses it.
#[must_use]
pub fn base32hex(text: &str) -> Vec<u8> {
    decode_bits(text, 5, |character| match character.to_ascii_lowercase() {
        digit @ b'0'..=b'9' => Some(u32::from(digit - b'0')),
        letter @ b'a'..=b'v' => Some(u32::from(letter - b'a') + 10),
        _ => None,
    })
}

/// Seconds since 1970 of `YYYYMMDDHHMMSS`, or of a decimal number.
///
/// # Errors
/// When it is neither.
pub fn timestamp(text: &str) -> Result<u64, TextError> {
    let digits = |range: core::ops::Range<usize>| -> Result<u64, TextError> {
        match text.get(range).map(str::parse) {
            Some(Ok(number)) => Ok(number),
            _ => wrong(format!("{text} is not a time")),
        }
    };
    if text.len() != 14 {
        return text
            .parse()
            .or_else(|_| wrong(format!("{text} is not a time")));
    }
    let (year, month, day) = (digits(0..4)?, digits(4..6)?, digits(6..8)?);
    let (hour, minute, second) = (digits(8..10)?, digits(10..12)?, digits(12..14)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return wrong(format!("{text} is not a time"));
    }
    Ok(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counted in years that begin in March.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_quotes_and_drop_comments() {
        let found = words("a \"b ; c\" ( d\\;e )\t\"\" f;g");
        let texts: Vec<&str> = found.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["a", "b ; c", "d\\;e", "", "f"]);
        assert!(found[1].quoted && !found[2].quoted);
    }

    #[test]
    fn encodings_take_what_they_get() {
        assert_eq!(base64("AQID"), [1, 2, 3]);
        assert_eq!(base64("AQ==="), [1]);
        assert_eq!(base64("AQ"), [1]);
        assert_eq!(hex("0 1 abc ; x"), [0x01, 0xab, 0xc0]);
        assert_eq!(base32hex("vvVV"), [0xff, 0xff]);
        assert_eq!(unescape("a\\046\\\\").unwrap(), b"a.\\");
        assert!(unescape("\\999").is_err());
    }

    #[test]
    fn names_keep_their_case() {
        assert_eq!(name("Ab.c.", &[0]).unwrap(), b"\x02Ab\x01c\x00");
        assert_eq!(name("a\\.b", b"\x01z\x00").unwrap(), b"\x03a.b\x01z\x00");
        assert_eq!(name(".", b"\x01z\x00").unwrap(), [0]);
        assert!(name("a..b", &[0]).is_err());
    }

    #[test]
    fn times() {
        assert_eq!(timestamp("19700101000000").unwrap(), 0);
        assert_eq!(timestamp("20070916134226").unwrap(), 1_189_950_146);
        assert_eq!(timestamp("20240229235959").unwrap(), 1_709_251_199);
        assert_eq!(timestamp("1189950146").unwrap(), 1_189_950_146);
        assert!(timestamp("20071316134226").is_err());
    }
}
