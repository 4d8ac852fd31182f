//! The scores that look at a node alone: bin packing, anti-affinity, preemption, and their mean.
//!
//! Formulas of Nomad's ranking (facts 1.1). Called by `rank::index` and by the system kernel.

use nomadd_state::Footprint;

/// What allocations use of a node, or ask of it: CPU in MHz, memory and disk in MB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// CPU in MHz.
    pub cpu: i64,
    /// Memory in MB.
    pub memory: i64,
    /// Disk in MB.
    pub disk: i64,
}

impl Amount {
    /// The part of a footprint that is counted and not named.
    pub const fn of(footprint: &Footprint) -> Self {
        Self { cpu: footprint.cpu_shares, memory: footprint.memory_mb, disk: footprint.disk_mb }
    }
    /// The sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, memory: self.memory + other.memory, disk: self.disk + other.disk }
    }
    /// The difference.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self { cpu: self.cpu - other.cpu, memory: self.memory - other.memory, disk: self.disk - other.disk }
    }
    /// The first dimension in which `self` and `more` are more than `capacity`. What is not asked cannot be exhausted.
    #[inline]
    pub const fn exceeds(self, more: Self, capacity: Self) -> Option<&'static str> {
        if more.cpu > 0 && self.cpu + more.cpu > capacity.cpu {
            Some("cpu")
        } else if more.memory > 0 && self.memory + more.memory > capacity.memory {
            Some("memory")
        } else if more.disk > 0 && self.disk + more.disk > capacity.disk {
            Some("disk")
        } else {
            None
        }
    }
}

/// How a fleet is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// Full nodes first.
    #[default]
    Binpack,
    /// Empty nodes first.
    Spread,
}

/// The `binpack` score of a node whose use would be `used`, in 0..=1.
#[inline]
pub fn fill(algorithm: Algorithm, used: Amount, capacity: Amount) -> f64 {
    let free = |used: i64, capacity: i64| if capacity <= 0 { 0.0 } else { 1.0 - used as f64 / capacity as f64 };
    let ten = |exponent: f64| (exponent * std::f64::consts::LOG2_10).exp2();
    let total = ten(free(used.cpu, capacity.cpu)) + ten(free(used.memory, capacity.memory));
    match algorithm {
        Algorithm::Binpack => (20.0 - total).clamp(0.0, 18.0) / 18.0,
        Algorithm::Spread => (total - 2.0).clamp(0.0, 18.0) / 18.0,
    }
}

/// The `job-anti-affinity` score; only a score when there are collisions.
#[inline]
pub fn anti_affinity(collisions: u32, count: i64) -> f64 {
    -(f64::from(collisions) + 1.0) / count.max(1) as f64
}

/// The `preemption` score of preempting allocations with these priorities.
pub fn preemption(priorities: impl Iterator<Item = i64>) -> f64 {
    let (mut highest, mut sum) = (0, 0);
    for priority in priorities {
        highest = highest.max(priority);
        sum += priority;
    }
    let net = highest as f64 + if highest > 0 { sum as f64 / highest as f64 } else { 0.0 };
    1.0 / (1.0 + (0.0048 * (net - 2048.0)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(cpu: i64, memory: i64) -> Amount {
        Amount { cpu, memory, disk: 0 }
    }

    #[test]
    fn a_full_node_scores_one_and_an_empty_one_zero() {
        for (algorithm, used, expected) in [
            (Algorithm::Binpack, amount(1000, 1000), 1.0),
            (Algorithm::Binpack, amount(0, 0), 0.0),
            (Algorithm::Binpack, amount(500, 500), (20.0 - 2.0 * 10f64.sqrt()) / 18.0),
            (Algorithm::Binpack, amount(1000, 0), 0.5),
            (Algorithm::Spread, amount(0, 0), 1.0),
            (Algorithm::Spread, amount(1000, 1000), 0.0),
            (Algorithm::Spread, amount(500, 500), (2.0 * 10f64.sqrt() - 2.0) / 18.0),
        ] {
            let score = fill(algorithm, used, amount(1000, 1000));
            assert!((score - expected).abs() < 1e-12, "{algorithm:?} {used:?}: {score} is not {expected}");
        }
    }

    #[test]
    fn collisions_and_preemptions_cost_what_nomad_charges() {
        assert!((anti_affinity(1, 4) - -0.5).abs() < 1e-12);
        assert!((anti_affinity(2, 3) - -1.0).abs() < 1e-12);
        // net = 30 + 60/30 = 32
        let expected = 1.0 / (1.0 + (0.0048f64 * (32.0 - 2048.0)).exp());
        assert!((preemption([30, 20, 10].into_iter()) - expected).abs() < 1e-12);
    }

    #[test]
    fn the_first_dimension_that_does_not_fit_is_named() {
        let capacity = Amount { cpu: 10, memory: 10, disk: 10 };
        for (cpu, memory, disk, expected) in
            [(11, 11, 0, Some("cpu")), (10, 11, 11, Some("memory")), (0, 0, 11, Some("disk")), (10, 10, 10, None)]
        {
            assert_eq!(Amount::default().exceeds(Amount { cpu, memory, disk }, capacity), expected);
        }
    }
}
