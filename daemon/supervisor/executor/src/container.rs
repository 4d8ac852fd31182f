//! What makes a process a container: its root, mounts, namespaces, user and rights. Pure data, with every name resolved:
//! a driver says what it wants, the executor carries it out (`setup.rs` and below of the binary).
//!
//! All paths are absolute. Those of sources are the host's; targets, the program and the working directory are meant
//! inside the root, and no link in there leads out of it.

mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A container to run one process in, and all that it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSpec {
    /// The host's directory that becomes `/`.
    pub root: PathBuf,
    /// Whether `/` itself may be written; mounts below it say so for themselves.
    pub root_access: Access,
    /// What is mounted below the root, in this order. A target that is not there is made.
    pub mounts: Vec<Mount>,
    /// What it shares with the host.
    pub namespaces: Namespaces,
    /// Its name for itself; needs a UTS namespace of its own.
    pub hostname: Option<String>,
    /// Who runs in it.
    pub user: ContainerUser,
    /// The most it can ever do, as `CAP_CHOWN`; root has all of them from the start.
    pub capabilities: BTreeSet<String>,
    /// Those that a user other than root has from the start.
    pub ambient: BTreeSet<String>,
    /// Whether set-user-id programs raise rights.
    pub new_privileges: NewPrivileges,
    /// The filter of system calls.
    pub seccomp: Seccomp,
    /// Paths that are hidden; those that are not there are passed over.
    pub masked_paths: Vec<PathBuf>,
    /// Paths that may only be read; those that are not there are passed over.
    pub readonly_paths: Vec<PathBuf>,
    /// Kernel parameters of its namespaces, `net.core.somaxconn` with its value.
    pub sysctl: BTreeMap<String, String>,
    /// What is in `/dev`.
    pub dev: Dev,
    /// The host's devices that it gets, besides the usual harmless ones.
    pub devices: Vec<Device>,
    /// The size of `/dev/shm` in bytes, where IPC is not the host's.
    pub shm_size: u64,
    /// Whether nothing keeps it from the host's devices.
    pub privileged: Privileged,
    /// What is process 1.
    pub init: Init,
    /// Directories in which a program is looked for before the environment's `PATH`; also for one with slashes in it.
    pub search: Vec<PathBuf>,
    /// How its root takes the place of the host's.
    pub pivot: Pivot,
}

/// Whether something may be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Access {
    /// It may.
    #[default]
    ReadWrite,
    /// It may only be read.
    ReadOnly,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where, inside the root.
    pub target: PathBuf,
    /// What.
    pub source: Source,
    /// Whether it may be written; a read-only one is so with all that is mounted below it.
    pub access: Access,
    /// Whether later mounts pass between it and the host.
    pub propagation: Propagation,
    /// What does not work on it.
    pub flags: MountFlags,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A directory or file of the host; links in the path are followed, so the path is one that the operator wrote.
    Bind {
        /// The host's path.
        path: PathBuf,
        /// Whether what is mounted below it comes along.
        recursion: Recursion,
    },
    /// A directory or file below a directory of the host that a job writes in: no link leads out of it.
    BindBeneath {
        /// The host's directory.
        directory: PathBuf,
        /// The path in it, relative.
        path: PathBuf,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// The most it holds, in bytes.
        size: Option<u64>,
        /// The mode of its root.
        mode: u32,
        /// The owner of its root.
        uid: u32,
        /// The group of its root.
        gid: u32,
    },
    /// The processes of its namespace.
    Proc,
    /// The kernel's objects, of its network namespace.
    Sysfs,
    /// Its cgroups: version 2 as one tree, version 1 as a directory for each hierarchy.
    Cgroup,
}

/// Whether what is mounted below a directory comes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recursion {
    /// The directory alone.
    Only,
    /// With all below it.
    Below,
}

/// Whether mounts that are made later pass between a mount and its source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Propagation {
    /// Neither way.
    #[default]
    Private,
    /// The host's appear in it.
    HostToTask,
    /// Each other's appear.
    Bidirectional,
}

impl Propagation {
    /// Nomad's words; the empty word is the default.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "" | "private" => Some(Self::Private),
            "host-to-task" => Some(Self::HostToTask),
            "bidirectional" => Some(Self::Bidirectional),
            _ => None,
        }
    }
}

/// What does not work on a mount. Devices never work on any, but in a privileged container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MountFlags {
    /// Programs there do not raise rights.
    pub nosuid: bool,
    /// Nothing there can be executed.
    pub noexec: bool,
}

/// What a container shares with the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespaces {
    /// Which processes it sees.
    pub pid: Share,
    /// Shared memory and message queues.
    pub ipc: Share,
    /// The host's name.
    pub uts: Share,
    /// Which cgroups it sees.
    pub cgroup: Share,
    /// Network devices and addresses.
    pub network: Network,
}

/// One namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Share {
    /// A new one.
    Own,
    /// The host's.
    Host,
    /// Another's, by a file like `/proc/12/ns/ipc`.
    Path(PathBuf),
}

/// The network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// The host's.
    Host,
    /// A new one with nothing but `lo`.
    None,
    /// One that was prepared, by a file like `/run/netns/x`.
    Path(PathBuf),
}

/// A user in numbers, as the root's own user database has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerUser {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

/// Whether programs may raise rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewPrivileges {
    /// Set-user-id programs do.
    Allow,
    /// Nothing does.
    Deny,
}

/// The filter of system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seccomp {
    /// None.
    Off,
    /// The calls that ordinary programs need, and those that the capabilities are for.
    Default,
}

/// What is in `/dev`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dev {
    /// `null`, `zero`, `full`, `random`, `urandom`, `tty`, terminals, `shm`, `mqueue` and the devices of its own.
    Own,
    /// What the root and the mounts have there.
    Mounted,
}

/// One of the host's devices. The kernel lets who may open it read, write and make it alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The host's path.
    pub host: PathBuf,
    /// The path inside.
    pub target: PathBuf,
}

/// Whether devices work on the container's mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privileged {
    /// Only those that it was given.
    No,
    /// All. Capabilities, masks and the filter are what the other fields say.
    Yes,
}

/// What is process 1 of the container's process namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// The task.
    Task,
    /// A small one of ours, which reaps and passes signals on.
    Small,
}

/// How a root takes the place of the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pivot {
    /// The host's is gone afterwards.
    Root,
    /// The host's stays hidden below: for hosts that run from an initial ramdisk.
    Chroot,
}

/// The capabilities that containers have where nobody says otherwise.
pub const DEFAULT_CAPABILITIES: [&str; 13] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// All capabilities by their kernel numbers.
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// What containers do not see of the kernel.
pub const MASKED_PATHS: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];

/// What containers cannot change of the kernel.
pub const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The size of `/dev/shm` where nobody says otherwise, in bytes.
pub const DEFAULT_SHM_SIZE: u64 = 64 << 20;

impl Namespaces {
    /// All of its own but the network, which is the host's.
    pub fn own() -> Self {
        Self { pid: Share::Own, ipc: Share::Own, uts: Share::Own, cgroup: Share::Own, network: Network::Host }
    }
}

impl Mount {
    /// A directory or file of the host with all that is mounted below it.
    pub fn bind(path: impl Into<PathBuf>, target: impl Into<PathBuf>, access: Access) -> Self {
        let source = Source::Bind { path: path.into(), recursion: Recursion::Below };
        Self {
            target: target.into(),
            source,
            access,
            propagation: Propagation::default(),
            flags: MountFlags::default(),
        }
    }

    /// One of the kernel's file systems, where it is expected.
    pub fn kernel(source: Source, target: impl Into<PathBuf>, access: Access) -> Self {
        let flags = MountFlags { nosuid: true, noexec: true };
        Self { target: target.into(), source, access, propagation: Propagation::default(), flags }
    }
}

impl ContainerSpec {
    /// The usual container around a root: own namespaces, the kernel's file systems with the usual paths hidden, the
    /// usual devices and capabilities, root as its user, no filter. A driver changes from here what it does otherwise.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        Self {
            root: root.into(),
            root_access: Access::ReadWrite,
            mounts: vec![
                Mount::kernel(Source::Proc, "/proc", Access::ReadWrite),
                Mount::kernel(Source::Sysfs, "/sys", Access::ReadOnly),
                Mount::kernel(Source::Cgroup, "/sys/fs/cgroup", Access::ReadOnly),
            ],
            namespaces: Namespaces::own(),
            hostname: None,
            user: ContainerUser::default(),
            capabilities: DEFAULT_CAPABILITIES.map(str::to_owned).into(),
            ambient: BTreeSet::new(),
            new_privileges: NewPrivileges::Allow,
            seccomp: Seccomp::Off,
            masked_paths: paths(&MASKED_PATHS),
            readonly_paths: paths(&READONLY_PATHS),
            sysctl: BTreeMap::new(),
            dev: Dev::Own,
            devices: Vec::new(),
            shm_size: DEFAULT_SHM_SIZE,
            privileged: Privileged::No,
            init: Init::Task,
            search: Vec::new(),
            pivot: Pivot::Root,
        }
    }
}

/// The directories of a task as every container has them: `/local`, `/secrets` and `/alloc`.
pub fn task_mounts(task_directory: &Path, alloc_directory: &Path) -> Vec<Mount> {
    vec![
        Mount::bind(alloc_directory, "/alloc", Access::ReadWrite),
        Mount::bind(task_directory.join("local"), "/local", Access::ReadWrite),
        Mount::bind(task_directory.join("secrets"), "/secrets", Access::ReadWrite),
    ]
}

/// The kernel's number of a capability, by its name in any letter case, with or without `CAP_`.
pub fn capability_number(name: &str) -> Option<u32> {
    let name = capability_name(name)?;
    CAPABILITIES.iter().position(|known| *known == name).map(|place| place as u32)
}

/// The full name of a capability that is written in any letter case, with or without `CAP_`.
pub fn capability_name(text: &str) -> Option<&'static str> {
    let upper = text.trim().to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    CAPABILITIES.into_iter().find(|known| known.strip_prefix("CAP_") == Some(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_known_in_any_form() {
        for form in ["CAP_NET_ADMIN", "net_admin", "Net_Admin", "cap_net_admin"] {
            assert_eq!(capability_number(form), Some(12), "{form}");
        }
        assert_eq!(capability_name("all"), None);
        assert!(DEFAULT_CAPABILITIES.iter().all(|name| capability_name(name) == Some(name)));
    }
}
