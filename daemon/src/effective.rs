//! The effective configuration of the agent in Nomad's names, as `/v1/agent/self` shows it.
//!
//! Secrets have no place in it. What this build does not have stands there switched off, because programs that know Nomad read it.

use std::path::Path;

use nomadd_config::{Client, Config, Join, Mode, Server};
use serde_json::{Map, Value, json};

/// Nomad's default for how long answers about rights are kept, in nanoseconds.
const HALF_MINUTE: u64 = 30_000_000_000;

/// All of it.
pub fn configuration(config: &Config, name: &str) -> Map<String, Value> {
    let mut all = Map::new();
    for part in [agent(config, name), surroundings(config)] {
        if let Value::Object(fields) = part {
            all.extend(fields);
        }
    }
    all.insert("Server".to_owned(), server(&config.server));
    all.insert("Client".to_owned(), client(&config.client));
    all
}

fn agent(config: &Config, name: &str) -> Value {
    json!({
        "Region": config.region,
        "Datacenter": config.datacenter,
        "NodeName": name,
        "DataDir": config.data_dir,
        "LogLevel": config.log.level,
        "LogJson": config.log.json,
        "LogFile": config.log.file,
        "BindAddr": config.bind_addr,
        "EnableDebug": config.enable_debug,
        "DevMode": config.mode == Mode::Development,
        "Ports": { "HTTP": config.ports.http, "RPC": config.ports.rpc, "Serf": config.ports.serf },
        "Addresses": { "HTTP": config.bind_addr, "RPC": config.bind_addr, "Serf": config.bind_addr },
        "AdvertiseAddrs": { "HTTP": config.advertise_http, "RPC": config.advertise_rpc, "Serf": config.advertise_serf },
        "LeaveOnInt": config.leave_on_interrupt,
        "LeaveOnTerm": config.leave_on_terminate,
        "EnableSyslog": false,
        "SyslogFacility": "LOCAL0",
        "DisableUpdateCheck": true,
        "DisableAnonymousSignature": true,
        "HTTPAPIResponseHeaders": config.response_headers,
        "LogRotateBytes": config.log.rotate_bytes,
        "LogRotateDuration": config.log.rotate_duration.to_string(),
        "LogRotateMaxFiles": config.log.rotate_max_files,
        "LogIncludeLocation": false,
        "PluginDir": "",
        "Plugins": config.plugins.iter().map(|(name, settings)| json!({ "Name": name, "Args": null, "Config": settings })).collect::<Vec<_>>(),
    })
}

fn surroundings(config: &Config) -> Value {
    json!({
        "Files": config.files,
        "ConfigPaths": config.files,
        "ACL": { "Enabled": false, "PolicyTTL": HALF_MINUTE, "RoleTTL": HALF_MINUTE, "TokenTTL": HALF_MINUTE,
            "TokenMinExpirationTTL": 0, "TokenMaxExpirationTTL": 0, "ReplicationToken": "" },
        "Audit": { "Enabled": null, "Filters": null, "Sinks": null },
        "Autopilot": {
            "CleanupDeadServers": config.autopilot.cleanup_dead_servers,
            "LastContactThreshold": config.autopilot.last_contact_threshold,
            "MaxTrailingLogs": config.autopilot.max_trailing_logs,
            "MinQuorum": config.autopilot.min_quorum,
            "ServerStabilizationTime": config.autopilot.server_stabilization_time,
        },
        "Consuls": [],
        "Vaults": [],
        "TLSConfig": {
            "EnableHTTP": config.tls.http,
            "EnableRPC": config.tls.rpc,
            "VerifyHTTPSClient": config.tls.verify_https_client,
            "VerifyServerHostname": config.tls.verify_server_hostname,
            "RPCUpgradeMode": config.tls.rpc_upgrade_mode,
            "CAFile": config.tls.ca_file.as_deref().unwrap_or(Path::new("")),
            "CertFile": config.tls.cert_file.as_deref().unwrap_or(Path::new("")),
            "KeyFile": config.tls.key_file.as_deref().unwrap_or(Path::new("")),
            "TLSCipherSuites": "",
            "TLSMinVersion": "",
        },
        "UI": { "Enabled": false },
        "Limits": { "HTTPMaxConnsPerClient": config.http_max_conns_per_client },
        "Telemetry": {
            "PrometheusMetrics": config.telemetry.prometheus_metrics,
            "CollectionInterval": config.telemetry.collection_interval.to_string(),
            "DisableHostname": true,
            "PublishAllocationMetrics": false,
            "PublishNodeMetrics": false,
            "StatsdAddr": "",
            "StatsiteAddr": "",
            "DataDogAddr": "",
        },
        "Version": { "Version": crate::NOMAD_VERSION, "Revision": "", "BuildDate": "0001-01-01T00:00:00Z", "VersionPrerelease": "", "VersionMetadata": "", "Nomadd": crate::VERSION },
    })
}

fn join(join: &Join) -> Value {
    json!({
        "RetryJoin": join.retry,
        "StartJoin": join.start,
        "RetryInterval": join.retry_interval,
        "RetryMaxAttempts": join.retry_max,
    })
}

fn server(server: &Server) -> Value {
    json!({
        "Enabled": server.enabled,
        "BootstrapExpect": server.bootstrap_expect,
        "AuthoritativeRegion": "",
        "EnabledSchedulers": null,
        "NumSchedulers": server.num_schedulers,
        "RaftProtocol": 3,
        "RaftSnapshotThreshold": server.raft_snapshot_threshold,
        "RaftTrailingLogs": server.raft_trailing_logs,
        "HeartbeatGrace": server.heartbeat_grace,
        "MinHeartbeatTTL": server.min_heartbeat_ttl,
        "MaxHeartbeatsPerSecond": server.max_heartbeats_per_second,
        "FailoverHeartbeatTTL": server.failover_heartbeat_ttl,
        "JobMaxPriority": server.job_max_priority,
        "JobDefaultPriority": server.job_default_priority,
        "JobMaxSourceSize": server.job_max_source_size.to_string(),
        "JobTrackedVersions": server.job_tracked_versions,
        "JobGCInterval": server.gc.job_interval.to_string(),
        "EvalGCThreshold": server.gc.evaluation.to_string(),
        "BatchEvalGCThreshold": server.gc.batch_evaluation.to_string(),
        "JobGCThreshold": server.gc.job.to_string(),
        "NodeGCThreshold": server.gc.node.to_string(),
        "DeploymentGCThreshold": server.gc.deployment.to_string(),
        "ServerJoin": join(&server.join),
        "RetryJoin": [],
        "StartJoin": [],
    })
}

fn client(client: &Client) -> Value {
    json!({
        "Enabled": client.enabled,
        "NodeClass": client.node_class,
        "NodePool": client.node_pool,
        "NodeMaxAllocs": client.node_max_allocs,
        "Meta": client.meta,
        "Options": client.options,
        "Servers": client.servers,
        "ServerJoin": join(&client.join),
        "StateDir": client.state_dir.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        "AllocDir": client.alloc_dir.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        "NetworkInterface": client.network_interface,
        "NetworkSpeed": client.network_speed,
        "CpuCompute": client.cpu_total_compute,
        "MemoryMB": client.memory_total_mb,
        "DiskTotalMB": client.disk_total_mb,
        "DiskFreeMB": client.disk_free_mb,
        "ReservableCores": client.reservable_cores,
        "Reserved": { "CPU": client.reserved.cpu, "Cores": client.reserved.cores, "MemoryMB": client.reserved.memory_mb,
            "DiskMB": client.reserved.disk_mb, "ReservedPorts": client.reserved.ports },
        "HostVolumes": client.host_volumes.iter().map(|(name, volume)| json!({ "ID": "", "Name": name, "Path": volume.path, "ReadOnly": volume.read_only })).collect::<Vec<_>>(),
        "HostNetworks": client.host_networks.iter().map(|(name, network)| json!({ "Name": name, "CIDR": network.cidr, "Interface": network.interface, "ReservedPorts": network.reserved_ports })).collect::<Vec<_>>(),
        "MinDynamicPort": client.min_dynamic_port,
        "MaxDynamicPort": client.max_dynamic_port,
        "GCInterval": client.gc.interval,
        "GCMaxAllocs": client.gc.max_allocs,
        "GCDiskUsageThreshold": client.gc.disk_usage_threshold,
        "GCInodeUsageThreshold": client.gc.inode_usage_threshold,
        "GCParallelDestroys": client.gc.parallel_destroys,
        "MaxKillTimeout": client.max_kill_timeout.to_string(),
        "CgroupParent": client.cgroup_parent,
        "NoHostUUID": true,
        "NomadServiceDiscovery": true,
        "PreferredAddressFamily": client.preferred_address_family,
        "BindWildcardDefaultHostNetwork": client.network.wildcard,
        "BridgeNetworkName": client.network.bridge_name,
        "BridgeNetworkSubnet": client.network.bridge_subnet,
        "BridgeNetworkSubnetIPv6": client.network.bridge_subnet6,
        "BridgeNetworkHairpinMode": client.network.hairpin,
        "CNIPath": client.network.cni_path.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":"),
        "CNIConfigDir": client.network.cni_config_dir,
        "DisableRemoteExec": false,
    })
}
