//! What one seed chooses: how often each thing happens, how small each limit is, which faults there are.
//!
//! Swarm testing: every seed leaves some things out, so that what only shows without them is found too.

use std::sync::Arc;
use std::time::Duration;

use weir_resolver::rules::Rules;
use weir_resolver::settings::{
    AccessAction, AccessRule, OnStreamReset, Prefix, ServeStale, Settings,
};

use crate::simulate::network::Faults;
use crate::simulate::seed::Draw;

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A stream asks.
    Ask,
    /// A client resets a stream.
    Reset,
    /// An answer leaves, or cannot.
    Written,
    /// Time passes to the next thing that is due.
    Pass,
    /// A connection opens.
    Open,
    /// A connection closes.
    Close,
    /// The settings are replaced.
    Replace,
    /// Memory pressure changes.
    Pressure,
    /// A cached answer is renewed.
    Prefetch,
    /// The keys of a tracked trust anchor's zone are looked at (RFC 5011).
    Probe,
    /// The driver sends something late, twice, or about nothing.
    Nonsense,
}

/// Every step with how often it happens beside the others.
const STEPS: [(Step, u64); 11] = [
    (Step::Ask, 40),
    (Step::Reset, 14),
    (Step::Written, 14),
    (Step::Pass, 40),
    (Step::Open, 5),
    (Step::Close, 3),
    (Step::Replace, 2),
    (Step::Pressure, 1),
    (Step::Prefetch, 3),
    (Step::Probe, 2),
    (Step::Nonsense, 3),
];

/// The choices of one seed.
#[derive(Clone, Debug)]
pub struct Swarm {
    wheel: Vec<Step>,
    /// How often the next question is the same as the last one, in percent.
    pub same_name: u64,
    /// Names in use.
    pub names: u64,
    /// Clients.
    pub identities: u64,
    /// Connections at once.
    pub connections: usize,
    /// How often `Action::Yield` is forgotten, in percent.
    pub yields_lost: u64,
    /// How often a stream is traced, in percent.
    pub traced: u64,
    /// Whether deadlines are met early and late.
    pub jitter: bool,
    /// Whether the mesh drains in the middle.
    pub drains: bool,
}

impl Swarm {
    /// Draws one.
    #[must_use]
    pub fn draw(draw: &mut Draw) -> Self {
        let mut wheel = Vec::new();
        for (step, weight) in STEPS {
            let needed = matches!(step, Step::Ask | Step::Pass | Step::Open);
            let weight = match draw.below(4) {
                0 if !needed => 0,
                1 => weight * 3,
                _ => weight,
            };
            wheel.extend((0..weight).map(|_| step));
        }
        Self {
            wheel,
            same_name: *draw.pick(&[0, 20, 60, 90]).unwrap_or(&0),
            names: *draw.pick(&[2, 8, 16, 64, 64]).unwrap_or(&64),
            identities: draw.between(1, 5),
            connections: draw.between(1, 6) as usize,
            yields_lost: *draw.pick(&[0, 0, 50, 100]).unwrap_or(&0),
            traced: *draw.pick(&[0, 0, 10, 100]).unwrap_or(&0),
            jitter: draw.chance(50),
            drains: draw.chance(10),
        }
    }

    /// The next thing to happen.
    pub fn next(&self, draw: &mut Draw) -> Step {
        draw.pick(&self.wheel).copied().unwrap_or(Step::Pass)
    }
}

/// Draws how often each fault of the network happens.
#[must_use]
pub fn draw_faults(draw: &mut Draw) -> Faults {
    let mut some = |percent: u64| if draw.chance(50) { percent } else { 0 };
    Faults {
        lost: some(20),
        unreachable: some(15),
        failing: some(15),
        truncated: some(15),
        forged: some(10),
        twice: some(15),
        unreported: some(8),
        crossing: some(50),
        delay: some(150) + some(400),
    }
}

/// Draws settings, each limit near the least that it can be.
#[must_use]
pub fn draw_settings(draw: &mut Draw, epoch: u32) -> Arc<Rules> {
    let mut settings = Settings {
        epoch,
        ..Settings::default()
    };
    settings.resolution.builtin_local_zones = false;
    let mesh = &mut settings.mesh;
    mesh.states_max = draw.between(1, 12) as u32;
    mesh.waiting_replies_max = draw.between(2, 48) as u32;
    mesh.jostle_timeout = Duration::from_millis(draw.between(1, 200));
    mesh.total_time = Duration::from_millis(draw.between(300, 10_000));
    mesh.client_waiting_max = draw.between(1, 24) as u32;
    if draw.chance(20) {
        mesh.on_stream_reset = OnStreamReset::Cancel;
    }
    let limits = &mut settings.limits;
    limits.waiters_per_state_max = draw.between(1, 24) as u32;
    limits.waiting_per_connection_max = draw.between(1, 24) as u32;
    limits.subs_per_state_max = draw.between(1, 16) as u32;
    limits.depth_max = draw.between(1, 6) as u32;
    limits.orphan_share = draw.between(1, 10) as u32;
    limits.activations_per_step_max = draw.between(1, 16) as u32;
    limits.settle_per_step = draw.between(1, 12) as u32;
    limits.dependency_visits_max = draw.between(1, 64) as u32;
    limits.state_time_max = Duration::from_millis(draw.between(500, 15_000));
    limits.fetch_grace = Duration::from_millis(draw.between(1, 500));
    limits.activations_per_state_max = draw.between(3, 100) as u32;
    limits.fetches_per_state_max = draw.between(1, 4) as u32;
    let budget = &mut settings.resolution.budget;
    budget.upstream_queries = draw.between(1, 40) as u16;
    budget.queries_per_state = draw.between(1, 8) as u16;
    budget.depth = draw.between(0, 4) as u16;
    settings.cache.serve_stale = draw.chance(60).then(|| ServeStale {
        max_age: Duration::from_secs(86_400),
        answer_ttl: 30,
        client_timeout: Duration::from_millis(*draw.pick(&[0, 20, 300, 1800]).unwrap_or(&0)),
    });
    // Client 3 may not ask and is not answered; client 4 is answered REFUSED.
    settings.access_control = [
        ("0.0.0.0", 0, AccessAction::Allow),
        ("10.0.0.3", 32, AccessAction::Deny),
        ("10.0.0.4", 32, AccessAction::Refuse),
    ]
    .into_iter()
    .filter_map(|(address, length, action)| {
        let address = address.parse().ok()?;
        let prefix = Prefix { address, length };
        Some(AccessRule { prefix, action })
    })
    .collect();
    Arc::new(Rules::new(settings))
}
