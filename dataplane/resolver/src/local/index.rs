//! Which of many names is the longest that another lies within.
//!
//! Owns a table of suffixes. One walk over a name from the right gives the digests of all its suffixes, so that a
//! question costs one pass and as many probes as it has labels, however many names there are. Names in the
//! table come from the settings, not from clients: the digest needs no secret.

use hashbrown::HashTable;

/// Names with their numbers.
#[derive(Debug, Default)]
pub(crate) struct SuffixIndex {
    table: HashTable<(Box<[u8]>, u32)>,
}

impl SuffixIndex {
    /// Adds a name (lower case, wire form); one that is there gets the new number.
    pub(crate) fn insert(&mut self, name: &[u8], number: u32) {
        let digest = suffixes(name).last().map_or(START, |suffix| suffix.1);
        match self.table.find_mut(digest, |(own, _)| **own == *name) {
            Some(found) => found.1 = number,
            None => {
                let rehash = |entry: &(Box<[u8]>, u32)| {
                    suffixes(&entry.0).last().map_or(START, |suffix| suffix.1)
                };
                self.table
                    .insert_unique(digest, (name.into(), number), rehash);
            }
        }
    }

    /// The number of the longest name that `name` is or lies within.
    pub(crate) fn longest(&self, name: &[u8]) -> Option<u32> {
        if self.table.is_empty() {
            return None;
        }
        let mut found = None;
        for (start, digest) in suffixes(name) {
            let suffix = name.get(start..).unwrap_or_default();
            if let Some((_, number)) = self.table.find(digest, |(own, _)| **own == *suffix) {
                found = Some(*number);
            }
        }
        found
    }
}

/// The digest of the root.
const START: u64 = 0xcbf2_9ce4_8422_2325;

/// Where each suffix of a name starts, and its digest, the root first.
fn suffixes(name: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    let mut starts = [0u8; 128];
    let mut count = 0;
    let mut position = 0usize;
    while let Some(&length) = name.get(position) {
        if length == 0 {
            break;
        }
        let Some(slot) = starts.get_mut(count) else {
            break;
        };
        *slot = position as u8;
        count += 1;
        position += usize::from(length) + 1;
    }
    let mut digest = START;
    let mut end = position;
    let root = core::iter::once((position, START));
    root.chain((0..count).rev().map_while(move |at| {
        let start = usize::from(*starts.get(at)?);
        for octet in name.get(start..end)? {
            digest = (digest ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
        }
        end = start;
        // The table looks at the upper bits; multiplying has mixed those least in short names.
        Some((start, digest ^ digest << 29))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use crate::random::Random;

    #[test]
    fn agrees_with_a_plain_search() {
        let mut random = Random::from_seed([8, 9]);
        let mut draw = |labels: usize| {
            let count = random.below(labels);
            let text: Vec<String> = (0..count).map(|_| random.below(4).to_string()).collect();
            Name::from_text(&text.join(".")).unwrap()
        };
        for _ in 0..200 {
            let mut index = SuffixIndex::default();
            let mut plain: Vec<(Name, u32)> = Vec::new();
            for number in 0..20 {
                let name = draw(5);
                index.insert(name.as_wire(), number);
                plain.retain(|(own, _)| *own != name);
                plain.push((name, number));
            }
            for _ in 0..50 {
                let name = draw(8);
                let expected = plain
                    .iter()
                    .filter(|(own, _)| name.is_within(own))
                    .max_by_key(|(own, _)| own.label_count());
                let found = index.longest(name.as_wire());
                assert_eq!(found, expected.map(|(_, number)| *number), "{name}");
            }
        }
    }
}
