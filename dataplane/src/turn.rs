//! Taking turns on the thread of a worker: who has more to do than one turn allows goes on after the others.

use std::pin::pin;
use std::task::Context;

/// Has the task of `context` run again once the runtime has looked at its sockets and timers.
///
/// A task that wakes itself runs again before that, up to 61 times (`event_interval` of the runtime): whatever
/// arrives meanwhile for other connections is not seen.
pub fn again_after_others(context: &mut Context<'_>) {
    // Its first poll puts the waker where the runtime wakes it after it has looked; there is no second one.
    let _ = pin!(tokio::task::yield_now()).poll(context);
}

/// What a turn takes of a batch at least: so many new questions cost some hundred microseconds.
const TURN_MIN: usize = 32;
/// Turns that a batch is spread over at most. Of what comes meanwhile the next is made, so that no more than some
/// turns' worth ever waits, however much comes in each.
const TURNS_PER_BATCH: usize = 16;
/// Room that a batch keeps for the next. That of a burst, up to some MiB, is given back.
const ROOM_KEPT: usize = 1024;

/// What came at once, in order, and how much of it one turn takes.
#[derive(Debug)]
struct Batch<T> {
    left: Vec<T>,
    share: usize,
    taken: usize,
}

impl<T> Batch<T> {
    const fn new() -> Self {
        Self {
            left: Vec::new(),
            share: TURN_MIN,
            taken: 0,
        }
    }

    fn take(&mut self, to: impl FnMut(T)) -> usize {
        let count = self.share.saturating_sub(self.taken).min(self.left.len());
        self.left.drain(..count).for_each(to);
        self.taken += count;
        count
    }

    /// Gives the room of a burst that is over back.
    fn give_back(&mut self) {
        if self.left.capacity() > ROOM_KEPT {
            self.left = Vec::new();
        }
    }

    fn set_share(&mut self) {
        self.share = (self.left.len() / TURNS_PER_BATCH).max(TURN_MIN);
    }
}

/// What came from the worker's own thread and from others, worked off over some turns.
///
/// A message is an effect of notes put before it: who takes the answer to a connection's question must have been
/// told of the connection. So all notes of a batch are taken before its messages, and none of the next before these.
#[derive(Debug)]
pub struct Intake<N, M> {
    notes: Batch<N>,
    messages: Batch<M>,
}

/// One thing that came.
#[derive(Debug)]
pub enum Taken<N, M> {
    /// From the worker's own thread.
    Note(N),
    /// From another worker.
    Message(M),
}

impl<N, M> Default for Intake<N, M> {
    fn default() -> Self {
        Self {
            notes: Batch::new(),
            messages: Batch::new(),
        }
    }
}

impl<N, M> Intake<N, M> {
    /// Hands over a turn's share in order; whether more is left. `refill` puts what came since into two empty
    /// lists, and is called until nothing has, so that it can see to the next wake-up.
    pub fn take_turn(
        &mut self,
        mut refill: impl FnMut(&mut Vec<N>, &mut Vec<M>),
        mut to: impl FnMut(Taken<N, M>),
    ) -> bool {
        (self.notes.taken, self.messages.taken) = (0, 0);
        loop {
            if self.is_empty() {
                self.notes.give_back();
                self.messages.give_back();
                refill(&mut self.notes.left, &mut self.messages.left);
                self.notes.set_share();
                self.messages.set_share();
            }
            let mut taken = self.notes.take(|note| to(Taken::Note(note)));
            if self.notes.left.is_empty() {
                taken += self.messages.take(|message| to(Taken::Message(message)));
            }
            if taken == 0 || !self.is_empty() {
                return !self.is_empty();
            }
        }
    }

    const fn is_empty(&self) -> bool {
        self.notes.left.is_empty() && self.messages.left.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::task::Poll;

    use super::*;

    /// Lets turns pass in each of which `arrivals` notes come, each with a message that follows from it; the most
    /// that ever waited, and what was taken in one turn.
    fn wait_for(arrivals: usize, burst: usize) -> (usize, usize) {
        let mut intake = Intake::default();
        let (mut notes, mut messages, mut next) = (Vec::new(), Vec::new(), 0_usize);
        let (mut noted, mut told) = (0_usize, 0_usize);
        let (mut waited, mut most) = (0, 0);
        for turn in 0..10_000 {
            let come = if turn == 0 { burst } else { arrivals };
            notes.extend(next..next + come);
            messages.extend(next..next + come);
            next += come;
            let before = noted + told;
            let more = intake.take_turn(
                |into_notes, into_messages| {
                    std::mem::swap(into_notes, &mut notes);
                    std::mem::swap(into_messages, &mut messages);
                },
                |taken| match taken {
                    Taken::Note(number) => {
                        assert_eq!(number, noted, "out of order");
                        noted += 1;
                    }
                    Taken::Message(number) => {
                        assert_eq!(number, told, "out of order");
                        assert!(number < noted, "a message before its note");
                        told += 1;
                    }
                },
            );
            assert_eq!(more, told < next, "after {turn} turns");
            waited = waited.max(next - told);
            most = most.max(noted + told - before);
        }
        (waited, most)
    }

    #[test]
    fn what_waits_is_bounded_by_what_comes_in_a_turn() {
        assert_eq!(wait_for(0, 20), (0, 40));
        assert_eq!(wait_for(0, 300), (300, 44));
        assert_eq!(wait_for(0, 16_000), (16_000, 2000));
        // A fixed share would let these pile up without end.
        for arrivals in [33, 100, 3000] {
            let (waited, _) = wait_for(arrivals, 0);
            let most = arrivals * 4 * TURNS_PER_BATCH;
            assert!(waited <= most, "{waited} at {arrivals} in a turn");
        }
    }

    #[test]
    fn the_room_of_a_burst_is_given_back() {
        let mut intake = Intake::default();
        let mut notes: Vec<u32> = (0..16_000).collect();
        let mut messages: Vec<u32> = Vec::new();
        for _ in 0..TURNS_PER_BATCH + 2 {
            let refill = |into_notes: &mut Vec<u32>, into_messages: &mut Vec<u32>| {
                std::mem::swap(into_notes, &mut notes);
                std::mem::swap(into_messages, &mut messages);
            };
            intake.take_turn(refill, |_| {});
        }
        let room = notes.capacity().max(intake.notes.left.capacity());
        assert!(room <= ROOM_KEPT, "{room}");
    }

    #[test]
    fn a_socket_is_seen_between_two_turns() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
            let seen = std::rc::Rc::new(Cell::new(false));
            let other = std::rc::Rc::clone(&seen);
            tokio::task::spawn_local(async move {
                theirs.readable().await.unwrap();
                other.set(true);
            });
            tokio::task::yield_now().await;
            ours.try_write(b"!").unwrap();
            let mut turns = 0;
            std::future::poll_fn(|context| {
                turns += 1;
                if seen.get() {
                    return Poll::Ready(());
                }
                again_after_others(context);
                Poll::Pending
            })
            .await;
            assert!(turns <= 4, "seen after {turns} turns");
        });
    }
}
