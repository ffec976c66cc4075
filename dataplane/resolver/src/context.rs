//! All that a stage may look at while it runs one step.

use crate::budget::Budget;
use crate::cache::Cache;
use crate::infra::Infra;
use crate::outcome::Request;
use crate::random::Random;
use crate::settings::Settings;
use crate::time::Now;

/// Lent to a stage for one step.
#[derive(Debug)]
pub struct Context<'a> {
    /// What time it is.
    pub now: Now,
    /// The settings under which the state was made.
    pub settings: &'a Settings,
    /// The caches, shared with other workers.
    pub cache: &'a Cache,
    /// What is remembered of servers, shared with other workers.
    pub infra: &'a Infra,
    /// The generator of this mesh.
    pub random: &'a mut Random,
    /// What the root question may still cause.
    pub budget: &'a mut Budget,
    /// How many states stand above this one.
    pub depth: u32,
    /// Whether optional work is to be left (mesh full, memory short).
    pub pressure: bool,
    /// Whether cached answers to the state's own question must not be used (prefetch, refresh).
    pub skip_cache: bool,
    /// What the stage asks for, in order.
    pub requests: &'a mut Vec<Request>,
}
