//! The numbers that a worker counts: each has one writer, its worker's thread, so that counting
//! costs a load and a store and no lock prefix. A scrape reads them from another thread and sums.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number with one writer.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Adds `count`. Only the thread that owns the cell may call this.
    pub fn add(&self, count: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(count),
            Ordering::Relaxed,
        );
    }

    /// Replaces the number. Only the thread that owns the cell may call this.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Reads the number, from any thread.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One cell for each value of a label.
#[derive(Debug)]
pub struct Row<const N: usize>([Cell; N]);

impl<const N: usize> Default for Row<N> {
    fn default() -> Self {
        Self([const { Cell(AtomicU64::new(0)) }; N])
    }
}

impl<const N: usize> Row<N> {
    /// Adds one at `index`; an index beyond the row counts at its last place, which is "other".
    pub fn count(&self, index: usize) {
        if let Some(cell) = self.0.get(index.min(N.saturating_sub(1))) {
            cell.add(1);
        }
    }

    /// The number at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> u64 {
        self.0.get(index).map_or(0, Cell::get)
    }

    /// The sum over the row.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.iter().map(Cell::get).sum()
    }
}

/// One row for each value of a second label.
#[derive(Debug)]
pub struct Table<const R: usize, const C: usize>([Row<C>; R]);

impl<const R: usize, const C: usize> Default for Table<R, C> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Row::default()))
    }
}

impl<const R: usize, const C: usize> Table<R, C> {
    /// Adds one; indices beyond the table count at its last places.
    pub fn count(&self, row: usize, column: usize) {
        if let Some(row) = self.0.get(row.min(R.saturating_sub(1))) {
            row.count(column);
        }
    }

    /// The number at these indices.
    #[must_use]
    pub fn get(&self, row: usize, column: usize) -> u64 {
        self.0.get(row).map_or(0, |row| row.get(column))
    }
}

/// Upper bounds of the duration buckets, in microseconds; the last bucket is open.
pub const BOUNDS: [u64; 15] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000,
];

/// How long something took, in buckets.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: Row<16>,
    microseconds: Cell,
}

impl Durations {
    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.buckets
            .count(BOUNDS.partition_point(|bound| *bound < microseconds));
        self.microseconds.add(microseconds);
    }

    /// Counts in each bucket, and the sum in microseconds.
    #[must_use]
    pub fn read(&self) -> ([u64; 16], u64) {
        (
            std::array::from_fn(|index| self.buckets.get(index)),
            self.microseconds.get(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_their_buckets() {
        let durations = Durations::default();
        durations.observe(Duration::from_micros(50));
        durations.observe(Duration::from_micros(51));
        durations.observe(Duration::from_secs(60));
        let (buckets, sum) = durations.read();
        assert_eq!((buckets[0], buckets[1], buckets[15]), (1, 1, 1));
        assert_eq!(sum, 60_000_101);
    }

    #[test]
    fn what_has_no_label_counts_as_other() {
        let table = Table::<2, 3>::default();
        table.count(9, 9);
        table.count(0, 1);
        assert_eq!(
            (table.get(1, 2), table.get(0, 1), table.get(0, 0)),
            (1, 1, 0)
        );
    }
}
