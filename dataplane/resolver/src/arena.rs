//! Slots by generational handle: the only owner of every record of the mesh.
//!
//! Every access returns `Option`: a handle whose record is gone finds nothing. A slot whose generation
//! would wrap is retired, so a removed handle never finds another record (invariant A6). Never grows
//! past its capacity, and never moves a record.

use core::num::NonZeroU32;

use crate::key::Id;

/// One slot: who lives there now, and how often the tenant changed.
#[derive(Debug)]
struct Slot<T> {
    generation: NonZeroU32,
    content: Content<T>,
}

#[derive(Debug)]
enum Content<T> {
    Full(T),
    Free { next: Option<u32> },
    Retired,
}

/// At most `capacity` records of type `T`, found by `Id<K>`.
#[derive(Debug)]
pub(crate) struct Arena<K, T> {
    slots: Vec<Slot<T>>,
    free: Option<u32>,
    live: usize,
    retired: usize,
    capacity: usize,
    kind: core::marker::PhantomData<fn() -> K>,
}

impl<K, T> Arena<K, T> {
    /// An empty arena. Memory is reserved at once and touched when it is first used.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            slots: Vec::with_capacity(capacity),
            free: None,
            live: 0,
            retired: 0,
            capacity,
            kind: core::marker::PhantomData,
        }
    }

    /// How many records live here.
    pub(crate) const fn len(&self) -> usize {
        self.live
    }

    /// Whether none does.
    pub(crate) const fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Whether an insertion would fail.
    pub(crate) const fn is_full(&self) -> bool {
        self.live >= self.capacity
    }

    /// The most records that may live here.
    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Raises the capacity; never lowers it.
    pub(crate) fn grow(&mut self, capacity: usize) {
        self.capacity = self.capacity.max(capacity);
    }

    /// Keeps a record, or gives it back when the arena is full.
    pub(crate) fn insert(&mut self, value: T) -> Result<Id<K>, T> {
        if self.is_full() {
            return Err(value);
        }
        if let Some(index) = self.free
            && let Some(slot) = self.slots.get_mut(index as usize)
            && let Content::Free { next } = slot.content
        {
            self.free = next;
            slot.content = Content::Full(value);
            self.live += 1;
            return Ok(Id::new(index, slot.generation));
        }
        let Ok(index) = u32::try_from(self.slots.len()) else {
            return Err(value);
        };
        self.slots.push(Slot {
            generation: NonZeroU32::MIN,
            content: Content::Full(value),
        });
        self.live += 1;
        Ok(Id::new(index, NonZeroU32::MIN))
    }

    /// Takes a record out; its handle finds nothing from now on.
    pub(crate) fn remove(&mut self, id: Id<K>) -> Option<T> {
        let slot = self.slots.get_mut(id.index() as usize)?;
        if slot.generation != id.generation() || !matches!(slot.content, Content::Full(_)) {
            return None;
        }
        let content = if let Some(generation) = slot.generation.checked_add(1) {
            slot.generation = generation;
            let next = self.free.replace(id.index());
            core::mem::replace(&mut slot.content, Content::Free { next })
        } else {
            self.retired += 1;
            core::mem::replace(&mut slot.content, Content::Retired)
        };
        self.live -= 1;
        match content {
            Content::Full(value) => Some(value),
            Content::Free { .. } | Content::Retired => None,
        }
    }

    /// The record of a handle.
    pub(crate) fn get(&self, id: Id<K>) -> Option<&T> {
        match self.slots.get(id.index() as usize) {
            Some(Slot {
                generation,
                content: Content::Full(value),
            }) if *generation == id.generation() => Some(value),
            _ => None,
        }
    }

    /// The record of a handle, to be changed.
    pub(crate) fn get_mut(&mut self, id: Id<K>) -> Option<&mut T> {
        match self.slots.get_mut(id.index() as usize) {
            Some(Slot {
                generation,
                content: Content::Full(value),
            }) if *generation == id.generation() => Some(value),
            _ => None,
        }
    }

    /// Every record, in the order of slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id<K>, &T)> {
        (0_u32..)
            .zip(&self.slots)
            .filter_map(|(index, slot)| match &slot.content {
                Content::Full(value) => Some((Id::new(index, slot.generation), value)),
                Content::Free { .. } | Content::Retired => None,
            })
    }

    /// Slots that are out of use for good.
    #[cfg(test)]
    pub(crate) const fn retired(&self) -> usize {
        self.retired
    }

    /// Lets every free slot be as old as `generation`.
    #[cfg(test)]
    pub(crate) fn age(&mut self, generation: NonZeroU32) {
        for slot in &mut self.slots {
            slot.generation = generation;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::State;

    impl<K, T> Drop for Arena<K, T> {
        /// Arenas are empty at rest: a test that ends with a record left has found a leak.
        fn drop(&mut self) {
            if !std::thread::panicking() {
                assert_eq!(self.live, 0, "an arena was dropped with records in it");
            }
        }
    }

    #[test]
    fn a_removed_handle_finds_nothing_even_when_its_slot_is_used_again() {
        let mut arena: Arena<State, u8> = Arena::new(1);
        let first = arena.insert(1).unwrap();
        assert_eq!(arena.insert(2), Err(2));
        assert_eq!(arena.remove(first), Some(1));
        assert_eq!(arena.remove(first), None);
        let second = arena.insert(3).unwrap();
        assert_eq!(first.index(), second.index());
        assert_eq!((arena.get(first), arena.get(second)), (None, Some(&3)));
        assert_eq!(arena.iter().collect::<Vec<_>>(), [(second, &3)]);
        arena.remove(second);
    }

    #[test]
    fn a_slot_whose_generation_would_wrap_is_retired() {
        let mut arena: Arena<State, u8> = Arena::new(1);
        let first = arena.insert(1).unwrap();
        arena.remove(first);
        arena.age(NonZeroU32::MAX);
        let last = arena.insert(2).unwrap();
        assert_eq!(last.generation(), NonZeroU32::MAX);
        arena.remove(last);
        assert_eq!(arena.retired(), 1);
        let next = arena.insert(3).unwrap();
        assert_ne!(next.index(), last.index());
        assert_eq!(arena.get(last), None);
        arena.remove(next);
    }
}
