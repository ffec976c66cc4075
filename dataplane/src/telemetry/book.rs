//! book
use super::record::Record;
use crate::clock::Clock;
/// x
pub async fn keep(
    mut r: tokio::sync::mpsc::Receiver<Record>,
    _t: tokio::sync::watch::Receiver<Option<weir_config::telemetry::Traces>>,
    _c: Clock,
) {
    while r.recv().await.is_some() {}
}
