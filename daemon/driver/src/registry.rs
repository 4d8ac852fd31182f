//! All drivers of this node: which are there, what their configurations may hold, and what a task's comes to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nomadd_runtime::Runtime;
use nomadd_supervisor::{Handle, ProcessSpec, StartError, Supervisor, TaskHandleId, mounts_by_descriptor, user_id};
use serde_json::Value;

use crate::docker::{self, Docker, DockerConfig, Notice};
use crate::exec::{self, Exec};
use crate::isolation::IsolationConfig;
use crate::java::{self, Java};
use crate::mock::{self, MockSpec};
use crate::qemu::{self, Qemu, QemuConfig};
use crate::raw_exec::{self, RawExec, RawExecConfig};
use crate::schema::{self, ConfigError, closest};
use crate::task::TaskContext;

/// Drivers that Nomad has and this build or this host may not have.
const ABSENT: [&str; 1] = ["qemu"];

/// How the drivers are set up (`plugin` blocks of the agent's configuration).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriverConfig {
    /// `plugin "raw_exec"`.
    pub raw_exec: RawExecConfig,
    /// `plugin "qemu"`.
    pub qemu: QemuConfig,
    /// `plugin "exec"`.
    pub exec: IsolationConfig,
    /// `plugin "java"`.
    pub java: IsolationConfig,
    /// `plugin "docker"`.
    pub docker: DockerConfig,
    /// Where the images of containers are kept; without it there are no containers.
    pub images: Option<PathBuf>,
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

/// What a task comes to.
#[derive(Debug)]
pub enum Launch {
    /// A process, for the supervisor.
    Process(Box<ProcessSpec>),
    /// A process that is a virtual machine; its stop presses the power button.
    Machine(Box<ProcessSpec>),
    /// A task that only pretends, in this process.
    Mock(Box<MockSpec>),
}

impl Launch {
    /// Starts it.
    pub async fn start(self, supervisor: &dyn Supervisor, runtime: &Runtime) -> Result<Handle, StartError> {
        match self {
            Self::Process(spec) => supervisor.start(*spec).await,
            Self::Machine(spec) => {
                let folder = spec.working_directory.clone();
                Ok(qemu::wrap(supervisor.start(*spec).await?, &folder))
            }
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
    /// A volume cannot be where the job wants it.
    #[error("volume {name:?} cannot be mounted: its destination {} {reason}", destination.display())]
    Volume {
        /// The volume's name in the job.
        name: String,
        /// Where the job wants it.
        destination: PathBuf,
        /// A clause that follows the destination.
        reason: String,
    },
    /// The image of a container, or its root.
    #[error("Failed to {what} `{image}`: {reason}")]
    Image {
        /// What was tried.
        what: &'static str,
        /// As people write it.
        image: String,
        /// A clause: what went wrong, and what to do.
        reason: String,
        /// Whether trying again can help.
        again: bool,
    },
    /// The command names no program.
    #[error("failed to start task: {0}")]
    Program(#[from] nomadd_supervisor::program::ProgramError),
}

impl PrepareError {
    /// Whether trying again can help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Image { again: true, .. })
    }
}

/// The drivers of this node.
#[derive(Debug)]
pub struct Registry {
    docker: Docker,
    raw_exec: RawExec,
    qemu: Qemu,
    exec: Exec,
    java: Java,
    mock_driver: Switch,
    /// Why tasks cannot be isolated here.
    no_isolation: Option<&'static str>,
}

impl Registry {
    /// Checks the drivers' own configuration.
    pub fn new(config: &DriverConfig) -> Result<Self, ConfigError> {
        let mut docker = Docker::new(&config.docker, config.images.as_deref());
        if let Some(reason) = no_isolation() {
            docker.withhold(reason);
        }
        Ok(Self {
            docker,
            raw_exec: RawExec::new(&config.raw_exec)?,
            qemu: Qemu::new(&config.qemu),
            exec: Exec::new(&config.exec)?,
            java: Java::new(&config.java)?,
            mock_driver: config.mock_driver,
            no_isolation: no_isolation(),
        })
    }

    /// The names of the drivers that tasks may use here, sorted.
    pub fn available(&self) -> Vec<&'static str> {
        let on = |is: bool| if is { Switch::On } else { Switch::Off };
        let isolation = self.no_isolation.is_none();
        let switches = [
            (docker::NAME, on(self.docker.absent().is_none())),
            (exec::NAME, on(isolation)),
            (java::NAME, on(isolation && self.java.version().is_some())),
            (mock::NAME, self.mock_driver),
            (docker::NAMES[1], on(self.docker.absent().is_none())),
            (docker::NAMES[2], on(self.docker.absent().is_none())),
            (raw_exec::NAME, self.raw_exec.switch()),
            (qemu::NAME, on(self.qemu.is_here())),
        ];
        switches.into_iter().filter(|(_, switch)| *switch == Switch::On).map(|(name, _)| name).collect()
    }

    /// What the node reports, every known driver by name.
    pub fn fingerprint(&self) -> BTreeMap<String, Fingerprint> {
        let mut drivers = BTreeMap::new();
        for driver in ABSENT {
            drivers.insert(driver.to_owned(), Fingerprint::absent(""));
        }
        if self.qemu.is_here() {
            drivers.insert(qemu::NAME.to_owned(), Fingerprint::healthy(qemu::NAME));
        }
        for driver in [exec::NAME, java::NAME, mock::NAME, raw_exec::NAME] {
            let isolated = [exec::NAME, java::NAME].contains(&driver);
            let report = match self.no_isolation.filter(|_| isolated) {
                _ if self.available().contains(&driver) => Fingerprint::healthy(driver),
                Some(reason) => Fingerprint::absent(reason),
                // No Java is on this host.
                None if isolated => Fingerprint::absent(""),
                None => Fingerprint::absent("disabled"),
            };
            drivers.insert(driver.to_owned(), report);
        }
        for driver in docker::NAMES {
            let report = match self.docker.absent() {
                Some(reason) => Fingerprint::absent(reason),
                None => {
                    let mut report = Fingerprint::healthy(driver);
                    let facts = self.docker.attributes();
                    report.attributes.extend(facts.map(|(fact, value)| (format!("driver.{driver}.{fact}"), value)));
                    report
                }
            };
            drivers.insert(driver.to_owned(), report);
        }
        if let (Some(java), Some(report)) = (self.java.version(), drivers.get_mut(java::NAME).filter(|it| it.detected))
        {
            let facts = [("version", &java.version), ("runtime", &java.runtime), ("vm", &java.vm)];
            report.attributes.extend(facts.map(|(fact, value)| (format!("driver.java.{fact}"), value.clone())));
        }
        drivers
    }

    /// The handle on a task that was found again, as its start gave it.
    pub fn again(&self, driver: &str, handle: Handle, task_directory: &Path) -> Handle {
        if driver == qemu::NAME { qemu::wrap(handle, task_directory) } else { handle }
    }

    /// What a driver can do; `None` for one that is not here.
    pub fn capabilities(&self, driver: &str) -> Option<Capabilities> {
        if !self.available().contains(&driver) {
            return None;
        }
        if driver == qemu::NAME {
            let yes = Support::Yes;
            return Some(Capabilities { signals: yes, exec: Support::No, host_paths: yes, host_environment: yes });
        }
        let of = |drivers: &[&str]| if drivers.contains(&driver) { Support::Yes } else { Support::No };
        Some(Capabilities {
            signals: Support::Yes,
            exec: match docker::NAMES.contains(&driver) {
                true => Support::Yes,
                false => of(&[raw_exec::NAME, exec::NAME, java::NAME]),
            },
            host_paths: of(&[raw_exec::NAME, mock::NAME]),
            host_environment: of(&[raw_exec::NAME, exec::NAME, java::NAME]),
        })
    }

    /// Brings what a task needs before it can be prepared: the image of a container. Tells how that goes; dropping it ends it.
    pub async fn bring(
        &self,
        driver: &str,
        config: &Value,
        task_directory: &Path,
        tell: impl FnMut(Notice),
    ) -> Result<Option<nomadd_oci::Digest>, PrepareError> {
        match docker::NAMES.contains(&driver) && self.docker.absent().is_none() {
            true => self.docker.image(driver, config, task_directory, tell).await.map(Some),
            false => Ok(None),
        }
    }

    /// A task has ended: what was made for it goes. Blocks.
    pub fn ended(&self, task: &TaskHandleId) {
        self.docker.ended(task);
    }

    /// Whether a driver's tasks leave something behind that `ended` removes.
    pub fn leaves(driver: &str) -> bool {
        docker::NAMES.contains(&driver)
    }

    /// The signal that ends a driver's tasks when the job names none.
    pub fn usual_signal(driver: &str) -> &'static str {
        if docker::NAMES.contains(&driver) { "SIGTERM" } else { "SIGINT" }
    }

    /// Removes what tasks that are not in the list left, and images that nothing has used for long. Blocks.
    pub fn sweep(&self, tasks: Option<&[TaskHandleId]>) {
        self.docker.sweep(tasks);
    }

    /// Removes all images that nothing uses. Blocks.
    pub fn collect_garbage(&self) {
        self.docker.collect_all();
    }

    /// What a task comes to. Blocks for small files and the user database: call it on a thread that may.
    pub fn prepare(&self, driver: &str, task: TaskContext) -> Result<Launch, PrepareError> {
        if !self.available().contains(&driver) {
            let hint = closest(driver, self.available());
            return Err(PrepareError::NoDriver { driver: driver.to_owned(), hint });
        }
        match driver {
            qemu::NAME => Ok(Launch::Machine(Box::new(self.qemu.prepare(task)?))),
            raw_exec::NAME => Ok(Launch::Process(Box::new(self.raw_exec.prepare(task)?))),
            exec::NAME => Ok(Launch::Process(Box::new(self.exec.prepare(task)?))),
            java::NAME => Ok(Launch::Process(Box::new(self.java.prepare(task)?))),
            name if docker::NAMES.contains(&name) => Ok(Launch::Process(Box::new(self.docker.prepare(driver, task)?))),
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

/// Why tasks cannot be isolated on this host, if so.
fn no_isolation() -> Option<&'static str> {
    if user_id() != 0 {
        return Some("Driver must run as root");
    }
    (!mounts_by_descriptor()).then_some("Driver needs Linux 5.12 or later")
}

/// Checks a task's configuration as it was written, before interpolation, whatever drivers this node offers: the server
/// asks it at registration. A driver of another system is not known here and passes.
pub fn validate_config(driver: &str, config: &Value) -> Result<(), ConfigError> {
    match driver {
        qemu::NAME => schema::check(driver, &qemu::KEYS, config),
        raw_exec::NAME => schema::check(driver, &raw_exec::KEYS, config),
        exec::NAME => schema::check(driver, &exec::KEYS, config),
        java::NAME => schema::check(driver, &java::KEYS, config),
        mock::NAME => schema::check(driver, &mock::KEYS, config),
        name if docker::NAMES.contains(&name) => docker::check(driver, config),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn registry(raw_exec: Switch) -> Registry {
        let raw_exec = RawExecConfig { enabled: raw_exec == Switch::On, ..RawExecConfig::default() };
        Registry::new(&DriverConfig { raw_exec, mock_driver: Switch::On, ..DriverConfig::default() }).unwrap()
    }

    #[test]
    fn every_known_driver_is_reported_and_only_those_here_are_detected() {
        let report = registry(Switch::Off).fingerprint();
        assert_eq!(report.len(), 8);
        assert!(report["mock_driver"].detected && report["mock_driver"].healthy);
        assert_eq!(report["mock_driver"].attributes["driver.mock_driver"], "true");
        assert_eq!((report["raw_exec"].detected, report["raw_exec"].description.as_str()), (false, "disabled"));
        assert!(!report["docker"].detected);
        let isolated = user_id() == 0 && mounts_by_descriptor();
        assert_eq!(report["exec"].detected, isolated);
        assert_eq!(report["exec"].attributes.contains_key("driver.exec"), isolated);
        let on = registry(Switch::On);
        assert!(["mock_driver", "raw_exec"].iter().all(|name| on.available().contains(name)));
    }

    #[test]
    fn configurations_are_checked_whether_or_not_the_driver_is_here() {
        assert!(validate_config("raw_exec", &json!({"command": "x", "args": ["y"]})).is_ok());
        let error = validate_config("raw_exec", &json!({"commnad": "x"})).unwrap_err();
        assert_eq!(error.suggestion.as_deref(), Some("command"));
        assert!(validate_config("exec", &json!({"command": "x", "cap_drop": ["all"]})).is_ok());
        assert!(validate_config("java", &json!({"jar_path": "x", "comand": "y"})).is_err());
        assert!(validate_config("mock_driver", &json!({"run_for": "10s", "exit_code": 1})).is_ok());
        assert!(validate_config("docker", &json!({"image": "x"})).is_ok());
        assert!(validate_config("docker", &json!({"image": "x", "tty": "${NOMAD_META_tty}"})).is_ok());
        let error = validate_config("oci", &json!({"image": "x", "tty": true})).unwrap_err().to_string();
        assert!(error.contains("\"tty\" of driver \"oci\" is not supported"), "{error}");
        assert!(validate_config("somebody-elses", &json!({"x": 1})).is_ok());
    }
}
