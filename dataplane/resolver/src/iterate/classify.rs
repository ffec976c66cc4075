//! What a reply means for the zone that its server was asked as an authority for (RFC 1034, 5.3.3, 4).
//!
//! Owns `ReplyKind`. Never changes a reply: `scrub` takes out of it what may be used.

use crate::answer::ResponseCode;
use crate::infra::Lame;
use crate::iterate::alias::{AliasError, Chain, cname_target, walk};
use crate::name::Name;
use crate::question::Question;
use crate::rrset::{RecordType, Rrset};
use crate::wire::Reply;

/// What a reply means.
#[derive(Clone, Debug)]
pub enum ReplyKind {
    /// The chain ends with the type asked for.
    Answer(Chain),
    /// The chain ends with an alias whose target is to be asked for next.
    Alias(Chain),
    /// The chain ends with a DNAME that makes too long a name.
    TooLong(Chain),
    /// The name exists, the type does not (RFC 2308, 2.2).
    NoData,
    /// The name does not exist (RFC 2308, 2.1).
    NameError,
    /// NOERROR with nothing at all: perhaps NODATA, perhaps a server without the zone.
    Empty,
    /// Servers closer to the name: the NS RRset is the one of this owner.
    Referral(Name),
    /// The server is of no use for this zone.
    Lame(Lame),
    /// This reply is of no use, and nothing is learnt about the server.
    Unusable(Unusable),
}

/// Why a reply is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// An error code.
    Error(ResponseCode),
    /// Aliases that cannot be followed.
    Alias(AliasError),
    /// It answers another question.
    OtherQuestion,
    /// NS records of the zone itself without AA and without an answer.
    NotAuthoritative,
}

/// How the server was asked.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What it was asked.
    pub question: &'a Question,
    /// As an authority, or as a resolver, for what.
    pub zone: &'a Name,
    /// Whether as a resolver.
    pub recursion_desired: bool,
    /// Aliases of one reply that are followed.
    pub aliases_max: usize,
}

/// Says what `reply` means.
#[must_use]
pub fn classify(reply: &Reply, asked: &Asked<'_>) -> ReplyKind {
    if reply
        .question
        .as_ref()
        .is_some_and(|question| question != asked.question)
    {
        return ReplyKind::Unusable(Unusable::OtherQuestion);
    }
    let rcode = reply.rcode;
    let known = [
        ResponseCode::NOERROR,
        ResponseCode::NXDOMAIN,
        ResponseCode::YXDOMAIN,
    ];
    if !known.contains(&rcode) {
        return ReplyKind::Unusable(Unusable::Error(rcode));
    }
    let chain = match walk(
        &reply.answer,
        &asked.question.name,
        asked.question.record_type,
        asked.question.class,
        asked.zone,
        asked.aliases_max,
    ) {
        Ok(chain) => chain,
        Err(error) => return ReplyKind::Unusable(Unusable::Alias(error)),
    };
    if chain.too_long {
        return ReplyKind::TooLong(chain);
    }
    if rcode == ResponseCode::YXDOMAIN {
        return ReplyKind::Unusable(Unusable::Error(rcode));
    }
    // A server that answers from its own recursion knows the zone at second hand only.
    let by_recursion =
        reply.recursion_available && !reply.authoritative && !asked.recursion_desired;
    if chain.complete || rcode == ResponseCode::NXDOMAIN {
        if by_recursion {
            return ReplyKind::Lame(Lame::Recursive);
        }
        return match (chain.complete, &chain.target) {
            (true, _) => denied_alias(chain, rcode),
            // The code is about the last name of the chain, which is asked for itself.
            (false, Some(_)) => ReplyKind::Alias(chain),
            (false, None) => ReplyKind::NameError,
        };
    }
    if chain.target.is_some() {
        return ReplyKind::Alias(chain);
    }
    from_authority(reply, asked, by_recursion)
}

/// A whole chain. With NXDOMAIN beside an alias that was itself asked for, the alias is followed: the code
/// is about its target.
fn denied_alias(mut chain: Chain, rcode: ResponseCode) -> ReplyKind {
    let alias = chain
        .rrsets
        .last()
        .filter(|rrset| rcode == ResponseCode::NXDOMAIN && rrset.record_type == RecordType::CNAME);
    let Some(target) = alias.and_then(|alias| cname_target(alias)) else {
        return ReplyKind::Answer(chain);
    };
    chain.target = Some(target);
    ReplyKind::Alias(chain)
}

/// NOERROR without an answer: the authority section decides.
fn from_authority(reply: &Reply, asked: &Asked<'_>, by_recursion: bool) -> ReplyKind {
    let name = &asked.question.name;
    let of_type = |record_type: RecordType| {
        reply.authority.iter().filter(move |rrset| {
            rrset.record_type == record_type
                && rrset.class == asked.question.class
                && !rrset.rdata.is_empty()
        })
    };
    let lame_or = |kind: ReplyKind| {
        if by_recursion {
            ReplyKind::Lame(Lame::Recursive)
        } else {
            kind
        }
    };
    if of_type(RecordType::SOA).any(|soa| name.is_within(&soa.owner)) {
        return lame_or(ReplyKind::NoData);
    }
    for ns in of_type(RecordType::NS) {
        if let Some(kind) = from_ns(reply, asked, ns) {
            return match kind {
                ReplyKind::NoData | ReplyKind::Unusable(_) => lame_or(kind),
                other => other,
            };
        }
    }
    let proof =
        of_type(RecordType::NSEC).next().is_some() || of_type(RecordType::NSEC3).next().is_some();
    lame_or(if proof {
        ReplyKind::NoData
    } else {
        ReplyKind::Empty
    })
}

/// What one NS RRset of the authority section means; nothing, when it is beside the way.
fn from_ns(reply: &Reply, asked: &Asked<'_>, ns: &Rrset) -> Option<ReplyKind> {
    if ns.owner == *asked.zone {
        // An authority's NODATA without SOA; without AA it is another's knowledge.
        let usable = reply.authoritative || asked.recursion_desired;
        return Some(if usable {
            ReplyKind::NoData
        } else {
            ReplyKind::Unusable(Unusable::NotAuthoritative)
        });
    }
    if asked.zone.is_within(&ns.owner) {
        // An upward referral.
        return Some(if asked.recursion_desired {
            ReplyKind::Unusable(Unusable::NotAuthoritative)
        } else {
            ReplyKind::Lame(Lame::NotAuthoritative)
        });
    }
    let below = ns.owner.is_within(asked.zone) && asked.question.name.is_within(&ns.owner);
    if !below {
        return None;
    }
    if asked.recursion_desired {
        // A resolver was asked; it gives no referrals.
        return Some(ReplyKind::NoData);
    }
    Some(ReplyKind::Referral(ns.owner.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rrset::{Class, RdataList};

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    fn rrset(owner: &str, record_type: RecordType, target: &str) -> Rrset {
        let rdata = RdataList::new([name(target).as_wire()]);
        Rrset::unsigned(name(owner), record_type, 60, rdata)
    }

    fn reply(answer: Vec<Rrset>, authority: Vec<Rrset>) -> Reply {
        Reply {
            id: 0,
            authoritative: true,
            truncated: false,
            recursion_desired: false,
            recursion_available: false,
            authentic_data: false,
            checking_disabled: false,
            rcode: ResponseCode::NOERROR,
            question: None,
            edns: None,
            answer,
            authority,
            additional: Vec::new(),
        }
    }

    fn kind(reply: &Reply) -> ReplyKind {
        let question = Question {
            name: name("www.example.com"),
            record_type: RecordType::PTR,
            class: Class::IN,
        };
        classify(
            reply,
            &Asked {
                question: &question,
                zone: &name("com"),
                recursion_desired: false,
                aliases_max: 11,
            },
        )
    }

    #[test]
    fn referrals_lead_down_only() {
        let down = reply(vec![], vec![rrset("example.com", RecordType::NS, "ns.org")]);
        assert!(matches!(kind(&down), ReplyKind::Referral(zone) if zone == name("example.com")));
        let up = reply(vec![], vec![rrset(".", RecordType::NS, "ns.org")]);
        assert!(matches!(kind(&up), ReplyKind::Lame(Lame::NotAuthoritative)));
        let aside = reply(vec![], vec![rrset("other.com", RecordType::NS, "ns.org")]);
        assert!(matches!(kind(&aside), ReplyKind::Empty));
        let mut own = reply(vec![], vec![rrset("com", RecordType::NS, "ns.org")]);
        assert!(matches!(kind(&own), ReplyKind::NoData));
        own.authoritative = false;
        assert!(matches!(
            kind(&own),
            ReplyKind::Unusable(Unusable::NotAuthoritative)
        ));
    }

    #[test]
    fn second_hand_answers_are_lame() {
        let mut answer = reply(vec![rrset("www.example.com", RecordType::PTR, "x")], vec![]);
        assert!(matches!(kind(&answer), ReplyKind::Answer(_)));
        answer.recursion_available = true;
        assert!(matches!(kind(&answer), ReplyKind::Answer(_)));
        answer.authoritative = false;
        assert!(matches!(kind(&answer), ReplyKind::Lame(Lame::Recursive)));
    }

    #[test]
    fn negative_answers_and_errors() {
        let soa = rrset("com", RecordType::SOA, "ns");
        let mut negative = reply(vec![], vec![soa]);
        assert!(matches!(kind(&negative), ReplyKind::NoData));
        negative.rcode = ResponseCode::NXDOMAIN;
        assert!(matches!(kind(&negative), ReplyKind::NameError));
        negative.answer = vec![rrset("www.example.com", RecordType::CNAME, "other")];
        assert!(matches!(kind(&negative), ReplyKind::Alias(_)));
        negative.rcode = ResponseCode::REFUSED;
        assert!(matches!(
            kind(&negative),
            ReplyKind::Unusable(Unusable::Error(ResponseCode::REFUSED))
        ));
    }
}
