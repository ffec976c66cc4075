//! Alias chains: CNAME (RFC 1034, 3.6.2) and DNAME (RFC 6672).
//!
//! Owns the walk from the name asked for along the records of one answer section, and the CNAME
//! that a DNAME stands for. Never follows an alias to another server: `iterate` does.

use std::sync::Arc;

use crate::name::Name;
use crate::rdata;
use crate::rrset::{Class, RdataList, RecordType, Rrset};

/// Why a chain cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum AliasError {
    /// The chain comes back to a name that it has been at.
    #[error("the aliases form a loop")]
    Loop,
    /// An alias without a readable target.
    #[error("an alias has no readable target")]
    Unreadable,
}

/// What an answer section says about a name.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// The RRsets along the way, in order, each once.
    pub rrsets: Vec<Arc<Rrset>>,
    /// The name that the last alias leads to; none without an alias.
    pub target: Option<Name>,
    /// Whether the last RRset is of the type asked for, or an alias to itself, which nothing follows.
    pub complete: bool,
    /// Whether the last RRset is a DNAME that makes a name of more than 255 octets (RFC 6672, 2.2).
    pub too_long: bool,
}

/// The CNAME that `dname` stands for at `name` (RFC 6672, 3.1); none when its target is too long.
///
/// # Errors
/// When the target cannot be read.
pub fn synthesise(dname: &Rrset, name: &Name) -> Result<Option<Rrset>, AliasError> {
    let target = dname.rdata.iter().next().and_then(rdata::target);
    let target = target.ok_or(AliasError::Unreadable)?;
    let Ok(target) = name.substitute(&dname.owner, &target) else {
        return Ok(None);
    };
    Ok(Some(Rrset {
        owner: name.clone(),
        record_type: RecordType::CNAME,
        class: dname.class,
        ttl: dname.ttl,
        rdata: RdataList::new([target.as_wire()]),
        signatures: RdataList::default(),
    }))
}

/// The target of a CNAME RRset.
#[must_use]
pub fn cname_target(rrset: &Rrset) -> Option<Name> {
    rrset.rdata.iter().next().and_then(rdata::target)
}

fn is_at(rrset: &Rrset, name: &Name, record_type: RecordType, class: Class) -> bool {
    rrset.record_type == record_type
        && rrset.class == class
        && rrset.owner == *name
        && !rrset.rdata.is_empty()
}

/// Walks `section` from `name`, within `zone`, in whatever order its RRsets come. After `aliases_max`
/// aliases it stops, and the rest of the reply does not count (CAMP).
///
/// # Errors
/// When the chain loops or cannot be read.
pub fn walk(
    section: &[Rrset],
    name: &Name,
    record_type: RecordType,
    class: Class,
    zone: &Name,
    aliases_max: usize,
) -> Result<Chain, AliasError> {
    let mut chain = Chain::default();
    let mut at = name.clone();
    let mut visited = vec![at.clone()];
    loop {
        if !at.is_within(zone) {
            return Ok(chain);
        }
        if matches!(record_type, RecordType::ANY | RecordType::RRSIG) {
            // RRSIGs stand with the RRset that they cover, so both types take whole RRsets.
            let before = chain.rrsets.len();
            let dname =
                dname_above(section, &at, class).filter(|dname| dname.owner.is_within(zone));
            if record_type == RecordType::ANY && dname.is_some() {
                // All that is there is the CNAME that the DNAME stands for, which is nothing without it.
                follow(section, &at, class, zone, &mut chain)?;
                chain.complete = !chain.too_long;
                return Ok(chain);
            }
            let owned = section
                .iter()
                .filter(|rrset| rrset.owner == at && rrset.class == class)
                .filter(|rrset| record_type == RecordType::ANY || !rrset.signatures.is_empty());
            chain.rrsets.extend(owned.cloned().map(Arc::new));
            chain.complete = chain.rrsets.len() > before;
            return Ok(chain);
        }
        if let Some(found) = wanted(section, &at, record_type, class) {
            chain.rrsets.push(Arc::new(found.clone()));
            chain.complete = true;
            return Ok(chain);
        }
        if visited.len() > aliases_max {
            return Ok(chain);
        }
        let Some(target) = follow(section, &at, class, zone, &mut chain)? else {
            return Ok(chain);
        };
        if target == at || record_type == RecordType::CNAME {
            chain.complete = true;
            return Ok(chain);
        }
        if visited.contains(&target) {
            return Err(AliasError::Loop);
        }
        visited.push(target.clone());
        chain.target = Some(target.clone());
        at = target;
    }
}

/// The RRset asked for. Beside a CNAME, where no other data may be (RFC 2181, 10.1), the first of the two
/// counts.
fn wanted<'a>(
    section: &'a [Rrset],
    at: &Name,
    record_type: RecordType,
    class: Class,
) -> Option<&'a Rrset> {
    let exempt = [RecordType::NSEC, RecordType::KEY, RecordType::SIG];
    section
        .iter()
        .find(|rrset| {
            let alias = is_at(rrset, at, RecordType::CNAME, class);
            is_at(rrset, at, record_type, class) || (alias && !exempt.contains(&record_type))
        })
        .filter(|rrset| rrset.record_type == record_type)
        // A CNAME below a DNAME comes from it, and is made anew.
        .filter(|_| record_type != RecordType::CNAME || dname_above(section, at, class).is_none())
}

fn dname_above<'a>(section: &'a [Rrset], at: &Name, class: Class) -> Option<&'a Rrset> {
    section
        .iter()
        .filter(|rrset| rrset.record_type == RecordType::DNAME && rrset.class == class)
        .find(|rrset| rrset.owner != *at && at.is_within(&rrset.owner))
}

/// One alias at `at`: a DNAME above it goes before a CNAME that claims to come from it.
fn follow(
    section: &[Rrset],
    at: &Name,
    class: Class,
    zone: &Name,
    chain: &mut Chain,
) -> Result<Option<Name>, AliasError> {
    let dname = dname_above(section, at, class).filter(|dname| dname.owner.is_within(zone));
    if let Some(dname) = dname {
        let known = chain
            .rrsets
            .iter()
            .any(|rrset| is_at(rrset, &dname.owner, RecordType::DNAME, class));
        if !known {
            chain.rrsets.push(Arc::new(dname.clone()));
        }
        let Some(cname) = synthesise(dname, at)? else {
            chain.too_long = true;
            return Ok(None);
        };
        let target = cname_target(&cname);
        chain.rrsets.push(Arc::new(cname));
        return Ok(target);
    }
    let cname = section
        .iter()
        .find(|rrset| is_at(rrset, at, RecordType::CNAME, class));
    let Some(cname) = cname else {
        return Ok(None);
    };
    let target = cname_target(cname).ok_or(AliasError::Unreadable)?;
    chain.rrsets.push(Arc::new(cname.clone()));
    Ok(Some(target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::ResponseCode;
    use crate::iterate::internet::internet;
    use crate::scenario::shown;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    fn alias(owner: &str, record_type: RecordType, target: &str) -> Rrset {
        let rdata = RdataList::new([name(target).as_wire()]);
        Rrset::unsigned(name(owner), record_type, 60, rdata)
    }

    fn address(owner: &str) -> Rrset {
        Rrset {
            rdata: RdataList::new([&[192, 0, 2, 1][..]]),
            ..alias(owner, RecordType::A, ".")
        }
    }

    fn walk_a(section: &[Rrset], from: &str, zone: &str) -> Result<Chain, AliasError> {
        walk(
            section,
            &name(from),
            RecordType::A,
            Class::IN,
            &name(zone),
            11,
        )
    }

    #[test]
    fn a_chain_in_any_order() {
        let section = [
            address("c.example"),
            alias("b.example", RecordType::CNAME, "c.example"),
            alias("a.example", RecordType::CNAME, "b.example"),
        ];
        let chain = walk_a(&section, "a.example", "example").unwrap();
        assert!(chain.complete);
        let owners: Vec<String> = chain.rrsets.iter().map(|r| r.owner.to_string()).collect();
        assert_eq!(owners, ["a.example.", "b.example.", "c.example."]);
    }

    #[test]
    fn a_chain_stops_where_the_zone_ends() {
        let section = [
            alias("a.example", RecordType::CNAME, "b.org"),
            address("b.org"),
        ];
        let chain = walk_a(&section, "a.example", "example").unwrap();
        assert_eq!((chain.complete, chain.rrsets.len()), (false, 1));
        assert_eq!(chain.target, Some(name("b.org")));
    }

    #[test]
    fn loops_and_long_chains_end() {
        let section = [
            alias("a.example", RecordType::CNAME, "b.example"),
            alias("b.example", RecordType::CNAME, "a.example"),
        ];
        assert_eq!(
            walk_a(&section, "a.example", "example").unwrap_err(),
            AliasError::Loop
        );
        let long: Vec<Rrset> = (0..20)
            .map(|n| {
                let owner = format!("n{n}.example");
                alias(&owner, RecordType::CNAME, &format!("n{}.example", n + 1))
            })
            .collect();
        let cut = walk_a(&long, "n0.example", "example").unwrap();
        assert_eq!(cut.target, Some(name("n11.example")));
    }

    #[test]
    fn a_dname_makes_its_cname_and_is_kept_once() {
        let section = [
            alias("x.y.example", RecordType::CNAME, "wrong.example"),
            alias("y.example", RecordType::DNAME, "z.example"),
            address("x.z.example"),
        ];
        let chain = walk_a(&section, "x.y.example", "example").unwrap();
        let types: Vec<RecordType> = chain.rrsets.iter().map(|r| r.record_type).collect();
        assert_eq!(types, [RecordType::DNAME, RecordType::CNAME, RecordType::A]);
        assert_eq!(cname_target(&chain.rrsets[1]), Some(name("x.z.example")));

        let root = [alias("x", RecordType::DNAME, ".")];
        let chain = walk_a(&root, "s.x.x", ".").unwrap();
        assert_eq!(chain.rrsets.len(), 3);
        assert_eq!(chain.target, Some(name("s")));
    }

    #[test]
    fn aliases_are_followed_across_zones_and_loops_end() {
        let mut world = internet();
        let answer = world.resolve("a.example.com", RecordType::A);
        assert_eq!(
            shown(&answer),
            [
                "a.example.com. CNAME www.example.org.",
                "www.example.org. A 192.0.2.2"
            ]
        );
        assert_eq!(answer.ttl, 60);
        let looped = world.resolve("loop.example.com", RecordType::A);
        assert_eq!(looped.rcode, ResponseCode::SERVFAIL);
    }
}
