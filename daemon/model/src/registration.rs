//! Services as they are registered and found.

use crate::noun;
use crate::value::{AllocationId, NodeId};

noun! {
    /// One instance of a service.
    pub struct ServiceRegistration {
        pub address: String = "Address",
        pub alloc_id: AllocationId = "AllocID",
        pub create_index: u64 = "CreateIndex",
        pub datacenter: String = "Datacenter",
        pub id: String = "ID",
        pub job_id: String = "JobID",
        pub modify_index: u64 = "ModifyIndex",
        pub namespace: String = "Namespace",
        pub node_id: NodeId = "NodeID",
        pub port: i64 = "Port",
        pub service_name: String = "ServiceName",
        pub tags: Vec<String> = "Tags",
    }

    /// The services of a namespace.
    pub struct ServiceRegistrationListStub {
        pub namespace: String = "Namespace",
        pub services: Vec<ServiceRegistrationStub> = "Services",
    }

    /// A service in a list.
    pub struct ServiceRegistrationStub {
        pub service_name: String = "ServiceName",
        pub tags: Vec<String> = "Tags",
    }
}
