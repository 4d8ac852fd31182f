//! The candidates of one group, best first, kept in order while placements change a node at a time.
//!
//! Nodes lie in buckets by (spread tuple, number of scores): within a bucket the order does not depend on spreads, so
//! that a placement moves one entry of one heap and looks at one number per bucket. In large fleets scores that differ
//! by less than 0.8 % count as equal and the seed decides, so that concurrent workers do not run for the same nodes.
//! Called by the placer.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use crate::ids::mix;
use crate::rank::spread::Spreads;

/// From this many nodes on near ties are broken by the seed.
const COARSE_FROM: usize = 64;
/// How many lists of entries are kept for the next index.
const KEPT_LISTS: usize = 32;
/// What better spreads may cost of the scores of all placements so far, as a share.
const SPREAD_BUDGET: f64 = 0.015;
/// What one placement may cost for a better spread, as a share of the best score.
const SPREAD_LIMIT: f64 = 0.5;

/// A node that fits, with the sum of its scores without spread and penalty.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    key: u64,
    /// The sum of scores.
    pub sum: f64,
    /// The node's row.
    pub row: u32,
    stamp: u32,
    bucket: u32,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.row == other.row
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key).then_with(|| other.row.cmp(&self.row))
    }
}

/// The best score there was, and what was given away of it for a better spread.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    best: f64,
    given: f64,
}

#[derive(Debug)]
struct Bucket {
    tuple: u32,
    scores: u32,
    heap: BinaryHeap<Entry>,
}

/// All candidates of one group.
#[derive(Debug)]
pub struct Index {
    buckets: Vec<Bucket>,
    ids: HashMap<(u32, u32), u32>,
    by_tuple: Vec<Vec<u32>>,
    /// The final score of the first of each bucket; -inf when it is empty.
    finals: Vec<f64>,
    /// Only an entry with its row's stamp counts; others are left behind by changes.
    stamps: Vec<u32>,
    seed: u64,
    coarse: bool,
    spare: Vec<Vec<Entry>>,
    /// While it is filled: the bucket of the last candidate, and the lists of all buckets.
    filling: ((u32, u32), u32),
    lists: Vec<Vec<Entry>>,
    /// The best scores so far, and what was given away of them for spreads.
    best_sum: f64,
    given: f64,
    last: Cost,
    /// What the group spreads over.
    pub spreads: Spreads,
}

impl Index {
    /// No candidates yet; `stamps` is a list of zeros as long as the fleet, `spare` are lists of before
    /// whose room is used again.
    pub fn new(stamps: Vec<u32>, spare: Vec<Vec<Entry>>, seed: u64, spreads: Spreads) -> Self {
        Self {
            buckets: Vec::new(),
            ids: HashMap::new(),
            by_tuple: Vec::new(),
            finals: Vec::new(),
            coarse: stamps.len() >= COARSE_FROM,
            stamps,
            spare,
            filling: ((u32::MAX, u32::MAX), 0),
            lists: Vec::new(),
            seed,
            best_sum: 0.0,
            given: 0.0,
            last: Cost::default(),
            spreads,
        }
    }

    /// Gives the lists of `new` back.
    pub fn into_lists(self) -> (Vec<u32>, Vec<Vec<Entry>>) {
        let Self { stamps, mut spare, buckets, .. } = self;
        for bucket in buckets {
            let mut list = bucket.heap.into_vec();
            list.clear();
            spare.push(list);
        }
        // The largest are worth keeping, and are used first.
        spare.sort_by_key(Vec::capacity);
        spare.drain(..spare.len().saturating_sub(KEPT_LISTS));
        (stamps, spare)
    }

    fn key(&self, row: u32, sum: f64) -> u64 {
        let bits = (sum as f32).to_bits();
        let ordered = if bits >> 31 == 1 { !bits } else { bits | 0x8000_0000 };
        // 7 bits of mantissa stay: steps of 0.4 to 0.8 %.
        let ordered = if self.coarse { ordered & 0xffff_0000 } else { ordered };
        (u64::from(ordered) << 32) | (mix(self.seed ^ u64::from(row)) >> 32)
    }

    fn bucket(&mut self, tuple: u32, scores: u32) -> u32 {
        if let Some(known) = self.ids.get(&(tuple, scores)) {
            return *known;
        }
        let id = self.buckets.len() as u32;
        self.ids.insert((tuple, scores), id);
        self.buckets.push(Bucket { tuple, scores, heap: BinaryHeap::new() });
        self.finals.push(f64::NEG_INFINITY);
        let at = tuple as usize;
        if self.by_tuple.len() <= at {
            self.by_tuple.resize_with(at + 1, Vec::new);
        }
        if let Some(buckets) = self.by_tuple.get_mut(at) {
            buckets.push(id);
        }
        id
    }

    /// Adds a candidate to an index that is being filled; `settle` ends that.
    #[inline]
    pub fn add(&mut self, row: u32, tuple: u32, scores: u32, sum: f64) {
        let (of, bucket) = self.filling;
        let bucket = if of == (tuple, scores) { bucket } else { self.bucket(tuple, scores) };
        self.filling = ((tuple, scores), bucket);
        while self.lists.len() <= bucket as usize {
            self.lists.push(self.spare.pop().unwrap_or_default());
        }
        let stamp = self.stamps.get(row as usize).copied().unwrap_or(0);
        let entry = Entry { key: self.key(row, sum), sum, row, stamp, bucket };
        if let Some(list) = self.lists.get_mut(bucket as usize) {
            list.push(entry);
        }
    }

    /// Brings what was added into order.
    pub fn settle(&mut self) {
        for (bucket, list) in self.buckets.iter_mut().zip(std::mem::take(&mut self.lists)) {
            bucket.heap = BinaryHeap::from(list);
        }
        self.spreads.refresh_all();
        self.refresh_finals();
    }

    /// Adds a row, or puts it where its new score belongs.
    pub fn put(&mut self, row: u32, tuple: u32, scores: u32, sum: f64) {
        let stamp = self.remove(row);
        let bucket = self.bucket(tuple, scores);
        let entry = Entry { key: self.key(row, sum), sum, row, stamp, bucket };
        self.put_back(entry);
    }

    /// Puts an entry back that `pop` gave, unchanged.
    pub fn put_back(&mut self, entry: Entry) {
        if let Some(bucket) = self.buckets.get_mut(entry.bucket as usize) {
            bucket.heap.push(entry);
        }
        self.refresh_final(entry.bucket as usize);
    }

    /// Takes a row out; entries of it that lie in a heap no longer count.
    pub fn remove(&mut self, row: u32) -> u32 {
        match self.stamps.get_mut(row as usize) {
            Some(stamp) => {
                *stamp = stamp.wrapping_add(1);
                *stamp
            }
            None => 0,
        }
    }

    /// Whether an entry still says how its row is.
    fn is_current(&self, entry: &Entry) -> bool {
        self.stamps.get(entry.row as usize) == Some(&entry.stamp)
    }

    /// The final score of an entry.
    pub fn final_score(&self, entry: &Entry) -> f64 {
        self.buckets
            .get(entry.bucket as usize)
            .map_or(f64::NEG_INFINITY, |bucket| mean(entry.sum, bucket.scores, self.spreads.boost(bucket.tuple)))
    }

    /// What the entry that `pop` gave last cost.
    pub fn last_cost(&self) -> Cost {
        self.last
    }

    /// Notes that an entry was taken for this.
    pub fn spend(&mut self, cost: Cost) {
        self.best_sum += cost.best.abs();
        self.given += cost.given;
    }

    /// Takes the best candidate out.
    pub fn pop(&mut self) -> Option<Entry> {
        loop {
            let (at, cost) = self.best_bucket()?;
            self.last = cost;
            let bucket = self.buckets.get_mut(at)?;
            let entry = bucket.heap.pop();
            self.refresh_final(at);
            match entry {
                Some(entry) if self.is_current(&entry) => return Some(entry),
                _ => {}
            }
        }
    }

    fn best_bucket(&self) -> Option<(usize, Cost)> {
        let mut best = f64::NEG_INFINITY;
        let mut at = 0;
        for (bucket, score) in self.finals.iter().enumerate() {
            if *score > best {
                (best, at) = (*score, bucket);
            }
        }
        if best == f64::NEG_INFINITY {
            return None;
        }
        if self.spreads.is_empty() {
            return Some((at, Cost { best, given: 0.0 }));
        }
        // Values that still miss something come first, as long as the budget lasts.
        let budget = SPREAD_BUDGET * (self.best_sum + best.abs()) - self.given;
        let floor = best - budget.min(SPREAD_LIMIT * best.abs());
        let mut chosen = (floor, None);
        for (bucket, (score, found)) in self.finals.iter().zip(&self.buckets).enumerate() {
            if *score >= chosen.0 && !self.spreads.is_full(found.tuple) {
                chosen = (*score, Some(bucket));
            }
        }
        let (score, at) = chosen.1.map_or((best, at), |bucket| (chosen.0, bucket));
        Some((at, Cost { best, given: best - score }))
    }

    fn refresh_final(&mut self, at: usize) {
        let Some(bucket) = self.buckets.get_mut(at) else { return };
        // Only what is current may stand on top, or an empty bucket would look best.
        while bucket.heap.peek().is_some_and(|top| self.stamps.get(top.row as usize) != Some(&top.stamp)) {
            bucket.heap.pop();
        }
        let score = bucket.heap.peek().map(|top| mean(top.sum, bucket.scores, self.spreads.boost(bucket.tuple)));
        if let Some(slot) = self.finals.get_mut(at) {
            *slot = score.unwrap_or(f64::NEG_INFINITY);
        }
    }

    fn refresh_finals(&mut self) {
        for at in 0..self.buckets.len() {
            self.refresh_final(at);
        }
    }

    /// Counts an allocation for the spreads (or takes it away) and scores anew what that concerns.
    pub fn count(&mut self, tuple: u32, by: i64) {
        if self.spreads.is_empty() {
            return;
        }
        self.spreads.count(tuple, by);
        match self.spreads.refresh(tuple) {
            None => self.refresh_finals(),
            Some(tuples) => {
                for tuple in tuples {
                    let buckets = self.by_tuple.get(tuple as usize).cloned().unwrap_or_default();
                    for bucket in buckets {
                        self.refresh_final(bucket as usize);
                    }
                }
            }
        }
    }
}

/// The mean of the scores and, when it is one, the spread.
#[inline]
pub fn mean(sum: f64, scores: u32, boost: f64) -> f64 {
    if boost == 0.0 { sum / f64::from(scores.max(1)) } else { (sum + boost) / f64::from(scores + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(nodes: usize) -> Index {
        Index::new(vec![0; nodes], Vec::new(), 7, Spreads::new(&[], 0.0, 1))
    }

    #[test]
    fn candidates_come_best_first_and_move_when_their_score_changes() {
        let mut index = index(4);
        for (row, scores, sum) in [(0, 1, 0.2), (1, 1, 0.9), (2, 2, 1.0), (3, 1, 0.6)] {
            index.add(row, 0, scores, sum);
        }
        index.settle();
        let best = index.pop().unwrap();
        assert_eq!((best.row, index.final_score(&best)), (1, 0.9));
        index.put(1, 0, 2, 0.3);
        assert_eq!(index.pop().unwrap().row, 3);
        assert_eq!(index.pop().unwrap().row, 2, "half of 1.0");
        index.remove(0);
        assert_eq!(index.pop().unwrap().row, 1);
        assert!(index.pop().is_none());
    }

    #[test]
    fn near_ties_of_a_large_fleet_are_broken_by_the_seed() {
        let first = |seed| {
            let mut index = Index::new(vec![0; 1000], Vec::new(), seed, Spreads::new(&[], 0.0, 1));
            (0..1000).for_each(|row| index.add(row, 0, 1, 0.5 + f64::from(row) * 1e-6));
            index.settle();
            index.pop().unwrap().row
        };
        assert_eq!(first(1), first(1));
        assert!((2..20).any(|seed| first(seed) != first(1)));
    }
}
