//! The text between ENTRY_BEGIN and ENTRY_END.
//!
//! Owns the words of MATCH, ADJUST and REPLY and how lines add up to an `Entry`. Never applies them.

use crate::replay::lines::{Lines, ParseError};
use crate::replay::message::{Draft, FLAGS, Opt, Section};
use crate::replay::record::{Defaults, parse_question, parse_record};
use crate::replay::scenario::{Dialect, Entry, Match};
use crate::replay::token::{TextError, hex, wrong};

const OPCODES: [(&str, u8); 5] = [
    ("QUERY", 0),
    ("IQUERY", 1),
    ("STATUS", 2),
    ("NOTIFY", 4),
    ("UPDATE", 5),
];

const RCODES: [(&str, u16); 18] = [
    ("NOERROR", 0),
    ("FORMERR", 1),
    ("SERVFAIL", 2),
    ("NXDOMAIN", 3),
    ("NOTIMPL", 4),
    ("NOTIMP", 4),
    ("REFUSED", 5),
    ("YXDOMAIN", 6),
    ("YXRRSET", 7),
    ("NXRRSET", 8),
    ("NOTAUTH", 9),
    ("NOTZONE", 10),
    ("BADVERS", 16),
    ("BADKEY", 17),
    ("BADTIME", 18),
    ("BADMODE", 19),
    ("BADTRUNC", 22),
    ("BADCOOKIE", 23),
];

const MATCHES: [(&str, Match); 24] = [
    ("opcode", Match::Opcode),
    ("qtype", Match::Qtype),
    ("qname", Match::Qname),
    ("qcase", Match::Qcase),
    ("subdomain", Match::Subdomain),
    ("flags", Match::Flags),
    ("rcode", Match::Rcode),
    ("question", Match::Question),
    ("answer", Match::Answer),
    ("authority", Match::Authority),
    ("additional", Match::Additional),
    ("all", Match::All),
    ("all_noedns", Match::AllNoEdns),
    ("ttl", Match::Ttl),
    ("UDP", Match::Udp),
    ("TCP", Match::Tcp),
    ("DO", Match::DnssecOk),
    ("CO", Match::CompactOk),
    ("noedns", Match::NoEdns),
    ("ednsdata", Match::EdnsData),
    ("edns", Match::Edns),
    ("ede=any", Match::ExtendedError(None)),
    ("client_cookie", Match::ClientCookie),
    ("server_cookie", Match::ServerCookie),
];

/// Reads an entry whose ENTRY_BEGIN was just read.
///
/// # Errors
/// When a line is not understood, or the file ends first.
pub(crate) fn entry(
    lines: &mut Lines<'_>,
    dialect: Dialect,
    defaults: &mut Defaults,
) -> Result<Entry, ParseError> {
    let mut builder = Builder {
        entry: Entry {
            line: lines.number(),
            ..Entry::default()
        },
        draft: new_draft(dialect),
        section: Section::Question,
        dialect,
    };
    loop {
        let Some(line) = lines.next_significant() else {
            return Err(lines.error("the file ends inside an entry"));
        };
        if line.starts_with("ENTRY_END") {
            builder.entry.drafts.push(builder.draft);
            return Ok(builder.entry);
        }
        if line.starts_with('#') || lines.directive(line, defaults)? {
            continue;
        }
        if let Some(end) = raw_end(line) {
            let octets = raw_octets(lines, end)?;
            builder.raw(line, octets);
            continue;
        }
        builder
            .line(line, defaults)
            .map_err(|error| lines.error(error.0))?;
    }
}

fn new_draft(dialect: Dialect) -> Draft {
    Draft {
        opt: (dialect == Dialect::Deckard).then(|| Opt {
            payload_size: 4096,
            version: 0,
            flags: 0,
            data: Vec::new(),
        }),
        ..Draft::default()
    }
}

/// The line that ends raw data begun by this line.
fn raw_end(line: &str) -> Option<&'static str> {
    if line.starts_with("HEX_ANSWER_BEGIN") {
        Some("HEX_ANSWER_END")
    } else if line.starts_with("HEX_EDNSDATA_BEGIN") {
        Some("HEX_EDNSDATA_END")
    } else if line == "RAW" {
        Some("")
    } else {
        None
    }
}

/// Hexadecimal lines up to the one that starts with `end`; one line when `end` is empty.
fn raw_octets(lines: &mut Lines<'_>, end: &str) -> Result<Vec<u8>, ParseError> {
    let mut digits = String::new();
    loop {
        let Some(line) = lines.next_significant() else {
            return Err(lines.error("the file ends inside raw data"));
        };
        if !end.is_empty() && line.starts_with(end) {
            return Ok(hex(&digits));
        }
        digits.push_str(line.split(';').next().unwrap_or_default());
        if end.is_empty() {
            return Ok(hex(&digits));
        }
    }
}

struct Builder {
    entry: Entry,
    draft: Draft,
    section: Section,
    dialect: Dialect,
}

impl Builder {
    fn raw(&mut self, line: &str, octets: Vec<u8>) {
        if line.starts_with("HEX_EDNSDATA_BEGIN") {
            self.opt().data = octets;
        } else {
            self.entry.raw = Some(octets);
        }
    }

    fn opt(&mut self) -> &mut Opt {
        self.draft.opt.get_or_insert_with(|| Opt {
            payload_size: 1232,
            version: 0,
            flags: 0,
            data: Vec::new(),
        })
    }

    fn line(&mut self, line: &str, defaults: &Defaults) -> Result<(), TextError> {
        let text = line.split(';').next().unwrap_or_default();
        let mut words = text.split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default();
        match keyword {
            "MATCH" => words.try_for_each(|word| self.matches(word)),
            "ADJUST" => words.try_for_each(|word| self.adjust(word)),
            "REPLY" | "FLAGS" => words.try_for_each(|word| self.reply(word)),
            "SECTION" => {
                self.section = match words.next() {
                    Some("QUESTION") => Section::Question,
                    Some("ANSWER") => Section::Answer,
                    Some("AUTHORITY") => Section::Authority,
                    Some("ADDITIONAL") => Section::Additional,
                    other => return wrong(format!("there is no section {}", other.unwrap_or(""))),
                };
                Ok(())
            }
            "EXTRA_PACKET" => {
                let draft = core::mem::replace(&mut self.draft, new_draft(self.dialect));
                self.entry.drafts.push(draft);
                self.section = Section::Question;
                Ok(())
            }
            "MANDATORY" => {
                self.entry.mandatory = true;
                Ok(())
            }
            _ => {
                let record = match self.section {
                    Section::Question => parse_question(line, defaults)?,
                    _ => parse_record(line, defaults)?,
                };
                self.draft.records.push((self.section, record));
                Ok(())
            }
        }
    }

    fn matches(&mut self, word: &str) -> Result<(), TextError> {
        let found = MATCHES.iter().find(|(name, _)| *name == word);
        let condition = if let Some((_, condition)) = found {
            *condition
        } else if let Some(Ok(code)) = word.strip_prefix("ede=").map(str::parse) {
            Match::ExtendedError(Some(code))
        } else if let Some(Ok(serial)) = word
            .strip_prefix("serial=")
            .or_else(|| word.strip_prefix("serial:"))
            .map(str::parse)
        {
            Match::Serial(serial)
        } else {
            return wrong(format!("MATCH does not know {word}"));
        };
        self.entry.matches.push(condition);
        Ok(())
    }

    fn adjust(&mut self, word: &str) -> Result<(), TextError> {
        let adjust = &mut self.entry.adjust;
        match word {
            "copy_id" | "raw_id" => adjust.copy_id = true,
            "copy_query" => adjust.copy_query = true,
            "copy_ednsdata_assume_clientsubnet" => adjust.copy_subnet = true,
            "increment_ecs_scope" => adjust.increment_scope = true,
            "do_not_answer" => adjust.silent = true,
            _ if word.starts_with("sleep=") || word.starts_with("packet_sleep=") => {}
            _ => return wrong(format!("ADJUST does not know {word}")),
        }
        Ok(())
    }

    fn reply(&mut self, word: &str) -> Result<(), TextError> {
        if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| *name == word) {
            self.draft.flags |= flag;
        } else if let Some((_, rcode)) = RCODES.iter().find(|(name, _)| *name == word) {
            self.draft.rcode = *rcode;
        } else if let Some((_, opcode)) = OPCODES.iter().find(|(name, _)| *name == word) {
            self.draft.opcode = *opcode;
        } else {
            match word {
                "DO" => self.opt().flags |= 0x8000,
                "CO" => self.opt().flags |= 0x4000,
                _ => return wrong(format!("REPLY does not know {word}")),
            }
        }
        Ok(())
    }
}
