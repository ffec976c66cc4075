//! The settings in force, with what follows from them.
//!
//! Owns that this is worked out once for a process, however many meshes and workers go by it: thousands of local
//! zones take time and memory.

use std::ops::Deref;

use crate::local::LocalZones;
use crate::settings::Settings;

/// Settings that are in force. Never changes: other settings are other rules.
#[derive(Debug)]
pub struct Rules {
    settings: Settings,
    local: LocalZones,
}

impl Rules {
    /// The rules that follow from these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            local: LocalZones::new(&settings),
            settings,
        }
    }

    /// The local zones.
    #[must_use]
    pub const fn local(&self) -> &LocalZones {
        &self.local
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl Deref for Rules {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}
