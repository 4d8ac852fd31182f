//! What a run tells people: the scores of nodes, why others are out, which classes are worth waiting for.

use std::collections::BTreeMap;

use nomadd_model::{AllocationMetric, NodeScoreMeta, Resources, TaskGroup};

use super::run::get;
use super::standing::OutKind;
use super::{Placer, Request, Run};
use crate::feasible;
use crate::offer::amount_on;
use crate::rank::binpack;

/// How many alternatives a metric names.
const TOP: usize = 5;

impl Run<'_, '_> {
    /// The scores of a row, before it is taken.
    pub fn explain(&self, placer: &Placer<'_>, row: u32, penalties: &[u32]) -> NodeScoreMeta {
        let mut scores = BTreeMap::new();
        let Some((found, node)) = placer.fleet.row(row).zip(placer.fleet.node(row)) else {
            return NodeScoreMeta::default();
        };
        let amount = amount_on(self.ask, node);
        let mut list = vec![binpack::fill(placer.algorithm, found.used.plus(amount), found.capacity)];
        scores.insert("binpack".to_owned(), list[0]);
        let collisions = get(&self.group_count, row);
        let anti = if collisions > 0 { binpack::anti_affinity(collisions, self.ask.group.count) } else { 0.0 };
        let penalty = if penalties.contains(&row) { -1.0 } else { 0.0 };
        let affinity = self.affinity.get(row as usize).copied().unwrap_or(0.0);
        for (name, score, counts) in [
            ("job-anti-affinity", anti, collisions > 0),
            ("node-reschedule-penalty", penalty, penalty != 0.0),
            ("node-affinity", affinity, !self.ask.affinities.is_empty()),
        ] {
            scores.insert(name.to_owned(), score);
            if counts {
                list.push(score);
            }
        }
        let boost = self.index.spreads.boost(get(&self.tuples, row));
        if boost != 0.0 {
            scores.insert("allocation-spread".to_owned(), boost);
            list.push(boost);
        }
        let norm_score = list.iter().sum::<f64>() / list.len() as f64;
        NodeScoreMeta { node_id: node.id, norm_score, scores }
    }

    /// What was seen, with the best nodes; `row` is the one that is about to be taken.
    pub fn describe(&mut self, placer: &Placer<'_>, row: u32, request: &Request) -> AllocationMetric {
        let mut metric = self.metric(placer);
        metric.score_meta_data.push(self.explain(placer, row, &request.penalties));
        let mut others = Vec::new();
        while others.len() < TOP - 1 {
            let Some(entry) = self.index.pop() else { break };
            others.push(entry);
        }
        for entry in others {
            if entry.row != row {
                metric.score_meta_data.push(self.explain(placer, entry.row, &request.penalties));
            }
            self.index.put_back(entry);
        }
        metric
    }

    /// What was seen of the fleet so far: exact over all nodes that the job may use.
    pub fn metric(&self, placer: &Placer<'_>) -> AllocationMetric {
        let mut metric = AllocationMetric {
            nodes_evaluated: placer.reach.total,
            nodes_in_pool: placer.reach.in_pool,
            nodes_available: placer.reach.by_datacenter.clone(),
            node_pool: self.ask.job.node_pool.clone(),
            ..AllocationMetric::default()
        };
        for out in &self.standings.reasons {
            let count: i64 = out.rows.iter().sum();
            if count == 0 {
                continue;
            }
            let (total, reasons, classes) = if out.kind != OutKind::Exhausted {
                (&mut metric.nodes_filtered, &mut metric.constraint_filtered, &mut metric.class_filtered)
            } else {
                (&mut metric.nodes_exhausted, &mut metric.dimension_exhausted, &mut metric.class_exhausted)
            };
            *total += count;
            *reasons.entry(out.text.clone()).or_default() += count;
            for (count, name) in out.rows.iter().zip(placer.fleet.node_classes()) {
                if *count > 0 && !name.is_empty() {
                    *classes.entry(name.to_string()).or_default() += count;
                }
            }
        }
        if metric.dimension_exhausted.keys().any(|dimension| matches!(dimension.as_str(), "memory" | "cpu")) {
            metric.resources_exhausted = resources_asked(self.ask.group);
        }
        metric
    }

    /// Which computed classes may run the group, for a blocked evaluation. A class is eligible when only resources
    /// are missing on its nodes.
    pub fn class_eligibility(&self, placer: &Placer<'_>) -> BTreeMap<String, bool> {
        let mut eligibility = BTreeMap::new();
        for (class, ready) in placer.fleet.classes().iter().zip(&placer.reach.by_class) {
            if *ready > 0 {
                let eligible = feasible::class_verdict(self.ask, &class.sample).is_ok();
                *eligibility.entry(class.computed.to_string()).or_insert(false) |= eligible;
            }
        }
        eligibility
    }
}

fn resources_asked(group: &TaskGroup) -> BTreeMap<String, Resources> {
    let asked = |resources: &Resources| Resources {
        cpu: resources.cpu,
        memory_mb: resources.memory_mb,
        ..Resources::default()
    };
    group.tasks.iter().map(|task| (task.name.to_string(), asked(&task.resources))).collect()
}
