//! What a task's `config` of the docker driver may hold, as Nomad's driver knows it; and the keys that name something
//! this one has not, each with the sentence that says why.

use crate::schema::{ConfigError, Key, Kind, Need, Reader};

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, need: Need::Optional }
}

/// `auth`.
pub const AUTH: [Key; 4] = [
    key("username", Kind::Text),
    key("password", Kind::Text),
    key("email", Kind::Text),
    key("server_address", Kind::Text),
];
/// `devices`.
pub const DEVICES: [Key; 3] = [
    Key { name: "host_path", kind: Kind::Text, need: Need::Required },
    key("container_path", Kind::Text),
    key("cgroup_permissions", Kind::Text),
];
/// `logging`.
pub const LOGGING: [Key; 3] = [key("type", Kind::Text), key("driver", Kind::Text), key("config", Kind::Map)];
/// `mount` and `mounts`.
pub const MOUNT: [Key; 7] = [
    key("type", Kind::Text),
    Key { name: "target", kind: Kind::Text, need: Need::Required },
    key("source", Kind::Text),
    key("readonly", Kind::Truth),
    key("bind_options", Kind::Blocks(&BIND)),
    key("tmpfs_options", Kind::Blocks(&TMPFS)),
    key("volume_options", Kind::Blocks(&VOLUME)),
];
/// `bind_options`.
pub const BIND: [Key; 1] = [key("propagation", Kind::Text)];
/// `tmpfs_options`.
pub const TMPFS: [Key; 2] = [key("size", Kind::Number), key("mode", Kind::Number)];
/// `volume_options`.
pub const VOLUME: [Key; 3] =
    [key("no_copy", Kind::Truth), key("labels", Kind::Map), key("driver_config", Kind::Blocks(&VOLUME_DRIVER))];
/// `driver_config`.
pub const VOLUME_DRIVER: [Key; 2] = [key("name", Kind::Text), key("options", Kind::Map)];
/// `healthchecks`.
pub const HEALTHCHECKS: [Key; 1] = [key("disable", Kind::Truth)];

/// All keys.
pub const KEYS: [Key; 61] = [
    Key { name: "image", kind: Kind::Text, need: Need::Required },
    key("advertise_ipv6_address", Kind::Truth),
    key("args", Kind::Texts),
    key("auth", Kind::Blocks(&AUTH)),
    key("auth_soft_fail", Kind::Truth),
    key("cap_add", Kind::Texts),
    key("cap_drop", Kind::Texts),
    key("cgroupns", Kind::Text),
    key("command", Kind::Text),
    key("container_exists_attempts", Kind::Number),
    key("cpu_cfs_period", Kind::Number),
    key("cpu_hard_limit", Kind::Truth),
    key("cpuset_cpus", Kind::Text),
    key("devices", Kind::Blocks(&DEVICES)),
    key("dns_options", Kind::Texts),
    key("dns_search_domains", Kind::Texts),
    key("dns_servers", Kind::Texts),
    key("entrypoint", Kind::Texts),
    key("extra_hosts", Kind::Texts),
    key("force_pull", Kind::Truth),
    key("group_add", Kind::Texts),
    key("healthchecks", Kind::Blocks(&HEALTHCHECKS)),
    key("hostname", Kind::Text),
    key("image_pull_timeout", Kind::Time),
    key("init", Kind::Truth),
    key("interactive", Kind::Truth),
    key("ipc_mode", Kind::Text),
    key("ipv4_address", Kind::Text),
    key("ipv6_address", Kind::Text),
    key("isolation", Kind::Text),
    key("labels", Kind::Map),
    key("load", Kind::Text),
    key("logging", Kind::Blocks(&LOGGING)),
    key("mac_address", Kind::Text),
    key("memory_hard_limit", Kind::Number),
    key("mount", Kind::Blocks(&MOUNT)),
    key("mounts", Kind::Blocks(&MOUNT)),
    key("network_aliases", Kind::Texts),
    key("network_mode", Kind::Text),
    key("oom_score_adj", Kind::Number),
    key("pid_mode", Kind::Text),
    key("pids_limit", Kind::Number),
    key("port_map", Kind::Map),
    key("ports", Kind::Texts),
    key("privileged", Kind::Truth),
    key("readonly_rootfs", Kind::Truth),
    key("runtime", Kind::Text),
    key("security_opt", Kind::Texts),
    key("shm_size", Kind::Number),
    key("storage_opt", Kind::Map),
    key("sysctl", Kind::Map),
    key("tty", Kind::Truth),
    key("ulimit", Kind::Map),
    key("userns_mode", Kind::Text),
    key("uts_mode", Kind::Text),
    key("volume_driver", Kind::Text),
    key("volumes", Kind::Texts),
    key("work_dir", Kind::Text),
    // Keys of podman's driver for the same.
    key("image_pull_policy", Kind::Text),
    key("tmpfs", Kind::Texts),
    key("working_dir", Kind::Text),
];

/// Texts that ask for something this driver has not, with what to do instead.
const ABSENT_TEXTS: [(&str, &str); 5] = [
    ("ipv4_address", "is not supported: the addresses of a group's network are given by its CNI configuration"),
    ("ipv6_address", "is not supported: the addresses of a group's network are given by its CNI configuration"),
    ("isolation", "is for Windows"),
    ("mac_address", "is not supported: leave it out, the network gives one"),
    ("volume_driver", "is not supported: there are no volume plugins of Docker here; use a volume block"),
];

/// Switches of the same kind.
const ABSENT_SWITCHES: [(&str, &str); 4] = [
    ("advertise_ipv6_address", "is not supported: use a group network with IPv6"),
    ("cpu_hard_limit", "is not supported: use cores in the task's resources for processors of its own"),
    ("interactive", "is not supported: tasks have no standard input; use alloc exec"),
    ("tty", "is not supported for the task itself: its output goes to log files; use alloc exec -t"),
];

/// Values that mean what happens anyway.
fn is_usual(key: &str, value: &str) -> bool {
    value.is_empty()
        || match key {
            "volume_driver" => value == "local",
            "isolation" => value == "default",
            _ => false,
        }
}

/// Refuses what cannot be done, as it was written.
pub fn refuse_absent(config: &Reader<'_>) -> Result<(), ConfigError> {
    for (key, reason) in ABSENT_TEXTS {
        let value = config.text(key);
        if !is_usual(key, &value) && !value.contains("${") {
            return Err(config.error(key, reason));
        }
    }
    for (key, reason) in ABSENT_SWITCHES {
        if config.is_true(key) {
            return Err(config.error(key, reason));
        }
    }
    if !config.texts("network_aliases").is_empty() {
        return Err(
            config.error("network_aliases", "is not supported: there is no DNS of Docker here; use service blocks")
        );
    }
    if !config.map("storage_opt").is_empty() {
        return Err(config.error("storage_opt", "is not supported: roots are overlays of the host's file system"));
    }
    let runtime = config.text("runtime");
    if !matches!(runtime.as_str(), "" | "runc" | "crun" | "youki") && !runtime.contains("${") {
        let reason = format!("is {runtime:?}, and this agent runs containers itself: leave it out");
        return Err(config.error("runtime", &reason));
    }
    for option in config.texts("security_opt") {
        let known = ["no-new-privileges", "seccomp=unconfined", "apparmor=unconfined", "label=disable"];
        let switch = ["no-new-privileges=true", "no-new-privileges=false"];
        let plain = option.replacen(':', "=", 1);
        if !known.contains(&&*plain) && !switch.contains(&&*plain) && !option.contains("${") {
            let reason = format!("holds {option:?}; known are {} and no-new-privileges=false", known.join(", "));
            return Err(config.error("security_opt", &reason));
        }
    }
    for logging in config.blocks("logging", &LOGGING)? {
        for key in ["type", "driver"] {
            let kind = logging.text(key);
            if !matches!(kind.as_str(), "" | "none" | "json-file" | "local" | "journald") && !kind.contains("${") {
                let reason = format!(
                    "names the log driver {kind:?}; output goes to the task's log files and the journal, or nowhere with \"none\""
                );
                return Err(config.error("logging", &reason));
            }
        }
    }
    Ok(())
}
