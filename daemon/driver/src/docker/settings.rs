//! `plugin "docker" { config { … } }` of the agent: what operators allow and how images are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::capability;
use crate::schema::{ConfigError, Key, Kind, Need, Reader};

/// The plugin's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerConfig {
    /// Whether tasks may use the driver.
    pub enabled: bool,
    /// Docker's `config.json` with credentials.
    pub auth_file: Option<PathBuf>,
    /// `NAME` of `docker-credential-NAME`.
    pub auth_helper: Option<String>,
    /// Whether images go when no task has used them for `image_delay`.
    pub remove_images: bool,
    /// See `remove_images`.
    pub image_delay: Duration,
    /// The most that unpacked layers may take, in bytes; what is in use stays.
    pub image_disk_limit: Option<u64>,
    /// Whether jobs may mount folders of the host.
    pub volumes: bool,
    /// Whether jobs may be privileged.
    pub allow_privileged: bool,
    /// The capabilities that jobs may have.
    pub allow_caps: BTreeSet<&'static str>,
    /// How long a pull may take.
    pub image_pull_timeout: Duration,
    /// How long a registry may be silent.
    pub pull_activity_timeout: Duration,
    /// Whether output is thrown away.
    pub disable_log_collection: bool,
    /// The most processes of a task, and what one has that does not say.
    pub pids_limit: u64,
    /// How likely the kernel kills tasks that do not say.
    pub oom_score_adj: i64,
    /// Labels that every container gets: `job_name`, ….
    pub extra_labels: Vec<String>,
    /// The host's namespaces that jobs may ask for, by kind; a kind that is not there may.
    pub allowed_modes: BTreeMap<String, Vec<String>>,
    /// Registries without TLS, besides those of this host.
    pub insecure_registries: Vec<String>,
}

impl Default for DockerConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            auth_file: None,
            auth_helper: None,
            remove_images: true,
            image_delay: Duration::from_secs(180),
            image_disk_limit: None,
            volumes: false,
            allow_privileged: false,
            allow_caps: capability::usually_allowed(),
            image_pull_timeout: Duration::from_secs(300),
            pull_activity_timeout: Duration::from_secs(120),
            disable_log_collection: false,
            pids_limit: 0,
            oom_score_adj: 0,
            extra_labels: Vec::new(),
            allowed_modes: BTreeMap::new(),
            insecure_registries: Vec::new(),
        }
    }
}

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, need: Need::Optional }
}

const AUTH: [Key; 2] = [key("config", Kind::Text), key("helper", Kind::Text)];
const TLS: [Key; 3] = [key("cert", Kind::Text), key("key", Kind::Text), key("ca", Kind::Text)];
const LOGGING: [Key; 2] = [key("type", Kind::Text), key("config", Kind::Map)];
const DANGLING: [Key; 4] = [
    key("enabled", Kind::Truth),
    key("dry_run", Kind::Truth),
    key("period", Kind::Time),
    key("creation_grace", Kind::Time),
];
const GC: [Key; 5] = [
    key("image", Kind::Truth),
    key("image_delay", Kind::Time),
    key("image_disk_limit_mb", Kind::Number),
    key("container", Kind::Truth),
    key("dangling_containers", Kind::Blocks(&DANGLING)),
];
const VOLUMES: [Key; 2] = [key("enabled", Kind::Truth), key("selinuxlabel", Kind::Text)];
const MODES: [Key; 4] =
    [key("pid", Kind::Texts), key("ipc", Kind::Texts), key("userns", Kind::Texts), key("uts", Kind::Texts)];
const KEYS: [Key; 25] = [
    key("enabled", Kind::Truth),
    key("allow_caps", Kind::Texts),
    key("allow_privileged", Kind::Truth),
    key("allow_runtimes", Kind::Texts),
    key("allowed_modes", Kind::Blocks(&MODES)),
    key("auth", Kind::Blocks(&AUTH)),
    key("container_exists_attempts", Kind::Number),
    key("disable_log_collection", Kind::Truth),
    key("endpoint", Kind::Text),
    key("extra_labels", Kind::Texts),
    key("gc", Kind::Blocks(&GC)),
    key("image_pull_timeout", Kind::Time),
    key("infra_image", Kind::Text),
    key("infra_image_pull_timeout", Kind::Time),
    key("insecure_registries", Kind::Texts),
    key("logging", Kind::Blocks(&LOGGING)),
    key("nvidia_runtime", Kind::Text),
    key("oom_score_adj", Kind::Number),
    key("pids_limit", Kind::Number),
    key("pull_activity_timeout", Kind::Time),
    key("tls", Kind::Blocks(&TLS)),
    key("volumes", Kind::Blocks(&VOLUMES)),
    key("windows_allow_insecure_container_admin", Kind::Truth),
    key("recover_stopped", Kind::Truth),
    key("client_http_timeout", Kind::Time),
];
/// Keys that mean something to podman's driver or to a Docker daemon, and nothing here: they ask for nothing that people
/// could miss.
const NEEDLESS: [&str; 7] = [
    "container_exists_attempts",
    "infra_image",
    "infra_image_pull_timeout",
    "nvidia_runtime",
    "recover_stopped",
    "client_http_timeout",
    "windows_allow_insecure_container_admin",
];

impl DockerConfig {
    /// Reads the block; the second are sentences to warn with.
    pub fn read(driver: &str, settings: &Value) -> Result<(Self, Vec<String>), ConfigError> {
        let read = Reader::of(driver, &KEYS, settings)?;
        let mut config = Self::default();
        let mut warnings = Vec::new();
        for key in NEEDLESS.iter().filter(|key| read.has(key)) {
            warnings
                .push(format!("plugin {driver:?}: config key {key:?} has no effect: there is no Docker daemon here"));
        }
        if read.has("endpoint") || read.has("tls") {
            let key = if read.has("endpoint") { "endpoint" } else { "tls" };
            return Err(
                read.error(key, "names a Docker daemon, and this agent runs containers itself: remove it to start")
            );
        }
        let runtimes = read.texts("allow_runtimes");
        if let Some(other) = runtimes.iter().find(|name| !matches!(name.as_str(), "runc" | "nvidia")) {
            let reason = format!("holds {other:?}, and there are no other runtimes here: remove it to start");
            return Err(read.error("allow_runtimes", &reason));
        }
        if read.has("enabled") {
            config.enabled = read.is_true("enabled");
        }
        for auth in read.blocks("auth", &AUTH)? {
            config.auth_file = Some(auth.text("config")).filter(|path| !path.is_empty()).map(PathBuf::from);
            config.auth_helper = Some(auth.text("helper")).filter(|name| !name.is_empty());
        }
        for gc in read.blocks("gc", &GC)? {
            if gc.has("image") {
                config.remove_images = gc.is_true("image");
            }
            config.image_delay = gc.time("image_delay").unwrap_or(config.image_delay);
            config.image_disk_limit = positive(&gc, "image_disk_limit_mb")?.map(|limit| limit << 20);
            if gc.has("container") && !gc.is_true("container") {
                let reason = "is false, and containers that have ended are always removed: remove it to start";
                return Err(read.error("gc.container", reason));
            }
            for dangling in gc.blocks("dangling_containers", &DANGLING)? {
                if dangling.is_true("dry_run") || (dangling.has("enabled") && !dangling.is_true("enabled")) {
                    let reason =
                        "asks to keep containers that no task has, and they are always removed: remove it to start";
                    return Err(read.error("gc.dangling_containers", reason));
                }
            }
        }
        for volumes in read.blocks("volumes", &VOLUMES)? {
            config.volumes = volumes.is_true("enabled");
            if !volumes.text("selinuxlabel").is_empty() {
                return Err(read.error("volumes.selinuxlabel", "is not supported: remove it to start"));
            }
        }
        for logging in read.blocks("logging", &LOGGING)? {
            let kind = logging.text("type");
            match kind.as_str() {
                "" | "json-file" | "journald" | "local" => {}
                "none" => config.disable_log_collection = true,
                _ => {
                    let reason = format!("is {kind:?}; json-file, journald and none are known");
                    return Err(read.error("logging.type", &reason));
                }
            }
            if !logging.map("config").is_empty() {
                let text =
                    "config key \"logging.config\" has no effect: the logs block of a task says how its files rotate";
                warnings.push(format!("plugin {driver:?}: {text}"));
            }
        }
        config.allow_privileged = read.is_true("allow_privileged");
        if read.has("allow_caps") {
            let named = capability::read(&read.texts("allow_caps"));
            config.allow_caps = named.map_err(|reason| read.error("allow_caps", &reason))?;
        }
        config.image_pull_timeout = read.time("image_pull_timeout").unwrap_or(config.image_pull_timeout);
        config.pull_activity_timeout = read.time("pull_activity_timeout").unwrap_or(config.pull_activity_timeout);
        config.disable_log_collection |= read.is_true("disable_log_collection");
        config.pids_limit = positive(&read, "pids_limit")?.unwrap_or(0);
        config.oom_score_adj = read.number("oom_score_adj").unwrap_or(0);
        config.extra_labels = read.texts("extra_labels");
        config.insecure_registries = read.texts("insecure_registries");
        for modes in read.blocks("allowed_modes", &MODES)? {
            for kind in ["pid", "ipc", "userns", "uts"].into_iter().filter(|kind| modes.has(kind)) {
                config.allowed_modes.insert(kind.to_owned(), modes.texts(kind));
            }
        }
        Ok((config, warnings))
    }
}

fn positive(read: &Reader<'_>, key: &str) -> Result<Option<u64>, ConfigError> {
    let Some(number) = read.number(key) else { return Ok(None) };
    match u64::try_from(number) {
        Ok(number) => Ok(Some(number).filter(|number| *number > 0)),
        Err(_) => Err(read.error(key, &format!("must not be negative, but is {number}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_operators_write_is_understood() {
        let settings = json!({
            "auth": [{"config": "/etc/docker/config.json"}], "volumes": [{"enabled": true}], "allow_privileged": true,
            "allow_caps": ["CAP_NET_RAW", "kill"], "gc": [{"image": true, "image_delay": "10m", "image_disk_limit_mb": 100}],
            "extra_labels": ["job_name"], "image_pull_timeout": "1m", "infra_image": "pause", "pids_limit": 100,
        });
        let (config, warnings) = DockerConfig::read("docker", &settings).unwrap();
        assert_eq!(config.auth_file, Some("/etc/docker/config.json".into()));
        assert_eq!((config.image_delay, config.image_disk_limit), (Duration::from_secs(600), Some(100 << 20)));
        assert_eq!((config.allow_caps, config.pids_limit), (BTreeSet::from(["CAP_KILL", "CAP_NET_RAW"]), 100));
        assert!(config.volumes && config.allow_privileged && warnings.len() == 1, "{warnings:?}");
        assert_eq!(DockerConfig::read("docker", &Value::Null).unwrap().0, DockerConfig::default());
    }

    #[test]
    fn what_is_not_in_force_stops_the_agent() {
        for (settings, reason) in [
            (
                json!({"endpoint": "unix:///var/run/docker.sock"}),
                "\"endpoint\" of driver \"docker\" names a Docker daemon",
            ),
            (json!({"gc": {"container": false}}), "\"gc.container\" of driver \"docker\" is false"),
            (json!({"gc": {"dangling_containers": {"dry_run": true}}}), "\"gc.dangling_containers\""),
            (json!({"allow_runtimes": ["kata"]}), "holds \"kata\""),
            (json!({"allow_caps": ["net_rwa"]}), "holds \"net_rwa\", which is no capability"),
            (json!({"logging": {"type": "syslog"}}), "is \"syslog\"; json-file"),
            (json!({"allow_priviliged": true}), "did you mean \"allow_privileged\""),
            (json!({"volumes": {"selinuxlabel": "z"}}), "is not supported"),
        ] {
            let error = DockerConfig::read("docker", &settings).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
