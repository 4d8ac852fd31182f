//! What the scheduler saw while it looked for a place.

use std::collections::BTreeMap;

use crate::noun;
use crate::resources::Resources;
use crate::value::{Duration, NodeId, Text};

noun! {
    /// Why an allocation is where it is, or nowhere.
    pub struct AllocationMetric {
        pub allocation_time: Duration = "AllocationTime",
        pub class_exhausted: BTreeMap<String, i64> = "ClassExhausted",
        pub class_filtered: BTreeMap<String, i64> = "ClassFiltered",
        pub coalesced_failures: i64 = "CoalescedFailures",
        pub constraint_filtered: BTreeMap<String, i64> = "ConstraintFiltered",
        pub dimension_exhausted: BTreeMap<String, i64> = "DimensionExhausted",
        pub node_pool: Text = "NodePool",
        pub nodes_available: BTreeMap<String, i64> = "NodesAvailable",
        pub nodes_evaluated: i64 = "NodesEvaluated",
        pub nodes_exhausted: i64 = "NodesExhausted",
        pub nodes_filtered: i64 = "NodesFiltered",
        pub nodes_in_pool: i64 = "NodesInPool",
        pub quota_exhausted: Vec<String> = "QuotaExhausted",
        pub resources_exhausted: BTreeMap<String, Resources> = "ResourcesExhausted",
        pub score_meta_data: Vec<NodeScoreMeta> = "ScoreMetaData",
        pub scores: BTreeMap<String, f64> = "Scores",
    }

    /// The scores of one node.
    pub struct NodeScoreMeta {
        pub node_id: NodeId = "NodeID",
        pub norm_score: f64 = "NormScore",
        pub scores: BTreeMap<String, f64> = "Scores",
    }
}
