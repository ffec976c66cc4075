//! Whether and how answers are validated.
//!
//! Owns the translation of `dnssec`, trust anchors among it.

use weir_config::DataplaneConfig;
use weir_config::dnssec::{DnssecMode as ConfigMode, TrustAnchors};
use weir_resolver::name::Name;
use weir_resolver::settings::{DnssecMode, DnssecSettings, NegativeTrustAnchor};
use weir_resolver::time::UnixTime;
use weir_resolver::trust_anchor;

use crate::settings::fault::Faults;
use crate::settings::record;
use crate::settings::value::clamp;

pub(crate) fn dnssec(
    config: &DataplaneConfig,
    defaults: DnssecSettings,
    faults: &mut Faults,
) -> DnssecSettings {
    let from = &config.dnssec;
    let trust_anchors = match &from.trust_anchors {
        TrustAnchors::BuiltIn(_) => vec![trust_anchor::builtin_root()],
        TrustAnchors::Records(records) => {
            let mut anchors = Vec::new();
            for (index, text) in records.iter().enumerate() {
                match record::parse(text, &Name::root()) {
                    Ok(found) => record::anchor(&mut anchors, found),
                    Err(fault) => {
                        let field = format!("dnssec.trustAnchors.records[{index}]");
                        faults.add(field, fault.to_string());
                    }
                }
            }
            anchors
        }
    };
    let negative = |(index, anchor): (usize, &weir_config::dnssec::NegativeTrustAnchor)| {
        let field = || format!("dnssec.negativeTrustAnchors[{index}].name");
        NegativeTrustAnchor {
            name: faults.name(field, &anchor.name),
            expires_at: anchor.expires_at.map(|end| UnixTime(end.0)),
        }
    };
    DnssecSettings {
        mode: match from.mode {
            ConfigMode::Validate => DnssecMode::Validate,
            ConfigMode::Off => DnssecMode::Off,
        },
        trust_anchors,
        negative_trust_anchors: from
            .negative_trust_anchors
            .iter()
            .enumerate()
            .map(negative)
            .collect(),
        aggressive_nsec: from.aggressive_nsec,
        signatures_per_query: clamp(from.limits.signatures_per_query),
        nsec3_iterations: clamp(from.limits.nsec3_iterations),
        ..defaults
    }
}
