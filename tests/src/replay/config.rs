//! What a scenario's configuration comes to: `Settings` of the core, and all that has no counterpart.

use std::collections::BTreeSet;
use std::time::Duration;

use weir_resolver::name::Name;
use weir_resolver::rrset::{RdataList, RecordType, Rrset};
use weir_resolver::settings::{Settings, TrustAnchor};
use weir_resolver::time::UnixTime;

use crate::replay::config_text::AnchorFile;
use crate::replay::record::{Defaults, Record, parse_record};
use crate::replay::token::{TextError, wrong};

/// The configuration of one run.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the core is given.
    pub settings: Settings,
    /// The calendar clock at the start.
    pub start: UnixTime,
    /// Trust anchor files.
    pub anchor_files: Vec<AnchorFile>,
    /// Options that are known and have no counterpart in Weir, with their values.
    pub without_counterpart: BTreeSet<String>,
    /// Options that nobody knows.
    pub unknown: BTreeSet<String>,
    /// The feature outside Weir's aim that the scenario needs, if any: then it is not run.
    pub outside: Option<String>,
}

impl Config {
    /// The configuration that both corpora ask for where a file says nothing: no priming, no random
    /// case, no padding, and no bound of Weir's own that a jump of the clock could reach.
    #[must_use]
    pub fn new() -> Self {
        let mut settings = Settings::default();
        settings.mesh.total_time = Duration::from_secs(10_000_000_000);
        settings.limits.fetch_grace = Duration::from_secs(10_000_000_000);
        settings.resolution.prime_root = false;
        settings.resolution.case_randomisation = false;
        settings.resolution.upstream_cookies = false;
        settings.responses.minimal_any = false;
        settings.cache.serve_stale = None;
        settings.cache.prefetch_percent = None;
        settings.cache.size = 64 << 20;
        settings.responses.padding_block_size = 0;
        settings.responses.minimal_any = false;
        // The corpora hold a zone whose SHA-1 digest is to count beside a wrong one of SHA-256.
        settings.dnssec.ignore_sha1_digests = false;
        settings.responses.extended_errors = false;
        Self {
            settings,
            start: UnixTime(0),
            anchor_files: Vec::new(),
            without_counterpart: BTreeSet::new(),
            unknown: BTreeSet::new(),
            outside: None,
        }
    }

    /// Adds a trust anchor given as the text of a DS or DNSKEY record.
    ///
    /// # Errors
    /// When it is neither.
    pub fn add_trust_anchor(&mut self, text: &str) -> Result<(), TextError> {
        let record = parse_record(text, &Defaults::default())?;
        let zone = domain(&record.owner)?;
        let anchors = &mut self.settings.dnssec.trust_anchors;
        let at = anchors.iter().position(|anchor| anchor.zone == zone);
        let mut anchor = match at {
            Some(at) => anchors.remove(at),
            None => TrustAnchor {
                zone,
                ds: RdataList::default(),
                dnskey: RdataList::default(),
            },
        };
        let list = match record.record_type {
            RecordType::DS => &mut anchor.ds,
            RecordType::DNSKEY => &mut anchor.dnskey,
            other => return wrong(format!("a trust anchor is DS or DNSKEY, not {other}")),
        };
        *list = RdataList::new(list.iter().chain([record.data.as_slice()]));
        anchors.push(anchor);
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

/// A name of the core from wire octets.
pub(crate) fn domain(wire: &[u8]) -> Result<Name, TextError> {
    Name::from_wire(wire).or_else(|error| wrong(error.to_string()))
}

/// A name of the core from text.
pub(crate) fn domain_from_text(text: &str) -> Result<Name, TextError> {
    Name::from_text(text).or_else(|error| wrong(format!("{text}: {error}")))
}

/// `yes` or `no`, or the other spellings of a boolean.
pub(crate) fn is_yes(text: &str) -> bool {
    matches!(text.trim(), "yes" | "true" | "on" | "1")
}

/// Adds a record to the RRsets of a zone.
pub(crate) fn add_record(
    rrsets: &mut Vec<std::sync::Arc<Rrset>>,
    record: &Record,
) -> Result<(), TextError> {
    let owner = domain(&record.owner)?;
    let at = rrsets.iter().position(|rrset| {
        rrset.owner == owner
            && rrset.record_type == record.record_type
            && rrset.class == record.class
    });
    let mut rrset = match at {
        Some(at) => rrsets.remove(at).as_ref().clone(),
        None => Rrset {
            owner,
            record_type: record.record_type,
            class: record.class,
            ttl: record.ttl,
            rdata: RdataList::default(),
            signatures: RdataList::default(),
        },
    };
    rrset.rdata = RdataList::new(rrset.rdata.iter().chain([record.data.as_slice()]));
    rrsets.push(std::sync::Arc::new(rrset));
    Ok(())
}
