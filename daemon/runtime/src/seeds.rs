//! Seeds and random ids: from the system, or a fixed sequence for simulations.
//!
//! Not for secrets: keys come from `ring`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Gives seeds; a clone draws from the same sequence.
#[derive(Clone, Debug)]
pub struct Seeds(Arc<AtomicU64>);

impl Seeds {
    /// A sequence that starts at a random place.
    pub fn random() -> Self {
        let mut bytes = [0; 8];
        // Without the random source ids would repeat over restarts: fall back to time and process id.
        if getrandom::fill(&mut bytes).is_err() {
            let nanos =
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos()
                    as u64;
            bytes = (nanos ^ (u64::from(std::process::id()) << 48)).to_le_bytes();
        }
        Self::from_seed(u64::from_le_bytes(bytes))
    }
    /// A fixed sequence.
    pub fn from_seed(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }
    /// The next seed (SplitMix64).
    pub fn seed(&self) -> u64 {
        let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
    /// Sixteen bytes for an id (`EvaluationId::from_random(seeds.id())`).
    pub fn id(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.seed().to_le_bytes());
        bytes[8..].copy_from_slice(&self.seed().to_le_bytes());
        bytes
    }
    /// A span between 0 and `most`, for jitter.
    pub fn jitter(&self, most: std::time::Duration) -> std::time::Duration {
        most.mul_f64((self.seed() >> 11) as f64 / (1_u64 << 53) as f64)
    }
}
