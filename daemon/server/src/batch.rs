//! Group commit: what arrives while a write is on its way goes into the next one, without any delay of its own.
//!
//! Used for plans, evaluations and what clients report. Each is answered when it is durable. A few writes may be on their
//! way at a time; their order is kept. Bounded: who sends waits while the queue is full.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use nomadd_raft::{Committed, ProposeError, Raft};
use nomadd_state::{Command, Response};
use tokio::sync::{mpsc, oneshot};

use crate::error::{Answer, EndpointError};

/// Things of one kind that are written together.
pub(crate) trait Batched: Send + 'static {
    /// One of them.
    type Item: Send + 'static;
    /// What its sender gets.
    type Answer: Send + 'static;
    /// What `answers` needs besides the response.
    type Memo: Send + 'static;
    /// Answers an item that need not be written.
    fn refuse(&mut self, item: &Self::Item) -> Option<Self::Answer> {
        let _ = item;
        None
    }
    /// How many writes may be on their way.
    const IN_FLIGHT: usize;
    /// A batch is closed when the weights of its items reach this.
    const WEIGHT: usize;
    /// How much an item adds to a batch.
    fn weigh(item: &Self::Item) -> usize;
    /// The command that writes a batch.
    fn command(&mut self, items: Vec<Self::Item>) -> (Command, Self::Memo);
    /// One answer per item, in order.
    fn answers(&mut self, index: u64, response: Response, memo: Self::Memo) -> Vec<Self::Answer>;
}

type Waiting<A> = oneshot::Sender<Answer<A>>;

/// The sending end.
pub(crate) struct Batch<B: Batched>(mpsc::Sender<(B::Item, Waiting<B::Answer>)>);

impl<B: Batched> Clone for Batch<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B: Batched> Batch<B> {
    /// A queue for `most` items, and the loop that writes them.
    pub(crate) fn new(batched: B, raft: Raft, most: usize) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::channel(most);
        (Self(sender), run(batched, raft, receiver))
    }

    /// Writes an item; returns when it is durable.
    pub(crate) async fn write(&self, item: B::Item) -> Answer<B::Answer> {
        self.send(item).await?.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Hands an item over; the receiver gets the answer.
    pub(crate) async fn send(&self, item: B::Item) -> Answer<oneshot::Receiver<Answer<B::Answer>>> {
        let (sender, receiver) = oneshot::channel();
        self.0.send((item, sender)).await.map_err(|_| stopping())?;
        Ok(receiver)
    }

    /// How many items wait to be written.
    pub(crate) fn depth(&self) -> usize {
        self.0.max_capacity() - self.0.capacity()
    }
}

fn stopping() -> EndpointError {
    EndpointError::new(503, "the server is shutting down")
}

struct Flight<B: Batched> {
    write: Pin<Box<dyn Future<Output = Result<Committed, ProposeError>> + Send>>,
    waiting: Vec<Waiting<B::Answer>>,
    memo: B::Memo,
}

async fn run<B: Batched>(mut batched: B, raft: Raft, mut receiver: mpsc::Receiver<(B::Item, Waiting<B::Answer>)>) {
    let mut flights: VecDeque<Flight<B>> = VecDeque::new();
    loop {
        let first = if flights.len() >= B::IN_FLIGHT {
            None
        } else if let Some(flight) = flights.front_mut() {
            tokio::select! {
                biased;
                outcome = &mut flight.write => {
                    land(&mut batched, &mut flights, outcome);
                    continue;
                }
                item = receiver.recv() => item,
            }
        } else {
            match receiver.recv().await {
                Some(item) => Some(item),
                None => return,
            }
        };
        let Some((item, waiting)) = first else {
            // All places are taken, or nobody sends any more: wait for the oldest.
            let Some(flight) = flights.front_mut() else { return };
            let outcome = (&mut flight.write).await;
            land(&mut batched, &mut flights, outcome);
            continue;
        };
        let (mut weight, mut items, mut waiters) = (0, Vec::new(), Vec::new());
        let mut next = Some((item, waiting));
        while let Some((item, waiting)) = next {
            match batched.refuse(&item) {
                // A sender that went away does not need its answer.
                Some(answer) => drop(waiting.send(Ok(answer))),
                None => {
                    weight += B::weigh(&item);
                    items.push(item);
                    waiters.push(waiting);
                }
            }
            next = if weight < B::WEIGHT { receiver.try_recv().ok() } else { None };
        }
        if items.is_empty() {
            continue;
        }
        let (command, memo) = batched.command(items);
        let raft = raft.clone();
        let mut write: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move { raft.propose(command).await });
        // The first poll hands it to the log: that keeps the order of the writes.
        match poll_once(&mut write).await {
            None => flights.push_back(Flight { write, waiting: waiters, memo }),
            Some(outcome) => settle(&mut batched, outcome, waiters, memo),
        }
    }
}

async fn poll_once<T>(future: &mut Pin<Box<dyn Future<Output = T> + Send>>) -> Option<T> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

fn land<B: Batched>(batched: &mut B, flights: &mut VecDeque<Flight<B>>, outcome: Result<Committed, ProposeError>) {
    if let Some(flight) = flights.pop_front() {
        settle(batched, outcome, flight.waiting, flight.memo);
    }
}

fn settle<B: Batched>(
    batched: &mut B,
    outcome: Result<Committed, ProposeError>,
    waiting: Vec<Waiting<B::Answer>>,
    memo: B::Memo,
) {
    let refused = match outcome {
        Ok(Committed { index, response, .. }) => match response {
            Response::Refused(reason) => EndpointError::from(reason),
            response => {
                let answers = batched.answers(index, response, memo);
                for (answer, waiting) in answers.into_iter().zip(waiting) {
                    // A sender that went away does not need its answer.
                    let _ = waiting.send(Ok(answer));
                }
                return;
            }
        },
        Err(error) => EndpointError::from(error),
    };
    for waiting in waiting {
        let _ = waiting.send(Err(refused.clone()));
    }
}
