//! What is live in this process, and which pushes led there.
//!
//! Owns the document, its settings, the tracked trust anchors, and the memory of what was pushed. Tells nobody.

use std::path::Path;
use std::sync::Arc;

use weir_config::DataplaneConfig;
use weir_resolver::rules::Rules;
use weir_resolver::settings::TrustAnchor;

use crate::anchors::Anchors;

/// Revisions and certificates that were pushed and are remembered, so that a file that lags behind
/// a push does not bring back what the push replaced.
const PUSHED_MAX: usize = 64;

/// What is live.
pub(crate) struct Live {
    /// As it was read, without the overrides of the command line.
    pub(crate) config: DataplaneConfig,
    pub(crate) settings: Arc<Rules>,
    /// Revisions of documents and fingerprints of certificates, the latest last.
    pushed: Vec<String>,
    /// The tracked trust anchors; none when they are fixed.
    pub(crate) anchors: Option<Anchors>,
}

impl Live {
    /// Nothing was pushed yet.
    pub(crate) const fn new(config: DataplaneConfig, settings: Arc<Rules>) -> Self {
        Self {
            config,
            settings,
            pushed: Vec::new(),
            anchors: None,
        }
    }

    /// Remembers a revision or a fingerprint that was pushed.
    pub(crate) fn remember(&mut self, pushed: String) {
        self.pushed.retain(|known| *known != pushed);
        if self.pushed.len() >= PUSHED_MAX {
            self.pushed.remove(0);
        }
        self.pushed.push(pushed);
    }

    /// Whether pushes have gone past what a file holds: both that and what is live were pushed.
    pub(crate) fn is_past(&self, current: &str, in_file: &str) -> bool {
        let is_known = |each: &str| self.pushed.iter().any(|known| known == each);
        is_known(current) && is_known(in_file)
    }

    /// The trust anchors in force: the configured ones, or what tracking made of them, whose state lies in `folder`.
    pub(crate) fn in_force(
        &mut self,
        configured: Vec<TrustAnchor>,
        is_tracking: bool,
        folder: &Path,
    ) -> Vec<TrustAnchor> {
        if !is_tracking {
            self.anchors = None;
            return configured;
        }
        let anchors = self
            .anchors
            .get_or_insert_with(|| Anchors::open(configured.clone(), folder));
        anchors.replace(configured);
        anchors.in_force()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_behind_a_push_is_known() {
        let mut live = Live::new(DataplaneConfig::default(), Arc::default());
        live.remember("one".to_owned());
        assert!(!live.is_past("one", "two"), "the file is new");
        live.remember("two".to_owned());
        assert!(live.is_past("two", "one"));
        for number in 0..PUSHED_MAX {
            live.remember(number.to_string());
        }
        assert!(!live.is_past("63", "two"), "no more than so many are kept");
        assert!(live.is_past("63", "0"));
    }
}
