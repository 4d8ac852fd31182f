//! The `allocation-spread` score: how much a value of an attribute still wants allocations.
//!
//! Nodes with the same values for all spread attributes form a tuple; a tuple's score only changes when a count does.
//! Formulas of Nomad's spread (facts 1.2). Called by `rank::index`.

use std::collections::HashMap;

use nomadd_model::Node;

use crate::ask::SpreadAsk;
use crate::target::Target;

/// Marks a node that lacks the attribute.
const ABSENT: u32 = u32::MAX;

/// The counts of one spread block.
#[derive(Debug)]
struct Block {
    target: Target,
    /// Weight over the sum of weights.
    share: f64,
    targets: bool,
    values: HashMap<String, u32>,
    /// What each value wants: `None` when nothing covers it.
    desired: Vec<Option<f64>>,
    /// All values that the implicit target covers share one count.
    pool: Vec<u32>,
    used: Vec<i64>,
    rest: Option<f64>,
    /// Which tuples have a value.
    tuples: Vec<Vec<u32>>,
}

/// The spread blocks of one group and their counts.
#[derive(Debug)]
pub struct Spreads {
    blocks: Vec<Block>,
    /// Values of each tuple, one per block.
    tuples: Vec<Vec<u32>>,
    ids: HashMap<Vec<u32>, u32>,
    /// The score of each tuple.
    boosts: Vec<f64>,
    /// Whether one more would be too many for a value of the tuple.
    full: Vec<bool>,
    count: f64,
    lowest: f64,
    /// (min, max) of each even block when `boosts` was made.
    bounds: Vec<(i64, i64)>,
    scratch: Vec<u32>,
}

impl Spreads {
    /// Blocks without counts, for a group of `count` allocations.
    pub fn new(asks: &[SpreadAsk], sum_of_weights: f64, count: i64) -> Self {
        let blocks = asks
            .iter()
            .map(|ask| Block {
                target: ask.target.clone(),
                share: if sum_of_weights > 0.0 { ask.weight / sum_of_weights } else { 0.0 },
                targets: !ask.desired.is_empty(),
                rest: ask.desired.get("*").copied(),
                values: HashMap::new(),
                desired: Vec::new(),
                pool: Vec::new(),
                used: Vec::new(),
                tuples: Vec::new(),
            })
            .collect::<Vec<_>>();
        let mut spreads = Self {
            bounds: vec![(0, 0); blocks.len()],
            blocks,
            tuples: Vec::new(),
            ids: HashMap::new(),
            boosts: Vec::new(),
            full: Vec::new(),
            count: count as f64,
            lowest: -1.0,
            scratch: Vec::new(),
        };
        for (block, ask) in spreads.blocks.iter_mut().zip(asks) {
            for (value, desired) in ask.desired.iter().filter(|(value, _)| *value != "*") {
                block.intern(value, Some(*desired));
            }
        }
        spreads
    }

    /// Whether there is nothing to spread over.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether nodes of one class may be in different tuples.
    pub fn is_unique(&self) -> bool {
        self.blocks.iter().any(|block| block.target.is_unique())
    }

    /// The tuple of a node.
    pub fn tuple(&mut self, node: &Node) -> u32 {
        if self.blocks.is_empty() {
            if self.boosts.is_empty() {
                self.boosts.push(0.0);
            }
            return 0;
        }
        let mut values = std::mem::take(&mut self.scratch);
        values.clear();
        for block in &mut self.blocks {
            let id = if block.target == Target::NodeId { node.id.to_string() } else { String::new() };
            let value = match block.target.resolve(node, &id).map(str::to_owned) {
                None => ABSENT,
                Some(text) => match block.values.get(&text) {
                    Some(known) => *known,
                    None => block.intern(&text, None),
                },
            };
            values.push(value);
        }
        let next = self.tuples.len() as u32;
        let tuple = match self.ids.get(&values) {
            Some(known) => *known,
            None => {
                for (block, value) in self.blocks.iter_mut().zip(&values) {
                    if let Some(tuples) = block.tuples.get_mut(*value as usize) {
                        tuples.push(next);
                    }
                }
                self.ids.insert(values.clone(), next);
                self.tuples.push(values.clone());
                self.boosts.push(0.0);
                self.full.push(false);
                next
            }
        };
        self.scratch = values;
        tuple
    }

    /// How many tuples there are.
    pub fn tuple_count(&self) -> usize {
        self.boosts.len()
    }

    /// Counts an allocation on a node of this tuple (`by` 1), or takes it away (-1). Scores are stale until `refresh`.
    pub fn count(&mut self, tuple: u32, by: i64) {
        let Some(values) = self.tuples.get(tuple as usize) else { return };
        for (block, value) in self.blocks.iter_mut().zip(values) {
            if let Some(pool) = block.pool.get(*value as usize)
                && let Some(used) = block.used.get_mut(*pool as usize)
            {
                *used = (*used + by).max(0);
            }
        }
    }

    /// The score of a tuple; 0 is no score.
    #[inline]
    pub fn boost(&self, tuple: u32) -> f64 {
        self.boosts.get(tuple as usize).copied().unwrap_or(0.0)
    }

    /// Whether a value of a tuple has what it wants, so that others come first. (Scores alone let a slightly fuller
    /// node draw a spread away from its targets once they are nearly reached.)
    #[inline]
    pub fn is_full(&self, tuple: u32) -> bool {
        self.full.get(tuple as usize).copied().unwrap_or(false)
    }

    /// Makes all scores anew.
    pub fn refresh_all(&mut self) {
        self.bounds = self.blocks.iter().map(Block::bounds).collect();
        for tuple in 0..self.tuples.len() {
            self.rescore(tuple);
        }
    }

    /// Makes the scores anew that a change of this tuple's counts concerns, and says which; all when `None`.
    pub fn refresh(&mut self, tuple: u32) -> Option<Vec<u32>> {
        let lowest = self.lowest;
        let moved =
            self.blocks.iter().zip(&self.bounds).any(|(block, bounds)| !block.targets && block.bounds() != *bounds);
        let pooled = self.blocks.iter().any(|block| block.rest.is_some());
        if moved || pooled {
            self.refresh_all();
            return None;
        }
        let values = self.tuples.get(tuple as usize).cloned().unwrap_or_default();
        let mut concerned = Vec::new();
        for (block, value) in self.blocks.iter().zip(&values) {
            concerned.extend(block.tuples.get(*value as usize).into_iter().flatten().copied());
        }
        concerned.sort_unstable();
        concerned.dedup();
        for tuple in &concerned {
            self.rescore(*tuple as usize);
        }
        if self.lowest < lowest {
            self.refresh_all();
            return None;
        }
        Some(concerned)
    }

    fn rescore(&mut self, tuple: usize) {
        let Some(values) = self.tuples.get(tuple) else { return };
        let mut sum = 0.0;
        for ((block, value), bounds) in self.blocks.iter().zip(values).zip(&self.bounds) {
            sum += block.contribution(*value, *bounds, &mut self.lowest);
        }
        let full = self.blocks.iter().zip(values).any(|(block, value)| block.is_full(*value, self.count));
        if let (Some(slot), Some(over)) = (self.boosts.get_mut(tuple), self.full.get_mut(tuple)) {
            (*slot, *over) = (sum, full);
        }
    }
}

impl Block {
    fn intern(&mut self, value: &str, desired: Option<f64>) -> u32 {
        let id = self.used.len() as u32;
        self.values.insert(value.to_owned(), id);
        // What no target names falls under the implicit one, which counts its values together.
        let pooled = desired.is_none() && self.rest.is_some();
        let first = if pooled { (0..id).find(|other| self.is_pooled(*other)) } else { None };
        self.pool.push(first.unwrap_or(id));
        self.desired.push(if pooled { None } else { desired });
        self.used.push(0);
        self.tuples.push(Vec::new());
        id
    }

    fn is_pooled(&self, value: u32) -> bool {
        self.rest.is_some() && self.desired.get(value as usize).is_some_and(Option::is_none)
    }

    fn used(&self, value: u32) -> i64 {
        let pool = self.pool.get(value as usize).copied().unwrap_or(value);
        self.used.get(pool as usize).copied().unwrap_or(0)
    }

    /// The least and the most allocations over the values in use.
    fn bounds(&self) -> (i64, i64) {
        let mut bounds: Option<(i64, i64)> = None;
        if !self.targets {
            for used in self.used.iter().copied().filter(|used| *used > 0) {
                bounds = Some(bounds.map_or((used, used), |(low, high)| (low.min(used), high.max(used))));
            }
        }
        bounds.unwrap_or((0, 0))
    }

    /// Whether one more would be more than the value wants (of an even spread: its part).
    fn is_full(&self, value: u32, count: f64) -> bool {
        let wanted = match self.targets {
            true => self.desired.get(value as usize).copied().flatten().or(self.rest).unwrap_or(0.0),
            false => count / self.values.len().max(1) as f64,
        };
        value == ABSENT || (self.used(value) + 1) as f64 > (wanted - 1e-9).ceil()
    }

    fn contribution(&self, value: u32, (min, max): (i64, i64), lowest: &mut f64) -> f64 {
        if value == ABSENT {
            return -1.0;
        }
        if !self.targets {
            let used = self.used(value);
            return match (min, max) {
                (0, 0) => 0.0,
                _ if used != min => (min - used) as f64 / min as f64,
                _ if min == max => -1.0,
                _ => (max - min) as f64 / min as f64,
            };
        }
        let desired = self.desired.get(value as usize).copied().flatten().or(self.rest);
        match desired {
            None => -1.0,
            Some(0.0) => *lowest,
            Some(desired) => {
                let boost = (desired - (self.used(value) + 1) as f64) / desired * self.share;
                *lowest = lowest.min(boost);
                boost
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn node(datacenter: &str) -> Node {
        Node { datacenter: datacenter.into(), ..Node::default() }
    }

    fn ask(desired: &[(&str, f64)]) -> SpreadAsk {
        let desired = desired.iter().map(|(value, wanted)| ((*value).to_owned(), *wanted)).collect::<BTreeMap<_, _>>();
        SpreadAsk { target: Target::Datacenter, weight: 50.0, desired }
    }

    fn boosts(ask: SpreadAsk, used: &[(&str, i64)]) -> Vec<f64> {
        let mut spreads = Spreads::new(&[ask], 50.0, 10);
        let tuples: Vec<u32> = used.iter().map(|(name, _)| spreads.tuple(&node(name))).collect();
        for (tuple, (_, used)) in tuples.iter().zip(used) {
            spreads.count(*tuple, *used);
        }
        spreads.refresh_all();
        tuples.iter().map(|tuple| spreads.boost(*tuple)).collect()
    }

    #[test]
    fn targets_pull_by_what_they_still_miss() {
        let ask = || ask(&[("dc1", 6.0), ("dc2", 4.0)]);
        assert_eq!(boosts(ask(), &[("dc1", 2), ("dc2", 3)]), [0.5, 0.0]);
        assert_eq!(boosts(ask(), &[("dc1", 6), ("dc2", 5)]), [-1.0 / 6.0, -0.5]);
        assert_eq!(boosts(ask(), &[("dc3", 0)]), [-1.0], "a value that nobody wants");
    }

    #[test]
    fn what_no_target_names_shares_the_rest() {
        let ask = || ask(&[("dc1", 5.0), ("*", 5.0)]);
        assert_eq!(boosts(ask(), &[("dc2", 1), ("dc3", 2), ("dc1", 0)]), [0.2, 0.2, 0.8]);
    }

    #[test]
    fn a_value_is_full_when_it_has_its_part() {
        let full = |ask: SpreadAsk, used: &[(&str, i64)]| {
            let mut spreads = Spreads::new(&[ask], 50.0, 10);
            let tuples: Vec<u32> = used.iter().map(|(name, _)| spreads.tuple(&node(name))).collect();
            for (tuple, (_, used)) in tuples.iter().zip(used) {
                spreads.count(*tuple, *used);
            }
            spreads.refresh_all();
            tuples.iter().map(|tuple| spreads.is_full(*tuple)).collect::<Vec<_>>()
        };
        assert_eq!(
            full(ask(&[("dc1", 6.0), ("dc2", 3.5)]), &[("dc1", 6), ("dc2", 3), ("dc3", 0)]),
            [true, false, true]
        );
        assert_eq!(full(ask(&[]), &[("dc1", 4), ("dc2", 3), ("dc3", 3)]), [true, false, false]);
    }

    #[test]
    fn an_even_spread_prefers_the_least_used_value() {
        assert_eq!(boosts(ask(&[]), &[("dc1", 0), ("dc2", 0)]), [0.0, 0.0], "nothing is placed yet");
        assert_eq!(boosts(ask(&[]), &[("dc1", 2), ("dc2", 0)]), [-1.0, 1.0]);
        assert_eq!(boosts(ask(&[]), &[("dc1", 2), ("dc2", 1)]), [-1.0, 1.0]);
        assert_eq!(boosts(ask(&[]), &[("dc1", 2), ("dc2", 2)]), [-1.0, -1.0]);
    }
}
