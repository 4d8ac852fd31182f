//! The numbers in allocation names (`job.group[3]`): which are free, which go first.

use std::collections::BTreeSet;

use nomadd_model::Allocation;

use crate::reconcile::Set;

/// The number in a name.
pub fn index_of(allocation: &Allocation) -> u64 {
    let name = allocation.name.as_str();
    let inside = name.rfind('[').and_then(|at| name.get(at + 1..name.len().saturating_sub(1)));
    inside.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The numbers in use.
#[derive(Debug, Default)]
pub struct Names(BTreeSet<u64>);

impl Names {
    /// The numbers of some sets.
    pub fn new<'a>(sets: impl IntoIterator<Item = &'a Set>) -> Self {
        Self(sets.into_iter().flat_map(|set| set.values()).map(|allocation| index_of(allocation)).collect())
    }

    /// The highest numbers in use, which are freed by that.
    pub fn take_highest(&mut self, count: usize) -> BTreeSet<u64> {
        (0..count).map_while(|_| self.0.pop_last()).collect()
    }

    /// Frees a number.
    pub fn free(&mut self, index: u64) {
        self.0.remove(&index);
    }

    /// New numbers: the lowest free ones below `limit`, then from 0 again.
    pub fn next(&mut self, count: usize, limit: u64) -> Vec<u64> {
        let mut next: Vec<u64> = (0..limit).filter(|index| !self.0.contains(index)).take(count).collect();
        let mut again = 0;
        while next.len() < count {
            next.push(again);
            again += 1;
        }
        self.0.extend(&next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_numbers_are_given_and_the_highest_taken() {
        let mut names = Names(BTreeSet::from([0, 2, 5]));
        assert_eq!(names.next(2, 4), [1, 3]);
        assert_eq!(names.take_highest(2), BTreeSet::from([5, 3]));
        assert_eq!(names.next(3, 4), [3, 0, 1], "more than there are names");
        let allocation = Allocation { name: "a.b[17]".into(), ..Allocation::default() };
        assert_eq!(index_of(&allocation), 17);
    }
}
