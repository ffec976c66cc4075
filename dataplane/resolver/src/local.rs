//! Zones that Weir answers itself.
//!
//! Owns the choice of the zone that a name lies in, among those of the settings and the special-use names (RFC 6761,
//! 6303, 7686, 7793, 8375, 9462, 9476), and the aliases within them. Never resolves.

mod builtin;
mod identity;
mod index;
mod outcome;
mod zone;

use std::sync::Arc;

use crate::answer::{Answer, ExtendedError, ResponseCode, Security};
use crate::local::identity::Identity;
use crate::local::index::SuffixIndex;
use crate::local::zone::Zone;
use crate::name::Name;
use crate::question::Question;
use crate::rdata::target;
use crate::rrset::{Class, RecordType, Rrset};
use crate::settings::{LocalZoneKind, Settings};

pub use outcome::LocalOutcome;

/// Aliases followed within local zones.
const ALIASES_MAX: usize = 8;

/// What owns a suffix of the name space.
#[derive(Debug)]
enum Owner {
    Zone(Zone),
    /// A forward or stub zone: a local zone above it has no say below.
    Upstream,
}

/// All local zones, found by the name that is asked for.
#[derive(Debug)]
pub struct LocalZones {
    owners: Vec<Owner>,
    index: SuffixIndex,
    identity: Identity,
}

impl LocalZones {
    /// The zones of these settings.
    ///
    /// The most specific zone decides: built-in ones give way to forward and stub zones, and those to configured
    /// local zones, of the same name.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let mut own = Self {
            owners: Vec::new(),
            index: SuffixIndex::default(),
            identity: Identity::new(settings),
        };
        let resolution = &settings.resolution;
        if resolution.builtin_local_zones {
            for zone in builtin::zones() {
                own.add(&zone.name, Owner::Zone(Zone::new(&zone)));
            }
        }
        for zone in resolution
            .stub_zones
            .iter()
            .chain(&resolution.forward_zones)
        {
            // One for the root takes nothing away from the special-use names below.
            own.add(&zone.name, Owner::Upstream);
        }
        for zone in &resolution.local_zones {
            own.add(&zone.name, Owner::Zone(Zone::new(zone)));
        }
        own
    }

    fn add(&mut self, name: &Name, owner: Owner) {
        let at = self.owners.len() as u32;
        self.owners.push(owner);
        self.index.insert(name.as_wire(), at);
    }

    fn zone(&self, name: &[u8]) -> Option<&Zone> {
        let at = self.index.longest(name)?;
        match self.owners.get(at as usize)? {
            Owner::Zone(zone) if zone.is_effective() => Some(zone),
            _ => None,
        }
    }

    /// Whether [`Self::answer`] may say anything but `Resolve`: a cheap question for the hot path. `name` is in
    /// lower case and wire form.
    #[must_use]
    pub fn concern(&self, name: &[u8], class: Class) -> bool {
        class != Class::IN || self.zone(name).is_some()
    }

    /// The kind of the zone that the name lies in, for counting those that inform.
    #[must_use]
    pub fn kind(&self, name: &Name) -> Option<LocalZoneKind> {
        self.zone(name.as_wire()).map(|zone| zone.kind)
    }

    /// What local zones say of a question.
    #[must_use]
    pub fn answer(&self, question: &Question) -> LocalOutcome {
        match question.class {
            // What is local is of one class, which any class holds.
            Class::IN | Class::ANY => {}
            Class::CH => return self.identity.answer(question),
            _ => {
                let error = Some(ExtendedError::NOT_SUPPORTED);
                return LocalOutcome::bare(ResponseCode::REFUSED, error);
            }
        }
        let mut aliases = Vec::new();
        let mut name = question.name.clone();
        loop {
            let outcome = self.answer_name(&name, question.record_type);
            let alias = match &outcome {
                LocalOutcome::Answer(answer) if question.record_type != RecordType::CNAME => {
                    alias_of(answer)
                }
                _ => None,
            };
            let Some((set, target)) = alias else {
                return join(aliases, name, outcome);
            };
            aliases.push(set);
            name = target;
            if aliases.len() > ALIASES_MAX {
                return LocalOutcome::bare(ResponseCode::SERVFAIL, None);
            }
        }
    }

    fn answer_name(&self, name: &Name, record_type: RecordType) -> LocalOutcome {
        // The DS RRset of a zone lies above it (RFC 4035, 2.4).
        let parent = (record_type == RecordType::DS)
            .then(|| name.parent())
            .flatten();
        let from = parent.as_ref().unwrap_or(name);
        let Some(zone) = self.zone(from.as_wire()) else {
            return LocalOutcome::Resolve;
        };
        zone.answer(name, record_type)
    }
}

/// The alias that an answer consists of, and where it leads.
fn alias_of(answer: &Answer) -> Option<(Arc<Rrset>, Name)> {
    let [set] = answer.answer.as_slice() else {
        return None;
    };
    if set.record_type != RecordType::CNAME {
        return None;
    }
    Some((Arc::clone(set), target(set.rdata.iter().next()?)?))
}

/// Puts aliases before what is said of the name that they lead to.
fn join(mut aliases: Vec<Arc<Rrset>>, name: Name, outcome: LocalOutcome) -> LocalOutcome {
    let Some(least) = aliases.iter().map(|set| set.ttl).min() else {
        return outcome;
    };
    match outcome {
        LocalOutcome::Answer(mut answer) => {
            aliases.append(&mut answer.answer);
            answer.answer = aliases;
            answer.ttl = answer.ttl.min(least);
            LocalOutcome::Answer(answer)
        }
        LocalOutcome::Resolve => LocalOutcome::Follow {
            answer: Answer {
                security: Security::Insecure,
                answer: aliases,
                ttl: least,
                ..Answer::empty(ResponseCode::NOERROR, None)
            },
            target: name,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rrset::RdataList;
    use crate::settings::{LocalZone, Upstream, UpstreamZone};

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    fn set(owner: &str, record_type: RecordType, rdata: &[u8]) -> Arc<Rrset> {
        let rdata = RdataList::new([rdata]);
        Arc::new(Rrset::unsigned(name(owner), record_type, 60, rdata))
    }

    fn zones(list: Vec<(&str, LocalZoneKind, Vec<Arc<Rrset>>)>) -> LocalZones {
        let mut settings = Settings::default();
        settings.resolution.local_zones = list
            .into_iter()
            .map(|(zone, kind, records)| LocalZone {
                name: name(zone),
                kind,
                records,
            })
            .collect();
        LocalZones::new(&settings)
    }

    fn ask(zones: &LocalZones, text: &str, record_type: RecordType) -> LocalOutcome {
        zones.answer(&Question {
            name: name(text),
            record_type,
            class: Class::IN,
        })
    }

    /// The outcome in one word: a response code with the number of records, or what else it is.
    fn brief(outcome: &LocalOutcome) -> String {
        match outcome {
            LocalOutcome::Resolve => "resolve".to_owned(),
            LocalOutcome::Deny => "deny".to_owned(),
            LocalOutcome::Follow { answer, target } => {
                format!("{} then {target}", answer.answer.len())
            }
            LocalOutcome::Answer(answer) => {
                format!("{} {}", answer.rcode.0, answer.answer.len())
            }
        }
    }

    #[test]
    fn every_kind_answers_as_documented() {
        use LocalZoneKind as Kind;
        // Of each kind: for a record that is there, its name with another type, the empty name above, none.
        let table = [
            (Kind::Static, ["0 1", "0 0", "0 0", "3 0"]),
            (Kind::Redirect, ["0 1", "0 0", "0 1", "0 1"]),
            (Kind::Transparent, ["0 1", "0 0", "resolve", "resolve"]),
            (
                Kind::TypeTransparent,
                ["0 1", "resolve", "resolve", "resolve"],
            ),
            (Kind::Refuse, ["0 1", "5 0", "5 0", "5 0"]),
            (Kind::Deny, ["0 1", "deny", "deny", "deny"]),
            (Kind::AlwaysNxdomain, ["3 0", "3 0", "3 0", "3 0"]),
            (Kind::AlwaysNodata, ["0 0", "0 0", "0 0", "0 0"]),
            (Kind::AlwaysNull, ["0 1", "0 0", "0 1", "0 1"]),
            (Kind::AlwaysRefuse, ["5 0", "5 0", "5 0", "5 0"]),
            (
                Kind::AlwaysTransparent,
                ["resolve", "resolve", "resolve", "resolve"],
            ),
            (
                Kind::NoDefault,
                ["resolve", "resolve", "resolve", "resolve"],
            ),
            (Kind::Inform, ["0 1", "0 0", "resolve", "resolve"]),
            (Kind::InformDeny, ["deny", "deny", "deny", "deny"]),
            (Kind::BlockA, ["0 0", "resolve", "0 0", "0 0"]),
            (Kind::BlockAaaa, ["0 1", "resolve", "resolve", "resolve"]),
            (Kind::BlockAWithData, ["0 1", "0 0", "0 0", "0 0"]),
            (
                Kind::BlockAaaaWithData,
                ["0 1", "0 0", "resolve", "resolve"],
            ),
        ];
        for (kind, expected) in table {
            let mut records = vec![set("a.b.z", RecordType::A, &[1, 2, 3, 4])];
            if kind == Kind::Redirect {
                records.push(set("z", RecordType::A, &[1, 2, 3, 4]));
            }
            let zones = zones(vec![("z", kind, records)]);
            let asked = [
                ("a.b.z", RecordType::A),
                ("a.b.z", RecordType::MX),
                ("b.z", RecordType::A),
                ("c.z", RecordType::A),
            ];
            for ((text, record_type), expected) in asked.into_iter().zip(expected) {
                let outcome = ask(&zones, text, record_type);
                assert_eq!(brief(&outcome), expected, "{kind:?} {text} {record_type}");
                let concerned = zones.concern(name(text).as_wire(), Class::IN);
                assert!(concerned || expected == "resolve");
            }
        }
    }

    #[test]
    fn special_use_names_stay_here() {
        let zones = zones(Vec::new());
        for (text, record_type, expected) in [
            ("localhost", RecordType::A, "0 1"),
            ("a.localhost", RecordType::AAAA, "0 1"),
            ("localhost", RecordType::MX, "0 0"),
            ("1.0.0.127.in-addr.arpa", RecordType::PTR, "0 1"),
            ("9.9.168.192.in-addr.arpa", RecordType::PTR, "3 0"),
            ("1.31.172.in-addr.arpa", RecordType::PTR, "3 0"),
            ("1.32.172.in-addr.arpa", RecordType::PTR, "resolve"),
            ("1.127.100.in-addr.arpa", RecordType::PTR, "3 0"),
            ("1.d.f.ip6.arpa", RecordType::PTR, "3 0"),
            ("x.onion", RecordType::A, "3 0"),
            ("x.test", RecordType::A, "3 0"),
            ("x.alt", RecordType::A, "3 0"),
            ("home.arpa", RecordType::SOA, "0 1"),
            ("home.arpa", RecordType::DS, "resolve"),
            ("example.com", RecordType::A, "resolve"),
        ] {
            assert_eq!(brief(&ask(&zones, text, record_type)), expected, "{text}");
        }
        let LocalOutcome::Answer(answer) = ask(&zones, "x.test", RecordType::A) else {
            panic!("not answered");
        };
        assert_eq!(answer.authority[0].record_type, RecordType::SOA);
        assert!(answer.authoritative);
    }

    #[test]
    fn the_most_specific_zone_decides() {
        let mut settings = Settings::default();
        settings.resolution.stub_zones = ["corp.test", "home.arpa", "."]
            .map(|zone| {
                UpstreamZone::new(
                    name(zone),
                    vec![Upstream::udp(([127, 0, 0, 1], 53).into())],
                    false,
                )
            })
            .to_vec();
        let zones = LocalZones::new(&settings);
        assert_eq!(brief(&ask(&zones, "a.corp.test", RecordType::A)), "resolve");
        assert_eq!(brief(&ask(&zones, "a.home.arpa", RecordType::A)), "resolve");
        assert_eq!(brief(&ask(&zones, "a.test", RecordType::A)), "3 0");
        assert_eq!(brief(&ask(&zones, "a.example", RecordType::A)), "resolve");
        settings.resolution.builtin_local_zones = false;
        let zones = LocalZones::new(&settings);
        assert_eq!(brief(&ask(&zones, "a.test", RecordType::A)), "resolve");
    }

    #[test]
    fn aliases_are_followed() {
        let alias = |owner, target: &str| set(owner, RecordType::CNAME, name(target).as_wire());
        let zones = zones(vec![(
            "z",
            LocalZoneKind::Static,
            vec![
                alias("a.z", "b.z"),
                set("b.z", RecordType::A, &[1, 2, 3, 4]),
                alias("out.z", "example.com"),
                alias("loop.z", "loop.z"),
                alias("gone.z", "nowhere.z"),
            ],
        )]);
        for (text, record_type, expected) in [
            ("a.z", RecordType::A, "0 2"),
            ("a.z", RecordType::CNAME, "0 1"),
            ("a.z", RecordType::TXT, "0 1"),
            ("out.z", RecordType::A, "1 then example.com."),
            ("loop.z", RecordType::A, "2 0"),
            ("gone.z", RecordType::A, "3 1"),
        ] {
            assert_eq!(
                brief(&ask(&zones, text, record_type)),
                expected,
                "{text} {record_type}"
            );
        }
    }

    #[test]
    fn the_cache_answers_in_a_transparent_zone_without_records() {
        let concern = |kind, records| {
            zones(vec![("test", kind, records)]).concern(b"\x01a\x04test\x00", Class::IN)
        };
        assert!(!concern(LocalZoneKind::Transparent, vec![]));
        let records = vec![set("b.test", RecordType::A, &[192, 0, 2, 1])];
        assert!(concern(LocalZoneKind::Transparent, records));
        assert!(concern(LocalZoneKind::Static, vec![]));
    }

    #[test]
    fn identity_is_told_only_when_given() {
        let mut settings = Settings::default();
        let ask = |settings: &Settings, text, class| {
            let question = Question {
                name: name(text),
                record_type: RecordType::TXT,
                class,
            };
            brief(&LocalZones::new(settings).answer(&question))
        };
        assert_eq!(ask(&settings, "version.bind", Class::CH), "5 0");
        settings.responses.identity = Some("weir".to_owned());
        assert_eq!(ask(&settings, "version.bind", Class::CH), "5 0");
        assert_eq!(ask(&settings, "id.server", Class::CH), "0 1");
        settings.responses.version = Some("1".to_owned());
        assert_eq!(ask(&settings, "version.bind", Class::CH), "0 1");
        assert_eq!(ask(&settings, "other", Class::CH), "5 0");
        assert_eq!(ask(&settings, "example.com", Class(4)), "5 0");
    }
}
