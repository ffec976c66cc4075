//! Everything that the shell may replace at run time, as one value.
//!
//! Plain data, already parsed: a `Settings` cannot hold a wrong value that a later step would have to
//! report. The shell translates the `DataplaneConfig` document into it, a replay its own file, the
//! simulator a seed. Names follow the `Resolver` resource.

mod access;
mod cache;
mod dnssec;
mod mesh;
mod prefix;
mod resolution;
mod responses;
mod zone;

use crate::limits::Limits;

pub use access::{AccessAction, AccessRule};
pub use cache::{CacheSettings, ServeStale};
pub use dnssec::{DateOverride, DnssecMode, DnssecSettings, NegativeTrustAnchor, TrustAnchor};
pub use mesh::{MeshSettings, OnStreamReset};
pub use prefix::Prefix;
pub use resolution::{BudgetSettings, QnameMinimisation, RateLimits, ResolutionSettings};
pub use responses::ResponseSettings;
pub use zone::{Hint, LocalZone, LocalZoneKind, Upstream, UpstreamZone};

/// The whole.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Counts replacements; part of `QuestionKey`.
    pub epoch: u32,
    /// Bounds that no operator changes.
    pub limits: Limits,
    /// The table of questions being resolved.
    pub mesh: MeshSettings,
    /// Where answers come from.
    pub resolution: ResolutionSettings,
    /// DNSSEC.
    pub dnssec: DnssecSettings,
    /// How long answers are kept, and when stale ones are served.
    pub cache: CacheSettings,
    /// Who may ask; the most specific prefix decides, and with no entry at all everybody may.
    pub access_control: Vec<AccessRule>,
    /// How answers are dressed.
    pub responses: ResponseSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            epoch: 0,
            limits: Limits::DEFAULT,
            mesh: MeshSettings::default(),
            resolution: ResolutionSettings::default(),
            dnssec: DnssecSettings::default(),
            cache: CacheSettings::default(),
            access_control: Vec::new(),
            responses: ResponseSettings::default(),
        }
    }
}
