//! Answers about agents, servers and the operator's settings.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::noun;
use crate::value::{Duration, KeyId};

noun! {
    /// The servers that an agent knows.
    pub struct ServerMembers {
        pub members: Vec<AgentMember> = "Members",
        pub server_dc: String = "ServerDC",
        pub server_name: String = "ServerName",
        pub server_region: String = "ServerRegion",
    }

    /// An agent's own view of itself.
    pub struct AgentSelf {
        pub config: Map<String, Value> = "config",
        pub member: AgentMember = "member",
        pub stats: BTreeMap<String, BTreeMap<String, String>> = "stats",
    }

    /// A server in the gossip pool.
    pub struct AgentMember {
        pub addr: String = "Addr",
        pub delegate_cur: u64 = "DelegateCur",
        pub delegate_max: u64 = "DelegateMax",
        pub delegate_min: u64 = "DelegateMin",
        pub name: String = "Name",
        pub port: u64 = "Port",
        pub protocol_cur: u64 = "ProtocolCur",
        pub protocol_max: u64 = "ProtocolMax",
        pub protocol_min: u64 = "ProtocolMin",
        pub status: String = "Status",
        pub tags: BTreeMap<String, String> = "Tags",
    }

    /// How an agent is.
    pub struct AgentHealthResponse {
        pub client: Option<AgentHealth> = "client" [omit],
        pub server: Option<AgentHealth> = "server" [omit],
    }

    /// How one half of an agent is.
    pub struct AgentHealth {
        pub message: String = "message",
        pub ok: bool = "ok",
    }

    /// A server in the raft configuration.
    pub struct RaftServer {
        pub address: String = "Address",
        pub id: String = "ID",
        pub leader: bool = "Leader",
        pub node: String = "Node",
        pub raft_protocol: String = "RaftProtocol",
        pub voter: bool = "Voter",
    }

    /// The raft configuration.
    pub struct RaftConfiguration {
        pub index: u64 = "Index",
        pub servers: Vec<RaftServer> = "Servers",
    }

    /// How the scheduler works, cluster-wide.
    pub struct SchedulerConfiguration {
        pub create_index: u64 = "CreateIndex",
        pub memory_oversubscription_enabled: bool = "MemoryOversubscriptionEnabled",
        pub modify_index: u64 = "ModifyIndex",
        pub node_limit_for_feasibility_checks: u64 = "NodeLimitForFeasibilityChecks",
        pub pause_eval_broker: bool = "PauseEvalBroker",
        pub preemption_config: PreemptionConfig = "PreemptionConfig",
        pub reject_job_registration: bool = "RejectJobRegistration",
        pub scheduler_algorithm: String = "SchedulerAlgorithm",
    }

    /// Which schedulers may preempt.
    pub struct PreemptionConfig {
        pub batch_scheduler_enabled: bool = "BatchSchedulerEnabled",
        pub service_scheduler_enabled: bool = "ServiceSchedulerEnabled",
        pub sys_batch_scheduler_enabled: bool = "SysBatchSchedulerEnabled",
        pub system_scheduler_enabled: bool = "SystemSchedulerEnabled",
    }

    /// The scheduler configuration.
    pub struct SchedulerConfigurationResponse {
        pub scheduler_config: Option<SchedulerConfiguration> = "SchedulerConfig",
    }

    /// Whether the scheduler configuration was set.
    pub struct SchedulerSetConfigurationResponse {
        pub updated: bool = "Updated",
    }

    /// A namespace.
    pub struct Namespace {
        pub capabilities: Option<NamespaceCapabilities> = "Capabilities",
        pub consul_configuration: Option<NamespaceConsulConfiguration> = "ConsulConfiguration",
        pub create_index: u64 = "CreateIndex",
        pub description: String = "Description",
        pub meta: BTreeMap<String, String> = "Meta",
        pub modify_index: u64 = "ModifyIndex",
        pub name: String = "Name",
        pub node_pool_configuration: Option<NamespaceNodePoolConfiguration> = "NodePoolConfiguration",
        pub optional_extra_claims: BTreeMap<String, String> = "OptionalExtraClaims",
        pub quota: String = "Quota",
        pub required_extra_claims: BTreeMap<String, String> = "RequiredExtraClaims",
        pub vault_configuration: Option<NamespaceVaultConfiguration> = "VaultConfiguration",
    }

    /// What jobs of a namespace may use.
    pub struct NamespaceCapabilities {
        pub disabled_network_modes: Vec<String> = "DisabledNetworkModes",
        pub disabled_task_drivers: Vec<String> = "DisabledTaskDrivers",
        pub enabled_network_modes: Vec<String> = "EnabledNetworkModes",
        pub enabled_task_drivers: Vec<String> = "EnabledTaskDrivers",
    }

    /// Which node pools a namespace uses.
    pub struct NamespaceNodePoolConfiguration {
        /// Absent: every pool; empty: only the default one.
        pub allowed: Option<Vec<String>> = "Allowed",
        pub default: String = "Default",
        pub denied: Vec<String> = "Denied",
    }

    /// Which Vault clusters a namespace uses.
    pub struct NamespaceVaultConfiguration {
        pub allowed: Vec<String> = "Allowed",
        pub default: String = "Default",
        pub denied: Vec<String> = "Denied",
    }

    /// Which Consul clusters a namespace uses.
    pub struct NamespaceConsulConfiguration {
        pub allowed: Vec<String> = "Allowed",
        pub default: String = "Default",
        pub denied: Vec<String> = "Denied",
    }

    /// A set of nodes that jobs ask for by name.
    pub struct NodePool {
        pub create_index: u64 = "CreateIndex",
        pub description: String = "Description",
        pub meta: BTreeMap<String, String> = "Meta",
        pub modify_index: u64 = "ModifyIndex",
        pub name: String = "Name",
        pub node_identity_ttl: Duration = "NodeIdentityTTL" [omit],
        pub scheduler_configuration: Option<NodePoolSchedulerConfiguration> = "SchedulerConfiguration",
    }

    /// Scheduling settings of a node pool.
    pub struct NodePoolSchedulerConfiguration {
        pub memory_oversubscription_enabled: Option<bool> = "MemoryOversubscriptionEnabled",
        pub scheduler_algorithm: String = "SchedulerAlgorithm",
    }

    /// A root key, without the key.
    pub struct RootKeyMeta {
        pub algorithm: String = "Algorithm",
        pub create_index: u64 = "CreateIndex",
        pub create_time: i64 = "CreateTime",
        pub key_id: KeyId = "KeyID",
        pub modify_index: u64 = "ModifyIndex",
        pub publish_time: i64 = "PublishTime",
        pub state: String = "State",
    }

    /// Metrics of the last interval.
    pub struct MetricsSummary {
        pub counters: Vec<SampledValue> = "Counters" [empty],
        pub gauges: Vec<GaugeValue> = "Gauges" [empty],
        pub points: Vec<PointValue> = "Points" [empty],
        pub samples: Vec<SampledValue> = "Samples" [empty],
        pub timestamp: String = "Timestamp",
    }

    /// A gauge.
    pub struct GaugeValue {
        pub display_labels: BTreeMap<String, String> = "Labels" [empty],
        pub name: String = "Name",
        pub value: f64 = "Value",
    }

    /// Points.
    pub struct PointValue {
        pub name: String = "Name",
        pub points: Vec<f64> = "Points",
    }

    /// A counter or sample.
    pub struct SampledValue {
        pub count: i64 = "Count",
        pub display_labels: BTreeMap<String, String> = "Labels" [empty],
        pub max: f64 = "Max",
        pub mean: f64 = "Mean",
        pub min: f64 = "Min",
        pub name: String = "Name",
        pub rate: f64 = "Rate",
        pub stddev: f64 = "Stddev",
        pub sum: f64 = "Sum",
    }
}
