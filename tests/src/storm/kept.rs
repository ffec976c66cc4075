//! What a data plane holds after storms, and whether it grows from one to the next.

use crate::storm::heap::Heap;

/// By how much more octets may grow than blocks, where both are counted.
const OCTETS_SLACK: u64 = 4;

/// What a quiet data plane holds.
#[derive(Clone, Copy, Debug)]
pub enum Kept {
    /// Octets of resident memory.
    Resident(u64),
    /// What lives on the heap beside the entries of the cache.
    Heap(Heap),
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Resident(octets) => write!(f, "{} KiB", octets >> 10),
            Self::Heap(heap) => write!(f, "{} KiB in {} blocks", heap.octets >> 10, heap.blocks),
        }
    }
}

/// All of it in words.
#[must_use]
pub fn told(kept: &[Kept]) -> String {
    let each: Vec<String> = kept.iter().map(ToString::to_string).collect();
    each.join(", ")
}

/// Whether these, after the warm-up and after each storm, do not grow by more than so many hundredths.
#[must_use]
pub fn is_steady(kept: &[Kept], growth_max: u64) -> bool {
    // The first storm fills pools, so the others are compared with what it left, where there are others.
    let from = 2.min(kept.len().saturating_sub(2));
    let (mut resident, mut octets, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
    for one in kept.iter().skip(from) {
        match one {
            Kept::Resident(octets) => resident.push(*octets),
            Kept::Heap(heap) => {
                octets.push(heap.octets);
                blocks.push(heap.blocks);
            }
        }
    }
    if blocks.is_empty() {
        // Which pages an allocator can give back is a matter of luck, a tenth up or down; what leaks only goes up.
        let (earlier, later) = resident.split_at(resident.len() / 2);
        is_within(earlier.iter().min(), later.iter().min(), growth_max)
    } else {
        // Tables keep the room that they once needed: blocks tell better than octets.
        is_within(
            octets.iter().min(),
            octets.last(),
            growth_max * OCTETS_SLACK,
        ) && is_within(blocks.iter().min(), blocks.last(), growth_max)
    }
}

fn is_within(least: Option<&u64>, value: Option<&u64>, growth_max: u64) -> bool {
    let (Some(least), Some(value)) = (least, value) else {
        return false;
    };
    *value <= least + least / 100 * growth_max
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_from_storm_to_storm_is_kept() {
        let resident = |values: &[u64]| {
            let kept: Vec<Kept> = values.iter().map(|one| Kept::Resident(one << 20)).collect();
            is_steady(&kept, 5)
        };
        assert!(resident(&[100, 104]));
        assert!(!resident(&[100, 106]));
        assert!(resident(&[50, 80, 104, 101, 105]));
        assert!(resident(&[50, 80, 100, 110, 101]));
        assert!(!resident(&[50, 80, 100, 110, 106]));
        let counted = |values: &[u64]| {
            let heap = |blocks: &u64| Heap {
                blocks: *blocks,
                octets: 1 << 20,
            };
            let kept: Vec<Kept> = values.iter().map(heap).map(Kept::Heap).collect();
            is_steady(&kept, 5)
        };
        assert!(counted(&[900, 1000, 1040]));
        assert!(!counted(&[900, 1000, 1060]));
        assert!(!counted(&[900, 950, 1000, 1020, 1060]));
    }
}
