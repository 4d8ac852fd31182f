//! `distinct_hosts` and `distinct_property`: how many allocations of a job or group share a node or a value.
//!
//! Counts existing allocations that are not terminal and not stopped by the plan, plus what the plan places. The placer
//! keeps them up to date.

use std::collections::HashMap;

use nomadd_model::Node;

use crate::ask::{Ask, DistinctProperty, Scope};
use crate::target::Target;

/// The counts of all `distinct_property` of one group.
#[derive(Debug, Default)]
pub struct Properties {
    all: Vec<(DistinctProperty, HashMap<String, u64>)>,
}

impl Properties {
    /// Properties without counts.
    pub fn new(ask: &Ask<'_>) -> Self {
        Self { all: ask.distinct_properties.iter().map(|property| (property.clone(), HashMap::new())).collect() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Counts an allocation on a node, or takes it away; `same_group` says whether it is one of the group's.
    pub fn count(&mut self, node: &Node, same_group: bool, add: bool) {
        for (property, counts) in &mut self.all {
            if property.scope == Scope::Group && !same_group {
                continue;
            }
            let Some(value) = value_of(&property.target, node) else { continue };
            let count = counts.entry(value).or_default();
            *count = if add { *count + 1 } else { count.saturating_sub(1) };
        }
    }

    /// Whether one more allocation may be on a node.
    pub fn check(&self, node: &Node) -> Result<(), String> {
        for (property, counts) in &self.all {
            let Some(value) = value_of(&property.target, node) else {
                return Err(format!("missing property {:?}", property.name));
            };
            let used = counts.get(&value).copied().unwrap_or(0);
            if used >= property.allowed {
                return Err(format!("distinct_property: {}={value} used by {used} allocs", property.name));
            }
        }
        Ok(())
    }
}

fn value_of(target: &Target, node: &Node) -> Option<String> {
    let id = if *target == Target::NodeId { node.id.to_string() } else { String::new() };
    target.resolve(node, &id).map(str::to_owned)
}
