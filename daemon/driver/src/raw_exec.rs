//! raw_exec: a command of the host, as it is. Isolated by nothing but its cgroups, hence off unless the operator
//! enables it; the operator may also forbid users, groups and environment variables.

use std::ffi::OsString;
use std::path::Path;

use nomadd_supervisor::users::{self, UserError};
use nomadd_supervisor::{CgroupOverride, ProcessSpec, program};

use crate::registry::{PrepareError, Switch, TaskContext};
use crate::schema::{ConfigError, Key, Kind, Need, Reader};

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
    denied_uids: Vec<(u32, u32)>,
    denied_gids: Vec<(u32, u32)>,
    denied_variables: Vec<String>,
}

impl RawExec {
    /// Checks the ranges of ids.
    pub fn new(config: &RawExecConfig) -> Result<Self, ConfigError> {
        let RawExecConfig { enabled, denied_host_uids, denied_host_gids, denied_envvars } = config;
        Ok(Self {
            enabled: *enabled,
            denied_uids: ranges("denied_host_uids", denied_host_uids)?,
            denied_gids: ranges("denied_host_gids", denied_host_gids)?,
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
        Ok(ProcessSpec {
            id,
            labels,
            argv: std::iter::once(program.clone().into_os_string()).chain(arguments).collect(),
            program,
            env,
            user,
            working_directory: if work_dir.is_empty() { task_directory } else { work_dir.into() },
            log,
            limits,
            cgroup_override: cgroup_override(&config)?,
            oom_score_adj,
            rlimits: Vec::new(),
            umask: 0o022,
            state_directory,
            kill_signal,
            kill_timeout,
        })
    }

    /// Whether the task may run as its user, or without one as the agent's.
    fn check_user(&self, user: Option<&str>) -> Result<(), PrepareError> {
        let unrestricted = self.denied_uids.is_empty() && self.denied_gids.is_empty();
        if user.is_none() && unrestricted {
            return Ok(());
        }
        let text = user.map_or_else(own_user, str::to_owned);
        let found = users::lookup(&text).map_err(|error| match error {
            UserError::UnknownUser(_) => PrepareError::UnknownUser(text.clone()),
            other => PrepareError::User { user: text.clone(), reason: other.to_string() },
        })?;
        let denied = |kind, id, key| PrepareError::Denied { driver: NAME, kind, id, key };
        let within = |ranges: &[(u32, u32)], id: u32| ranges.iter().any(|(first, last)| (*first..=*last).contains(&id));
        if within(&self.denied_uids, found.uid) {
            return Err(denied("uid", found.uid, "denied_host_uids"));
        }
        match std::iter::once(&found.gid).chain(&found.groups).find(|gid| within(&self.denied_gids, **gid)) {
            Some(gid) => Err(denied("gid", *gid, "denied_host_gids")),
            None => Ok(()),
        }
    }
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

fn ranges(key: &str, text: &str) -> Result<Vec<(u32, u32)>, ConfigError> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (first.trim().parse(), last.trim().parse()) {
                (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
                _ => Err(ConfigError {
                    driver: NAME.to_owned(),
                    key: key.to_owned(),
                    reason: format!("holds {part:?}, which is neither an id nor a range like 10-20"),
                    suggestion: None,
                }),
            }
        })
        .collect()
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
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::time::Duration;

    use nomadd_supervisor::{Labels, Limits, LogSpec, TaskHandleId};
    use serde_json::{Value, json};

    use super::*;

    fn context(config: Value) -> TaskContext {
        TaskContext {
            id: TaskHandleId::new("a", "web"),
            labels: Labels::default(),
            config,
            env: BTreeMap::from([
                ("PATH".into(), "/bin".into()),
                ("AWS_KEY".into(), "k".into()),
                ("A".into(), "b".into()),
            ]),
            user: None,
            task_directory: "/usr".into(),
            limits: Limits::default(),
            log: LogSpec {
                directory: "/tmp".into(),
                task: "web".into(),
                max_files: 1,
                max_file_size_bytes: 1,
                disabled: true,
            },
            state_directory: "/tmp/x".into(),
            kill_signal: 2,
            kill_timeout: Duration::from_secs(5),
        }
    }

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
