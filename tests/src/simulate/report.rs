//! What a run of the simulator came to.
//!
//! Owns `Report`, and what names the invariants that a fault broke. Never decides what holds.

use std::collections::BTreeSet;
use std::time::Duration;

use weir_resolver::mesh::Mesh;
use weir_resolver::settings::Settings;

use crate::simulate::model::{Fault, Model};
use crate::simulate::plot::Plot;

/// What one run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Events given to the mesh.
    pub events: u64,
    /// Virtual time that passed.
    pub simulated: Duration,
    /// The hash of everything that happened.
    pub trace_hash: u64,
    /// What did not hold, and after how many events.
    pub violation: Option<(u64, Fault, &'static str)>,
    /// The invariants of `docs/src/mesh.md` that did not hold then.
    pub broken: BTreeSet<&'static str>,
    /// Answers that streams got.
    pub answers: u64,
    /// Streams that were refused.
    pub refusals: u64,
}

/// The names of the invariants that a mesh breaks, and of those that the model's fault begins with (`B1, B3: ..`).
#[must_use]
pub fn broken(
    fault: Fault,
    mesh: &Mesh<Plot>,
    model: &mut Model,
    settings: &Settings,
) -> BTreeSet<&'static str> {
    // The mesh is checked before the model: what it finds must not hide what the model would.
    let also = model.compare(settings, &mesh.gauges()).err();
    let said = [Some(fault), also].into_iter().flatten();
    let said = said.filter_map(|fault| Some(fault.split_once(": ")?.0.split(", ")));
    let said = said.flatten().filter(|name| name.len() <= 3);
    let found = mesh.broken().into_iter();
    // Counts have their name behind: `B1 dispositions`.
    let found = found.filter_map(|name| name.split(' ').next());
    said.chain(found).collect()
}
