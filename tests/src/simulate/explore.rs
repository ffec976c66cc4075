//! The small scope, exhaustively: every interleaving of up to so many moves is made on the real core.
//!
//! Owns `explore`, a walk depth first over all sequences of moves. Nothing is merged: each sequence has a mesh of its
//! own, in which its last move is checked, and which is brought to its end with nothing left. So nothing has to be
//! known of what makes two situations one. Threads share the work by the first moves of a sequence.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use weir_resolver::mesh::Mutant;

use crate::simulate::model::Fault;
use crate::simulate::scope::{Move, Scope, alphabet};

/// Sequences of so many moves are walked from by one thread each: about a thousand, of which the largest is small.
const SHARED: usize = 3;

/// The moves that led to a situation.
type Path = Vec<Move>;

/// What a walk came to.
#[derive(Clone, Debug, Default)]
pub struct Explored {
    /// For each number of moves from one: the interleavings of exactly so many.
    pub levels: Vec<u64>,
    /// States that were checked: one after each event, those that bring an interleaving to its end included.
    pub states: u64,
    /// The first sequence that broke something, and what.
    pub violation: Option<(Path, Fault)>,
}

impl Explored {
    /// Interleavings of up to all moves.
    #[must_use]
    pub fn interleavings(&self) -> u64 {
        self.levels.iter().sum()
    }

    fn add(&mut self, other: Self) {
        for (sum, count) in self.levels.iter_mut().zip(other.levels) {
            *sum += count;
        }
        self.states += other.states;
        if self.violation.is_none() {
            self.violation = other.violation;
        }
    }
}

/// Makes every sequence of up to `depth` moves; `tell` is called with the shares of the work that are done, and how
/// many there are.
#[must_use]
pub fn explore(
    depth: usize,
    mutant: Option<Mutant>,
    mut tell: impl FnMut(usize, usize) + Send,
) -> Explored {
    let mut shared = Walk::new(depth, mutant);
    let mut parts = vec![Path::new()];
    for _ in 0..SHARED.min(depth) {
        parts = parts.iter().flat_map(|path| shared.step(path)).collect();
    }
    let (next, done) = (AtomicUsize::new(0), Mutex::new((0, &mut tell)));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let worker = || {
        let mut walk = Walk::new(depth, mutant);
        while let Some(path) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            walk.below(&mut path.clone());
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.0 += 1;
            let count = done.0;
            (done.1)(count, parts.len());
        }
        walk.explored
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        for thread in running {
            let walked = thread.join();
            shared
                .explored
                .add(walked.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    shared.explored
}

/// One thread's walk.
struct Walk {
    depth: usize,
    mutant: Option<Mutant>,
    moves: Vec<Move>,
    explored: Explored,
}

impl Walk {
    fn new(depth: usize, mutant: Option<Mutant>) -> Self {
        let explored = Explored {
            levels: vec![0; depth],
            ..Explored::default()
        };
        let moves = alphabet();
        Self {
            depth,
            mutant,
            moves,
            explored,
        }
    }

    /// Walks everything that follows a sequence. No deeper than the moves that were asked for.
    fn below(&mut self, path: &mut Path) {
        if path.len() >= self.depth {
            return;
        }
        for mut further in self.step(path) {
            self.below(&mut further);
        }
    }

    /// Makes each possible move after a sequence, and brings what it made to its end; gives the longer sequences.
    fn step(&mut self, path: &[Move]) -> Vec<Path> {
        let mut longer = Vec::new();
        let mut ready = None;
        for at in 0..self.moves.len() {
            let Some(&step) = self.moves.get(at) else {
                break;
            };
            if self.explored.violation.is_some() {
                break;
            }
            let scope = ready.take().map_or_else(|| self.replay(path), Ok);
            match scope.and_then(|scope| self.finish(scope, step)) {
                // The move cannot be made here, and nothing has changed.
                Ok(Some(same)) => ready = Some(same),
                Ok(None) => {
                    let mut further = path.to_vec();
                    further.push(step);
                    if let Some(level) = self.explored.levels.get_mut(path.len()) {
                        *level += 1;
                    }
                    longer.push(further);
                }
                Err(fault) => {
                    let mut further = path.to_vec();
                    further.push(step);
                    self.explored.violation = Some((further, fault));
                }
            }
        }
        longer
    }

    /// Makes a move and brings everything to its end; gives the scope back when the move cannot be made.
    fn finish(&mut self, mut scope: Scope, step: Move) -> Result<Option<Scope>, Fault> {
        if !scope.make(step)? {
            return Ok(Some(scope));
        }
        scope.end()?;
        self.explored.states += scope.looked_at;
        Ok(None)
    }

    /// Makes moves that were made and checked before.
    fn replay(&self, path: &[Move]) -> Result<Scope, Fault> {
        let mut scope = Scope::new(self.mutant)?;
        scope.checked = false;
        for &step in path {
            scope.make(step)?;
        }
        scope.checked = true;
        scope.looked_at = 0;
        Ok(scope)
    }
}
