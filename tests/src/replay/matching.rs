//! Whether a message is what an entry says: the MATCH words of both dialects.
//!
//! Owns the comparison and the words in which a difference is told. Names are compared without regard to
//! case, sections as multisets of records: no RFC asks for an order.

use weir_resolver::rrset::RecordType;

use crate::replay::describe::{flags_text, record_text};
use crate::replay::message::Message;
use crate::replay::record::Record;
use crate::replay::scenario::{Dialect, Entry, Match};

const FLAGS: u16 = 0x87b0;
const EXTENDED_ERROR: u16 = 15;
const COOKIE: u16 = 10;
const DNSSEC_OK: u16 = 0x8000;
const COMPACT_OK: u16 = 0x4000;

/// How much of an answer is compared where an entry asks for all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comparison {
    /// Response code, flags, question and answer section: whether resolution is right.
    #[default]
    Essential,
    /// Authority, additional and EDNS options as well: how it is dressed too.
    Full,
}

/// What a message is compared under.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Whose MATCH words these are.
    pub dialect: Dialect,
    /// How much of it is compared.
    pub comparison: Comparison,
    /// Whether the message came over TCP.
    pub tcp: bool,
}

/// Whether `message` fits `entry`.
///
/// # Errors
/// With the first difference, in words.
pub fn fits(entry: &Entry, message: &Message, terms: Terms) -> Result<(), String> {
    let template = entry.draft().message();
    let mut message = message.clone();
    cut_out(&entry.matches, &mut message)?;
    let ttl = entry.matches.contains(&Match::Ttl);
    let pair = Pair {
        template: &template,
        message: &message,
        terms,
        ttl,
    };
    entry
        .matches
        .iter()
        .try_for_each(|condition| pair.condition(*condition))
}

/// Tests and takes out the options that `ede=` and the cookie words name.
fn cut_out(matches: &[Match], message: &mut Message) -> Result<(), String> {
    for condition in matches {
        let (code, length, wanted) = match condition {
            Match::ExtendedError(wanted) => (EXTENDED_ERROR, None, *wanted),
            Match::ClientCookie => (COOKIE, Some(8), None),
            Match::ServerCookie => (COOKIE, Some(24), None),
            _ => continue,
        };
        let Some(opt) = &mut message.opt else {
            return Err(format!("{condition:?}: the message has no OPT"));
        };
        let Some(value) = opt.option(code) else {
            return Err(format!("{condition:?}: there is no such option"));
        };
        if length.is_some_and(|length| value.len() != length) {
            return Err(format!("{condition:?}: it has {} octets", value.len()));
        }
        let info = value
            .first_chunk()
            .map(|octets| u16::from_be_bytes(*octets));
        if wanted.is_some() && info != wanted {
            return Err(format!("{condition:?}: its code is {info:?}"));
        }
        opt.remove_option(code);
    }
    Ok(())
}

struct Pair<'a> {
    template: &'a Message,
    message: &'a Message,
    terms: Terms,
    ttl: bool,
}

fn equal<T: PartialEq>(
    what: &str,
    expected: &T,
    got: &T,
    text: impl Fn(&T) -> String,
) -> Result<(), String> {
    if expected == got {
        return Ok(());
    }
    Err(format!(
        "{what}: expected {}, got {}",
        text(expected),
        text(got)
    ))
}

fn holds(condition: bool, what: &str) -> Result<(), String> {
    if condition {
        Ok(())
    } else {
        Err(what.to_owned())
    }
}

impl Pair<'_> {
    fn condition(&self, condition: Match) -> Result<(), String> {
        let opt_flags = self.message.opt.as_ref().map_or(0, |opt| opt.flags);
        match condition {
            Match::Opcode => self.opcode(),
            Match::Rcode => self.rcode(),
            Match::Flags => self.flags(),
            Match::Qtype => self.qtype(),
            Match::Qname => self.qname(),
            Match::Qcase => holds(
                self.template.spelling == self.message.spelling,
                "the name is spelled differently",
            ),
            Match::Subdomain => self.subdomain(),
            Match::Question => self.question(),
            Match::Answer => self.section("answer", |message| &message.answer),
            // The essential comparison leaves these out wherever they are asked for.
            Match::Authority if self.terms.comparison == Comparison::Full => {
                self.section("authority", |message| &message.authority)
            }
            Match::Additional if self.terms.comparison == Comparison::Full => {
                self.section("additional", |message| &message.additional)
            }
            Match::Authority | Match::Additional => Ok(()),
            Match::All => self.all(true),
            Match::AllNoEdns => self.all(false),
            Match::Serial(serial) => holds(
                self.serial() == Some(serial),
                "the serial in the authority section differs",
            ),
            Match::Udp => holds(!self.terms.tcp, "it did not come over UDP"),
            Match::Tcp => holds(self.terms.tcp, "it did not come over TCP"),
            Match::DnssecOk => holds(opt_flags & DNSSEC_OK != 0, "DO is not set"),
            Match::CompactOk => holds(opt_flags & COMPACT_OK != 0, "CO is not set"),
            Match::NoEdns => holds(self.message.opt.is_none(), "there is an OPT record"),
            Match::EdnsData => self.options(),
            Match::Edns => {
                let size = |message: &Message| {
                    message
                        .opt
                        .as_ref()
                        .map(|opt| (opt.version, opt.payload_size))
                };
                holds(
                    size(self.template) == size(self.message),
                    "EDNS version or size differ",
                )
            }
            Match::Ttl | Match::ExtendedError(_) | Match::ClientCookie | Match::ServerCookie => {
                Ok(())
            }
        }
    }

    fn opcode(&self) -> Result<(), String> {
        equal(
            "opcode",
            &self.template.opcode,
            &self.message.opcode,
            |opcode| opcode.to_string(),
        )
    }

    fn rcode(&self) -> Result<(), String> {
        // Testbound compares the four bits of the header.
        let mask = match self.terms.dialect {
            Dialect::Testbound => 15,
            Dialect::Deckard => u16::MAX,
        };
        equal(
            "rcode",
            &(self.template.rcode & mask),
            &(self.message.rcode & mask),
            u16::to_string,
        )
    }

    fn flags(&self) -> Result<(), String> {
        let (expected, got) = (self.template.flags & FLAGS, self.message.flags & FLAGS);
        equal("flags", &expected, &got, |flags| flags_text(*flags))
    }

    fn qtype(&self) -> Result<(), String> {
        let of = |message: &Message| message.question.first().map(|record| record.record_type);
        equal("qtype", &of(self.template), &of(self.message), |of| {
            of.map_or_else(|| "none".to_owned(), |of| of.to_string())
        })
    }

    fn qname(&self) -> Result<(), String> {
        let of = |message: &Message| message.question.first().map(|record| record.owner.clone());
        holds(of(self.template) == of(self.message), "qname differs")
    }

    fn subdomain(&self) -> Result<(), String> {
        let Some(ancestor) = self.template.question.first() else {
            return holds(
                self.terms.dialect == Dialect::Deckard,
                "no name to be below",
            );
        };
        let below = self.message.question.first().is_some_and(|question| {
            suffixes(&question.owner).any(|suffix| suffix == ancestor.owner)
        });
        holds(below, "qname is not below")
    }

    fn question(&self) -> Result<(), String> {
        if self.terms.dialect == Dialect::Deckard {
            self.qtype()?;
            return self.qname();
        }
        self.section("question", |message| &message.question)
    }

    fn all(&self, with_options: bool) -> Result<(), String> {
        self.opcode()?;
        self.rcode()?;
        self.flags()?;
        self.question()?;
        self.section("answer", |message| &message.answer)?;
        if self.terms.comparison == Comparison::Essential {
            return Ok(());
        }
        self.section("authority", |message| &message.authority)?;
        self.section("additional", |message| &message.additional)?;
        if self.terms.dialect == Dialect::Deckard || !with_options {
            return Ok(());
        }
        holds(
            self.template.opt.is_some() == self.message.opt.is_some(),
            "OPT is present in one only",
        )?;
        self.options()
    }

    fn options(&self) -> Result<(), String> {
        let data = |message: &Message| message.opt.clone().map_or_else(Vec::new, |opt| opt.data);
        equal(
            "EDNS options",
            &data(self.template),
            &data(self.message),
            |data| format!("{data:02x?}"),
        )
    }

    fn section(&self, what: &str, of: impl Fn(&Message) -> &Vec<Record>) -> Result<(), String> {
        let (expected, got) = (
            self.sorted(of(self.template)),
            self.sorted(of(self.message)),
        );
        equal(what, &expected, &got, |records| {
            let texts: Vec<String> = records
                .iter()
                .map(|record| record_text(record, self.ttl))
                .collect();
            format!("[{}]", texts.join(", "))
        })
    }

    fn sorted(&self, records: &[Record]) -> Vec<Record> {
        let mut sorted = records.to_vec();
        for record in &mut sorted {
            if !self.ttl {
                record.ttl = 0;
            }
        }
        sorted.sort_by(|one, other| {
            (&one.owner, one.record_type, one.class, &one.data, one.ttl).cmp(&(
                &other.owner,
                other.record_type,
                other.class,
                &other.data,
                other.ttl,
            ))
        });
        sorted
    }

    fn serial(&self) -> Option<u32> {
        let soa = self
            .message
            .authority
            .iter()
            .find(|record| record.record_type == RecordType::SOA)?;
        let at = soa.data.len().checked_sub(20)?;
        let octets = soa.data.get(at..at + 4)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*octets))
    }
}

/// The name and every ancestor of it, down to the root.
fn suffixes(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(name);
    core::iter::from_fn(move || {
        let current = rest?;
        let length = usize::from(*current.first()?);
        rest = (length > 0).then(|| current.get(length + 1..)).flatten();
        Some(current)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::parse::parse;
    use crate::replay::scenario::StepKind;

    fn entries(matches: &str, wanted: &str, given: &str) -> Result<(), String> {
        let step = |number: u32, matches: &str, text: &str| {
            format!("STEP {number} CHECK_ANSWER\nENTRY_BEGIN\n{matches}\n{text}\nENTRY_END\n")
        };
        let text = format!(
            "CONFIG_END\nSCENARIO_BEGIN x\n{}{}SCENARIO_END\n",
            step(1, matches, wanted),
            step(2, "", given)
        );
        let scenario = parse(&text).map_err(|error| error.to_string())?;
        let mut found = scenario
            .steps
            .into_iter()
            .filter_map(|step| match step.kind {
                StepKind::CheckAnswer { entry, .. } => Some(entry),
                _ => None,
            });
        let (wanted, given) = (found.next().unwrap(), found.next().unwrap());
        let terms = Terms {
            dialect: Dialect::Testbound,
            comparison: Comparison::Essential,
            tcp: false,
        };
        fits(&wanted, &given.draft().message(), terms)
    }

    const ANSWER: &str = "REPLY QR RD RA NOERROR\nSECTION QUESTION\nA.b. IN A\nSECTION ANSWER\n\
        a.b. 60 A 10.0.0.1\na.b. 60 A 10.0.0.2";

    #[test]
    fn order_case_and_ttl_do_not_matter() {
        let other = "REPLY QR RD RA NOERROR\nSECTION QUESTION\na.B. IN A\nSECTION ANSWER\n\
            a.b. 50 A 10.0.0.2\nA.b. 50 A 10.0.0.1\nSECTION AUTHORITY\nb. NS c.";
        assert_eq!(entries("MATCH all", ANSWER, other), Ok(()));
        assert!(entries("MATCH all ttl", ANSWER, other).is_err());
        assert!(entries("MATCH answer ttl", ANSWER, ANSWER).is_ok());
    }

    #[test]
    fn differences_are_seen() {
        for (from, to) in [
            ("NOERROR", "SERVFAIL"),
            ("QR RD RA", "QR RD RA AD"),
            ("10.0.0.2", "10.0.0.3"),
            ("A.b. IN A", "c.b. IN A"),
        ] {
            let given = ANSWER.replacen(from, to, 1);
            assert!(entries("MATCH all", ANSWER, &given).is_err(), "{to}");
        }
        assert!(entries("MATCH ede=any", ANSWER, ANSWER).is_err());
        assert!(entries("MATCH subdomain", "SECTION QUESTION\nb. A", ANSWER).is_ok());
        assert!(entries("MATCH subdomain", "SECTION QUESTION\nx.a.b. A", ANSWER).is_err());
        assert!(entries("", ANSWER, "REPLY REFUSED").is_ok());
    }
}
