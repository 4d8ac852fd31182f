//! Commands about jobs.

use std::sync::Arc;

use nomadd_model::spec::JobVersionTag;
use nomadd_model::{Evaluation, Job, JobSubmission, ScalingEvent, Text, noun};

use crate::key::JobKey;

noun! {
    /// Registers a job: a new one, a new version, or nothing when the specification is the same.
    pub struct JobRegister {
        /// Canonical and admitted; its indexes, version and status are set by apply.
        pub job: Arc<Job> = "Job",
        pub submission: Option<JobSubmission> = "Submission",
        /// Written with it; job indexes are filled in.
        pub evaluation: Option<Evaluation> = "Evaluation",
        /// The job modify index that the job must have; 0: it must not exist.
        pub enforce_index: Option<u64> = "EnforceIndex",
        /// How many versions are kept; 0: six.
        pub tracked_versions: u64 = "TrackedVersions",
    }

    /// Stops a job, or removes it.
    pub struct JobDeregister {
        pub namespace: Text = "Namespace",
        pub id: Text = "ID",
        pub purge: bool = "Purge",
        pub submit_time: i64 = "SubmitTime",
        pub evaluation: Option<Evaluation> = "Evaluation",
        /// Clients skip the shutdown delay.
        pub no_shutdown_delay: bool = "NoShutdownDelay",
    }

    /// A job to delete, if it is still as it was seen.
    pub struct JobDeletion {
        pub key: JobKey = "Key",
        /// The modify index at which it was found dead.
        pub modify_index: u64 = "ModifyIndex",
    }

    /// Removes dead jobs (garbage collection); those that changed since are kept.
    pub struct JobDelete {
        pub jobs: Vec<JobDeletion> = "Jobs",
    }

    /// Marks a version as stable or not.
    pub struct JobStability {
        pub namespace: Text = "Namespace",
        pub id: Text = "ID",
        pub version: u64 = "Version",
        pub stable: bool = "Stable",
    }

    /// Names a version (`tag`), or takes the name `name` away.
    pub struct JobVersionTagSet {
        pub namespace: Text = "Namespace",
        pub id: Text = "ID",
        pub version: u64 = "Version",
        pub tag: Option<JobVersionTag> = "Tag",
        pub name: Text = "Name",
    }

    /// Changes the count of a group (a new version), or only notes an event.
    pub struct JobScale {
        pub namespace: Text = "Namespace",
        pub id: Text = "ID",
        pub group: Text = "Group",
        pub count: Option<i64> = "Count",
        pub event: ScalingEvent = "Event",
        pub evaluation: Option<Evaluation> = "Evaluation",
        pub enforce_index: Option<u64> = "EnforceIndex",
        pub submit_time: i64 = "SubmitTime",
        /// How many versions are kept; 0: six.
        pub tracked_versions: u64 = "TrackedVersions",
    }
}
