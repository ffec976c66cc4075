//! The octets that a simulated server sends for an entry: ADJUST of both dialects.

use crate::replay::message::{Draft, Message, Section};
use crate::replay::record::Record;
use crate::replay::scenario::{Dialect, Entry};

/// The reply to `query`, whose octets are `octets`; none when the entry says not to answer.
#[must_use]
pub fn reply(entry: &Entry, octets: &[u8], query: &Message, dialect: Dialect) -> Option<Vec<u8>> {
    if entry.adjust.silent {
        return None;
    }
    let id = octets
        .first_chunk()
        .map_or(0, |octets| u16::from_be_bytes(*octets));
    if let Some(raw) = &entry.raw {
        return Some(raw_reply(raw, id, entry.adjust.copy_id));
    }
    let mut draft = entry.draft();
    adjust_question(&mut draft, query, entry.adjust.copy_query);
    let copies = entry.adjust.copy_id || entry.adjust.copy_query;
    if dialect == Dialect::Deckard && copies {
        draft.opt = match (draft.opt, &query.opt) {
            (Some(mut opt), Some(of_query)) => {
                opt.version = of_query.version;
                opt.flags = of_query.flags;
                Some(opt)
            }
            _ => None,
        };
    }
    if let Some(opt) = &mut draft.opt
        && entry.adjust.copy_subnet
        && let Some([.., source, scope]) = opt.data.first_chunk_mut::<8>()
    {
        *scope = source.saturating_add(u8::from(entry.adjust.increment_scope));
    }
    Some(draft.to_wire(id))
}

/// Raw octets. An identifier of 0 is the one that the reference's queries have, so it is the query's.
fn raw_reply(raw: &[u8], id: u16, copy_id: bool) -> Vec<u8> {
    let mut raw = raw.to_vec();
    if let Some(head) = raw.first_chunk_mut::<2>()
        && (copy_id || *head == [0, 0])
    {
        *head = id.to_be_bytes();
    }
    raw
}

/// Gives the reply the query's question when it is to be copied, else its spelling of the same name.
fn adjust_question(draft: &mut Draft, query: &Message, copy: bool) {
    let Some(asked) = query.question.first() else {
        return;
    };
    let spelled = Record {
        owner: query.spelling.clone().unwrap_or_default(),
        ..asked.clone()
    };
    if copy {
        draft
            .records
            .retain(|(section, _)| *section != Section::Question);
        draft.records.insert(0, (Section::Question, spelled));
        return;
    }
    for (section, record) in &mut draft.records {
        if *section == Section::Question && record.owner.eq_ignore_ascii_case(&spelled.owner) {
            record.owner.clone_from(&spelled.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::message::Opt;
    use crate::replay::record::{Defaults, parse_question};

    fn question(line: &str) -> Draft {
        let record = parse_question(line, &Defaults::default()).unwrap();
        Draft {
            records: vec![(Section::Question, record)],
            ..Draft::default()
        }
    }

    #[test]
    fn the_question_is_spelled_as_asked() {
        let query = question("wWw.b. A").to_wire(77);
        let asked = Message::parse(&query).unwrap();
        let mut entry = Entry {
            drafts: vec![question("www.b. A")],
            ..Entry::default()
        };
        let sent = reply(&entry, &query, &asked, Dialect::Testbound).unwrap();
        assert_eq!(sent, query);
        entry.drafts = vec![question("b. NS")];
        let other = reply(&entry, &query, &asked, Dialect::Testbound).unwrap();
        assert_ne!(other, query);
        entry.adjust.copy_query = true;
        assert_eq!(
            reply(&entry, &query, &asked, Dialect::Testbound),
            Some(query.clone())
        );
        entry.adjust.silent = true;
        assert_eq!(reply(&entry, &query, &asked, Dialect::Testbound), None);
    }

    #[test]
    fn deckard_replies_have_the_edns_of_the_query() {
        let query = question("www.b. A").to_wire(1);
        let asked = Message::parse(&query).unwrap();
        let mut draft = question("www.b. A");
        draft.opt = Some(Opt {
            payload_size: 4096,
            version: 0,
            flags: 0,
            data: Vec::new(),
        });
        let mut entry = Entry {
            drafts: vec![draft],
            ..Entry::default()
        };
        entry.adjust.copy_id = true;
        assert_eq!(reply(&entry, &query, &asked, Dialect::Deckard), Some(query));
    }
}
