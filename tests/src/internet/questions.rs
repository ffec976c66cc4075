//! What is asked: names that exist and names that do not, of every kind that the zones have.
//!
//! Owns the choice, which follows from a seed.

use weir_resolver::name::Name;
use weir_resolver::random::Random;
use weir_resolver::rrset::RecordType;

use crate::internet::plan::{TOP_ZONES, low_name};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// The name.
    pub name: String,
    /// The type.
    pub record_type: RecordType,
}

const LABELS: [&str; 40] = [
    "",
    "",
    "www.",
    "www.",
    "www.",
    "mail.",
    "big.",
    "a.b.ent.",
    "b.ent.",
    "ent.",
    "x.ent.",
    "foo.wild.",
    "bar.foo.wild.",
    "host.wild.",
    "x.host.wild.",
    "wild.",
    "*.wild.",
    "foo.wc.",
    "wc.",
    "alias.",
    "chain.",
    "out.",
    "far.",
    "dangling.",
    "loop.",
    "www.dn.",
    "x.y.dn.",
    "alias.dn.",
    "dn.",
    "dwild.",
    "mixed.",
    "srv.",
    "unsigned.",
    "www.unsigned.",
    "www.child.",
    "x.w.child.",
    "nope.child.",
    "a.b.dsub.",
    "x.dsub.",
    "ns0.",
];

const TYPES: [RecordType; 14] = [
    RecordType::A,
    RecordType::A,
    RecordType::A,
    RecordType::AAAA,
    RecordType::AAAA,
    RecordType::MX,
    RecordType::TXT,
    RecordType::NS,
    RecordType::SOA,
    RecordType::DS,
    RecordType::DNSKEY,
    RecordType::CNAME,
    RecordType::SRV,
    RecordType(257),
];

/// So many questions.
#[must_use]
pub fn questions(count: usize, zones: usize, seed: u64) -> Vec<Question> {
    let mut random = Random::from_seed([seed, 0x1ee7]);
    let mut pick = |bound: usize| random.below(bound);
    (0..count)
        .map(|_| {
            let record_type = TYPES[pick(TYPES.len())];
            let name = match pick(20) {
                0 => format!("nx{}.{}.", pick(1000), TOP_ZONES[pick(TOP_ZONES.len())]),
                1 => format!("{}.", TOP_ZONES[pick(TOP_ZONES.len())]),
                2 if pick(4) == 0 => format!("nx{}.", pick(100)),
                2..=4 => format!("nx{}.{}.", pick(100), low_name(pick(zones))),
                _ => format!("{}{}.", LABELS[pick(LABELS.len())], low_name(pick(zones))),
            };
            Question { name, record_type }
        })
        .collect()
}

impl Question {
    /// The query: RD, AD and DO set, EDNS size 1232.
    ///
    /// # Panics
    /// Never: the names of the plan are names.
    #[must_use]
    pub fn query(&self, id: u16) -> Vec<u8> {
        let mut query = id.to_be_bytes().to_vec();
        query.extend([0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 1]);
        let name = Name::from_text(&self.name).unwrap_or_else(|_| Name::root());
        query.extend_from_slice(name.as_wire());
        query.extend(self.record_type.0.to_be_bytes());
        query.extend([0, 1]);
        query.extend([0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]);
        query
    }
}
