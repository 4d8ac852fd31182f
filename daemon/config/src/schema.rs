//! Every key of Nomad 2.0's agent configuration: its kind, and what it does in this build.
//!
//! `In` is in force. `Later` is known and has no effect yet: a warning names it. `Guard` asks for a protection that is not in force:
//! when it is switched on the agent does not start.

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Text,
    Number,
    Bool,
    /// A duration: `30s`.
    Span,
    Texts,
    /// Keys and texts of the user's.
    Map,
    /// Anything, checked by whoever reads it (a driver).
    Free,
    Block(&'static [Key]),
    /// Blocks with a name each.
    Named(&'static [Key]),
}

/// What a key does in this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    In,
    Later,
    Guard,
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct Key(pub &'static str, pub Kind, pub Effect);

use Effect::{Guard, In, Later};
use Kind::{Block, Bool, Free, Map, Named, Number, Span, Text, Texts};

/// The top level.
pub const AGENT: &[Key] = &[
    Key("region", Text, In),
    Key("datacenter", Text, In),
    Key("name", Text, In),
    Key("data_dir", Text, In),
    Key("plugin_dir", Text, Later),
    Key("log_level", Text, In),
    Key("log_json", Bool, In),
    Key("log_file", Text, In),
    Key("log_include_location", Bool, Later),
    Key("log_rotate_duration", Span, In),
    Key("log_rotate_bytes", Number, In),
    Key("log_rotate_max_files", Number, In),
    Key("bind_addr", Text, In),
    Key("enable_debug", Bool, In),
    Key("ports", Block(PORTS), In),
    Key("addresses", Block(ADDRESSES), In),
    Key("advertise", Block(ADDRESSES), In),
    Key("client", Block(CLIENT), In),
    Key("server", Block(SERVER), In),
    Key("rpc", Block(RPC), Later),
    Key("acl", Block(ACL), In),
    Key("telemetry", Block(TELEMETRY), In),
    Key("leave_on_interrupt", Bool, In),
    Key("leave_on_terminate", Bool, In),
    Key("enable_syslog", Bool, Later),
    Key("syslog_facility", Text, Later),
    Key("disable_update_check", Bool, In),
    Key("disable_anonymous_signature", Bool, In),
    Key("ui", Block(UI), Later),
    Key("tls", Block(TLS), In),
    Key("http_api_response_headers", Map, In),
    Key("sentinel", Free, Later),
    Key("autopilot", Block(AUTOPILOT), In),
    Key("plugin", Named(PLUGIN), In),
    Key("limits", Block(LIMITS), In),
    Key("audit", Block(AUDIT), In),
    Key("reporting", Free, In),
    Key("keyring", Free, Guard),
    Key("eventlog", Free, Later),
    Key("consul", Free, Later),
    Key("vault", Free, Later),
];

const PORTS: &[Key] = &[Key("http", Number, In), Key("rpc", Number, In), Key("serf", Number, In)];
const ADDRESSES: &[Key] = &[Key("http", Text, In), Key("rpc", Text, In), Key("serf", Text, In)];
const RPC: &[Key] = &[
    Key("accept_backlog", Number, Later),
    Key("keep_alive_interval", Span, Later),
    Key("connection_write_timeout", Span, Later),
    Key("stream_open_timeout", Span, Later),
    Key("stream_close_timeout", Span, Later),
    Key("dial_timeout", Span, Later),
];
const ACL: &[Key] = &[
    Key("enabled", Bool, Guard),
    Key("token_ttl", Span, Later),
    Key("policy_ttl", Span, Later),
    Key("role_ttl", Span, Later),
    Key("replication_token", Text, Guard),
    Key("token_min_expiration_ttl", Span, Later),
    Key("token_max_expiration_ttl", Span, Later),
];
const TLS: &[Key] = &[
    Key("http", Bool, In),
    Key("rpc", Bool, In),
    Key("verify_server_hostname", Bool, In),
    Key("verify_https_client", Bool, In),
    Key("rpc_upgrade_mode", Bool, In),
    Key("ca_file", Text, In),
    Key("cert_file", Text, In),
    Key("key_file", Text, In),
    Key("tls_cipher_suites", Text, Later),
    Key("tls_min_version", Text, Later),
];
const LIMITS: &[Key] = &[
    Key("https_handshake_timeout", Span, Later),
    Key("http_max_conns_per_client", Number, In),
    Key("rpc_handshake_timeout", Span, Later),
    Key("rpc_max_conns_per_client", Number, Later),
];
const AUDIT: &[Key] = &[Key("enabled", Bool, Guard), Key("sink", Free, Later), Key("filter", Free, Later)];
const AUTOPILOT: &[Key] = &[
    Key("cleanup_dead_servers", Bool, In),
    Key("server_stabilization_time", Span, In),
    Key("last_contact_threshold", Span, In),
    Key("max_trailing_logs", Number, In),
    Key("min_quorum", Number, In),
    Key("enable_redundancy_zones", Bool, Later),
    Key("disable_upgrade_migration", Bool, Later),
    Key("enable_custom_upgrades", Bool, Later),
];
const UI: &[Key] = &[
    Key("enabled", Bool, Later),
    Key("content_security_policy", Free, Later),
    Key("consul", Free, Later),
    Key("vault", Free, Later),
    Key("label", Free, Later),
    Key("show_cli_hints", Bool, Later),
];
const PLUGIN: &[Key] = &[Key("args", Texts, Later), Key("config", Free, In)];
const JOIN: &[Key] = &[
    Key("start_join", Texts, In),
    Key("retry_join", Texts, In),
    Key("retry_max", Number, In),
    Key("retry_interval", Span, In),
];
const TELEMETRY: &[Key] = &[
    Key("in_memory_collection_interval", Span, Later),
    Key("in_memory_retention_period", Span, Later),
    Key("statsite_address", Text, Later),
    Key("statsd_address", Text, Later),
    Key("datadog_address", Text, Later),
    Key("datadog_tags", Texts, Later),
    Key("prometheus_metrics", Bool, In),
    Key("disable_hostname", Bool, Later),
    Key("use_node_name", Bool, Later),
    Key("collection_interval", Span, Later),
    Key("publish_allocation_metrics", Bool, Later),
    Key("publish_node_metrics", Bool, Later),
    Key("include_alloc_metadata_in_metrics", Bool, Later),
    Key("allowed_metadata_keys_in_metrics", Texts, Later),
    Key("prefix_filter", Texts, Later),
    Key("filter_default", Bool, Later),
    Key("disable_dispatched_job_summary_metrics", Bool, Later),
    Key("disable_quota_utilization_metrics", Bool, Later),
    Key("disable_rpc_rate_metrics_labels", Bool, Later),
    Key("disable_allocation_hook_metrics", Bool, Later),
    Key("circonus_api_token", Text, Later),
    Key("circonus_api_app", Text, Later),
    Key("circonus_api_url", Text, Later),
    Key("circonus_submission_interval", Span, Later),
    Key("circonus_submission_url", Text, Later),
    Key("circonus_check_id", Text, Later),
    Key("circonus_check_force_metric_activation", Text, Later),
    Key("circonus_check_instance_id", Text, Later),
    Key("circonus_check_search_tag", Text, Later),
    Key("circonus_check_tags", Text, Later),
    Key("circonus_check_display_name", Text, Later),
    Key("circonus_broker_id", Text, Later),
    Key("circonus_broker_select_tag", Text, Later),
];
const RESERVED: &[Key] = &[
    Key("cpu", Number, In),
    Key("memory", Number, In),
    Key("disk", Number, In),
    Key("reserved_ports", Text, In),
    Key("cores", Text, In),
];
const HOST_VOLUME: &[Key] = &[Key("path", Text, In), Key("read_only", Bool, In)];
const HOST_NETWORK: &[Key] = &[Key("cidr", Text, In), Key("interface", Text, In), Key("reserved_ports", Text, In)];
const DRAIN: &[Key] = &[Key("deadline", Span, In), Key("ignore_system_jobs", Bool, In), Key("force", Bool, In)];
const USERS: &[Key] = &[Key("dynamic_user_min", Number, Later), Key("dynamic_user_max", Number, Later)];

const CLIENT: &[Key] = &[
    Key("enabled", Bool, In),
    Key("state_dir", Text, In),
    Key("alloc_dir", Text, In),
    Key("alloc_mounts_dir", Text, Later),
    Key("host_volumes_dir", Text, Later),
    Key("host_volume_plugin_dir", Text, Later),
    Key("common_plugin_dir", Text, Later),
    Key("servers", Texts, In),
    Key("node_class", Text, In),
    Key("node_pool", Text, In),
    Key("options", Map, In),
    Key("meta", Map, In),
    Key("chroot_env", Map, In),
    Key("network_interface", Text, In),
    Key("preferred_address_family", Text, In),
    Key("network_speed", Number, In),
    Key("cpu_disable_dmidecode", Bool, In),
    Key("cpu_total_compute", Number, In),
    Key("memory_total_mb", Number, In),
    Key("disk_total_mb", Number, In),
    Key("disk_free_mb", Number, In),
    Key("reservable_cores", Text, In),
    Key("max_kill_timeout", Span, In),
    Key("client_max_port", Number, Later),
    Key("client_min_port", Number, Later),
    Key("max_dynamic_port", Number, In),
    Key("min_dynamic_port", Number, In),
    Key("reserved", Block(RESERVED), In),
    Key("gc_interval", Span, In),
    Key("gc_parallel_destroys", Number, In),
    Key("gc_disk_usage_threshold", Number, In),
    Key("gc_inode_usage_threshold", Number, In),
    Key("gc_max_allocs", Number, In),
    Key("gc_volumes_on_node_gc", Bool, Later),
    Key("no_host_uuid", Bool, In),
    Key("disable_remote_exec", Bool, Guard),
    Key("template", Free, Later),
    Key("server_join", Block(JOIN), In),
    Key("host_volume", Named(HOST_VOLUME), In),
    Key("cni_path", Text, In),
    Key("cni_config_dir", Text, In),
    Key("bridge_network_name", Text, In),
    Key("bridge_network_subnet", Text, In),
    Key("bridge_network_subnet_ipv6", Text, In),
    Key("bridge_network_hairpin_mode", Bool, In),
    Key("host_network", Named(HOST_NETWORK), In),
    Key("bind_wildcard_default_host_network", Bool, In),
    Key("cgroup_parent", Text, In),
    Key("supervisor", Text, In),
    Key("journal", Bool, In),
    Key("nomad_service_discovery", Bool, Later),
    Key("artifact", Free, Later),
    Key("drain_on_shutdown", Block(DRAIN), In),
    Key("users", Block(USERS), Later),
    Key("node_max_allocs", Number, In),
    Key("log_file", Text, Later),
    Key("fingerprint", Free, Later),
    Key("default_ineligible", Bool, Guard),
];

const PREEMPTION: &[Key] = &[
    Key("batch_scheduler_enabled", Bool, In),
    Key("system_scheduler_enabled", Bool, In),
    Key("service_scheduler_enabled", Bool, In),
    Key("sysbatch_scheduler_enabled", Bool, In),
];
const SCHEDULER: &[Key] = &[
    Key("scheduler_algorithm", Text, In),
    Key("memory_oversubscription_enabled", Bool, In),
    Key("reject_job_registration", Bool, In),
    Key("pause_eval_broker", Bool, In),
    Key("node_limit_for_feasibility_checks", Number, In),
    Key("preemption_config", Block(PREEMPTION), In),
];
const SEARCH: &[Key] = &[
    Key("fuzzy_enabled", Bool, Later),
    Key("limit_query", Number, Later),
    Key("limit_results", Number, Later),
    Key("min_term_length", Number, Later),
];
const REJECTION: &[Key] =
    &[Key("enabled", Bool, Later), Key("node_threshold", Number, Later), Key("node_window", Span, Later)];
const INTRODUCTION: &[Key] =
    &[Key("enforcement", Text, Later), Key("default_identity_ttl", Span, Later), Key("max_identity_ttl", Span, Later)];

const SERVER: &[Key] = &[
    Key("enabled", Bool, In),
    Key("authoritative_region", Text, Later),
    Key("bootstrap_expect", Number, In),
    Key("client_introduction", Block(INTRODUCTION), Later),
    Key("data_dir", Text, In),
    Key("protocol_version", Number, Later),
    Key("raft_protocol", Number, Later),
    Key("raft_multiplier", Number, Later),
    Key("num_schedulers", Number, In),
    Key("enabled_schedulers", Texts, Later),
    Key("node_gc_threshold", Span, In),
    Key("job_gc_interval", Span, In),
    Key("job_gc_threshold", Span, In),
    Key("eval_gc_threshold", Span, In),
    Key("batch_eval_gc_threshold", Span, In),
    Key("deployment_gc_threshold", Span, In),
    Key("csi_volume_claim_gc_interval", Span, Later),
    Key("csi_volume_claim_gc_threshold", Span, Later),
    Key("csi_plugin_gc_threshold", Span, Later),
    Key("acl_token_gc_threshold", Span, Later),
    Key("root_key_gc_interval", Span, Later),
    Key("root_key_gc_threshold", Span, Later),
    Key("root_key_rotation_threshold", Span, Later),
    Key("heartbeat_grace", Span, In),
    Key("min_heartbeat_ttl", Span, In),
    Key("max_heartbeats_per_second", Number, In),
    Key("failover_heartbeat_ttl", Span, In),
    Key("start_join", Texts, In),
    Key("retry_join", Texts, In),
    Key("retry_max", Number, In),
    Key("retry_interval", Span, In),
    Key("rejoin_after_leave", Bool, Later),
    Key("non_voting_server", Bool, Later),
    Key("redundancy_zone", Text, Later),
    Key("upgrade_version", Text, Later),
    Key("encrypt", Text, In),
    Key("server_join", Block(JOIN), In),
    Key("default_scheduler_config", Block(SCHEDULER), In),
    Key("plan_rejection_tracker", Block(REJECTION), Later),
    Key("plan_apply_pipeline", Number, Later),
    Key("enable_event_broker", Bool, Later),
    Key("event_buffer_size", Number, Later),
    Key("license_path", Text, Later),
    Key("search", Block(SEARCH), Later),
    Key("deploy_query_rate_limit", Number, Later),
    Key("raft_logstore", Free, Later),
    Key("raft_boltdb", Free, Later),
    Key("raft_snapshot_threshold", Number, In),
    Key("raft_snapshot_interval", Span, In),
    Key("raft_trailing_logs", Number, In),
    Key("job_default_priority", Number, In),
    Key("job_max_priority", Number, In),
    Key("job_max_count", Number, Later),
    Key("job_max_source_size", Text, In),
    Key("job_tracked_versions", Number, In),
    Key("oidc_issuer", Text, Later),
    Key("start_timeout", Span, Later),
    Key("log_file", Text, Later),
    Key("non_production", Bool, Later),
];

/// Lists that files add to instead of replacing.
pub const APPENDED: &[&str] = &["start_join", "retry_join", "servers", "enabled_schedulers"];
/// Switches that a later file can turn off, too (Nomad's pointers); all others can only be turned on.
pub const SWITCHES: &[&str] = &[
    "disable_update_check",
    "no_host_uuid",
    "nomad_service_discovery",
    "enable_event_broker",
    "cleanup_dead_servers",
    "enable_redundancy_zones",
    "disable_upgrade_migration",
    "enable_custom_upgrades",
    "filter_default",
    "show_cli_hints",
    "ignore_system_jobs",
    "force",
    "bind_wildcard_default_host_network",
];
