//! From a trust anchor down to a name, zone by zone (RFC 4035, 5).
//!
//! Owns the walk: which DS or DNSKEY is asked for next, and what was found at each name on the way.
//! Asks each name once, again elsewhere when the answer was broken. Never judges an RRset of an answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::answer::{Answer, ExtendedError, ResponseCode};
use crate::cache::keys::{ZoneKeys, ZoneStatus};
use crate::context::Context;
use crate::infra::Lame;
use crate::name::Name;
use crate::outcome::Request;
use crate::question::{Question, StateKind};
use crate::rrset::{Class, RecordType, Rrset};
use crate::trust_anchor::{self, Anchor};
use crate::validate::delegation::{DsFound, Entrances, read_dnskey, read_ds};
use crate::validate::denial::Delegation;
use crate::validate::signature::Policy;
use crate::validate::synthesis;

/// What is known of the zone that a name lies in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zone {
    /// It is signed, and these are its keys.
    Secure(Arc<ZoneKeys>),
    /// A proof or a negative trust anchor says that nothing is signed there.
    Insecure(Option<ExtendedError>),
    /// The chain of trust to it is broken.
    Bogus(ExtendedError),
    /// No trust anchor lies above.
    Indeterminate,
}

/// What the open question is for.
#[derive(Clone, Debug)]
enum Need {
    /// The keys of a trust anchor's zone.
    Anchor(Name),
    /// Whether a zone begins at a name that lies in this zone.
    Ds(Name, Arc<ZoneKeys>),
    /// The keys of a zone that this DS RRset stands for.
    Dnskey(Name, Arc<Rrset>, u32),
}

/// Walks along chains of trust on behalf of one answer.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    open: Option<Need>,
    /// Questions asked again because their answers were bogus.
    restarts: u8,
    found: BTreeMap<Name, ZoneStatus>,
}

/// How long the verdict on a zone is kept at most: a walk now and then finds that a zone went unsigned.
const VERDICT_SECONDS_MAX: u32 = 86_400;

impl Chain {
    /// The zone that `name` lies in; none while a question is open.
    pub fn zone_of(&mut self, name: &Name, context: &mut Context<'_>) -> Option<Zone> {
        if self.open.is_some() {
            return None;
        }
        let anchor = match trust_anchor::nearest(context.settings, context.now, name) {
            Anchor::None => return Some(Zone::Indeterminate),
            Anchor::Negative(_) => return Some(Zone::Insecure(None)),
            Anchor::Positive(zone) => zone,
        };
        let mut keys = match self.status(&anchor, context) {
            Some(ZoneStatus::Secure(keys)) => keys,
            Some(ZoneStatus::Insecure(error)) => return Some(Zone::Insecure(error)),
            Some(ZoneStatus::Bogus(error)) => return Some(Zone::Bogus(error)),
            Some(ZoneStatus::Inside) | None => {
                self.need(Need::Anchor(anchor), StateKind::Validation, context);
                return None;
            }
        };
        for labels in anchor.label_count() + 1..=name.label_count() {
            let step = name.suffix(labels);
            match self.status(&step, context) {
                Some(ZoneStatus::Secure(below)) => keys = below,
                Some(ZoneStatus::Inside) => {}
                Some(ZoneStatus::Insecure(error)) => return Some(Zone::Insecure(error)),
                Some(ZoneStatus::Bogus(error)) => return Some(Zone::Bogus(error)),
                None => {
                    if let Some((known, ttl)) = synthesis::no_ds(&step, &keys.zone, context) {
                        let status = match known {
                            Delegation::Unsigned(error) => ZoneStatus::Insecure(error),
                            Delegation::Inside => ZoneStatus::Inside,
                            Delegation::Missing(error) => ZoneStatus::Bogus(error),
                        };
                        self.learn(&step, status.clone(), Some(ttl), Duration::ZERO, context);
                        match status {
                            ZoneStatus::Insecure(error) => return Some(Zone::Insecure(error)),
                            _ => continue,
                        }
                    }
                    self.need(Need::Ds(step, keys), StateKind::Validation, context);
                    return None;
                }
            }
        }
        Some(Zone::Secure(keys))
    }

    fn status(&self, name: &Name, context: &Context<'_>) -> Option<ZoneStatus> {
        self.found.get(name).cloned().or_else(|| {
            let keys = context.cache.keys();
            keys.get(context.now.instant, context.settings.epoch, name)
        })
    }

    fn need(&mut self, need: Need, kind: StateKind, context: &mut Context<'_>) {
        let (name, record_type) = need.question();
        context.requests.push(Request::Need {
            question: Question {
                name: name.clone(),
                record_type,
                class: Class::IN,
            },
            kind,
        });
        self.open = Some(need);
    }

    /// Takes the answer to the open question; none when the mesh refused to ask it.
    pub fn answered(
        &mut self,
        question: &Question,
        answer: Option<&Answer>,
        context: &mut Context<'_>,
    ) {
        let asked = self.open.as_ref().map(Need::question);
        if asked != Some((&question.name, question.record_type)) {
            return;
        }
        let Some(need) = self.open.take() else {
            return;
        };
        let failed = Answer::empty(ResponseCode::SERVFAIL, None);
        let answer = answer.unwrap_or(&failed);
        match read(&need, answer, context) {
            DsFound::Signed { ds, ttl } => {
                let below = Need::Dnskey(question.name.clone(), ds, ttl);
                self.need(below, StateKind::Validation, context);
            }
            DsFound::Known {
                status: ZoneStatus::Bogus(_),
                ..
            } if self.may_ask_again(answer, context) => {
                self.restarts += 1;
                avoid_sources(answer, context);
                self.need(need, StateKind::Revalidation, context);
            }
            DsFound::Known { status, ttl } => {
                // What could not be asked is not known to be bogus for long.
                let failure = Duration::from_secs(context.settings.cache.failure_ttl.into());
                let broken = if answer.rcode == ResponseCode::SERVFAIL {
                    failure
                } else {
                    context.settings.dnssec.bogus_ttl
                };
                self.learn(&question.name, status, ttl, broken, context);
            }
        }
    }

    fn may_ask_again(&self, answer: &Answer, context: &Context<'_>) -> bool {
        self.restarts < context.settings.limits.validation_restarts_max
            && answer.rcode != ResponseCode::SERVFAIL
            && context.budget.upstream_queries_left() > 0
    }

    fn learn(
        &mut self,
        name: &Name,
        status: ZoneStatus,
        ttl: Option<u32>,
        broken: Duration,
        context: &Context<'_>,
    ) {
        let ttl = ttl.map_or(broken, |ttl| {
            Duration::from_secs(u64::from(ttl.min(VERDICT_SECONDS_MAX)))
        });
        let (now, epoch) = (context.now.instant, context.settings.epoch);
        context
            .cache
            .keys()
            .put(now, epoch, name, status.clone(), ttl);
        self.found.insert(name.clone(), status);
    }
}

impl Need {
    const fn question(&self) -> (&Name, RecordType) {
        match self {
            Self::Anchor(zone) | Self::Dnskey(zone, ..) => (zone, RecordType::DNSKEY),
            Self::Ds(name, _) => (name, RecordType::DS),
        }
    }
}

/// What the answer says of what was needed.
fn read(need: &Need, answer: &Answer, context: &mut Context<'_>) -> DsFound {
    let policy = Policy {
        settings: context.settings,
        now: context.now,
        good: Some(context.cache.good_signatures()),
    };
    let (status, ttl) = match need {
        Need::Ds(name, zone) => return read_ds(name, answer, zone, &policy, context.budget),
        Need::Dnskey(name, ds, ds_ttl) => {
            let entrances = Entrances {
                ds: ds.rdata.iter().collect(),
                dnskey: Vec::new(),
            };
            let (status, ttl) = read_dnskey(name, answer, &entrances, &policy, context.budget);
            (status, ttl.map(|ttl| ttl.min(*ds_ttl)))
        }
        Need::Anchor(name) => {
            let (ds, dnskey) = trust_anchor::of_zone(&context.settings.dnssec, name);
            let entrances = Entrances { ds, dnskey };
            read_dnskey(name, answer, &entrances, &policy, context.budget)
        }
    };
    DsFound::Known { status, ttl }
}

/// Servers that gave bogus data are asked last from now on.
pub fn avoid_sources(answer: &Answer, context: &Context<'_>) {
    for (zone, server) in &answer.sources {
        let ttl = context.settings.cache.server_ttl;
        context
            .infra
            .note_lame(context.now.instant, ttl, *server, zone, Lame::Unsigned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{ResponseCode, Security};
    use crate::rrset::RdataList;
    use crate::settings::{NegativeTrustAnchor, TrustAnchor};
    use crate::signing::{Signer, rrset};
    use crate::validate::world::{A, ADDRESS, World, assert_bogus, name, negative, positive};

    #[test]
    fn an_unsigned_delegation_ends_validation() {
        let mut world = World::new();
        let cut = world
            .example
            .nsec("sub.example", "t.example", &[RecordType::NS]);
        world.set(
            "sub.example",
            RecordType::DS,
            negative(ResponseCode::NOERROR, vec![cut]),
        );
        let www = Arc::new(rrset("www.sub.example", A, ADDRESS));
        let answer = world.check("www.sub.example", A, positive(vec![www]));
        assert_eq!(
            (answer.security, answer.answer.len()),
            (Security::Insecure, 1)
        );
        let nothing = negative(ResponseCode::NXDOMAIN, Vec::new());
        let answer = world.check("x.sub.example", A, nothing);
        assert_eq!(
            (answer.security, answer.rcode),
            (Security::Insecure, ResponseCode::NXDOMAIN)
        );
    }

    #[test]
    fn a_delegation_whose_ds_nobody_denies_is_bogus() {
        let mut world = World::new();
        world.set(
            "sub.example",
            RecordType::DS,
            negative(ResponseCode::NOERROR, Vec::new()),
        );
        let www = Arc::new(rrset("www.sub.example", A, ADDRESS));
        let answer = world.check("www.sub.example", A, positive(vec![www]));
        assert_bogus(&answer, ExtendedError::NSEC_MISSING);
        // The NSEC of the child's apex is no denial by the parent.
        let apex = &[RecordType::NS, RecordType::SOA];
        let cut = world.example.nsec("sub.example", "t.example", apex);
        world.cache.keys().forget(&Name::root(), true);
        world.set(
            "sub.example",
            RecordType::DS,
            negative(ResponseCode::NOERROR, vec![cut]),
        );
        let www = Arc::new(rrset("www.sub.example", A, ADDRESS));
        let answer = world.check("www.sub.example", A, positive(vec![www]));
        assert_bogus(&answer, ExtendedError::DNSSEC_BOGUS);
    }

    #[test]
    fn sha1_digests_do_not_count_beside_stronger_ones() {
        for (ignore, security) in [(true, Security::Bogus), (false, Security::Secure)] {
            let mut world = World::new();
            world.settings.dnssec.ignore_sha1_digests = ignore;
            let (mut wrong, weak) = (world.sub.ds(2), world.sub.ds(1));
            wrong[10] ^= 1;
            let ds = rrset("sub.example", RecordType::DS, &[&wrong, &weak]);
            let ds = world.example.sign(ds);
            world.set("sub.example", RecordType::DS, positive(vec![ds]));
            let www = world.sub.sign(rrset("www.sub.example", A, ADDRESS));
            let answer = world.check("www.sub.example", A, positive(vec![www]));
            assert_eq!(answer.security, security, "{ignore}");
        }
    }

    #[test]
    fn unknown_algorithms_and_digests_make_a_zone_insecure() {
        for (algorithm, digest, security) in [
            (15, 2, Security::Secure),
            (15, 4, Security::Secure),
            (99, 2, Security::Insecure),
            (15, 99, Security::Insecure),
        ] {
            let mut world = World::new();
            let mut ds = world.sub.ds(if digest == 4 { 4 } else { 2 });
            (ds[2], ds[3]) = (algorithm, digest);
            let ds = world
                .example
                .sign(rrset("sub.example", RecordType::DS, &[&ds]));
            world.set("sub.example", RecordType::DS, positive(vec![ds]));
            let www = world.sub.sign(rrset("www.sub.example", A, ADDRESS));
            let answer = world.check("www.sub.example", A, positive(vec![www]));
            assert_eq!(answer.security, security, "{algorithm} {digest}");
        }
    }

    #[test]
    fn keys_must_be_zone_keys_and_not_revoked() {
        for (flags, error) in [
            (0x0001, ExtendedError::NO_ZONE_KEY_BIT_SET),
            (0x0181, ExtendedError::DNSKEY_MISSING),
        ] {
            let mut world = World::new();
            world.example.flags = flags;
            world.publish();
            let www = world.example.sign(rrset("www.example", A, ADDRESS));
            let answer = world.check("www.example", A, positive(vec![www]));
            assert_bogus(&answer, error);
        }
    }

    #[test]
    fn an_opt_out_span_hides_unsigned_delegations() {
        let mut world = World::new();
        let apex = &[RecordType::NS, RecordType::SOA];
        let span = vec![
            world.example.nsec3("example", 0, apex, 1),
            world.example.nsec3("sub.example", 1, &[], 1),
        ];
        world.set(
            "sub.example",
            RecordType::DS,
            negative(ResponseCode::NOERROR, span),
        );
        let www = Arc::new(rrset("www.sub.example", A, ADDRESS));
        let answer = world.check("www.sub.example", A, positive(vec![www]));
        assert_eq!(answer.security, Security::Insecure);
    }

    #[test]
    fn negative_trust_anchors_and_missing_ones() {
        let mut world = World::new();
        world
            .settings
            .dnssec
            .negative_trust_anchors
            .push(NegativeTrustAnchor {
                name: name("example"),
                expires_at: None,
            });
        let www = Arc::new(rrset("www.example", A, ADDRESS));
        let answer = world.check("www.example", A, positive(vec![www.clone()]));
        assert_eq!(answer.security, Security::Insecure);
        assert!(world.asked.is_empty());
        world.settings.dnssec.trust_anchors.clear();
        world.settings.dnssec.negative_trust_anchors.clear();
        let answer = world.check("www.example", A, positive(vec![www]));
        assert_eq!(answer.security, Security::Indeterminate);
    }

    #[test]
    fn a_signer_above_the_nearest_anchor_has_no_say() {
        let mut world = World::new();
        let island = Signer::new("island.test");
        world.settings.dnssec.trust_anchors = vec![TrustAnchor {
            zone: name("island.test"),
            ds: RdataList::default(),
            dnskey: RdataList::new([&island.dnskey()[..]]),
        }];
        world.set(
            "island.test",
            RecordType::DNSKEY,
            positive(vec![island.keys()]),
        );
        let inside = island.nsec("www.island.test", "island.test", &[A]);
        world.set(
            "www.island.test",
            RecordType::DS,
            negative(ResponseCode::NOERROR, vec![inside]),
        );
        let good = island.sign(rrset("www.island.test", A, ADDRESS));
        let answer = world.check("www.island.test", A, positive(vec![good]));
        assert_eq!(answer.security, Security::Secure);
        let parent = Signer::new("test").sign(rrset("www.island.test", A, ADDRESS));
        let answer = world.check("www.island.test", A, positive(vec![parent]));
        assert_eq!(answer.security, Security::Bogus);
    }
}
