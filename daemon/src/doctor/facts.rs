//! What was found on a host, as plain values: `gather` fills them in, `judge` reads them, tests make them up.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Everything that is judged.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The distribution.
    pub family: Family,
    /// Whether the doctor is root: others cannot look at everything.
    pub root: bool,
    /// The kernel's release, `6.1.0-18-amd64`.
    pub kernel: String,
    /// Kernel features by name.
    pub overlay: bool,
    /// Whether system calls can be filtered.
    pub seccomp: bool,
    /// Whether there are bridges.
    pub bridge: bool,
    /// How processes are limited.
    pub cgroups: Cgroups,
    /// The name of process 1.
    pub init: String,
    /// Whether the system bus answers; `None` where there is none to expect.
    pub bus: Option<Result<(), String>>,
    /// The CNI plugins that are missing, and where they were looked for.
    pub missing_plugins: Vec<String>,
    /// Where plugins were looked for.
    pub plugin_folders: Vec<PathBuf>,
    /// What iptables says of itself, or why it does not work.
    pub firewall: Option<Result<String, String>>,
    /// Whether the clock follows others; `None` when nobody says.
    pub synchronized: Option<bool>,
    /// The newest file of the agent is by so many seconds in the future.
    pub ahead_seconds: i64,
    /// The disks of the agent's folders, by folder.
    pub disks: BTreeMap<PathBuf, Disk>,
    /// The agent's ports.
    pub ports: Vec<Port>,
    /// How many files the agent may open.
    pub open_files: Limit,
    /// The configuration.
    pub configuration: Configuration,
    /// Paths that others may read and should not, with what is in them.
    pub exposed: Vec<(PathBuf, String)>,
    /// Folders of the configuration that are not there, by what they are for.
    pub absent: Vec<(String, PathBuf)>,
}

/// Whose packages a host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// apt.
    Debian,
    /// dnf.
    Rpm,
    /// Another one.
    #[default]
    Other,
}

/// How processes are limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroups {
    /// 2, 1, or 0 for none.
    pub version: u8,
    /// The controllers that are there.
    pub controllers: Vec<String>,
}

/// A folder's disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Bytes that the agent may still use.
    pub free: u64,
    /// All of them.
    pub total: u64,
    /// Percent of the inodes in use.
    pub inodes: u64,
    /// What a small write to the disk takes in microseconds, or why it could not be tried.
    pub sync: Option<Result<u64, String>>,
}

/// A port that the agent listens on.
#[derive(Clone, Debug, Default)]
pub struct Port {
    /// `http`, `rpc` or `serf`.
    pub name: String,
    /// Where.
    pub address: String,
    /// Who listens there.
    pub holder: Option<Holder>,
}

/// Who listens on a port.
#[derive(Clone, Debug, Default)]
pub struct Holder {
    /// In words.
    pub text: String,
    /// Whether it is an agent.
    pub agent: bool,
}

/// How many files may be open.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limit {
    /// The limit in force.
    pub soft: u64,
    /// Whether it is a running agent's; else the doctor's own.
    pub of_agent: bool,
}

/// The agent's configuration.
#[derive(Clone, Debug, Default)]
pub enum Configuration {
    /// None was named, and there is none at the usual place.
    #[default]
    None,
    /// An agent starts with it; warnings.
    Sound {
        /// Where it is.
        paths: Vec<PathBuf>,
        /// What it says that has no effect.
        warnings: Vec<String>,
    },
    /// An agent does not start with it.
    Wrong(String),
    /// It cannot be read by whoever asks.
    Unreadable(String),
}
