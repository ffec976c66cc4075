//! The time, taken in one place so that pure code is handed it.

use jiff::Timestamp;
use weir_config::unit::instant::UnixSeconds;

/// The time now, in whole seconds.
#[must_use]
pub fn now() -> UnixSeconds {
    UnixSeconds(u64::try_from(Timestamp::now().as_second()).unwrap_or_default())
}

/// The same moment as Kubernetes writes it.
#[must_use]
pub fn timestamp(time: UnixSeconds) -> Timestamp {
    i64::try_from(time.0)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or_default()
}
