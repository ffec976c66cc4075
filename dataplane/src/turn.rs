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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::task::Poll;

    use super::*;

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
