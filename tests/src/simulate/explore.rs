//! The small scope, exhaustively: every interleaving of up to so many moves, each situation looked at once.
//!
//! Owns the two walks. `explore` goes level by level over situations that it tells apart by their fingerprint, runs
//! every move in each where it is first met, and brings each to its end: all answered, nothing left. `follow_all`
//! runs every sequence from the start instead, which is slower and needs no fingerprint: the two must agree in how
//! many interleavings there are, and in what may follow each situation. What is told apart, and why that is
//! enough, is in `docs/src/testing.md`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use weir_resolver::mesh::Mutant;

use crate::simulate::model::Fault;
use crate::simulate::scope::{Move, Scope, alphabet};

/// The moves that led to a situation.
type Path = Vec<Move>;

/// What a walk came to.
#[derive(Clone, Debug, Default)]
pub struct Explored {
    /// Situations that differ, over all levels.
    pub states: u64,
    /// For each number of moves: situations first met there, and interleavings of exactly so many moves.
    pub levels: Vec<(u64, u64)>,
    /// Moves that were made and checked.
    pub moves: u64,
    /// The first sequence that broke something, and what.
    pub violation: Option<(Path, Fault)>,
}

impl Explored {
    /// Interleavings of up to all moves.
    #[must_use]
    pub fn interleavings(&self) -> u64 {
        self.levels.iter().map(|level| level.1).sum()
    }
}

/// One situation: how it was first met, and what each possible move makes of it.
#[derive(Debug, Default)]
struct Situation {
    path: Path,
    next: Vec<u32>,
}

/// What one move made of a situation.
type Step = Result<(Move, u128), (Path, Fault)>;

/// Looks at every situation that up to `depth` moves lead to.
#[must_use]
pub fn explore(depth: usize, mutant: Option<Mutant>) -> Explored {
    let mut explored = Explored::default();
    let start = match Scope::new(mutant).map(|scope| scope.fingerprint()) {
        Ok(start) => start,
        Err(fault) => {
            explored.violation = Some((Vec::new(), fault));
            return explored;
        }
    };
    let mut known: HashMap<u128, u32> = HashMap::from([(start, 0)]);
    let mut situations = vec![Situation::default()];
    // How many interleavings lead to each situation in exactly so many moves.
    let mut ways: HashMap<u32, u64> = HashMap::from([(0, 1)]);
    let mut fresh = 0..1;
    for _ in 0..depth {
        let paths: Vec<Path> = slice(&situations, fresh.clone());
        let stepped = on_all_cores(&paths, |path| steps(path, mutant));
        let first = situations.len();
        for (from, steps) in fresh.zip(stepped) {
            for step in steps {
                let (made, fingerprint) = match step {
                    Ok(step) => step,
                    Err(violation) => {
                        explored.violation = Some(violation);
                        return explored;
                    }
                };
                explored.moves += 1;
                let to = match known.entry(fingerprint) {
                    Entry::Occupied(entry) => *entry.get(),
                    Entry::Vacant(entry) => {
                        let path = situations.get(from).map(|one| one.path.clone());
                        let mut path = path.unwrap_or_default();
                        path.push(made);
                        let next = Vec::new();
                        situations.push(Situation { path, next });
                        *entry.insert((situations.len() - 1) as u32)
                    }
                };
                if let Some(situation) = situations.get_mut(from) {
                    situation.next.push(to);
                }
            }
        }
        fresh = first..situations.len();
        ways = advance(&situations, &ways);
        let interleavings = ways.values().sum();
        explored.levels.push((fresh.len() as u64, interleavings));
        let paths: Vec<Path> = slice(&situations, fresh.clone());
        let ends = on_all_cores(&paths, |path| end(path, mutant));
        if let Some((path, fault)) = ends.into_iter().flatten().next() {
            explored.violation = Some((path, fault));
            return explored;
        }
    }
    explored.states = situations.len() as u64;
    explored
}

fn slice(situations: &[Situation], range: std::ops::Range<usize>) -> Vec<Path> {
    let some = situations.get(range).unwrap_or_default();
    some.iter().map(|one| one.path.clone()).collect()
}

/// From how many interleavings lead where, one move further.
fn advance(situations: &[Situation], ways: &HashMap<u32, u64>) -> HashMap<u32, u64> {
    let mut further = HashMap::new();
    for (&from, &count) in ways {
        let next = situations.get(from as usize).map(|one| &one.next[..]);
        for &to in next.unwrap_or_default() {
            *further.entry(to).or_insert(0) += count;
        }
    }
    further
}

/// Does the same with each path, on as many threads as there are cores; the results are in order.
fn on_all_cores<T: Send>(paths: &[Path], work: impl Fn(&Path) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let each = paths.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let running: Vec<_> = paths
            .chunks(each)
            .map(|part| scope.spawn(|| part.iter().map(&work).collect::<Vec<T>>()))
            .collect();
        let done = running.into_iter().map(|thread| thread.join());
        done.flat_map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// Makes moves that were made and checked before.
fn replay(path: &[Move], mutant: Option<Mutant>) -> Result<Scope, Fault> {
    let mut scope = Scope::new(mutant)?;
    scope.checked = false;
    for &step in path {
        scope.make(step)?;
    }
    scope.checked = true;
    Ok(scope)
}

/// Every possible move from where a path leads.
fn steps(path: &Path, mutant: Option<Mutant>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut scope = replay(path, mutant);
    for step in alphabet() {
        let made = scope.and_then(|mut scope| scope.make(step).map(|made| (made, scope)));
        scope = match made {
            Ok((false, scope)) => Ok(scope),
            Ok((true, after)) => {
                steps.push(Ok((step, after.fingerprint())));
                replay(path, mutant)
            }
            Err(fault) => {
                let mut path = path.clone();
                path.push(step);
                steps.push(Err((path, fault)));
                return steps;
            }
        };
    }
    steps
}

/// Brings everything to its end from where a path leads; what is wrong then.
fn end(path: &Path, mutant: Option<Mutant>) -> Option<(Path, Fault)> {
    let ended = replay(path, mutant).and_then(|mut scope| scope.end());
    ended.err().map(|fault| (path.clone(), fault))
}

/// Runs every sequence of up to `depth` moves from the start, and gives each in turn with its fingerprint and
/// those of all that may follow it, in order.
///
/// # Errors
/// The first sequence that broke something, and what.
pub fn follow_all(
    depth: usize,
    see: &mut impl FnMut(&[Move], u128, Vec<u128>),
) -> Result<(), (Path, Fault)> {
    let mut left = vec![Path::new()];
    while let Some(path) = left.pop() {
        let broken = |fault| (path.clone(), fault);
        let fingerprint = replay(&path, None).map_err(broken)?.fingerprint();
        if let Some(violation) = end(&path, None) {
            return Err(violation);
        }
        let mut following = Vec::new();
        for step in steps(&path, None) {
            let (step, fingerprint) = step?;
            following.push(fingerprint);
            if path.len() < depth {
                let mut path = path.clone();
                path.push(step);
                left.push(path);
            }
        }
        following.sort_unstable();
        see(&path, fingerprint, following);
    }
    Ok(())
}
