//! The clocks of the process, read here and handed to the core as values.
//!
//! Every worker counts from the same origin, because answers in the shared cache carry points of
//! this clock.

use std::time::{Duration, Instant as SystemInstant, SystemTime};

use weir_resolver::time::{Instant, Now, UnixTime};

/// The origin that the whole process counts from. Copied into every worker.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: SystemInstant,
}

impl Clock {
    /// A clock whose origin is now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: SystemInstant::now(),
        }
    }

    /// What time it is.
    #[must_use]
    pub fn now(self) -> Now {
        self.now_at(SystemInstant::now())
    }

    /// What time it is, for who has read the monotonic clock already.
    #[must_use]
    pub fn now_at(self, now: SystemInstant) -> Now {
        let unix = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            instant: self.instant(now),
            unix: UnixTime(unix.as_secs()),
        }
    }

    /// The core's name for a point of the system's monotonic clock.
    #[must_use]
    pub fn instant(self, at: SystemInstant) -> Instant {
        let elapsed = at.saturating_duration_since(self.origin).as_nanos();
        Instant::from_nanoseconds(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// The system's name for a point of the core's clock.
    #[must_use]
    pub fn system(self, at: Instant) -> SystemInstant {
        let elapsed = Duration::from_nanos(at.nanoseconds());
        self.origin.checked_add(elapsed).unwrap_or(self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_mean_one_point() {
        let clock = Clock::start();
        let now = clock.now();
        assert_eq!(clock.instant(clock.system(now.instant)), now.instant);
        assert!(now.unix.0 > 1_700_000_000);
    }
}
