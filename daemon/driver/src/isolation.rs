//! What the `exec` and `java` drivers have in common: a root made of read-only binds of the host around the task's
//! directory, namespaces, capabilities, and the keys of jobs and of the agent that say so.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use nomadd_supervisor::ProcessSpec;
use nomadd_supervisor::container::{
    Access, CAPABILITIES, ContainerSpec, ContainerUser, DEFAULT_CAPABILITIES, Mount, Network, Pivot, Share,
    capability_name,
};

use crate::denied::Denied;
use crate::registry::PrepareError;
use crate::schema::{ConfigError, Key, Kind, Need, Reader};
use crate::task::{TaskContext, TaskVolume};

/// What of the host is in a task's root where the agent's `chroot_env` says nothing.
const DEFAULT_ROOT: [&str; 9] =
    ["/bin", "/etc", "/lib", "/lib32", "/lib64", "/run/resolvconf", "/run/systemd/resolve", "/sbin", "/usr"];

/// Who runs a task that names nobody.
const DEFAULT_USER: &str = "nobody";

/// The keys of a task's `config` that say how it is isolated.
pub(crate) const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, need: Need::Optional }
}

/// `plugin "exec" { config { … } }` of the agent, and `plugin "java"`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IsolationConfig {
    /// Whether the host's root stays hidden below the task's, for hosts that run from an initial ramdisk.
    pub no_pivot_root: bool,
    /// `private` or `host`; "" is private.
    pub default_pid_mode: String,
    /// `private` or `host`; "" is private.
    pub default_ipc_mode: String,
    /// The capabilities that tasks may have; `None` is Nomad's list.
    pub allow_caps: Option<Vec<String>>,
    /// User ids that no task may run as: `0,10-20`.
    pub denied_host_uids: String,
    /// Group ids that no task may run as: `0,10-20`.
    pub denied_host_gids: String,
    /// What of the host is in a task's root, with where it is there; empty is the usual.
    pub chroot_env: BTreeMap<String, String>,
}

/// The isolation of a driver with its configuration checked.
#[derive(Debug)]
pub(crate) struct Isolation {
    driver: &'static str,
    pivot: Pivot,
    pid: Mode,
    ipc: Mode,
    allowed: BTreeSet<&'static str>,
    denied: Denied,
    root: Vec<(PathBuf, PathBuf)>,
}

/// Whether a namespace is the task's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Private,
    Host,
}

impl Mode {
    fn of(word: &str) -> Option<Self> {
        match word {
            "private" => Some(Self::Private),
            "host" => Some(Self::Host),
            _ => None,
        }
    }

    fn share(self) -> Share {
        match self {
            Self::Private => Share::Own,
            Self::Host => Share::Host,
        }
    }
}

/// The program of an isolated task and its arguments.
pub(crate) struct Program {
    /// A path inside the root, or a name.
    pub(crate) file: PathBuf,
    /// The arguments after the program's name.
    pub(crate) arguments: Vec<String>,
}

impl Isolation {
    /// Checks the agent's words.
    pub(crate) fn new(driver: &'static str, config: &IsolationConfig) -> Result<Self, ConfigError> {
        let IsolationConfig {
            no_pivot_root,
            default_pid_mode,
            default_ipc_mode,
            allow_caps,
            denied_host_uids,
            denied_host_gids,
            chroot_env,
        } = config;
        let error = |key: &str, reason: String| ConfigError {
            driver: driver.to_owned(),
            key: key.to_owned(),
            reason,
            suggestion: None,
        };
        let mode = |key, word: &str| match word {
            "" => Ok(Mode::Private),
            word => Mode::of(word).ok_or_else(|| error(key, format!("must be \"private\" or \"host\", not {word:?}"))),
        };
        let allowed = match allow_caps {
            None => DEFAULT_CAPABILITIES.into(),
            Some(names) => capabilities(names).map_err(|reason| error("allow_caps", reason))?,
        };
        let entries: Vec<(PathBuf, PathBuf)> = if chroot_env.is_empty() {
            DEFAULT_ROOT.map(|path| (path.into(), path.into())).into()
        } else {
            chroot_env.iter().map(|(from, to)| (from.into(), to.into())).collect()
        };
        for (from, to) in &entries {
            if let Some(path) = [from, to].into_iter().find(|path| !is_plain(path)) {
                return Err(error("chroot_env", format!("holds {path:?}, which is no absolute path below /")));
            }
        }
        Ok(Self {
            driver,
            pivot: if *no_pivot_root { Pivot::Chroot } else { Pivot::Root },
            pid: mode("default_pid_mode", default_pid_mode)?,
            ipc: mode("default_ipc_mode", default_ipc_mode)?,
            allowed,
            denied: Denied::new(driver, denied_host_uids, denied_host_gids)?,
            root: entries,
        })
    }

    /// The container of a task that runs this program, with the keys that its configuration has for it.
    pub(crate) fn prepare(
        &self,
        task: TaskContext,
        config: &Reader<'_>,
        program: Program,
    ) -> Result<ProcessSpec, PrepareError> {
        let TaskContext {
            id,
            labels,
            config: _,
            env,
            user,
            task_directory,
            alloc_directory,
            volumes,
            image: _,
            network,
            limits,
            log,
            state_directory,
            kill_signal,
            kill_timeout,
        } = task;
        let user = user.filter(|user| !user.is_empty());
        let user = self.denied.look_up(user.as_deref().unwrap_or(DEFAULT_USER))?;
        let working_directory = match config.text("work_dir") {
            path if path.is_empty() => PathBuf::from("/"),
            path if Path::new(&path).is_absolute() => path.into(),
            path => {
                let reason = format!("must be an absolute path inside the task's root, not {path:?}");
                return Err(config.error("work_dir", &reason).into());
            }
        };
        let mode = |key: &'static str, usual: Mode| match config.text(key) {
            word if word.is_empty() => Ok(usual),
            word => Mode::of(&word)
                .ok_or_else(|| config.error(key, &format!("must be \"private\" or \"host\", not {word:?}"))),
        };
        let mut container = ContainerSpec::new(&task_directory);
        container.namespaces.pid = mode("pid_mode", self.pid)?.share();
        container.namespaces.ipc = mode("ipc_mode", self.ipc)?.share();
        container.namespaces.uts = Share::Host;
        if let Some(name) = network.hostname {
            container.namespaces.uts = Share::Own;
            container.hostname = Some(name);
        }
        if let Some(namespace) = network.namespace {
            container.namespaces.network = Network::Path(namespace);
        }
        // Links of the host count: where /bin is one, what it means is there.
        let host = self.root.iter().filter(|(from, _)| from.exists());
        container.mounts.extend(host.map(|(from, to)| Mount::bind(from, to, Access::ReadOnly)));
        container.mounts.push(Mount::bind(alloc_directory, "/alloc", Access::ReadWrite));
        for (from, to) in network.files {
            container.mounts.push(Mount::bind(from, to, Access::ReadOnly));
        }
        container.mounts.extend(volume_mounts(volumes)?);
        // What the agent keeps beside the task is not the task's.
        container.masked_paths.push("/private".into());
        let (all, ambient) = self.capabilities(config)?;
        container.capabilities = all;
        container.ambient = ambient;
        container.user = ContainerUser { uid: user.uid, gid: user.gid, groups: user.groups };
        container.search = vec!["/local".into(), "/".into()];
        container.pivot = self.pivot;
        let Program { file, arguments } = program;
        let arguments = arguments.into_iter().map(OsString::from);
        Ok(ProcessSpec {
            id,
            labels,
            argv: std::iter::once(file.clone().into_os_string()).chain(arguments).collect(),
            program: file,
            env,
            user: None,
            working_directory,
            container: Some(Box::new(container)),
            mounts: Vec::new(),
            log,
            limits,
            cgroup_override: None,
            oom_score_adj: 0,
            rlimits: Vec::new(),
            umask: 0o022,
            network: None,
            state_directory,
            kill_signal,
            kill_timeout,
        })
    }

    /// What a task can ever do, and what one that is not root has from the start: low ports, and what it asks for by name.
    fn capabilities(&self, config: &Reader<'_>) -> Result<(BTreeSet<String>, BTreeSet<String>), PrepareError> {
        let read = |key: &str| capabilities(&config.texts(key)).map_err(|reason| config.error(key, &reason));
        let (mut added, dropped) = (read("cap_add")?, read("cap_drop")?);
        if config.texts("cap_add").iter().any(|name| is_all(name)) {
            added = self.allowed.clone();
        }
        let missing: Vec<_> = added.difference(&self.allowed).copied().collect();
        if !missing.is_empty() {
            let (names, driver) = (missing.join(", "), self.driver);
            let reason = format!("asks for {names}, which the agent's allow_caps of driver {driver:?} does not hold");
            return Err(config.error("cap_add", &reason).into());
        }
        let usual = DEFAULT_CAPABILITIES.into_iter().filter(|name| self.allowed.contains(name));
        let mut all: BTreeSet<&str> = usual.filter(|name| !dropped.contains(name)).collect();
        all.extend(&added);
        let from_start = |name: &&str| *name == "CAP_NET_BIND_SERVICE" || added.contains(name);
        let ambient = all.iter().copied().filter(from_start).map(str::to_owned).collect();
        Ok((all.into_iter().map(str::to_owned).collect(), ambient))
    }
}

/// The mounts of a task's volumes in a container.
pub(crate) fn volume_mounts(volumes: Vec<TaskVolume>) -> Result<Vec<Mount>, PrepareError> {
    let mount = |volume: TaskVolume| {
        let TaskVolume { name, source, destination, access, propagation } = volume;
        // As Nomad: a relative one is below the root.
        let target = Path::new("/").join(&destination);
        if !is_plain(&target) {
            let reason = "is no path below the task's root".to_owned();
            return Err(PrepareError::Volume { name, destination, reason });
        }
        Ok(Mount { propagation, ..Mount::bind(source, target, access) })
    };
    volumes.into_iter().map(mount).collect()
}

/// Whether a path is absolute, below `/` and without `..`.
pub(crate) fn is_plain(path: &Path) -> bool {
    let mut parts = path.components();
    parts.next() == Some(Component::RootDir)
        && parts.clone().next().is_some()
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

fn is_all(name: &str) -> bool {
    name.eq_ignore_ascii_case("all")
}

/// Full names of capabilities, `all` for each of them.
fn capabilities(names: &[String]) -> Result<BTreeSet<&'static str>, String> {
    let mut found = BTreeSet::new();
    for name in names.iter().filter(|name| !name.is_empty()) {
        if is_all(name) {
            found.extend(CAPABILITIES);
        } else {
            found.insert(capability_name(name).ok_or_else(|| format!("holds {name:?}, which is no capability"))?);
        }
    }
    Ok(found)
}
