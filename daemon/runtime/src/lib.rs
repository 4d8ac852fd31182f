//! What a process needs from its surroundings, real and simulated: clock, seeds, the registry of long-lived tasks, a pool
//! for computations, logs.
//!
//! Impure rooms take a `Runtime` and never call the system clock, the random source or `tokio::spawn` by themselves, so that a
//! simulation can hold them. Uses no other room but `model`.

pub mod clock;
pub mod heap;
pub mod log;
pub mod pool;
pub mod program;
pub mod seeds;
pub mod tasks;

pub use clock::Clock;
pub use pool::Pool;
pub use seeds::Seeds;
pub use tasks::{TaskKind, Tasks};

/// The surroundings of a component; a clone shares them.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// Tells the time.
    pub clock: Clock,
    /// Gives seeds and ids.
    pub seeds: Seeds,
    /// Knows every long-lived task.
    pub tasks: Tasks,
    /// Runs computations and blocking work.
    pub pool: Pool,
}

impl Runtime {
    /// The real surroundings: system clock, system randomness, a pool of `threads` computations at a time.
    pub fn real(threads: usize) -> Self {
        Self { clock: Clock::system(), seeds: Seeds::random(), tasks: Tasks::new(), pool: Pool::threads(threads) }
    }

    /// Simulated surroundings: a clock that is set by hand, seeds from `seed`, blocking work done inline.
    pub fn simulated(seed: u64) -> Self {
        Self { clock: Clock::manual(), seeds: Seeds::from_seed(seed), tasks: Tasks::new(), pool: Pool::inline() }
    }
}
