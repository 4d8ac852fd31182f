//! exec: a command of the host in a root of its own, made of read-only binds of the host around the task's directory, with
//! own mount, process and IPC namespaces. Nomad copies the host's files into each root; what a task sees is the same.

use nomadd_supervisor::ProcessSpec;

use crate::isolation::{Isolation, IsolationConfig, Program, key};
use crate::registry::PrepareError;
use crate::schema::{ConfigError, Key, Kind, Need, Reader};
use crate::task::TaskContext;

/// The driver's name.
pub const NAME: &str = "exec";

/// What a task's `config` may hold.
pub const KEYS: [Key; 7] = [
    Key { name: "command", kind: Kind::Text, need: Need::Required },
    key("args", Kind::Texts),
    key("pid_mode", Kind::Text),
    key("ipc_mode", Kind::Text),
    key("cap_add", Kind::Texts),
    key("cap_drop", Kind::Texts),
    key("work_dir", Kind::Text),
];

/// The driver with its configuration checked.
#[derive(Debug)]
pub struct Exec(Isolation);

impl Exec {
    /// Checks the agent's configuration.
    pub fn new(config: &IsolationConfig) -> Result<Self, ConfigError> {
        Isolation::new(NAME, config).map(Self)
    }

    /// The process of a task.
    pub fn prepare(&self, task: TaskContext) -> Result<ProcessSpec, PrepareError> {
        let config = task.config.clone();
        let config = Reader::of(NAME, &KEYS, &config)?;
        let program = Program { file: config.text("command").into(), arguments: config.texts("args") };
        self.0.prepare(task, &config, program)
    }
}

#[cfg(test)]
mod tests {
    use nomadd_supervisor::container::{Access, Network, Pivot, Share};
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::context;

    fn prepare(agent: &IsolationConfig, config: Value) -> Result<ProcessSpec, String> {
        let driver = Exec::new(agent).map_err(|error| error.to_string())?;
        driver.prepare(context(config)).map_err(|error| error.to_string())
    }

    fn of(config: Value) -> ProcessSpec {
        prepare(&IsolationConfig::default(), config).unwrap()
    }

    #[test]
    fn a_task_gets_a_root_of_the_hosts_programs_and_its_own_directory() {
        let spec = of(json!({"command": "sh", "args": ["-c", 1]}));
        assert_eq!(spec.argv, ["sh", "-c", "1"].map(std::ffi::OsString::from));
        let container = spec.container.unwrap();
        assert_eq!((container.root.to_str(), spec.working_directory.to_str()), (Some("/usr"), Some("/")));
        let usr = container.mounts.iter().find(|mount| mount.target.to_str() == Some("/usr")).unwrap();
        assert_eq!(usr.access, Access::ReadOnly);
        assert!(container.mounts.iter().any(|mount| mount.target.to_str() == Some("/alloc")));
        let spaces = &container.namespaces;
        assert_eq!((&spaces.pid, &spaces.ipc, &spaces.network), (&Share::Own, &Share::Own, &Network::Host));
        assert_eq!(container.user.uid, nomadd_supervisor::users::lookup("nobody").unwrap().uid);
        assert_eq!(container.pivot, Pivot::Root);
    }

    #[test]
    fn namespaces_are_the_hosts_where_the_job_or_the_agent_says_so() {
        let container = of(json!({"command": "sh", "pid_mode": "host", "ipc_mode": "host"})).container.unwrap();
        assert_eq!((container.namespaces.pid, container.namespaces.ipc), (Share::Host, Share::Host));
        let agent = IsolationConfig { default_pid_mode: "host".into(), no_pivot_root: true, ..Default::default() };
        let container = prepare(&agent, json!({"command": "sh"})).unwrap().container.unwrap();
        assert_eq!((container.namespaces.pid, container.pivot), (Share::Host, Pivot::Chroot));
        let error = prepare(&agent, json!({"command": "sh", "pid_mode": "own"})).unwrap_err();
        assert!(
            error.contains("\"pid_mode\" of driver \"exec\" must be \"private\" or \"host\", not \"own\""),
            "{error}"
        );
    }

    #[test]
    fn capabilities_are_the_usual_ones_changed_as_the_job_asks_and_the_agent_allows() {
        let container = of(json!({"command": "sh", "cap_drop": ["all"], "cap_add": ["chown"]})).container.unwrap();
        assert_eq!(container.capabilities, ["CAP_CHOWN".to_owned()].into());
        assert_eq!(container.ambient, ["CAP_CHOWN".to_owned()].into());
        let container = of(json!({"command": "sh"})).container.unwrap();
        assert_eq!(container.capabilities.len(), 13);
        assert_eq!(container.ambient, ["CAP_NET_BIND_SERVICE".to_owned()].into());
        let error =
            prepare(&IsolationConfig::default(), json!({"command": "sh", "cap_add": ["SYS_ADMIN"]})).unwrap_err();
        assert!(error.contains("asks for CAP_SYS_ADMIN, which the agent's allow_caps of driver \"exec\""), "{error}");
        let agent = IsolationConfig { allow_caps: Some(vec!["all".into()]), ..Default::default() };
        let config = json!({"command": "sh", "cap_add": ["sys_admin"]});
        assert!(prepare(&agent, config).unwrap().container.unwrap().capabilities.contains("CAP_SYS_ADMIN"));
        let agent = IsolationConfig { allow_caps: Some(vec!["kill".into(), "nope".into()]), ..Default::default() };
        let error = prepare(&agent, json!({})).unwrap_err();
        assert!(error.contains("\"allow_caps\" of driver \"exec\" holds \"nope\", which is no capability"), "{error}");
    }

    #[test]
    fn the_operator_says_what_of_the_host_is_seen_and_who_may_not_run() {
        let chroot_env = [("/bin".to_owned(), "/usr/bin".to_owned())].into();
        let agent = IsolationConfig { chroot_env, denied_host_uids: "1".into(), ..Default::default() };
        let container = prepare(&agent, json!({"command": "sh"})).unwrap().container.unwrap();
        let targets: Vec<_> = container.mounts.iter().map(|mount| mount.target.to_str().unwrap()).collect();
        assert_eq!(targets, ["/proc", "/sys", "/sys/fs/cgroup", "/usr/bin", "/alloc"]);
        let mut task = context(json!({"command": "sh"}));
        task.user = Some("daemon".into());
        let error = Exec::new(&agent).unwrap().prepare(task).unwrap_err().to_string();
        assert!(error.contains("uid 1 is disallowed"), "{error}");
        let chroot_env = [("/bin".to_owned(), "/../x".to_owned())].into();
        assert!(Exec::new(&IsolationConfig { chroot_env, ..Default::default() }).is_err());
    }
}
