//! raw_exec: a command of the host, as it is. Isolated by nothing but its cgroups, hence off unless the operator
//! enables it; the operator may also forbid users, groups and environment variables.

use std::ffi::OsString;
use std::path::Path;

use nomadd_supervisor::container::Mount;
use nomadd_supervisor::{CgroupOverride, ProcessSpec, program};

use crate::denied::Denied;
use crate::isolation::is_plain;
use crate::registry::{PrepareError, Switch};
use crate::schema::{ConfigError, Key, Kind, Need, Reader};
use crate::task::{TaskContext, TaskVolume};

/// The driver's name.
pub const NAME: &str = "raw_exec";

/// What a task's `config` may hold.
pub const KEYS: [Key; 7] = [
    Key { name: "command", kind: Kind::Text, need: Need::Required },
    Key { name: "args", kind: Kind::Texts, need: Need::Optional },
    Key { name: "cgroup_v2_override", kind: Kind::Text, need: Need::Optional },
    Key { name: "cgroup_v1_override", kind: Kind::Map, need: Need::Optional },
    Key { name: "oom_score_adj", kind: Kind::Number, need: Need::Optional },
    Key { name: "work_dir", kind: Kind::Text, need: Need::Optional },
    Key { name: "denied_envvars", kind: Kind::Texts, need: Need::Optional },
];

/// `plugin "raw_exec" { config { … } }` of the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawExecConfig {
    /// Whether tasks may use it.
    pub enabled: bool,
    /// User ids that no task may run as: `0,10-20`.
    pub denied_host_uids: String,
    /// Group ids that no task may run as: `0,10-20`.
    pub denied_host_gids: String,
    /// Environment variables that no task sees; `*` stands for any characters.
    pub denied_envvars: Vec<String>,
}

/// The driver with its configuration checked.
#[derive(Debug)]
pub struct RawExec {
    enabled: bool,
    denied: Denied,
    denied_variables: Vec<String>,
}

impl RawExec {
    /// Checks the ranges of ids.
    pub fn new(config: &RawExecConfig) -> Result<Self, ConfigError> {
        let RawExecConfig { enabled, denied_host_uids, denied_host_gids, denied_envvars } = config;
        Ok(Self {
            enabled: *enabled,
            denied: Denied::new(NAME, denied_host_uids, denied_host_gids)?,
            denied_variables: denied_envvars.clone(),
        })
    }

    /// Whether it is offered.
    pub fn switch(&self) -> Switch {
        if self.enabled { Switch::On } else { Switch::Off }
    }

    /// The process of a task.
    pub fn prepare(&self, task: TaskContext) -> Result<ProcessSpec, PrepareError> {
        let TaskContext {
            id,
            labels,
            config,
            env,
            user,
            task_directory,
            alloc_directory: _,
            volumes,
            image: _,
            // The allocation's namespace is the launch's to join; its files are for tasks with a root of their own.
            network: _,
            limits,
            log,
            state_directory,
            kill_signal,
            kill_timeout,
        } = task;
        let config = Reader::of(NAME, &KEYS, &config)?;
        let user = user.filter(|user| !user.is_empty());
        self.check_user(user.as_deref())?;
        let work_dir = config.text("work_dir");
        if !work_dir.is_empty() && !Path::new(&work_dir).is_absolute() {
            return Err(config.error("work_dir", &format!("must be an absolute path, not {work_dir:?}")).into());
        }
        let oom_score_adj = config.number("oom_score_adj").unwrap_or(0);
        // Nomad allows no negative ones: a task shall not outlive the system's own processes.
        let oom_score_adj = i32::try_from(oom_score_adj)
            .ok()
            .filter(|score| (0..=1000).contains(score))
            .ok_or_else(|| config.error("oom_score_adj", &format!("must be in 0 … 1000, not {oom_score_adj}")))?;
        let denied = config.texts("denied_envvars");
        let is_denied = |name: &str| self.denied_variables.iter().chain(&denied).any(|pattern| matches(pattern, name));
        let env: std::collections::BTreeMap<_, _> = env.into_iter().filter(|(name, _)| !is_denied(name)).collect();
        let command = config.text("command");
        let local = task_directory.join("local");
        let path = env.get("PATH").map(String::as_str);
        let program = program::find(&command, &task_directory, &[&local, &task_directory], path)?;
        let arguments = config.texts("args").into_iter().map(OsString::from);
        let mounts = volume_mounts(volumes, &task_directory)?;
        Ok(ProcessSpec {
            id,
            labels,
            argv: std::iter::once(program.clone().into_os_string()).chain(arguments).collect(),
            program,
            env,
            user,
            working_directory: if work_dir.is_empty() { task_directory } else { work_dir.into() },
            container: None,
            mounts,
            log,
            limits,
            cgroup_override: cgroup_override(&config)?,
            oom_score_adj,
            rlimits: Vec::new(),
            umask: 0o022,
            network: None,
            state_directory,
            kill_signal,
            kill_timeout,
        })
    }

    /// Whether the task may run as its user, or without one as the agent's.
    fn check_user(&self, user: Option<&str>) -> Result<(), PrepareError> {
        if user.is_none() && self.denied.is_empty() {
            return Ok(());
        }
        let text = user.map_or_else(own_user, str::to_owned);
        self.denied.look_up(&text).map(drop)
    }
}

/// The mounts of a task's volumes. The host's root is what such a task sees: a place there that nobody made is not made
/// for it, one in its own directory is.
fn volume_mounts(volumes: Vec<TaskVolume>, task_directory: &Path) -> Result<Vec<Mount>, PrepareError> {
    let mount = |volume: TaskVolume| {
        let TaskVolume { name, source, destination, access, propagation } = volume;
        let target = task_directory.join(&destination);
        let refused = |reason: String| PrepareError::Volume { name: name.clone(), destination, reason };
        if !is_plain(&target) {
            return Err(refused("is no path below /".to_owned()));
        }
        if !target.starts_with(task_directory) && !target.is_dir() {
            let words = "is no directory of this host, whose root raw_exec tasks see; make it, or name a relative one, \
                which is then below the task's directory";
            return Err(refused(words.to_owned()));
        }
        Ok(Mount { propagation, ..Mount::bind(source, target, access) })
    };
    volumes.into_iter().map(mount).collect()
}

fn own_user() -> String {
    use std::os::unix::fs::MetadataExt;
    // The owner of our entry in /proc is whom we run as.
    std::fs::metadata("/proc/self").map_or(0, |entry| entry.uid()).to_string()
}

fn cgroup_override(config: &Reader<'_>) -> Result<Option<CgroupOverride>, ConfigError> {
    let (v2, v1) = (config.text("cgroup_v2_override"), config.map("cgroup_v1_override"));
    match (v2.is_empty(), v1.is_empty()) {
        (true, true) => Ok(None),
        (false, true) => Ok(Some(CgroupOverride::V2(v2))),
        (true, false) => Ok(Some(CgroupOverride::V1(v1))),
        (false, false) => Err(config.error("cgroup_v2_override", "must not be set beside cgroup_v1_override")),
    }
}

/// Whether a name fits a pattern in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::{Value, json};

    use super::*;
    use crate::testing::context;

    fn driver(change: impl Fn(&mut RawExecConfig)) -> RawExec {
        let mut config = RawExecConfig { enabled: true, ..RawExecConfig::default() };
        change(&mut config);
        RawExec::new(&config).unwrap()
    }

    fn prepare(config: Value) -> Result<ProcessSpec, String> {
        driver(|_| ()).prepare(context(config)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_becomes_a_process_in_the_tasks_directory() {
        let spec = prepare(json!({"command": "sh", "args": ["-c", 1]})).unwrap();
        assert_eq!(spec.program, PathBuf::from("/bin/sh"));
        assert_eq!(spec.argv, ["/bin/sh", "-c", "1"].map(OsString::from));
        assert_eq!(spec.working_directory, PathBuf::from("/usr"));
        assert_eq!(prepare(json!({"command": "bin/env"})).unwrap().program, PathBuf::from("/usr/bin/env"));
        let spec = prepare(json!({"command": "/bin/sh", "work_dir": "/tmp", "oom_score_adj": 7})).unwrap();
        assert_eq!((spec.working_directory, spec.oom_score_adj), (PathBuf::from("/tmp"), 7));
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_its_reason() {
        let check = |config: Value, expected: &str| assert_eq!(prepare(config).unwrap_err(), expected);
        check(json!({"command": "nosuch"}), "failed to start task: command \"nosuch\" not found: in none of PATH=/bin");
        check(
            json!({"command": "sh", "work_dir": "x"}),
            "failed driver config validation: config key \"work_dir\" of driver \"raw_exec\" must be an absolute path, not \"x\"",
        );
        check(
            json!({"command": "sh", "oom_score_adj": -1}),
            "failed driver config validation: config key \"oom_score_adj\" of driver \"raw_exec\" must be in 0 … 1000, not -1",
        );
        check(
            json!({"command": "sh", "cgroup_v2_override": "a", "cgroup_v1_override": [{"pids": "b"}]}),
            "failed driver config validation: config key \"cgroup_v2_override\" of driver \"raw_exec\" must not be set beside cgroup_v1_override",
        );
    }

    #[test]
    fn volumes_are_mounted_where_there_is_a_place_for_them() {
        let mount = |destination: &str| {
            let mut task = context(json!({"command": "sh"}));
            task.volumes = vec![TaskVolume {
                name: "v".into(),
                source: "/srv".into(),
                destination: destination.into(),
                access: nomadd_supervisor::container::Access::ReadOnly,
                propagation: nomadd_supervisor::container::Propagation::Private,
            }];
            driver(|_| ()).prepare(task).map(|spec| spec.mounts[0].target.clone()).map_err(|error| error.to_string())
        };
        assert_eq!(mount("/tmp"), Ok("/tmp".into()));
        assert_eq!(mount("data"), Ok("/usr/data".into()));
        assert!(mount("/no/such").unwrap_err().contains("/no/such is no directory of this host"));
        assert!(mount("../x").unwrap_err().contains("is no path below /"));
    }

    #[test]
    fn denied_variables_are_not_passed() {
        let driver = driver(|config| config.denied_envvars = vec!["AWS_*".into()]);
        let spec = driver.prepare(context(json!({"command": "sh", "denied_envvars": ["A"]}))).unwrap();
        assert_eq!(spec.env.keys().collect::<Vec<_>>(), ["PATH"]);
        for (pattern, name, fits) in
            [("*", "x", true), ("a*c*", "abcd", true), ("a*d", "abc", false), ("a", "ab", false)]
        {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn denied_users_and_unknown_ones_are_refused_also_when_they_are_the_agents_own() {
        let deny = |uids: &str, gids: &str, user: Option<&str>| {
            let driver =
                driver(|config| (config.denied_host_uids, config.denied_host_gids) = (uids.into(), gids.into()));
            let mut task = context(json!({"command": "sh"}));
            task.user = user.map(str::to_owned);
            driver.prepare(task).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(deny("", "", Some("daemon")), Ok(()));
        let text = "failed driver config validation: running as uid 1 is disallowed by the agent's denied_host_uids of driver \"raw_exec\"";
        assert_eq!(deny("1-5,9", "", Some("daemon")), Err(text.into()));
        assert!(deny("", "1", Some("daemon")).unwrap_err().contains("gid 1"));
        assert!(deny("0-4294967295", "", None).is_err());
        let text = "failed driver config validation: failed to identify user \"no-such-user\": user: unknown user no-such-user";
        assert_eq!(deny("", "", Some("no-such-user")), Err(text.into()));
    }

    #[test]
    fn ranges_of_ids_are_checked_when_the_agent_starts() {
        for bad in ["x", "5-1", "-3", "1-2-3"] {
            let config = RawExecConfig { denied_host_uids: bad.into(), ..RawExecConfig::default() };
            assert!(RawExec::new(&config).is_err(), "{bad}");
        }
    }
}
