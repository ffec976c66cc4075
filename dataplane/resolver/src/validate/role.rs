//! What each RRset of an answer section is there for.
//!
//! Owns the walk from the name asked for along the aliases of one answer (RFC 1034, 3.6.2; RFC 6672).
//! Never verifies, and never believes an order: what is not on the way is extra.

use std::sync::Arc;

use crate::name::Name;
use crate::question::Question;
use crate::rdata;
use crate::rrset::{RecordType, Rrset};

/// What an RRset is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An alias on the way, signed by its own zone.
    Alias,
    /// The CNAME that the DNAME at this place stands for; it is never signed (RFC 6672, 5.3.1).
    Synthesised(usize),
    /// What was asked for.
    Final,
    /// It has no part in the answer.
    Extra,
}

/// The way through an answer section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The role of each RRset, in order.
    pub roles: Vec<Role>,
    /// The name where the way ends.
    pub end: Name,
    /// Whether what was asked for is there.
    pub complete: bool,
    /// Whether at least one alias was followed.
    pub aliased: bool,
}

impl Way {
    /// Goes on to the target of the alias that was itself asked for: with NXDOMAIN beside it the code is about that
    /// name (RFC 6604, 3).
    pub fn go_beyond(&mut self, section: &[Arc<Rrset>]) {
        let alias = section
            .iter()
            .find(|rrset| rrset.record_type == RecordType::CNAME && rrset.owner == self.end);
        if let Some(to) = alias
            .and_then(|alias| target(alias))
            .filter(|_| self.complete)
        {
            self.end = to;
            self.complete = false;
            self.aliased = true;
        }
    }
}

fn target(rrset: &Rrset) -> Option<Name> {
    rrset.rdata.iter().next().and_then(rdata::target)
}

/// The DNAME before a CNAME that stands for it; one DNAME may lead on more than once.
fn synthesised(section: &[Arc<Rrset>], index: usize) -> Option<Role> {
    let cname = section.get(index)?;
    if cname.record_type != RecordType::CNAME || !cname.signatures.is_empty() {
        return None;
    }
    let to = target(cname)?;
    section
        .iter()
        .take(index)
        .position(|dname| {
            dname.record_type == RecordType::DNAME
                && dname.owner != cname.owner
                && cname.owner.is_within(&dname.owner)
                && target(dname)
                    .and_then(|target| cname.owner.substitute(&dname.owner, &target).ok())
                    .is_some_and(|made| made == to)
        })
        .map(Role::Synthesised)
}

/// Walks along `section`.
#[must_use]
pub fn follow(question: &Question, section: &[Arc<Rrset>]) -> Way {
    let mut way = Way {
        roles: Vec::with_capacity(section.len()),
        end: question.name.clone(),
        complete: false,
        aliased: false,
    };
    // A DNAME whose CNAME has not come yet: its place and the name that it leads to.
    let mut renamed: Option<(usize, Name)> = None;
    for (index, rrset) in section.iter().enumerate() {
        if let Some((_, to)) = renamed.take_if(|(_, to)| rrset.owner == *to && way.end != *to) {
            way.end = to;
        }
        let wanted =
            rrset.record_type == question.record_type || question.record_type == RecordType::ANY;
        let role = if rrset.owner == way.end && wanted {
            way.complete = true;
            synthesised(section, index).unwrap_or(Role::Final)
        } else if rrset.owner == way.end && rrset.record_type == RecordType::CNAME && !way.complete
        {
            let to = target(rrset);
            renamed = None;
            way.aliased = true;
            way.end = to.unwrap_or_else(|| way.end.clone());
            synthesised(section, index).unwrap_or(Role::Alias)
        } else if rrset.record_type == RecordType::DNAME
            && way.end != rrset.owner
            && way.end.is_within(&rrset.owner)
            && !way.complete
        {
            let to = target(rrset).and_then(|to| way.end.substitute(&rrset.owner, &to).ok());
            renamed = to.map(|to| (index, to));
            way.aliased = true;
            Role::Alias
        } else {
            Role::Extra
        };
        way.roles.push(role);
    }
    if let Some((_, to)) = renamed
        && !way.complete
    {
        way.end = to;
    }
    way
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rrset::{Class, RdataList};

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    fn rrset(owner: &str, record_type: RecordType, rdata: &[u8]) -> Arc<Rrset> {
        let rdata = RdataList::new([rdata]);
        Arc::new(Rrset::unsigned(name(owner), record_type, 60, rdata))
    }

    fn alias(owner: &str, record_type: RecordType, to: &str) -> Arc<Rrset> {
        rrset(owner, record_type, name(to).as_wire())
    }

    fn ask(owner: &str, record_type: RecordType) -> Question {
        Question {
            name: name(owner),
            record_type,
            class: Class::IN,
        }
    }

    const CNAME: RecordType = RecordType::CNAME;

    #[test]
    fn follows_cname_and_dname() {
        let section = [
            alias("a.x", CNAME, "b.y"),
            alias("y", RecordType::DNAME, "z"),
            alias("b.y", CNAME, "b.z"),
            rrset("b.z", RecordType::A, &[1, 2, 3, 4]),
            rrset("c.z", RecordType::A, &[1, 2, 3, 4]),
        ];
        let way = follow(&ask("a.x", RecordType::A), &section);
        let roles = [
            Role::Alias,
            Role::Alias,
            Role::Synthesised(1),
            Role::Final,
            Role::Extra,
        ];
        assert_eq!(way.roles, roles);
        assert!(way.complete && way.aliased && way.end == name("b.z"));
        let way = follow(&ask("a.x", RecordType::AAAA), &section);
        assert!(!way.complete && way.end == name("b.z"));
    }

    #[test]
    fn a_cname_that_its_dname_does_not_make_is_an_alias_of_its_own() {
        let section = [
            alias("y", RecordType::DNAME, "z"),
            alias("b.y", CNAME, "evil"),
        ];
        let way = follow(&ask("b.y", RecordType::A), &section);
        assert_eq!(way.roles, [Role::Alias, Role::Alias]);
        assert_eq!(way.end, name("evil"));
        let way = follow(&ask("b.y", RecordType::A), &section[..1]);
        assert_eq!(way.end, name("b.z"), "the CNAME may be left out");
    }

    #[test]
    fn a_question_for_the_alias_itself_is_not_followed() {
        let section = [
            alias("a.x", CNAME, "b.y"),
            rrset("b.y", RecordType::A, &[1, 2, 3, 4]),
        ];
        for record_type in [CNAME, RecordType::ANY] {
            let way = follow(&ask("a.x", record_type), &section);
            assert_eq!(way.roles, [Role::Final, Role::Extra]);
            assert!(way.complete && !way.aliased);
        }
    }
}
