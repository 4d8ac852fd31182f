//! Chance, drawn from the seed; and the trace, whose hash tells whether two runs were the same.

use std::sync::{Arc, Mutex};

use nomadd_runtime::Seeds;

/// A sequence of choices; a clone draws from the same.
#[derive(Clone, Debug)]
pub struct Dice(Seeds);

impl Dice {
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(Seeds::from_seed(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
    pub fn seed(&self) -> u64 {
        self.0.seed()
    }
    /// Less than `most`.
    pub fn below(&self, most: u64) -> u64 {
        self.seed() % most.max(1)
    }
    /// So many times of a thousand.
    pub fn chance(&self, of_thousand: u64) -> bool {
        self.below(1000) < of_thousand
    }
    pub fn millis(&self, least: u64, most: u64) -> std::time::Duration {
        std::time::Duration::from_micros(least * 1000 + self.below((most - least) * 1000))
    }
    pub fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// What happened, in order: the lines are for people, the hash is over them and over every message.
#[derive(Clone, Debug)]
pub struct Trace(Arc<Mutex<(Vec<String>, u64)>>, tokio::time::Instant, bool);

impl Trace {
    pub fn begin() -> Self {
        Self(
            Arc::new(Mutex::new((Vec::new(), 0xcbf2_9ce4_8422_2325))),
            tokio::time::Instant::now(),
            std::env::var_os("MESSAGES").is_some(),
        )
    }
    pub fn begun(&self) -> tokio::time::Instant {
        self.1
    }
    /// Only into the hash.
    pub fn note(&self, what: &[u8]) {
        let micros = self.1.elapsed().as_micros() as u64;
        let at = micros.to_le_bytes();
        let mut inner = self.0.lock().unwrap();
        if self.2 {
            inner.0.push(format!("{:>10.3} ms  . {}", micros as f64 / 1e3, String::from_utf8_lossy(what)));
        }
        for byte in at.iter().chain(what) {
            inner.1 = (inner.1 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    pub fn say(&self, line: String) {
        self.note(line.as_bytes());
        let at = self.1.elapsed().as_micros();
        self.0.lock().unwrap().0.push(format!("{:>10.3} ms  {line}", at as f64 / 1e3));
    }
    pub fn hash(&self) -> u64 {
        self.0.lock().unwrap().1
    }
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().0.clone()
    }
}
