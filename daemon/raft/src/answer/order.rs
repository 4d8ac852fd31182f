//! Puts appends in order again that overtook each other on the way. Only for speed: openraft would answer the one that is too
//! early with a conflict, and the leader would begin anew.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// So many streams are known; heartbeats are streams of one.
const STREAMS: usize = 128;
/// One that is too early waits so long for those before it.
const PATIENCE: Duration = Duration::from_millis(300);

type Next = Arc<watch::Sender<u64>>;

/// The places that are next, by sender and stream; the newest streams only.
#[derive(Debug, Default)]
pub(crate) struct Order(Mutex<VecDeque<((u64, u64), Next)>>);

/// The turn of one append; the next may pass when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    next: Next,
    place: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.next.send_modify(|next| *next = (*next).max(self.place + 1));
    }
}

impl Order {
    /// Waits for the turn of an append.
    pub(crate) async fn turn(&self, sender: u64, stream: u64, place: u64) -> Turn {
        let next = {
            let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match streams.iter().rev().find(|(of, _)| *of == (sender, stream)) {
                Some((_, next)) => Arc::clone(next),
                None => {
                    let next = Next::default();
                    if streams.len() == STREAMS {
                        streams.pop_front();
                    }
                    streams.push_back(((sender, stream), Arc::clone(&next)));
                    next
                }
            }
        };
        let mut reached = next.subscribe();
        // One that was lost on the way holds up the others only so long.
        let _lost = tokio::time::timeout(PATIENCE, reached.wait_for(|next| *next >= place)).await;
        Turn { next, place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn appends_pass_in_their_order_and_a_lost_one_does_not_stop_the_others() {
        let order = Order::default();
        let passed = Mutex::new(Vec::new());
        let pass = async |place| {
            let _turn = order.turn(1, 7, place).await;
            passed.lock().unwrap().push(place);
        };
        tokio::join!(pass(2), pass(1), pass(0), pass(4), async {
            let _another = order.turn(1, 8, 0).await;
            passed.lock().unwrap().push(100);
        });
        let passed = passed.into_inner().unwrap();
        assert_eq!(passed.iter().filter(|place| **place < 100).copied().collect::<Vec<_>>(), [0, 1, 2, 4]);
    }
}
