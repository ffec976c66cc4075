//! Entries by name in two halves, so that what is used stays and the rest is bounded without a list of uses.
//!
//! Owns the exchange of halves: when the younger is full it takes the place of the older, and what is asked for
//! in the older is young again. Knows nothing of time.

use std::collections::BTreeMap;

use crate::name::Name;

/// What an entry counts toward the bound of a half.
pub(crate) trait Cost {
    /// In the unit of the bound.
    fn cost(&self) -> usize;
}

/// The entries.
#[derive(Debug)]
pub(crate) struct Halves<T> {
    young: BTreeMap<Name, T>,
    young_cost: usize,
    old: BTreeMap<Name, T>,
    most: usize,
}

impl<T: Cost> Halves<T> {
    /// No entries, and room for so much in either half.
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            young: BTreeMap::new(),
            young_cost: 0,
            old: BTreeMap::new(),
            most,
        }
    }

    /// The entry of a name, which is young from now on.
    pub(crate) fn get(&mut self, name: &Name) -> Option<&T> {
        if !self.young.contains_key(name)
            && let Some(entry) = self.old.remove(name)
        {
            self.insert(name.clone(), entry);
        }
        // The entry itself may have filled the younger half.
        self.young.get(name).or_else(|| self.old.get(name))
    }

    /// Puts an entry in place of the one that the name had.
    pub(crate) fn insert(&mut self, name: Name, entry: T) {
        self.young_cost += entry.cost();
        if let Some(before) = self.young.insert(name, entry) {
            self.young_cost -= before.cost();
        }
        if self.young_cost > self.most {
            self.old = core::mem::take(&mut self.young);
            self.young_cost = 0;
        }
    }

    /// Forgets `name`, and with `subtree` everything below it.
    pub(crate) fn forget(&mut self, name: &Name, subtree: bool) {
        let stays = |each: &Name| each != name && !(subtree && each.is_within(name));
        self.old.retain(|each, _| stays(each));
        self.young.retain(|each, _| stays(each));
        self.young_cost = self.young.values().map(Cost::cost).sum();
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}
