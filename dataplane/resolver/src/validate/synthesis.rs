//! Answers from cached denials (RFC 8198).
//!
//! Owns the choice of records that may prove a name or type absent, or that a wildcard stands for it, before
//! anybody is asked. Proofs with Opt-Out are not used; what a wildcard gives is still to be validated.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::answer::{Answer, ExtendedError, ResponseCode, Security};
use crate::context::Context;
use crate::name::Name;
use crate::question::Question;
use crate::rdata::{self, Rrsig};
use crate::rrset::{Class, RecordType, Rrset};
use crate::trust_anchor::{self, Anchor};
use crate::validate::denial::Delegation;
use crate::validate::nsec::{NoDs, NsecRecord, NsecSet};
use crate::validate::nsec3::{Nsec3NoDs, Nsec3Proof, Nsec3Set, hash_label};

/// What cached denials came to.
#[derive(Clone, Debug)]
pub enum Synthesised {
    /// An answer: a proven denial, or what a wildcard stands for, not validated yet.
    Answer(Answer),
    /// A wildcard's alias, which leads on.
    Alias {
        /// The CNAME RRset, its owner the name asked for.
        alias: Arc<Rrset>,
        /// The proof that nothing is closer to the name.
        denials: Vec<Arc<Rrset>>,
        /// Where it leads.
        target: Name,
    },
}

/// What a zone's denials say of a name.
enum Proof {
    /// The name or the type does not exist.
    Absent(ResponseCode),
    /// The name does not exist, and a wildcard below this one may stand for it.
    Below(Name),
}

type Found = (Proof, Vec<Arc<Rrset>>);

/// Types that cached denials say too little of.
const DIRECT: [RecordType; 4] = [
    RecordType::ANY,
    RecordType::RRSIG,
    RecordType::NSEC,
    RecordType::NSEC3,
];

/// Types that a wildcard gives nobody (RFC 4592, 4).
const NOT_EXPANDED: [RecordType; 5] = [
    RecordType::SOA,
    RecordType::NS,
    RecordType::DS,
    RecordType::DNSKEY,
    RecordType::DNAME,
];

/// The answer that cached denials give, if they do.
#[must_use]
pub fn answer(question: &Question, context: &mut Context<'_>) -> Option<Synthesised> {
    let off = !context.settings.dnssec.aggressive_nsec
        || question.class != Class::IN
        || DIRECT.contains(&question.record_type);
    if off {
        return None;
    }
    let zone = closest_zone(question, context)?;
    let found = by_nsec(question, &zone, context).or_else(|| by_nsec3(question, &zone, context));
    match found {
        Some((Proof::Absent(rcode), rrsets)) => absent(rcode, &zone, rrsets, context),
        Some((Proof::Below(encloser), rrsets)) => {
            let source = of_wildcard(&encloser, &zone, question, context)?;
            expanded(question, &source, rrsets)
        }
        None => expanded_by_nsec3(question, &zone, context),
    }
}

/// NXDOMAIN or NODATA (RFC 8198, 5.1 and 5.2).
fn absent(
    rcode: ResponseCode,
    zone: &Name,
    proof: Vec<Arc<Rrset>>,
    context: &Context<'_>,
) -> Option<Synthesised> {
    let (now, epoch) = (context.now.instant, context.settings.epoch);
    let soa = context.cache.denials().soa(now, epoch, zone)?;
    let mut answer = Answer::empty(rcode, Some(ExtendedError::SYNTHESIZED));
    answer.security = Security::Secure;
    answer.authority = core::iter::once(soa).chain(proof).collect();
    let times = answer.authority.iter().map(|rrset| rrset.ttl);
    answer.ttl = times.min()?.min(context.settings.cache.ttl_negative_max);
    Some(Synthesised::Answer(answer))
}

/// What a wildcard's RRset, its owner the name asked for, comes to (RFC 8198, 5.3).
fn expanded(
    question: &Question,
    source: &Arc<Rrset>,
    denials: Vec<Arc<Rrset>>,
) -> Option<Synthesised> {
    if source.record_type != question.record_type {
        return Some(Synthesised::Alias {
            alias: Arc::clone(source),
            denials,
            target: source.rdata.iter().next().and_then(rdata::target)?,
        });
    }
    let mut answer = Answer::empty(ResponseCode::NOERROR, Some(ExtendedError::SYNTHESIZED));
    let times = denials.iter().map(|denial| denial.ttl);
    answer.ttl = times.fold(source.ttl, u32::min);
    answer.answer = vec![Arc::clone(source)];
    answer.authority = denials;
    Some(Synthesised::Answer(answer))
}

/// The same by NSEC3: the wildcard shows that the name above it exists, and one record that none is closer
/// (RFC 5155, 8.8).
fn expanded_by_nsec3(
    question: &Question,
    zone: &Name,
    context: &mut Context<'_>,
) -> Option<Synthesised> {
    let (now, epoch) = (context.now.instant, context.settings.epoch);
    let hashing = context.cache.denials().hashing(epoch, zone)?;
    if hashing.iterations > context.settings.dnssec.nsec3_iterations {
        return None;
    }
    let mut next_closer = question.name.clone();
    loop {
        if next_closer == *zone {
            return None;
        }
        let encloser = next_closer.parent()?;
        let Some(source) = of_wildcard(&encloser, zone, question, context) else {
            next_closer = encloser;
            continue;
        };
        context.budget.spend_hash().ok()?;
        let label = hash_label(&hashing.salt, hashing.iterations, &next_closer)?;
        let denials = context.cache.denials();
        let denial = denials.nsec3_around(now, epoch, zone, &label)?;
        let mut set = set_of(zone, core::slice::from_ref(&denial));
        let proof = set.prove_expansion(&question.name, &encloser, context.budget);
        let proven = proof == Ok(Nsec3Proof::Proven);
        return proven.then(|| expanded(question, &source, vec![denial]))?;
    }
}

/// A validated RRset, or alias, of the zone's wildcard below `encloser`, as the name asked for has it.
fn of_wildcard(
    encloser: &Name,
    zone: &Name,
    question: &Question,
    context: &Context<'_>,
) -> Option<Arc<Rrset>> {
    if NOT_EXPANDED.contains(&question.record_type) {
        return None;
    }
    let wildcard = encloser.child(b"*").ok()?;
    let labels = encloser.label_count();
    let own = |rrset: &Rrset| {
        let mut signatures = rrset.signatures.iter().filter_map(Rrsig::parse);
        // The asterisk counts as no label (RFC 4034, 3.1.3).
        !rrset.signatures.is_empty()
            && signatures.all(|rrsig| usize::from(rrsig.labels) == labels && rrsig.signer == *zone)
    };
    let types = [question.record_type, RecordType::CNAME];
    let held = types.into_iter().find_map(|record_type| {
        let held = context
            .cache
            .rrset(context.now, &wildcard, record_type, question.class)?;
        (held.security == Security::Secure && own(&held.rrset)).then_some(held.rrset)
    })?;
    let mut rrset = Arc::unwrap_or_clone(held);
    rrset.owner.clone_from(&question.name);
    Some(Arc::new(rrset))
}

/// The deepest zone with cached denials that the name lies in, below its trust anchor.
fn closest_zone(question: &Question, context: &Context<'_>) -> Option<Name> {
    // DS lives above the cut, so the child's denials say nothing of it.
    let at_parent = question.record_type == RecordType::DS;
    let lowest = if at_parent {
        question.name.parent()?
    } else {
        question.name.clone()
    };
    let Anchor::Positive(anchor) = trust_anchor::nearest(context.settings, context.now, &lowest)
    else {
        return None;
    };
    lowest
        .ancestors()
        .take_while(|zone| zone.is_within(&anchor))
        .find(|zone| context.cache.denials().knows(context.settings.epoch, zone))
}

fn by_nsec(question: &Question, zone: &Name, context: &Context<'_>) -> Option<Found> {
    let (now, epoch) = (context.now.instant, context.settings.epoch);
    let around = |name: &Name| context.cache.denials().nsec_around(now, epoch, zone, name);
    let first = around(&question.name)?;
    let record = NsecRecord::new(&first)?;
    let encloser = record.closest_encloser(&question.name);
    let wildcard = encloser.child(b"*").ok();
    let mut rrsets = vec![first];
    let second = wildcard.as_ref().and_then(around);
    rrsets.extend(second.filter(|second| second.owner != record.owner));
    let records = rrsets.iter().filter_map(NsecRecord::new).collect();
    let set = NsecSet::new(zone.clone(), records);
    if set.proves_name_error(&question.name) {
        return Some((Proof::Absent(ResponseCode::NXDOMAIN), rrsets));
    }
    if set.proves_no_data(&question.name, question.record_type) {
        if record.owner == question.name {
            rrsets.truncate(1);
        }
        return Some((Proof::Absent(ResponseCode::NOERROR), rrsets));
    }
    rrsets.truncate(1);
    set.proves_expansion(&question.name, &encloser)
        .then_some((Proof::Below(encloser), rrsets))
}

fn by_nsec3(question: &Question, zone: &Name, context: &mut Context<'_>) -> Option<Found> {
    let found = gather_nsec3(&question.name, zone, context)?;
    let mut set = set_of(zone, &found);
    let (name, record_type) = (&question.name, question.record_type);
    let proven = Ok(Nsec3Proof::Proven);
    let proof = if set.prove_name_error(name, context.budget) == proven {
        Proof::Absent(ResponseCode::NXDOMAIN)
    } else if set.prove_no_data(name, record_type, context.budget) == proven {
        Proof::Absent(ResponseCode::NOERROR)
    } else {
        return None;
    };
    Some((proof, found))
}

fn set_of(zone: &Name, rrsets: &[Arc<Rrset>]) -> Nsec3Set {
    let mut set = Nsec3Set::new(zone.clone());
    rrsets.iter().for_each(|rrset| set.add(rrset));
    set
}

/// The cached NSEC3 records that may prove something of `name`.
fn gather_nsec3(name: &Name, zone: &Name, context: &mut Context<'_>) -> Option<Vec<Arc<Rrset>>> {
    let (now, epoch) = (context.now.instant, context.settings.epoch);
    let hashing = context.cache.denials().hashing(epoch, zone)?;
    if hashing.iterations > context.settings.dnssec.nsec3_iterations {
        return None;
    }
    let mut found: BTreeMap<Name, Arc<Rrset>> = BTreeMap::new();
    let mut look = |name: &Name, context: &mut Context<'_>| {
        context.budget.spend_hash().ok()?;
        let label = hash_label(&hashing.salt, hashing.iterations, name)?;
        let denials = context.cache.denials();
        let rrset = denials.nsec3_around(now, epoch, zone, &label)?;
        let matches = rrset.owner.labels().next() == Some(&label[..]);
        found.insert(rrset.owner.clone(), rrset);
        Some(matches)
    };
    // The name, and upwards until one exists.
    let mut at = name.clone();
    while !look(&at, context)? {
        if at == *zone {
            return None;
        }
        at = at.parent()?;
    }
    if at != *name
        && let Ok(wildcard) = at.child(b"*")
    {
        // Without Opt-Out the wildcard's record is needed; with it nothing is proven either way.
        let _ = look(&wildcard, context);
    }
    Some(found.into_values().collect())
}

/// What cached denials of `zone` say of a delegation at `name`, and for how long.
#[must_use]
pub fn no_ds(name: &Name, zone: &Name, context: &mut Context<'_>) -> Option<(Delegation, u32)> {
    if !context.settings.dnssec.aggressive_nsec {
        return None;
    }
    let (now, epoch) = (context.now.instant, context.settings.epoch);
    let ttl = |rrsets: &[Arc<Rrset>]| rrsets.iter().map(|rrset| rrset.ttl).min().unwrap_or(0);
    if let Some(rrset) = context.cache.denials().nsec_around(now, epoch, zone, name) {
        let rrsets = [rrset];
        let records = rrsets.iter().filter_map(NsecRecord::new).collect();
        let set = NsecSet::new(zone.clone(), records);
        return match set.proves_no_ds(name)? {
            NoDs::Unsigned => Some((Delegation::Unsigned(None), ttl(&rrsets))),
            NoDs::Inside => Some((Delegation::Inside, ttl(&rrsets))),
            NoDs::Contradicted => None,
        };
    }
    let rrsets = gather_nsec3(name, zone, context)?;
    match set_of(zone, &rrsets)
        .prove_no_ds(name, context.budget)
        .ok()?
    {
        Nsec3NoDs::Unsigned => Some((Delegation::Unsigned(None), ttl(&rrsets))),
        Nsec3NoDs::Inside => Some((Delegation::Inside, ttl(&rrsets))),
        Nsec3NoDs::Unproven => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::NegativeTrustAnchor;
    use crate::signing::rrset;
    use crate::validate::world::{A, ADDRESS, World, name, negative, positive};

    #[test]
    fn validated_denials_answer_other_questions() {
        let mut world = World::new();
        let apex = &[RecordType::NS, RecordType::SOA];
        let soa = world.soa(3600);
        let proof = vec![
            soa,
            world.example.nsec("example", "a.example", apex),
            world.example.nsec("b.example", "d.example", &[A]),
        ];
        assert!(world.synthesise("c.example", A).is_none());
        world.check("c.example", A, negative(ResponseCode::NXDOMAIN, proof));
        let other = world.synthesise("x.cc.example", A).unwrap();
        assert_eq!(
            (other.rcode, other.security),
            (ResponseCode::NXDOMAIN, Security::Secure)
        );
        assert_eq!(other.authority.len(), 3);
        let other = world.synthesise("b.example", RecordType::MX).unwrap();
        assert_eq!(
            (other.rcode, other.authority.len()),
            (ResponseCode::NOERROR, 2)
        );
        for (owner, record_type) in [
            ("b.example", A),
            ("e.example", A),
            ("a.example", A),
            ("example", RecordType::DS),
            ("c.test", A),
        ] {
            assert!(world.synthesise(owner, record_type).is_none(), "{owner}");
        }
        world.settings.dnssec.aggressive_nsec = false;
        assert!(world.synthesise("x.cc.example", A).is_none());
        world.settings.dnssec.aggressive_nsec = true;
        world
            .settings
            .dnssec
            .negative_trust_anchors
            .push(NegativeTrustAnchor {
                name: name("cc.example"),
                expires_at: None,
            });
        assert!(world.synthesise("x.cc.example", A).is_none());
    }

    /// `*.example` with an address and `*.al.example` with an alias, each expanded once.
    fn expand(world: &mut World, denials: &[Arc<Rrset>]) {
        let address = world.example.sign_as(rrset("x.example", A, ADDRESS), 1);
        let target = name("www.example");
        let alias = rrset("x.al.example", RecordType::CNAME, &[target.as_wire()]);
        let alias = world.example.sign_as(alias, 2);
        for (owner, record_type, rrset) in [
            ("x.example", A, address),
            ("x.al.example", RecordType::CNAME, alias),
        ] {
            let mut answer = positive(vec![rrset]);
            answer.authority = denials.to_vec();
            let answer = world.check(owner, record_type, answer);
            assert_eq!(answer.security, Security::Secure);
        }
    }

    /// Whether something is made of a wildcard, which has to stand before the validator.
    fn is_made(world: &mut World, owner: &str, record_type: RecordType) -> bool {
        let (rrset, denials) = match world.synthesised(owner, record_type) {
            None => return false,
            Some(Synthesised::Answer(mut answer)) => (answer.answer.remove(0), answer.authority),
            Some(Synthesised::Alias { alias, denials, .. }) => (alias, denials),
        };
        assert!(!denials.is_empty() && rrset.owner == name(owner));
        let asked = rrset.record_type;
        let mut answer = positive(vec![rrset]);
        answer.authority = denials;
        let verdict = world.check(owner, asked, answer);
        assert_eq!(verdict.security, Security::Secure, "{owner}");
        true
    }

    #[test]
    fn an_expanded_wildcard_answers_for_other_names() {
        for nsec3 in [false, true] {
            let mut world = World::new();
            let (denials, other, below) = if nsec3 {
                let denials =
                    ["x.example", "x.al.example"].map(|name| world.example.nsec3(name, 1, &[], 0));
                (denials, "a.x.example", "a.x.al.example")
            } else {
                let cname = &[RecordType::CNAME];
                let denials = [
                    world.example.nsec("w.example", "z.example", &[A]),
                    world.example.nsec("*.al.example", "c.example", cname),
                ];
                (denials, "y.example", "y.al.example")
            };
            expand(&mut world, &denials);
            assert!(is_made(&mut world, other, A), "nsec3 {nsec3}");
            assert!(!is_made(&mut world, other, RecordType::TXT));
            assert!(!is_made(&mut world, other, RecordType::DNAME));
            assert!(is_made(&mut world, below, A), "nsec3 {nsec3}");
            assert!(is_made(&mut world, below, RecordType::CNAME));
            assert!(!is_made(&mut world, "e.example", A));
            world.settings.dnssec.aggressive_nsec = false;
            assert!(!is_made(&mut world, other, A));
        }
    }

    #[test]
    fn opt_out_makes_nothing_of_a_wildcard() {
        let mut world = World::new();
        let address = world.example.sign_as(rrset("x.example", A, ADDRESS), 1);
        let mut answer = positive(vec![address]);
        answer.authority = vec![world.example.nsec3("x.example", 1, &[], 1)];
        let answer = world.check("x.example", A, answer);
        assert_eq!(answer.security, Security::Insecure);
        assert!(!is_made(&mut world, "a.x.example", A));
    }

    #[test]
    fn denials_live_no_longer_than_their_zone_lets_them() {
        let mut world = World::new();
        let soa = world.soa(300);
        let apex = &[RecordType::SOA];
        let proof = vec![
            soa,
            world.example.nsec("example", "a.example", apex),
            world.example.nsec("b.example", "d.example", &[A]),
        ];
        world.check("c.example", A, negative(ResponseCode::NXDOMAIN, proof));
        let other = world.synthesise("cc.example", A).unwrap();
        let times: Vec<u32> = other.authority.iter().map(|rrset| rrset.ttl).collect();
        assert_eq!(times, [300, 300, 300]);
    }

    #[test]
    fn validated_nsec3_denials_answer_other_questions() {
        for (flags, hits) in [(0, true), (1, false)] {
            let mut world = World::new();
            let apex = &[RecordType::NS, RecordType::SOA];
            let soa = world.soa(3600);
            let proof = vec![
                soa,
                world.example.nsec3("example", 0, apex, flags),
                world.example.nsec3("c.example", 1, &[], flags),
                world.example.nsec3("*.example", 1, &[], flags),
            ];
            world.check("c.example", A, negative(ResponseCode::NXDOMAIN, proof));
            assert_eq!(world.synthesise("x.c.example", A).is_some(), hits);
            assert_eq!(world.synthesise("example", RecordType::MX).is_some(), hits);
            assert!(world.synthesise("example", RecordType::NS).is_none());
        }
    }
}
