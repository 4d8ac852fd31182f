//! Ids and random choices, made from a seed: the same evaluation, state and seed give the same plan.
//!
//! The seed is the caller's randomness; the evaluation's id is mixed in, so that workers that share a seed by accident
//! still make different ids.

use nomadd_model::EvaluationId;

/// A small generator (xoshiro256**).
#[derive(Debug, Clone)]
pub struct Random([u64; 4]);

impl Random {
    /// A generator for one run over one evaluation.
    pub fn new(seed: u64, evaluation: EvaluationId) -> Self {
        let bytes = evaluation.0;
        let half = |range: std::ops::Range<usize>| {
            bytes.get(range).unwrap_or_default().iter().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte))
        };
        let mut state = [seed, half(0..8), half(8..16), 0x9e37_79b9_7f4a_7c15];
        let mut mixed = 0;
        for word in &mut state {
            mixed = mix(mixed ^ *word);
            *word = mixed;
        }
        let mut random = Self(state);
        for _ in 0..4 {
            random.draw();
        }
        random
    }

    /// The next 64 bits.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        let state = &mut self.0;
        let result = state[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = state[3].rotate_left(45);
        result
    }

    /// A number below `limit` (0 when that is 0).
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(limit)) >> 64) as u64
    }

    /// The bytes of a new id.
    pub fn id(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let (high, low) = bytes.split_at_mut(8);
        high.copy_from_slice(&self.draw().to_be_bytes());
        low.copy_from_slice(&self.draw().to_be_bytes());
        bytes
    }
}

/// splitmix64's finaliser: spreads the bits of a number.
#[inline]
pub const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
