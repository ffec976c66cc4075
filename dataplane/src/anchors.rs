//! `Anchors`: the tracked trust anchors of the process (RFC 5011) and the file that outlives it.
//!
//! Owns reading and writing of the state file. What a probe means is decided by `weir_resolver::tracking`;
//! probes are sent by the first worker.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use weir_resolver::answer::Answer;
use weir_resolver::name::Name;
use weir_resolver::random::Random;
use weir_resolver::settings::{Settings, TrustAnchor};
use weir_resolver::time::Now;
use weir_resolver::tracking::key::KeyState;
use weir_resolver::tracking::zone::Probed;
use weir_resolver::tracking::{Observed, Tracking};

use crate::entropy;

/// The state file, in the folder of the process.
const FILE: &str = "trust-anchors.state";

/// The tracked trust anchors and where their state is kept.
#[derive(Debug)]
pub struct Anchors {
    tracking: Tracking,
    file: PathBuf,
    /// What the file holds.
    written: String,
}

impl Anchors {
    /// Takes up the state in `folder`, if there is one that can be read.
    #[must_use]
    pub fn open(configured: Vec<TrustAnchor>, folder: &Path) -> Self {
        let file = folder.join(FILE);
        let mut tracking = Tracking::new(configured, Random::from_seed(entropy::seed()));
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        if !written.is_empty()
            && let Err(fault) = tracking.restore(&written)
        {
            tracing::warn!(file = %file.display(), %fault, "the state of the trust anchors is left");
        }
        Self {
            tracking,
            file,
            written,
        }
    }

    /// Goes by these configured anchors from now on.
    pub fn replace(&mut self, configured: Vec<TrustAnchor>) {
        self.tracking.replace(configured);
    }

    /// The anchors in force.
    #[must_use]
    pub fn in_force(&self) -> Vec<TrustAnchor> {
        self.tracking.anchors()
    }

    /// The zones to be probed now.
    pub fn due(&mut self, now: Now) -> Vec<Name> {
        self.tracking.due(now)
    }

    /// Takes the answer to a probe into account and keeps the state.
    pub fn observe(
        &mut self,
        zone: &Name,
        answer: &Answer,
        settings: &Settings,
        now: Now,
    ) -> Option<Observed> {
        let observed = self.tracking.observe(zone, answer, settings, now)?;
        match observed.probed {
            Probed::Verified => tracing::debug!(%zone, "trust anchors probed"),
            Probed::Failed => tracing::warn!(%zone, "a probe of the trust anchors failed"),
            Probed::Deleted => {
                tracing::error!(%zone, "all trust anchors of the zone are revoked; it counts as insecure");
            }
        }
        if observed.anchors_changed {
            tracing::info!(%zone, "the trust anchors in force changed");
        }
        self.keep();
        Some(observed)
    }

    fn keep(&mut self) {
        let state = self.tracking.state();
        if state == self.written {
            return;
        }
        match write_whole(&self.file, &state) {
            Ok(()) => self.written = state,
            Err(error) => {
                tracing::warn!(file = %self.file.display(), %error, "the state of the trust anchors is not kept");
            }
        }
    }

    /// How many keys are in each state, in the order of `KeyState::ALL`.
    #[must_use]
    pub fn counts(&self) -> [u64; 4] {
        KeyState::ALL.map(|state| {
            let zones = self.tracking.zones().iter();
            let keys = zones.flat_map(|zone| &zone.keys);
            keys.filter(|key| key.state == state).count() as u64
        })
    }

    /// What `/state` shows.
    #[must_use]
    pub fn describe(&self) -> serde_json::Value {
        let zones = self.tracking.zones().iter().map(|zone| {
            let keys = zone.keys.iter().map(|key| {
                serde_json::json!({
                    "keyTag": weir_resolver::rdata::key_tag(&key.rdata),
                    "state": key.state.label(),
                    "since": key.since,
                })
            });
            serde_json::json!({
                "zone": zone.name.to_string(),
                "lastSuccess": zone.last_success,
                "failedProbes": zone.failed,
                "nextProbe": (zone.next_probe != u64::MAX).then_some(zone.next_probe),
                "keys": keys.collect::<Vec<_>>(),
            })
        });
        zones.collect()
    }
}

/// Writes a file so that it is there as a whole or as it was.
fn write_whole(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let fresh = file.with_extension("state.new");
    let mut out = std::fs::File::create(&fresh)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(&fresh, file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use weir_resolver::answer::ResponseCode;
    use weir_resolver::time::{Instant, UnixTime};
    use weir_resolver::trust_anchor::builtin_root;

    #[test]
    fn the_state_outlives_the_process_and_a_broken_file_is_left() {
        let folder = std::env::temp_dir().join(format!("weir-anchors-{}", std::process::id()));
        let mut anchors = Anchors::open(vec![builtin_root()], &folder);
        let now = Now {
            instant: Instant::ORIGIN,
            unix: UnixTime(1_800_000_000),
        };
        assert_eq!(anchors.due(now), [Name::root()]);
        assert!(anchors.due(now).is_empty());
        let answer = Answer::empty(ResponseCode::SERVFAIL, None);
        let settings = Settings::default();
        let observed = anchors.observe(&Name::root(), &answer, &settings, now);
        let failed = Observed {
            probed: Probed::Failed,
            anchors_changed: false,
        };
        assert_eq!(observed, Some(failed));
        let mut again = Anchors::open(vec![builtin_root()], &folder);
        assert!(
            again.due(now).is_empty(),
            "a probe is not repeated after a start"
        );
        assert_eq!(again.in_force(), [builtin_root()]);
        assert_eq!(again.describe()[0]["failedProbes"], 1);
        std::fs::write(folder.join(FILE), "; other\n").unwrap();
        let mut afresh = Anchors::open(vec![builtin_root()], &folder);
        assert_eq!(afresh.due(now), [Name::root()]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
