//! Why allocations could not be placed: the lines below a group.

use std::collections::BTreeMap;
use std::sync::Arc;

use nomadd_model::AllocationMetric;

/// One line per reason, each with the indent given.
pub fn reasons(metric: &AllocationMetric, indent: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |line: String| lines.push(format!("{indent}* {line}"));
    if metric.nodes_evaluated == 0 {
        say("No nodes were eligible for evaluation".to_owned());
    }
    if metric.nodes_in_pool == 0 && !metric.node_pool.is_empty() && metric.nodes_evaluated == 0 {
        say(format!("No nodes are available in node pool {:?}", &*metric.node_pool));
    }
    for (datacenter, _) in metric.nodes_available.iter().filter(|(_, count)| **count == 0) {
        say(format!("No nodes are available in datacenter {datacenter:?}"));
    }
    for (class, count) in &metric.class_filtered {
        say(format!("Class {class:?}: {count} nodes excluded by filter"));
    }
    for (constraint, count) in &metric.constraint_filtered {
        say(format!("Constraint {constraint:?}: {count} nodes excluded by filter"));
    }
    if metric.nodes_exhausted > 0 {
        say(format!("Resources exhausted on {} nodes", metric.nodes_exhausted));
    }
    for (class, count) in &metric.class_exhausted {
        say(format!("Class {class:?} exhausted on {count} nodes"));
    }
    for (dimension, count) in &metric.dimension_exhausted {
        say(format!("Dimension {dimension:?} exhausted on {count} nodes"));
    }
    for dimension in &metric.quota_exhausted {
        say(format!("Quota limit hit {dimension:?}"));
    }
    lines
}

/// `Task Group "g" (failed to place 2 allocations):`
pub fn headline(group: &str, metric: &AllocationMetric) -> String {
    let count = metric.coalesced_failures + 1;
    let noun = if count > 1 { "allocations" } else { "allocation" };
    format!("Task Group {group:?} (failed to place {count} {noun}):")
}

/// How many allocations could not be placed.
pub fn missing<K: Ord>(failed: &BTreeMap<K, Arc<AllocationMetric>>) -> u64 {
    failed.values().map(|metric| u64::try_from(metric.coalesced_failures).unwrap_or_default() + 1).sum()
}
