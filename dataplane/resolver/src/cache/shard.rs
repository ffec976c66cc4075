//! One shard of the cache: a bounded table of packed entries.
//!
//! Owns the index, the entries and which of them goes first when room is needed (SIEVE: the oldest that
//! was not used since the hand last passed). Every octet is accounted for. Deterministic, without a clock.

use core::mem::size_of;

use hashbrown::HashTable;

use crate::answer::Security;
use crate::cache::entry::name_of;
use crate::cache::trust::Trust;
use crate::rrset::{Class, RecordType};

/// What an allocation costs beyond its own octets, roughly.
const ALLOCATION_OVERHEAD: usize = 16;
/// Octets of the index for one entry, at the load that a growing table has on average.
const INDEX_SHARE: usize = 8;
/// The end of a list.
const NONE: u32 = u32::MAX;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// An RRset.
    Rrset,
    /// A validated message, or one that needs no validation.
    Verdict,
    /// A message that was not validated.
    Raw,
    /// A failure or a bogus verdict, kept for a short time (RFC 9520).
    Failure,
}

/// What an entry is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    /// The keyed hash of the name alone.
    pub(crate) name_hash: u64,
    /// The name, in lower case.
    pub(crate) name: &'a [u8],
    /// The type; 0 for NXDOMAIN, which is about every type (RFC 2308, 5).
    pub(crate) record_type: RecordType,
    pub(crate) class: Class,
    pub(crate) kind: Kind,
}

impl Key<'_> {
    /// Spreads types and kinds of one name; the name's hash is secret, so this need not be.
    const fn hash(&self) -> u64 {
        let tail =
            (self.record_type.0 as u64) << 24 | (self.class.0 as u64) << 4 | self.kind as u64;
        self.name_hash ^ (tail + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// One entry. Fields that are compared or changed stand here, octets in the block.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// What is kept, its name first: see `entry.rs`.
    pub(crate) block: Box<[u8]>,
    /// When it was stored, in seconds of the monotonic clock.
    pub(crate) stored: u32,
    /// From when on it is expired.
    pub(crate) expires: u32,
    pub(crate) record_type: RecordType,
    pub(crate) class: Class,
    pub(crate) kind: Kind,
    pub(crate) security: Security,
    pub(crate) trust: Trust,
    pub(crate) marks: Marks,
}

/// Yes or no of an entry, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(u8);

impl Marks {
    const COMPLETE: u8 = 1;
    const RENEWING: u8 = 2;
    const USED: u8 = 4;

    /// Of an RRset that is all of the answer to the question for it.
    pub(crate) const fn complete(complete: bool) -> Self {
        Self(if complete { Self::COMPLETE } else { 0 })
    }

    /// Whether the RRset is all of the answer to the question for it.
    pub(crate) const fn is_complete(self) -> bool {
        self.0 & Self::COMPLETE != 0
    }

    const fn set(&mut self, bit: u8) -> bool {
        let was = self.0 & bit != 0;
        self.0 |= bit;
        !was
    }

    /// Marks it as all of the answer.
    pub(crate) const fn set_complete(&mut self) {
        self.set(Self::COMPLETE);
    }
}

impl Entry {
    /// Octets that it costs.
    const fn cost(&self) -> usize {
        self.block.len().next_multiple_of(16)
            + ALLOCATION_OVERHEAD
            + size_of::<Slot>()
            + INDEX_SHARE
    }

    fn is(&self, key: &Key<'_>) -> bool {
        self.record_type == key.record_type
            && self.class == key.class
            && self.kind == key.kind
            && self.block.starts_with(key.name)
            && name_of(&self.block).len() == key.name.len()
    }
}

/// A place for an entry, and its neighbours in order of age.
#[derive(Debug)]
struct Slot {
    entry: Option<Entry>,
    hash: u64,
    newer: u32,
    older: u32,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Shard {
    index: HashTable<u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
    hand: u32,
    octets: usize,
    octets_max: usize,
    /// Entries taken out for room since the start.
    evicted: u64,
}

impl Shard {
    /// An empty shard of at most so many octets.
    pub(crate) const fn new(octets_max: usize) -> Self {
        Self {
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
            hand: NONE,
            octets: 0,
            octets_max,
            evicted: 0,
        }
    }

    /// Octets that all entries cost.
    pub(crate) const fn octets(&self) -> usize {
        self.octets
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Entries taken out for room since the start.
    pub(crate) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Changes the bound; takes effect at once.
    pub(crate) fn resize(&mut self, octets_max: usize, dead_before: u32) {
        self.octets_max = octets_max;
        self.make_room(dead_before);
    }

    fn slot(&self, at: u32) -> Option<&Slot> {
        self.slots.get(at as usize)
    }

    fn slot_mut(&mut self, at: u32) -> Option<&mut Slot> {
        self.slots.get_mut(at as usize)
    }

    /// Where the entry of a key stands; good until the next change of the shard.
    pub(crate) fn find(&self, key: &Key<'_>) -> Option<u32> {
        let slots = &self.slots;
        let same = |at: &u32| {
            let slot = slots.get(*at as usize);
            slot.and_then(|slot| slot.entry.as_ref())
                .is_some_and(|entry| entry.is(key))
        };
        self.index.find(key.hash(), same).copied()
    }

    /// The entry at a place, to be changed in all but its block.
    pub(crate) fn entry_mut(&mut self, at: u32) -> Option<&mut Entry> {
        self.slot_mut(at)?.entry.as_mut()
    }

    /// The entry at a place.
    pub(crate) fn entry(&self, at: u32) -> Option<&Entry> {
        self.slot(at)?.entry.as_ref()
    }

    /// Notes that the entry at a place was of use, so that it stays.
    pub(crate) fn mark_used(&mut self, at: u32) {
        if let Some(entry) = self.entry_mut(at) {
            entry.marks.set(Marks::USED);
        }
    }

    /// Notes that the entry at a place is being renewed; false if that was noted before.
    pub(crate) fn mark_renewing(&mut self, at: u32) -> bool {
        self.entry_mut(at)
            .is_some_and(|entry| entry.marks.set(Marks::RENEWING))
    }

    /// Puts an entry in the place of the one with its key, if any. Entries that expired before `dead_before`
    /// are the first to go. One that would take more than a fourth of the shard is not kept.
    pub(crate) fn insert(&mut self, key: &Key<'_>, entry: Entry, dead_before: u32) {
        let cost = entry.cost();
        if let Some(at) = self.find(key) {
            if cost > self.octets_max / 4 {
                self.remove(at);
                return;
            }
            if let Some(slot) = self.slots.get_mut(at as usize) {
                let old = slot.entry.replace(entry);
                self.octets = self.octets + cost - old.as_ref().map_or(0, Entry::cost);
            }
        } else if cost <= self.octets_max / 4 {
            self.insert_new(key.hash(), entry);
            self.octets += cost;
        }
        self.make_room(dead_before);
    }

    fn insert_new(&mut self, hash: u64, entry: Entry) {
        let slot = Slot {
            entry: Some(entry),
            hash,
            newer: NONE,
            older: self.newest,
        };
        let at = match self.free.pop() {
            Some(at) => {
                if let Some(place) = self.slots.get_mut(at as usize) {
                    *place = slot;
                }
                at
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        let newest = self.newest;
        match self.slot_mut(newest) {
            Some(before) => before.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
        let slots = &self.slots;
        self.index.insert_unique(hash, at, |at| {
            slots.get(*at as usize).map_or(0, |slot| slot.hash)
        });
    }

    /// Takes the entry at a place out.
    pub(crate) fn remove(&mut self, at: u32) {
        let Some(slot) = self.slots.get_mut(at as usize) else {
            return;
        };
        let Some(entry) = slot.entry.take() else {
            return;
        };
        let (hash, newer, older) = (slot.hash, slot.newer, slot.older);
        self.octets -= entry.cost();
        if let Ok(found) = self.index.find_entry(hash, |other| *other == at) {
            found.remove();
        }
        match self.slot_mut(newer) {
            Some(neighbour) => neighbour.older = older,
            None => self.newest = older,
        }
        match self.slot_mut(older) {
            Some(neighbour) => neighbour.newer = newer,
            None => self.oldest = newer,
        }
        if self.hand == at {
            self.hand = newer;
        }
        self.free.push(at);
    }

    /// Takes entries out until the bound holds.
    fn make_room(&mut self, dead_before: u32) {
        while self.octets > self.octets_max {
            if self.hand == NONE {
                self.hand = self.oldest;
            }
            let at = self.hand;
            let Some(slot) = self.slot_mut(at) else {
                return;
            };
            let dead = slot
                .entry
                .as_ref()
                .is_none_or(|entry| entry.expires < dead_before);
            let newer = slot.newer;
            match slot.entry.as_mut() {
                Some(entry) if entry.marks.0 & Marks::USED != 0 && !dead => {
                    entry.marks.0 &= !Marks::USED;
                    self.hand = newer;
                }
                _ => {
                    self.remove(at);
                    self.evicted += 1;
                }
            }
        }
    }

    /// Removes entries that `goes` says yes to, and says how many.
    pub(crate) fn remove_if(&mut self, goes: impl Fn(&Entry) -> bool) -> usize {
        let going: Vec<u32> = (0..)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.entry.as_ref().is_some_and(&goes))
            .map(|(at, _)| at)
            .collect();
        for &at in &going {
            self.remove(at);
        }
        going.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn name(number: u32) -> Vec<u8> {
        let text = format!("{number:08}");
        [&[8][..], text.as_bytes(), &[0]].concat()
    }

    fn key(name: &[u8], kind: Kind) -> Key<'_> {
        Key {
            name_hash: name.iter().fold(7, |hash, octet| {
                (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
            }),
            name,
            record_type: RecordType::A,
            class: Class::IN,
            kind,
        }
    }

    fn entry(name: &[u8], size: usize, kind: Kind) -> Entry {
        let mut block = name.to_vec();
        block.resize(name.len() + size, 0);
        Entry {
            block: block.into(),
            stored: 0,
            expires: 100,
            record_type: RecordType::A,
            class: Class::IN,
            kind,
            security: Security::Unchecked,
            trust: Trust::AnswerAuthoritative,
            marks: Marks::default(),
        }
    }

    fn get<'s>(shard: &'s mut Shard, key: &Key<'_>) -> Option<&'s Entry> {
        let at = shard.find(key)?;
        shard.mark_used(at);
        shard.entry(at)
    }

    /// Counts from scratch, and walks the list both ways.
    fn check(shard: &Shard) {
        let live: Vec<&Entry> = shard
            .slots
            .iter()
            .filter_map(|slot| slot.entry.as_ref())
            .collect();
        assert_eq!(
            shard.octets,
            live.iter().map(|entry| entry.cost()).sum::<usize>()
        );
        assert!(shard.octets <= shard.octets_max);
        assert_eq!(shard.len(), live.len());
        assert_eq!(shard.slots.len(), live.len() + shard.free.len());
        let mut count = 0;
        let (mut at, mut before) = (shard.newest, NONE);
        while let Some(slot) = shard.slot(at) {
            assert_eq!(slot.newer, before);
            (before, at) = (at, slot.older);
            count += 1;
        }
        assert_eq!((count, before), (live.len(), shard.oldest));
    }

    #[test]
    fn accounts_hold_whatever_comes() {
        let mut random = Random::from_seed([3, 4]);
        let mut shard = Shard::new(20_000);
        for step in 0..20_000 {
            let name = name(random.below(400) as u32);
            let kind = [Kind::Rrset, Kind::Raw][random.below(2)];
            match random.below(10) {
                0..=4 => {
                    let entry = entry(&name, random.below(300), kind);
                    shard.insert(&key(&name, kind), entry, 0);
                }
                5..=8 => {
                    if let Some(found) = get(&mut shard, &key(&name, kind)) {
                        assert_eq!(name_of(&found.block), name);
                        assert_eq!(found.kind, kind);
                    }
                }
                _ => {
                    let octet = random.below(10) as u8 + b'0';
                    shard.remove_if(|entry| entry.block.get(8) == Some(&octet));
                }
            }
            if step % 50 == 0 {
                check(&shard);
            }
        }
        assert!(shard.evicted() > 100);
        shard.resize(1000, 0);
        check(&shard);
        shard.remove_if(|_| true);
        check(&shard);
        assert_eq!((shard.len(), shard.octets()), (0, 0));
    }

    #[test]
    fn used_entries_stay() {
        let mut shard = Shard::new(50_000);
        let hot: Vec<Vec<u8>> = (0..10).map(name).collect();
        for name in &hot {
            shard.insert(&key(name, Kind::Rrset), entry(name, 50, Kind::Rrset), 0);
        }
        for number in 100..5000 {
            let cold = name(number);
            shard.insert(&key(&cold, Kind::Rrset), entry(&cold, 50, Kind::Rrset), 0);
            for name in &hot {
                assert!(
                    get(&mut shard, &key(name, Kind::Rrset)).is_some(),
                    "{number}"
                );
            }
        }
        assert!(shard.evicted() > 4000);
    }

    #[test]
    fn the_dead_go_first_and_giants_never_come() {
        let mut shard = Shard::new(2000);
        let old = name(1);
        shard.insert(&key(&old, Kind::Rrset), entry(&old, 50, Kind::Rrset), 0);
        assert!(get(&mut shard, &key(&old, Kind::Rrset)).is_some());
        for number in 2..30 {
            let name = name(number);
            let mut young = entry(&name, 50, Kind::Rrset);
            young.expires = 900;
            shard.insert(&key(&name, Kind::Rrset), young, 200);
        }
        assert!(
            shard.find(&key(&old, Kind::Rrset)).is_none(),
            "used but dead"
        );
        let big = name(99);
        shard.insert(&key(&big, Kind::Rrset), entry(&big, 600, Kind::Rrset), 0);
        assert!(shard.find(&key(&big, Kind::Rrset)).is_none());
        check(&shard);
    }
}
