//! openraft's runtime: tokio, except that a sleep of a microsecond is none.
//!
//! Its random numbers come from the seeds of the room (`seeded`), so that a simulation repeats its elections.
//!
//! openraft tells of flushed entries at most once per microsecond and sleeps the rest of it; tokio's timer has a millisecond for
//! its smallest step, so under load every batch would wait 1 to 2 ms for nothing (16 writers: 3.7 ms instead of 0.2).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use nomadd_runtime::Seeds;
use openraft::type_config::async_runtime::Instant as _;
use openraft::{AsyncRuntime, OptionalSend, TokioInstant, TokioRuntime};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

tokio::task_local! {
    static SEEDS: Seeds;
}

/// Runs openraft, and whatever it starts, with random numbers from these seeds.
pub(crate) fn seeded<F: Future>(seeds: Seeds, future: F) -> impl Future<Output = F::Output> {
    SEEDS.scope(seeds, future)
}

/// What is left of a sleep when it is not worth a timer.
const NOTHING: Duration = Duration::from_micros(1);

/// Tokio without the shortest sleeps.
#[derive(Debug)]
pub(crate) struct Prompt(TokioRuntime);

/// A sleep, or nothing.
#[derive(Debug)]
pub(crate) struct Nap(Option<Pin<Box<tokio::time::Sleep>>>);

impl Future for Nap {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().map_or(Poll::Ready(()), |sleep| sleep.as_mut().poll(context))
    }
}

impl AsyncRuntime for Prompt {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = Nap;
    type Instant = TokioInstant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = SmallRng;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        // A task draws from the sequence of the one that started it.
        let seeds = SEEDS.try_with(Seeds::clone).unwrap_or_else(|_| Seeds::random());
        TokioRuntime::spawn(SEEDS.scope(seeds, future))
    }
    fn sleep(duration: Duration) -> Self::Sleep {
        Nap((duration > NOTHING).then(|| Box::pin(TokioRuntime::sleep(duration))))
    }
    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        let later = deadline > TokioInstant::now() + NOTHING;
        Nap(later.then(|| Box::pin(TokioRuntime::sleep_until(deadline))))
    }
    fn timeout<R, F: Future<Output = R> + OptionalSend>(duration: Duration, future: F) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration, future)
    }
    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(deadline: Self::Instant, future: F) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }
    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }
    fn thread_rng() -> Self::ThreadLocalRng {
        let seed = SEEDS.try_with(Seeds::seed).unwrap_or_else(|_| Seeds::random().seed());
        SmallRng::seed_from_u64(seed)
    }
    fn new(threads: usize) -> Self {
        Self(TokioRuntime::new(threads))
    }
    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }
}
