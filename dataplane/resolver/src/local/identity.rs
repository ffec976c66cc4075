//! What is told of the server itself: names of class CH (RFC 4892).
//!
//! Owns the four names that ask for it and their answers. Tells nothing that the settings do not give.

use std::sync::Arc;

use crate::answer::{Answer, ResponseCode};
use crate::local::outcome::LocalOutcome;
use crate::question::Question;
use crate::rrset::{Class, RdataList, RecordType, Rrset};
use crate::settings::Settings;

/// Octets of one character string (RFC 1035, 3.3).
const STRING_MAX: usize = 255;

/// The names that ask for the server's identity and for its version.
const NAMES: [[&[u8]; 2]; 2] = [
    [b"\x02id\x06server\x00", b"\x08hostname\x04bind\x00"],
    [b"\x07version\x06server\x00", b"\x07version\x04bind\x00"],
];

/// What is told of the server and of its version.
#[derive(Debug)]
pub(crate) struct Identity {
    told: [Option<String>; 2],
}

impl Identity {
    /// What these settings tell.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            told: [
                settings.responses.identity.clone(),
                settings.responses.version.clone(),
            ],
        }
    }

    /// Answers a question of class CH: REFUSED unless the settings say what is told.
    pub(crate) fn answer(&self, question: &Question) -> LocalOutcome {
        let mut told = NAMES.iter().zip(&self.told);
        let known = told.find(|(names, _)| names.contains(&question.name.as_wire()));
        let is_text = matches!(question.record_type, RecordType::TXT | RecordType::ANY);
        let Some(identity) = known.and_then(|(_, text)| text.as_deref()) else {
            return LocalOutcome::bare(ResponseCode::REFUSED, None);
        };
        if !is_text {
            return without_authority(Vec::new());
        }
        let text = identity.as_bytes();
        let text = text.get(..text.len().min(STRING_MAX)).unwrap_or_default();
        let mut rdata = vec![text.len() as u8];
        rdata.extend_from_slice(text);
        let (owner, rdata) = (question.name.clone(), RdataList::new([rdata.as_slice()]));
        without_authority(vec![Arc::new(Rrset {
            class: Class::CH,
            ..Rrset::unsigned(owner, RecordType::TXT, 0, rdata)
        })])
    }
}

/// What the server says of itself; there is no zone that it were an authority for.
fn without_authority(sets: Vec<Arc<Rrset>>) -> LocalOutcome {
    match LocalOutcome::data(sets) {
        LocalOutcome::Answer(answer) => LocalOutcome::Answer(Answer {
            authoritative: false,
            ..answer
        }),
        other => other,
    }
}
