//! Counts of a job's allocations, kept as they change.

use std::collections::BTreeMap;

use crate::noun;
use crate::value::Text;

noun! {
    /// Counts per group of a job.
    pub struct JobSummary {
        pub children: Option<JobChildrenSummary> = "Children",
        pub create_index: u64 = "CreateIndex",
        pub job_id: Text = "JobID",
        pub modify_index: u64 = "ModifyIndex",
        pub namespace: Text = "Namespace",
        pub summary: BTreeMap<Text, TaskGroupSummary> = "Summary",
    }

    /// Counts of a job's children.
    pub struct JobChildrenSummary {
        pub dead: i64 = "Dead",
        pub pending: i64 = "Pending",
        pub running: i64 = "Running",
    }

    /// Counts of a group's allocations.
    pub struct TaskGroupSummary {
        pub complete: i64 = "Complete",
        pub failed: i64 = "Failed",
        pub lost: i64 = "Lost",
        pub queued: i64 = "Queued",
        pub running: i64 = "Running",
        pub starting: i64 = "Starting",
        pub unknown: i64 = "Unknown",
    }
}
