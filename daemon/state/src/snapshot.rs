//! The state as a stream of frames, written while writers go on, and read back whole or not at all.
//!
//! A frame is a format byte, a type byte, the length (u32, little endian), a crc32c of all that, and MessagePack with names.
//! Allocations stand behind their job; resources and metrics that several share stand once. Memory is bounded by one job.

mod frame;
mod read;
mod write;

pub use frame::SnapshotError;
pub use read::read;
pub use write::write;

use std::collections::BTreeMap;
use std::sync::Arc;

use nomadd_model::{
    Allocation, AutopilotConfiguration, Job, JobSubmission, JobSummary, Node, ScalingEvent, SchedulerConfiguration,
    SecretId, Text, noun,
};

use crate::command::ClusterIdSet;
use crate::key::JobKey;

noun! {
    /// The first frame.
    pub struct Header {
        pub kind: Text = "Kind",
        pub index: u64 = "Index",
        pub table_indexes: BTreeMap<Text, u64> = "TableIndexes",
        pub next_number: u64 = "NextNumber",
        pub scheduler_configuration: SchedulerConfiguration = "SchedulerConfiguration",
        pub cluster: Option<ClusterIdSet> = "Cluster",
        pub autopilot: Option<AutopilotConfiguration> = "Autopilot",
        /// The set of commands that the cluster may use; 0: the first.
        pub command_set: u32 = "CommandSet",
        pub rehearsal: Text = "Rehearsal",
    }

    /// The last frame: how many came before it.
    pub struct End {
        pub frames: u64 = "Frames",
    }

    /// A node with what is not in the API.
    pub struct StoredNode {
        pub node: Arc<Node> = "Node",
        pub secret: SecretId = "Secret",
        pub generation: u64 = "Generation",
        pub reported: u64 = "Reported",
    }

    /// A job record. Counts are made anew from what follows.
    pub struct StoredJob {
        pub key: JobKey = "Key",
        pub number: u64 = "Number",
        pub purged: bool = "Purged",
        pub versions: Vec<Arc<Job>> = "Versions",
        pub pinned: Vec<Arc<Job>> = "Pinned",
        pub summary: Option<Arc<JobSummary>> = "Summary",
        pub submissions: BTreeMap<u64, Arc<JobSubmission>> = "Submissions",
        pub scaling: BTreeMap<Text, Arc<Vec<ScalingEvent>>> = "Scaling",
        pub has_history: bool = "HasHistory",
        pub last_plan_index: u64 = "LastPlanIndex",
        pub tracked_versions: u64 = "TrackedVersions",
    }

    /// An allocation of the job before it. Shared parts are referred to by their number, from 1; 0 is none.
    pub struct StoredAllocation {
        pub allocation: Allocation = "Allocation",
        pub resources: u64 = "Resources",
        pub metrics: u64 = "Metrics",
        pub released: bool = "Released",
    }
}

/// What the first frame says it is.
pub(crate) const KIND: &str = "nomadd state";

#[cfg(test)]
mod tests {
    use nomadd_model::Time;

    use super::*;
    use crate::State;
    use crate::command::{Command, NodeRegister, RootKeyUpsert};
    use crate::root_key::{RootKey, Wrapping};

    fn bytes(state: &State) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(state, &mut bytes).unwrap();
        bytes
    }

    fn small() -> State {
        let mut state = State::new();
        let node = Arc::new(Node { id: nomadd_model::NodeId([7; 16]), name: "n".into(), ..Node::default() });
        let secret = SecretId([9; 16]);
        state.apply(5, Time(1), Command::NodeRegister(NodeRegister { node, secret, ..NodeRegister::default() }));
        let mut key = RootKey { wrappings: vec![Wrapping::new("s1".into(), vec![1], vec![2])], ..RootKey::default() };
        key.meta.key_id = nomadd_model::KeyId([3; 16]);
        state.apply(6, Time(2), Command::RootKeyUpsert(RootKeyUpsert { key }));
        state
    }

    #[test]
    fn what_is_written_is_read_back() {
        let state = small();
        assert_eq!(read(bytes(&state).as_slice()).unwrap(), state);
        assert_eq!(read(bytes(&State::new()).as_slice()).unwrap(), State::new());
    }

    #[test]
    fn a_snapshot_that_is_cut_anywhere_is_refused() {
        let bytes = bytes(&small());
        for end in 0..bytes.len() {
            let error = read(&bytes[..end]).unwrap_err();
            assert!(matches!(error, SnapshotError::Truncated { .. }), "{end}: {error}");
        }
        let mut longer = bytes;
        longer.push(1);
        assert!(matches!(read(longer.as_slice()), Err(SnapshotError::Trailing)));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found() {
        let good = bytes(&small());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            assert!(read(bad.as_slice()).is_err(), "{at}");
        }
    }

    #[test]
    fn other_formats_and_oversized_frames_are_named() {
        let mut bytes = bytes(&small());
        bytes[0] = 9;
        assert!(matches!(read(bytes.as_slice()), Err(SnapshotError::UnknownVersion { found: 9, .. })));
        bytes[0] = 1;
        bytes[2..6].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(read(bytes.as_slice()), Err(SnapshotError::Oversized { .. })));
        assert!(matches!(read(b"PK\x03\x04 some archive".as_slice()), Err(SnapshotError::UnknownVersion { .. })));
    }
}
