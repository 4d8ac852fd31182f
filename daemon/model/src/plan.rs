//! Annotations and differences that `job plan` shows.

use std::collections::BTreeMap;

use crate::noun;
use crate::stub::AllocationListStub;

noun! {
    /// What a plan would do, group by group.
    pub struct PlanAnnotations {
        pub desired_tg_updates: BTreeMap<String, DesiredUpdates> = "DesiredTGUpdates",
        pub preempted_allocs: Vec<AllocationListStub> = "PreemptedAllocs",
    }

    /// Counts of what would happen to one group.
    pub struct DesiredUpdates {
        pub canary: u64 = "Canary",
        pub destructive_update: u64 = "DestructiveUpdate",
        pub disconnect: u64 = "Disconnect",
        pub ignore: u64 = "Ignore",
        pub in_place_update: u64 = "InPlaceUpdate",
        pub migrate: u64 = "Migrate",
        pub place: u64 = "Place",
        pub preemptions: u64 = "Preemptions",
        pub reconnect: u64 = "Reconnect",
        pub reschedule_later: u64 = "RescheduleLater",
        pub reschedule_now: u64 = "RescheduleNow",
        pub stop: u64 = "Stop",
    }

    /// What differs between two versions of a job.
    pub struct JobDiff {
        pub fields: Vec<FieldDiff> = "Fields",
        pub id: String = "ID",
        pub objects: Vec<ObjectDiff> = "Objects",
        pub task_groups: Vec<TaskGroupDiff> = "TaskGroups",
        pub kind: String = "Type",
    }

    /// What differs in a group.
    pub struct TaskGroupDiff {
        pub fields: Vec<FieldDiff> = "Fields",
        pub name: String = "Name",
        pub objects: Vec<ObjectDiff> = "Objects",
        pub tasks: Vec<TaskDiff> = "Tasks",
        pub kind: String = "Type",
        pub updates: BTreeMap<String, u64> = "Updates",
    }

    /// What differs in a task.
    pub struct TaskDiff {
        pub annotations: Vec<String> = "Annotations",
        pub fields: Vec<FieldDiff> = "Fields",
        pub name: String = "Name",
        pub objects: Vec<ObjectDiff> = "Objects",
        pub kind: String = "Type",
    }

    /// One field, old and new.
    pub struct FieldDiff {
        pub annotations: Vec<String> = "Annotations",
        pub name: String = "Name",
        pub new: String = "New",
        pub old: String = "Old",
        pub kind: String = "Type",
    }

    /// A block within a job.
    pub struct ObjectDiff {
        pub fields: Vec<FieldDiff> = "Fields",
        pub name: String = "Name",
        pub objects: Vec<ObjectDiff> = "Objects",
        pub kind: String = "Type",
    }
}
