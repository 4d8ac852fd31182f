//! All drivers of this node: which are there, what their configurations may hold, and what a task's comes to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use nomadd_runtime::Runtime;
use nomadd_supervisor::{Handle, Labels, Limits, LogSpec, ProcessSpec, StartError, Supervisor, TaskHandleId};
use serde_json::Value;

use crate::mock::{self, MockSpec};
use crate::raw_exec::{self, RawExec, RawExecConfig};
use crate::schema::{self, ConfigError, closest};

/// Drivers that Nomad has and this build has not.
const ABSENT: [&str; 5] = ["docker", "exec", "java", "podman", "qemu"];

/// How the drivers are set up (`plugin` blocks of the agent's configuration).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriverConfig {
    /// `plugin "raw_exec"`.
    pub raw_exec: RawExecConfig,
    /// `plugin "mock_driver"`.
    pub mock_driver: Switch,
}

/// Whether a driver is offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Switch {
    /// Tasks may use it.
    On,
    /// It is reported as not detected.
    #[default]
    Off,
}

/// What a node says about a driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Whether it is there.
    pub detected: bool,
    /// Whether it works.
    pub healthy: bool,
    /// Why, in words.
    pub description: String,
    /// Its attributes (`driver.raw_exec = true`).
    pub attributes: BTreeMap<String, String>,
}

/// What a driver can do with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether `alloc signal` reaches the task.
    pub signals: Support,
    /// Whether `alloc exec` runs commands beside it.
    pub exec: Support,
    /// Whether the task sees the host's directories by their own paths, so that `NOMAD_TASK_DIR` is a host path.
    pub host_paths: Support,
    /// Whether the agent's own environment is passed on, below everything else.
    pub host_environment: Support,
}

/// Whether something is supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// A task to prepare; everything in it is interpolated.
#[derive(Debug, Clone)]
pub struct TaskContext {
    /// Whose it is.
    pub id: TaskHandleId,
    /// What it is called in the cluster.
    pub labels: Labels,
    /// The task's `config` block.
    pub config: Value,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// The task's `user`.
    pub user: Option<String>,
    /// The task's directory, `<alloc dir>/<task>`.
    pub task_directory: PathBuf,
    /// What it may use.
    pub limits: Limits,
    /// Its log files.
    pub log: LogSpec,
    /// Where the executor keeps its files for this run.
    pub state_directory: PathBuf,
    /// The task's `kill_signal`, by number.
    pub kill_signal: i32,
    /// The task's `kill_timeout`.
    pub kill_timeout: Duration,
}

/// What a task comes to.
#[derive(Debug)]
pub enum Launch {
    /// A process, for the supervisor.
    Process(Box<ProcessSpec>),
    /// A task that only pretends, in this process.
    Mock(Box<MockSpec>),
}

impl Launch {
    /// Starts it.
    pub async fn start(self, supervisor: &dyn Supervisor, runtime: &Runtime) -> Result<Handle, StartError> {
        match self {
            Self::Process(spec) => supervisor.start(*spec).await,
            Self::Mock(spec) => spec.start(runtime).await,
        }
    }
}

/// Why a task cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// No such driver here.
    #[error("driver {driver:?} is not available on this node{}", hint.as_ref().map(|word| format!("; did you mean {word:?}?")).unwrap_or_default())]
    NoDriver {
        /// As the job wrote it.
        driver: String,
        /// What was likely meant.
        hint: Option<String>,
    },
    /// The configuration is wrong.
    #[error("failed driver config validation: {0}")]
    Config(#[from] ConfigError),
    /// The task's user does not exist.
    #[error("failed driver config validation: failed to identify user {0:?}: user: unknown user {0}")]
    UnknownUser(String),
    /// The user database could not be asked.
    #[error("failed driver config validation: failed to identify user {user:?}: {reason}")]
    User {
        /// As the job wrote it.
        user: String,
        /// What went wrong.
        reason: String,
    },
    /// The operator forbids this user or group.
    #[error(
        "failed driver config validation: running as {kind} {id} is disallowed by the agent's {key} of driver {driver:?}"
    )]
    Denied {
        /// The driver.
        driver: &'static str,
        /// `uid` or `gid`.
        kind: &'static str,
        /// Which one.
        id: u32,
        /// The key of the agent's configuration.
        key: &'static str,
    },
    /// The command names no program.
    #[error("failed to start task: {0}")]
    Program(#[from] nomadd_supervisor::program::ProgramError),
}

/// The drivers of this node.
#[derive(Debug)]
pub struct Registry {
    raw_exec: RawExec,
    mock_driver: Switch,
}

impl Registry {
    /// Checks the drivers' own configuration.
    pub fn new(config: &DriverConfig) -> Result<Self, ConfigError> {
        Ok(Self { raw_exec: RawExec::new(&config.raw_exec)?, mock_driver: config.mock_driver })
    }

    /// The names of the drivers that tasks may use here, sorted.
    pub fn available(&self) -> Vec<&'static str> {
        let switches = [(mock::NAME, self.mock_driver), (raw_exec::NAME, self.raw_exec.switch())];
        switches.into_iter().filter(|(_, switch)| *switch == Switch::On).map(|(name, _)| name).collect()
    }

    /// What the node reports, every known driver by name.
    pub fn fingerprint(&self) -> BTreeMap<String, Fingerprint> {
        let mut drivers = BTreeMap::new();
        for driver in ABSENT {
            drivers.insert(driver.to_owned(), Fingerprint::absent(""));
        }
        for driver in [mock::NAME, raw_exec::NAME] {
            let here = self.available().contains(&driver);
            let report = if here { Fingerprint::healthy(driver) } else { Fingerprint::absent("disabled") };
            drivers.insert(driver.to_owned(), report);
        }
        drivers
    }

    /// What a driver can do; `None` for one that is not here.
    pub fn capabilities(&self, driver: &str) -> Option<Capabilities> {
        if !self.available().contains(&driver) {
            return None;
        }
        let real = if driver == raw_exec::NAME { Support::Yes } else { Support::No };
        Some(Capabilities { signals: Support::Yes, exec: real, host_paths: Support::Yes, host_environment: real })
    }

    /// What a task comes to. Blocks for small files and the user database: call it on a thread that may.
    pub fn prepare(&self, driver: &str, task: TaskContext) -> Result<Launch, PrepareError> {
        if !self.available().contains(&driver) {
            let hint = closest(driver, self.available());
            return Err(PrepareError::NoDriver { driver: driver.to_owned(), hint });
        }
        match driver {
            raw_exec::NAME => Ok(Launch::Process(Box::new(self.raw_exec.prepare(task)?))),
            _ => Ok(Launch::Mock(Box::new(MockSpec::read(task.id, &task.config, task.log)?))),
        }
    }
}

impl Fingerprint {
    fn healthy(driver: &str) -> Self {
        let attributes = BTreeMap::from([(format!("driver.{driver}"), "true".to_owned())]);
        Self { detected: true, healthy: true, description: "Healthy".to_owned(), attributes }
    }

    fn absent(description: &str) -> Self {
        let description = description.to_owned();
        Self { detected: false, healthy: false, description, attributes: BTreeMap::new() }
    }
}

/// Checks a task's configuration as it was written, before interpolation, whatever drivers this node offers: the server
/// asks it at registration. A driver of another system is not known here and passes.
pub fn validate_config(driver: &str, config: &Value) -> Result<(), ConfigError> {
    match driver {
        raw_exec::NAME => schema::check(driver, &raw_exec::KEYS, config),
        mock::NAME => schema::check(driver, &mock::KEYS, config),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn registry(raw_exec: Switch) -> Registry {
        let raw_exec = RawExecConfig { enabled: raw_exec == Switch::On, ..RawExecConfig::default() };
        Registry::new(&DriverConfig { raw_exec, mock_driver: Switch::On }).unwrap()
    }

    #[test]
    fn every_known_driver_is_reported_and_only_those_here_are_detected() {
        let report = registry(Switch::Off).fingerprint();
        assert_eq!(report.len(), 7);
        assert!(report["mock_driver"].detected && report["mock_driver"].healthy);
        assert_eq!(report["mock_driver"].attributes["driver.mock_driver"], "true");
        assert_eq!((report["raw_exec"].detected, report["raw_exec"].description.as_str()), (false, "disabled"));
        assert!(!report["docker"].detected);
        assert_eq!(registry(Switch::On).available(), ["mock_driver", "raw_exec"]);
    }

    #[test]
    fn configurations_are_checked_whether_or_not_the_driver_is_here() {
        assert!(validate_config("raw_exec", &json!({"command": "x", "args": ["y"]})).is_ok());
        let error = validate_config("raw_exec", &json!({"commnad": "x"})).unwrap_err();
        assert_eq!(error.suggestion.as_deref(), Some("command"));
        assert!(validate_config("mock_driver", &json!({"run_for": "10s", "exit_code": 1})).is_ok());
        assert!(validate_config("docker", &json!({"image": "x"})).is_ok());
    }
}
