//! Answers that many ask for and that rarely change: kept as bytes until what they show has another index.
//!
//! Bounded in count and in bytes; a stale or foreign answer is impossible because the index is part of the match.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// How many answers are kept.
const MOST: usize = 128;
/// The largest answer that is kept, in bytes.
const LARGEST: usize = 256 << 10;

/// The kept answers.
#[derive(Debug, Default)]
pub struct Cache(Mutex<BTreeMap<String, (u64, Bytes)>>);

impl Cache {
    /// The answer to `key` as of `index`; made by `make` when it is not there.
    pub fn get<E>(&self, key: &str, index: u64, make: impl FnOnce() -> Result<Vec<u8>, E>) -> Result<Bytes, E> {
        if let Some((of, bytes)) = self.lock().get(key)
            && *of == index
        {
            return Ok(bytes.clone());
        }
        let bytes = Bytes::from(make()?);
        if bytes.len() <= LARGEST && key.len() <= 512 {
            let mut kept = self.lock();
            if kept.len() >= MOST && !kept.contains_key(key) {
                kept.clear();
            }
            kept.insert(key.to_owned(), (index, bytes.clone()));
        }
        Ok(bytes)
    }
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (u64, Bytes)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
