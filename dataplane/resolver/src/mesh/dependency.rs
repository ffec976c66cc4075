//! Which state needs which: an acyclic graph of bounded depth.
//!
//! Owns the check before a dependency is made and the two ends of taking one away. The walk is iterative,
//! marks what it has seen, and fails closed: a graph too large to walk counts as a circle. A refusal
//! fails one path of the state above, never the state (2.5).

use crate::key::{Id, StateId};
use crate::mesh::mutant::Mutant;
use crate::mesh::state::{Edge, EdgeKind};
use crate::mesh::table::Table;
use crate::program::Program;

impl<P: Program> Table<P> {
    /// The deepest that this state's needs may lie: two levels more than iteration alone may use,
    /// for the DS or DNSKEY lookup of a validating state and the state itself.
    pub(crate) fn depth_max(&self, id: StateId) -> u32 {
        self.states.get(id).map_or(0, |state| {
            let asked = u32::from(state.settings.resolution.budget.depth).saturating_add(2);
            asked.min(state.settings.limits.depth_max)
        })
    }

    /// Whether a state may need one more.
    pub(crate) fn may_need_more(&self, id: StateId) -> bool {
        let unbounded = self.mutated(Mutant::SubsUnbounded);
        self.states.get(id).is_some_and(|state| {
            unbounded || state.subs.len() < state.settings.limits.subs_per_state_max
        })
    }

    /// Whether `above` waits for `below` already.
    pub(crate) fn needs(&self, above: StateId, below: StateId) -> bool {
        self.states.get(above).is_some_and(|state| {
            state
                .subs
                .iter(&self.edges, |edge| &edge.in_subs)
                .any(|edge| self.edges.get(edge).is_some_and(|edge| edge.below == below))
        })
    }

    /// Lets `above` wait for `below`, unless that makes a circle, or lies too deep, or there is no room.
    pub(crate) fn link(&mut self, above: StateId, below: StateId) -> bool {
        if self.edges.is_full() || !self.may_stand_below(above, below) {
            return false;
        }
        let edge = Edge {
            above,
            below,
            in_subs: crate::mesh::list::Link::default(),
            in_supers: crate::mesh::list::Link::default(),
        };
        let Ok(id) = self.edges.insert(edge) else {
            return false;
        };
        if let Some(state) = self.states.get_mut(above) {
            state
                .subs
                .push_back(&mut self.edges, id, |edge| &mut edge.in_subs);
        }
        if let Some(state) = self.states.get_mut(below) {
            state
                .supers
                .push_back(&mut self.edges, id, |edge| &mut edge.in_supers);
        }
        self.work += 1;
        true
    }

    /// Takes a dependency away from both ends; gives the state below.
    pub(crate) fn unlink_edge(&mut self, edge: Id<EdgeKind>) -> Option<StateId> {
        let &Edge { above, below, .. } = self.edges.get(edge)?;
        if let Some(state) = self.states.get_mut(above) {
            state
                .subs
                .unlink(&mut self.edges, edge, |edge| &mut edge.in_subs);
        }
        if let Some(state) = self.states.get_mut(below) {
            state
                .supers
                .unlink(&mut self.edges, edge, |edge| &mut edge.in_supers);
        }
        self.edges.remove(edge);
        self.work += 1;
        Some(below)
    }

    /// Walks everything below `below` once for each depth that it is seen at, and lowers it on success.
    fn may_stand_below(&mut self, above: StateId, below: StateId) -> bool {
        let no_cycle_check = self.mutated(Mutant::NoCycleCheck);
        let depth_max = if self.mutated(Mutant::NoDepthCheck) {
            u32::MAX
        } else {
            self.depth_max(above)
        };
        let Some(top) = self.states.get(above).map(|state| state.depth) else {
            return false;
        };
        let visits_max = self.settings.limits.dependency_visits_max as usize;
        let mut walk = core::mem::take(&mut self.walk);
        walk.clear();
        walk.push((below, top + 1));
        let mut at = 0;
        let mut allowed = true;
        while let Some(&(id, depth)) = walk.get(at) {
            at += 1;
            if id == above && !no_cycle_check {
                allowed = false;
                break;
            }
            if depth > depth_max || at > visits_max {
                allowed = false;
                break;
            }
            let Some(state) = self.states.get(id) else {
                continue;
            };
            // Below a state that lies this deep already nothing changes, and no circle can hide: it
            // would have to pass through `above`, which lies less deep than all that it needs.
            if at > 1 && state.depth >= depth {
                continue;
            }
            for edge in state.subs.iter(&self.edges, |edge| &edge.in_subs) {
                if let Some(edge) = self.edges.get(edge) {
                    walk.push((edge.below, depth + 1));
                }
            }
        }
        self.work += u32::try_from(at).unwrap_or(u32::MAX) / 16;
        if allowed {
            for &(id, depth) in &walk {
                if let Some(state) = self.states.get_mut(id) {
                    state.depth = state.depth.max(depth);
                }
            }
        }
        walk.clear();
        self.walk = walk;
        allowed
    }
}
