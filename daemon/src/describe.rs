//! The agent's configuration, told to each room in its own words.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use nomadd_client::{
    Bridge, ClientConfig, Family, GcConfig, Hairpin, HostNetwork, HostVolume, Journal, Loopback, NetworkConfig, Reach,
    Reserved, SupervisorChoice,
};
use nomadd_config::{Config, Mode};
use nomadd_driver::DriverConfig;
use nomadd_driver::registry::Switch;
use nomadd_model::{PreemptionConfig, SchedulerConfiguration, Text};
use nomadd_server::autopilot::Settings;
use serde_json::Value;

use crate::folders::Folders;

/// The bounds and policies of the log.
pub fn raft_limits(config: &Config, limits: &mut nomadd_raft::Limits) {
    limits.snapshot_threshold = config.server.raft_snapshot_threshold;
    limits.snapshot_interval = config.server.raft_snapshot_interval.to_std();
    limits.trailing_logs = config.server.raft_trailing_logs;
}

/// The server's.
pub fn server(config: &Config, name: &str, id: &str, folder: PathBuf) -> nomadd_server::Config {
    let of = &config.server;
    let mut server = nomadd_server::Config::new(folder);
    server.region = config.region.as_str().into();
    server.datacenter = config.datacenter.as_str().into();
    server.name = name.into();
    server.id = id.into();
    server.rpc_address = config.advertise_rpc.as_str().into();
    server.version = crate::NOMAD_VERSION.into();
    server.expect = u32::try_from(of.bootstrap_expect).unwrap_or(0);
    server.autopilot = Settings {
        cleanup_dead_servers: config.autopilot.cleanup_dead_servers,
        last_contact_threshold: config.autopilot.last_contact_threshold,
        max_trailing_logs: config.autopilot.max_trailing_logs,
        min_quorum: config.autopilot.min_quorum,
        server_stabilization_time: config.autopilot.server_stabilization_time,
    };
    server.schedulers = of.num_schedulers.unwrap_or(server.schedulers);
    server.heartbeats.grace = of.heartbeat_grace;
    server.heartbeats.min_ttl = of.min_heartbeat_ttl;
    server.heartbeats.max_per_second = of.max_heartbeats_per_second;
    server.heartbeats.failover_ttl = of.failover_heartbeat_ttl;
    server.collection.job_interval = of.gc.job_interval;
    server.collection.evaluation_age = of.gc.evaluation;
    server.collection.batch_evaluation_age = of.gc.batch_evaluation;
    server.collection.job_age = of.gc.job;
    server.collection.deployment_age = of.gc.deployment;
    server.collection.node_age = of.gc.node;
    server.job_max_priority = of.job_max_priority;
    server.job_default_priority = of.job_default_priority;
    server.job_tracked_versions = of.job_tracked_versions;
    server.job_max_source_size = of.job_max_source_size;
    server.scheduler = SchedulerConfiguration {
        scheduler_algorithm: of.scheduler.algorithm.clone(),
        memory_oversubscription_enabled: of.scheduler.memory_oversubscription,
        reject_job_registration: of.scheduler.reject_job_registration,
        pause_eval_broker: of.scheduler.pause_eval_broker,
        node_limit_for_feasibility_checks: of.scheduler.node_limit,
        preemption_config: PreemptionConfig {
            batch_scheduler_enabled: of.scheduler.preempt_batch,
            system_scheduler_enabled: of.scheduler.preempt_system,
            service_scheduler_enabled: of.scheduler.preempt_service,
            sys_batch_scheduler_enabled: of.scheduler.preempt_system_batch,
        },
        ..Default::default()
    };
    server.driver_check = Arc::new(|driver, config| {
        nomadd_driver::registry::validate_config(driver, config).map_err(|error| error.to_string())
    });
    server
}

/// What the server says of itself in gossip.
pub fn tags(config: &Config, id: &str) -> BTreeMap<Text, Text> {
    let (host, port) = config.advertise_rpc.rsplit_once(':').unwrap_or((&config.advertise_rpc, "0"));
    let expect = config.server.bootstrap_expect.to_string();
    let mut tags: BTreeMap<Text, Text> = [
        ("role", "nomad"),
        ("region", config.region.as_str()),
        ("dc", config.datacenter.as_str()),
        ("build", crate::NOMAD_VERSION),
        ("nomadd", crate::VERSION),
        ("vsn", "1"),
        ("raft_vsn", "3"),
        ("port", port),
        ("rpc_addr", host.trim_matches(['[', ']'])),
        ("id", id),
        ("expect", expect.as_str()),
        ("revision", ""),
    ]
    .into_iter()
    .map(|(key, value)| (key.into(), value.into()))
    .collect();
    if config.server.bootstrap_expect == 1 {
        tags.insert("bootstrap".into(), "1".into());
    }
    tags
}

/// The client's.
pub fn client(config: &Config, folders: &Folders, name: &str, http_address: &str) -> anyhow::Result<ClientConfig> {
    let of = &config.client;
    let development = config.mode == Mode::Development;
    let mut client = if development { ClientConfig::dev(&folders.state) } else { ClientConfig::new(&folders.state) };
    client.state_dir = folders.state.clone();
    client.alloc_dir = folders.allocations.clone();
    client.name = name.to_owned();
    client.region = config.region.clone();
    client.datacenter = config.datacenter.clone();
    client.node_class = of.node_class.clone();
    client.node_pool = of.node_pool.clone();
    client.meta = of.meta.clone();
    client.http_address = if http_address.starts_with("0.0.0.0") || http_address.starts_with("[::]") {
        config.advertise_http.clone()
    } else {
        http_address.to_owned()
    };
    client.attributes = BTreeMap::from([
        ("nomad.version".to_owned(), crate::NOMAD_VERSION.to_owned()),
        ("nomad.revision".to_owned(), String::new()),
        ("nomadd.version".to_owned(), crate::VERSION.to_owned()),
        ("nomad.service_discovery".to_owned(), "true".to_owned()),
        ("unique.advertise.address".to_owned(), config.advertise_http.clone()),
    ]);
    client.network_interface = Some(of.network_interface.clone()).filter(|name| !name.is_empty());
    client.loopback = if development { Loopback::Use } else { Loopback::Avoid };
    client.network_speed = of.network_speed;
    let given = |amount: i64| u64::try_from(amount).ok().filter(|amount| *amount > 0);
    client.cpu_total_compute = given(of.cpu_total_compute);
    client.memory_total_mb = given(of.memory_total_mb);
    client.disk_total_mb = given(of.disk_total_mb);
    client.disk_free_mb = given(of.disk_free_mb);
    client.reservable_cores = Some(of.reservable_cores.clone()).filter(|cores| !cores.is_empty());
    client.reserved = Reserved {
        cpu: of.reserved.cpu,
        cores: of.reserved.cores.clone(),
        memory_mb: of.reserved.memory_mb,
        disk_mb: of.reserved.disk_mb,
        ports: of.reserved.ports.clone(),
    };
    client.host_volumes = of
        .host_volumes
        .iter()
        .map(|(name, volume)| (name.clone(), HostVolume { path: volume.path.clone(), read_only: volume.read_only }))
        .collect();
    client.host_networks = of
        .host_networks
        .iter()
        .map(|(name, network)| {
            let network = HostNetwork {
                cidr: network.cidr.clone(),
                interface: network.interface.clone(),
                reserved_ports: network.reserved_ports.clone(),
            };
            (name.clone(), network)
        })
        .collect();
    client.preferred_family = match of.preferred_address_family.as_str() {
        "ipv4" => Some(Family::V4),
        "ipv6" => Some(Family::V6),
        _ => None,
    };
    let network = &of.network;
    client.network = NetworkConfig {
        plugins: network.cni_path.clone(),
        configurations: network.cni_config_dir.clone(),
        bridge: Bridge {
            name: network.bridge_name.clone(),
            subnet: network.bridge_subnet.clone(),
            subnet6: Some(network.bridge_subnet6.clone()).filter(|subnet| !subnet.is_empty()),
            hairpin: if network.hairpin { Hairpin::On } else { Hairpin::Off },
            ..Bridge::default()
        },
        reach: if network.wildcard { Reach::EveryAddress } else { Reach::OwnAddress },
    };
    client.min_dynamic_port = of.min_dynamic_port;
    client.max_dynamic_port = of.max_dynamic_port;
    client.max_kill_timeout = of.max_kill_timeout;
    client.node_max_allocs = of.node_max_allocs;
    if !of.cgroup_parent.is_empty() {
        client.cgroup_parent = of.cgroup_parent.clone();
    }
    client.journal = if of.journal { Journal::Copied } else { Journal::FilesOnly };
    client.supervisor = match of.supervisor.to_ascii_lowercase().as_str() {
        "systemd" => SupervisorChoice::Systemd,
        "direct" => SupervisorChoice::Direct,
        _ => SupervisorChoice::Auto,
    };
    drivers(config, &mut client.drivers)?;
    client.options = of.options.clone();
    client.gc = GcConfig {
        interval: of.gc.interval,
        parallel: of.gc.parallel_destroys,
        disk_usage_threshold: of.gc.disk_usage_threshold,
        inode_usage_threshold: of.gc.inode_usage_threshold,
        max_allocs: of.gc.max_allocs,
    };
    Ok(client)
}

/// The drivers' own blocks (`plugin "raw_exec" { config { … } }`) and the old options (`driver.raw_exec.enable`).
fn drivers(config: &Config, drivers: &mut DriverConfig) -> anyhow::Result<()> {
    if config.client.options.get("driver.raw_exec.enable").is_some_and(|value| value == "1" || value == "true") {
        drivers.raw_exec.enabled = true;
    }
    for isolation in [&mut drivers.exec, &mut drivers.java] {
        isolation.chroot_env.clone_from(&config.client.chroot_env);
    }
    for (driver, settings) in &config.plugins {
        if ["docker", "oci"].contains(&driver.as_str()) {
            let (docker, warnings) = nomadd_driver::DockerConfig::read(driver, settings)?;
            drivers.docker = docker;
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            continue;
        }
        let Value::Object(settings) = flattened(settings) else { continue };
        for (key, value) in settings {
            let place = format!("plugin {driver:?}: config key {key:?}");
            let flag = || value.as_bool().with_context(|| format!("{place} must be true or false, not {value}"));
            let text =
                || value.as_str().map(str::to_owned).with_context(|| format!("{place} must be a text, not {value}"));
            let texts = || {
                let names = value.as_array().map(|list| list.iter().map(|name| name.as_str().map(str::to_owned)));
                names
                    .and_then(Iterator::collect::<Option<Vec<String>>>)
                    .with_context(|| format!("{place} must be a list of texts, not {value}"))
            };
            match (driver.as_str(), key.as_str()) {
                ("raw_exec", "enabled") => drivers.raw_exec.enabled = flag()?,
                ("raw_exec", "denied_host_uids") => drivers.raw_exec.denied_host_uids = text()?,
                ("raw_exec", "denied_host_gids") => drivers.raw_exec.denied_host_gids = text()?,
                ("raw_exec", "denied_envvars") => drivers.raw_exec.denied_envvars = texts()?,
                ("exec", "no_pivot_root") => drivers.exec.no_pivot_root = flag()?,
                ("exec", "denied_host_uids") => drivers.exec.denied_host_uids = text()?,
                ("exec", "denied_host_gids") => drivers.exec.denied_host_gids = text()?,
                ("exec" | "java", "default_pid_mode" | "default_ipc_mode" | "allow_caps") => {
                    let isolation = if driver == "exec" { &mut drivers.exec } else { &mut drivers.java };
                    match key.as_str() {
                        "default_pid_mode" => isolation.default_pid_mode = text()?,
                        "default_ipc_mode" => isolation.default_ipc_mode = text()?,
                        _ => isolation.allow_caps = Some(texts()?),
                    }
                }
                ("exec", _) => anyhow::bail!(
                    "{place} is unknown; no_pivot_root, default_pid_mode, default_ipc_mode, allow_caps, \
                     denied_host_uids and denied_host_gids are known"
                ),
                ("qemu", "image_paths") => drivers.qemu.image_paths = texts()?,
                ("qemu", "args_allowlist") => drivers.qemu.args_allowlist = texts()?,
                ("qemu", "emulators_allowlist") => drivers.qemu.emulators_allowlist = texts()?,
                ("qemu", _) => {
                    anyhow::bail!("{place} is unknown; image_paths, args_allowlist and emulators_allowlist are known")
                }
                ("java", _) => {
                    anyhow::bail!("{place} is unknown; default_pid_mode, default_ipc_mode and allow_caps are known")
                }
                // An old key without meaning here: cgroups are always used where they are.
                ("raw_exec", "no_cgroups") => {}
                ("raw_exec", _) => anyhow::bail!(
                    "{place} is unknown; enabled, denied_host_uids, denied_host_gids and denied_envvars are known"
                ),
                ("mock_driver", "enabled") => drivers.mock_driver = if flag()? { Switch::On } else { Switch::Off },
                ("podman", key) if key.starts_with("denied_") || key == "allow_caps" => {
                    anyhow::bail!(
                        "{place} asks for a protection, but this build does not have the driver yet: remove it to start"
                    )
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// A block that was written as a list of one.
fn flattened(value: &Value) -> Value {
    match value {
        Value::Array(items) if items.len() == 1 => items[0].clone(),
        other => other.clone(),
    }
}
