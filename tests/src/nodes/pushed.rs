//! What a simulated node reads of the messages that servers push: the few fields that it acts on; the rest is skipped, so
//! that the simulation takes little of the processors that it shares with what is measured.

use std::collections::BTreeMap;

use nomadd_model::{AllocationId, ClientStatus, DesiredStatus, Text};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// As `nomadd_rpc::NodeAllocations`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Pushed {
    pub full: bool,
    pub changed: Vec<Assigned>,
    pub removed: Vec<AllocationId>,
}

/// As `nomadd_rpc::AssignedAllocation`, without the job.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Assigned {
    pub allocation: Assignment,
}

/// What counts of an allocation.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Assignment {
    #[serde(rename = "ID")]
    pub id: AllocationId,
    pub desired_status: DesiredStatus,
    pub client_status: ClientStatus,
    #[serde(rename = "DeploymentID")]
    pub deployment_id: Option<IgnoredAny>,
    pub allocated_resources: Resources,
}

/// Names the tasks.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Resources {
    pub tasks: BTreeMap<Text, IgnoredAny>,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nomadd_model::{AllocatedResources, Allocation};
    use nomadd_rpc::{AssignedAllocation, NodeAllocations};

    use super::*;

    #[test]
    fn the_fields_are_those_that_servers_send() {
        let mut resources = AllocatedResources::default();
        resources.tasks.insert("t".into(), Default::default());
        let allocation = Allocation {
            id: AllocationId::from_random([5; 16]),
            desired_status: DesiredStatus::Stop,
            client_status: ClientStatus::Running,
            allocated_resources: Arc::new(resources),
            ..Allocation::default()
        };
        let id = allocation.id;
        let changed = vec![AssignedAllocation { allocation, job: Some(Arc::default()) }];
        let sent = NodeAllocations { index: 7, full: true, changed, removed: vec![id], jobs: vec![Default::default()] };
        let read: Pushed = nomadd_rpc::decode(&nomadd_rpc::encode(&sent).unwrap()).unwrap();
        let one = &read.changed[0].allocation;
        assert!(read.full && read.removed == [id] && one.id == id && one.deployment_id.is_none());
        assert_eq!((one.desired_status, one.client_status), (DesiredStatus::Stop, ClientStatus::Running));
        assert_eq!(one.allocated_resources.tasks.keys().collect::<Vec<_>>(), ["t"]);
    }
}
