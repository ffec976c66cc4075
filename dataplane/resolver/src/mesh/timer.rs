//! Deadlines by owner: at most one for each, disarmed with it.
//!
//! Owns a binary heap in which every entry knows its owner and every owner finds its entry, so that
//! arming, moving and disarming cost a logarithm and nothing stale is kept (invariant C4). Never reads
//! a clock.

use crate::key::{FetchId, Id, StateId, StreamKey};
use crate::time::Instant;

/// Why the mesh wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Work was left over; `Event::Resume` or `Event::Timeout` goes on with it.
    Resume,
    /// This fetch should have been reported by now.
    Fetch(FetchId),
    /// This stream has waited as long as one may.
    Waiter(StreamKey),
    /// The waiters of this state may be given a stale answer (RFC 8767, 5).
    Stale(StateId),
    /// This state has lived as long as one may.
    State(StateId),
    /// The mesh drains, and its time is up.
    Drain,
}

/// An owner that has no entry.
const NOWHERE: u32 = u32::MAX;

/// One deadline for each of any number of owners.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    heap: Vec<(Instant, Id<K>)>,
    places: Vec<u32>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self {
            heap: Vec::new(),
            places: Vec::new(),
        }
    }
}

impl<K> Timers<K> {
    /// How many deadlines are armed.
    pub(crate) const fn len(&self) -> usize {
        self.heap.len()
    }

    /// The earliest deadline.
    pub(crate) fn first(&self) -> Option<(Instant, Id<K>)> {
        self.heap.first().copied()
    }

    #[cfg(any(test, feature = "check"))]
    /// The deadline of an owner.
    pub(crate) fn get(&self, id: Id<K>) -> Option<Instant> {
        let &(at, owner) = self.heap.get(self.place(id)?)?;
        (owner == id).then_some(at)
    }

    /// Arms or moves the deadline of an owner.
    pub(crate) fn set(&mut self, id: Id<K>, at: Instant) {
        let place = match self.place(id) {
            Some(place) if self.heap.get(place).is_some_and(|entry| entry.1 == id) => place,
            _ => {
                self.heap.push((at, id));
                self.heap.len() - 1
            }
        };
        if let Some(entry) = self.heap.get_mut(place) {
            *entry = (at, id);
        }
        self.put(id, place);
        let place = self.rise(place);
        self.sink(place);
    }

    /// Disarms the deadline of an owner; false when it had none.
    pub(crate) fn cancel(&mut self, id: Id<K>) -> bool {
        let Some(place) = self.place(id) else {
            return false;
        };
        if self.heap.get(place).is_none_or(|entry| entry.1 != id) {
            return false;
        }
        self.heap.swap_remove(place);
        self.forget(id);
        if let Some(&(_, moved)) = self.heap.get(place) {
            self.put(moved, place);
            let place = self.rise(place);
            self.sink(place);
        }
        true
    }

    #[cfg(any(test, feature = "check"))]
    /// Every entry, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Instant, Id<K>)> + '_ {
        self.heap.iter().copied()
    }

    #[cfg(any(test, feature = "check"))]
    /// Whether every entry is found by its owner and no entry lies below a later one.
    pub(crate) fn is_sound(&self) -> bool {
        self.heap.iter().enumerate().all(|(place, &(at, id))| {
            let parent = place
                .checked_sub(1)
                .and_then(|below| self.heap.get(below / 2));
            self.place(id) == Some(place) && parent.is_none_or(|&(earlier, _)| earlier <= at)
        })
    }

    fn place(&self, id: Id<K>) -> Option<usize> {
        match self.places.get(id.index() as usize) {
            Some(&place) if place != NOWHERE => Some(place as usize),
            _ => None,
        }
    }

    fn put(&mut self, id: Id<K>, place: usize) {
        let index = id.index() as usize;
        if self.places.len() <= index {
            self.places.resize(index + 1, NOWHERE);
        }
        if let Some(slot) = self.places.get_mut(index) {
            *slot = u32::try_from(place).unwrap_or(NOWHERE);
        }
    }

    fn forget(&mut self, id: Id<K>) {
        if let Some(slot) = self.places.get_mut(id.index() as usize) {
            *slot = NOWHERE;
        }
    }

    /// Whether the entry at `one` is due before that at `other`. Owners are not compared: which slot a record has
    /// must decide nothing.
    fn before(&self, one: usize, other: usize) -> bool {
        match (self.heap.get(one), self.heap.get(other)) {
            (Some(one), Some(other)) => one.0 < other.0,
            _ => false,
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        for place in [one, other] {
            if let Some(&(_, id)) = self.heap.get(place) {
                self.put(id, place);
            }
        }
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if !self.before(place, parent) {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let child = if self.before(right, left) {
                right
            } else {
                left
            };
            if !self.before(child, place) {
                break;
            }
            self.swap(place, child);
            place = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;
    use crate::key::State;
    use crate::random::Random;
    use std::collections::BTreeMap;

    #[test]
    fn agrees_with_an_ordered_map_whatever_is_armed_moved_and_disarmed() {
        let mut random = Random::from_seed([7, 7]);
        let mut arena: Arena<State, ()> = Arena::new(64);
        let mut live = Vec::new();
        let mut timers = Timers::default();
        let mut model: BTreeMap<StateId, Instant> = BTreeMap::new();
        for _ in 0..20_000 {
            match random.below(4) {
                0 if !arena.is_full() => live.push(arena.insert(()).unwrap()),
                1 if !live.is_empty() => {
                    let id = live.swap_remove(random.below(live.len()));
                    assert_eq!(timers.cancel(id), model.remove(&id).is_some());
                    arena.remove(id);
                    assert!(!timers.cancel(id));
                }
                _ if !live.is_empty() => {
                    let id = live[random.below(live.len())];
                    let at = Instant::from_nanoseconds(random.below(50) as u64);
                    timers.set(id, at);
                    model.insert(id, at);
                    assert_eq!(timers.get(id), Some(at));
                }
                _ => {}
            }
            assert!(timers.is_sound());
            assert_eq!(timers.len(), model.len());
            let first = timers.first();
            assert_eq!(first.map(|first| first.0), model.values().min().copied());
            assert!(first.is_none_or(|(at, id)| model[&id] == at));
        }
        for id in live {
            arena.remove(id);
        }
    }
}
