//! Tests that run on one thread.
//!
//! Owns how a test's future and the tasks that it spawns locally are run, and how long something is waited for.
//! Opens no socket.

use std::time::{Duration, Instant};

use tokio::time::sleep;

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Runs a future, and what it spawns locally, on this thread until it ends.
///
/// # Errors
/// The system gives no runtime.
pub fn block_on<T>(future: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(tokio::task::LocalSet::new().block_on(&runtime, future))
}

/// Waits until a condition holds.
///
/// # Panics
/// When it does not within `patience`; says `what` was waited for.
pub async fn until(what: &str, patience: Duration, condition: impl AsyncFn() -> bool) {
    let by = Instant::now() + patience;
    while !condition().await {
        assert!(Instant::now() < by, "not in time: {what}");
        sleep(INTERVAL).await;
    }
}
