//! Lists threaded through the records of an arena: push, unlink and pop in constant time.
//!
//! Owns the two ends and the length; the links lie in the records. Never frees a record, and never
//! allocates (invariant D3).

use crate::arena::Arena;
use crate::key::Id;

/// The place of one record in one list.
#[derive(Debug)]
pub(crate) struct Link<K> {
    previous: Option<Id<K>>,
    next: Option<Id<K>>,
}

impl<K> Default for Link<K> {
    fn default() -> Self {
        Self {
            previous: None,
            next: None,
        }
    }
}

/// One list.
#[derive(Debug)]
pub(crate) struct List<K> {
    head: Option<Id<K>>,
    tail: Option<Id<K>>,
    len: u32,
}

impl<K> Default for List<K> {
    fn default() -> Self {
        Self {
            head: None,
            tail: None,
            len: 0,
        }
    }
}

impl<K> List<K> {
    /// How many records are in the list.
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// Whether none is.
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The oldest record.
    pub(crate) const fn front(&self) -> Option<Id<K>> {
        self.head
    }

    /// The newest record.
    pub(crate) const fn back(&self) -> Option<Id<K>> {
        self.tail
    }

    /// Appends a record that is in no list of this kind; false when there is no such record.
    pub(crate) fn push_back<T>(
        &mut self,
        arena: &mut Arena<K, T>,
        id: Id<K>,
        link: fn(&mut T) -> &mut Link<K>,
    ) -> bool {
        let Some(record) = arena.get_mut(id) else {
            return false;
        };
        *link(record) = Link {
            previous: self.tail,
            next: None,
        };
        match self.tail.and_then(|tail| arena.get_mut(tail)) {
            Some(tail) => link(tail).next = Some(id),
            None => self.head = Some(id),
        }
        self.tail = Some(id);
        self.len += 1;
        true
    }

    /// Takes a record of this list out of it; false when the record is gone.
    pub(crate) fn unlink<T>(
        &mut self,
        arena: &mut Arena<K, T>,
        id: Id<K>,
        link: fn(&mut T) -> &mut Link<K>,
    ) -> bool {
        let Some(record) = arena.get_mut(id) else {
            return false;
        };
        let Link { previous, next } = core::mem::take(link(record));
        match previous.and_then(|previous| arena.get_mut(previous)) {
            Some(previous) => link(previous).next = next,
            None => self.head = next,
        }
        match next.and_then(|next| arena.get_mut(next)) {
            Some(next) => link(next).previous = previous,
            None => self.tail = previous,
        }
        self.len = self.len.saturating_sub(1);
        true
    }

    /// Takes the oldest record out.
    pub(crate) fn pop_front<T>(
        &mut self,
        arena: &mut Arena<K, T>,
        link: fn(&mut T) -> &mut Link<K>,
    ) -> Option<Id<K>> {
        let id = self.head?;
        if self.unlink(arena, id, link) {
            Some(id)
        } else {
            *self = Self::default();
            None
        }
    }

    /// The records in order; ends early at a record that is gone.
    pub(crate) fn iter<'a, T>(
        &self,
        arena: &'a Arena<K, T>,
        link: fn(&T) -> &Link<K>,
    ) -> impl Iterator<Item = Id<K>> + use<'a, K, T> {
        let mut at = self.head;
        let mut left = self.len;
        core::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let id = at?;
            at = link(arena.get(id)?).next;
            Some(id)
        })
    }

    #[cfg(any(test, feature = "check"))]
    /// Whether the stored length is the walked one, and both ends agree with the links.
    pub(crate) fn is_sound<T>(&self, arena: &Arena<K, T>, link: fn(&T) -> &Link<K>) -> bool {
        let mut walked = 0;
        let mut previous = None;
        let mut at = self.head;
        while let Some(id) = at {
            let Some(record) = arena.get(id) else {
                return false;
            };
            if walked >= self.len || link(record).previous != previous {
                return false;
            }
            walked += 1;
            previous = at;
            at = link(record).next;
        }
        walked == self.len && self.tail == previous
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::State;

    #[derive(Default)]
    struct Record(Link<State>);

    fn link(record: &mut Record) -> &mut Link<State> {
        &mut record.0
    }

    #[test]
    fn order_is_kept_and_any_record_can_leave() {
        let mut arena: Arena<State, Record> = Arena::new(4);
        let mut list = List::default();
        let ids: Vec<_> = (0..4)
            .map(|_| arena.insert(Record::default()).ok().unwrap())
            .collect();
        for &id in &ids {
            assert!(list.push_back(&mut arena, id, link));
        }
        for leaving in [1, 3] {
            assert!(list.unlink(&mut arena, ids[leaving], link));
            assert!(list.is_sound(&arena, |record| &record.0));
        }
        assert_eq!(
            list.iter(&arena, |record| &record.0).collect::<Vec<_>>(),
            [ids[0], ids[2]]
        );
        assert_eq!(list.pop_front(&mut arena, link), Some(ids[0]));
        assert_eq!(list.pop_front(&mut arena, link), Some(ids[2]));
        assert_eq!(list.pop_front(&mut arena, link), None);
        for id in ids {
            arena.remove(id);
            assert!(!list.push_back(&mut arena, id, link));
        }
    }
}
