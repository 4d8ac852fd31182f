//! Which cgroups a task gets: the host's hierarchies, the parent that all tasks are below, and from a task's limits the
//! directories and values that its executor makes. Version 1 controllers, version 2, and both at once.
//!
//! Own code instead of cgroups-rs: that brings a second D-Bus library, writes CPU shares unconverted into version 2
//! weights, kills on version 2 only and leaves parents behind; what is needed here is a table of files and values.

mod hierarchy;
mod plan;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nomadd_executor::spec::Cgroup;

use crate::spec::{CgroupOverride, Limits, TaskHandleId};

pub use hierarchy::{Hierarchies, Place};
pub(crate) use plan::{check_cores, named, weight};

/// A kernel controller that limits tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// Memory, and which task the kernel kills for it.
    Memory,
    /// Shares of the processors.
    Cpu,
    /// Which processors.
    Cpuset,
    /// Number of processes.
    Pids,
}

impl Controller {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Cpu, Self::Cpuset, Self::Pids];

    /// The kernel's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Cpuset => "cpuset",
            Self::Pids => "pids",
        }
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which limits hold on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enforcement(BTreeMap<Controller, String>);

impl Enforcement {
    /// All but these, each with its reason.
    pub fn without(missing: BTreeMap<Controller, String>) -> Self {
        Self(missing)
    }

    /// Whether limits of this controller hold.
    pub fn enforces(&self, controller: Controller) -> bool {
        !self.0.contains_key(&controller)
    }

    /// The controllers that are not in force, each with its reason.
    pub fn missing(&self) -> impl Iterator<Item = (Controller, &str)> {
        self.0.iter().map(|(controller, reason)| (*controller, reason.as_str()))
    }

    /// What `alloc status` says about a task's limits: `not enforced: cpuset`; `None` if all hold that it has.
    pub fn note(&self, limits: &Limits) -> Option<String> {
        let asked = |controller| match controller {
            Controller::Memory => limits.hard_memory().is_some(),
            Controller::Cpu => limits.cpu_shares > 0,
            Controller::Cpuset => limits.cores.is_some(),
            Controller::Pids => limits.pids.is_some(),
        };
        let words: Vec<_> = self.0.keys().filter(|controller| asked(**controller)).map(|c| c.as_str()).collect();
        if words.is_empty() { None } else { Some(format!("not enforced: {}", words.join(", "))) }
    }
}

/// The cgroups of this host's tasks.
#[derive(Debug)]
pub struct Cgroups {
    hierarchies: Hierarchies,
    parent: PathBuf,
    enforcement: Enforcement,
}

/// Why a task's cgroups cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A parent directory could not be made again.
    #[error("cannot make the parent cgroup {}", directory.display())]
    Parent {
        /// The directory.
        directory: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The job names a cgroup that cannot be used.
    #[error("cgroup {cgroup:?} of the task's configuration {reason}")]
    Override {
        /// As the job wrote it.
        cgroup: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The list of cores is none.
    #[error("{0:?} is not a list of cores like 0-2,7")]
    Cores(String),
}

impl Cgroups {
    /// Makes the parent in every hierarchy and finds out what will be enforced. `parent` is relative to the hierarchies'
    /// roots, as Nomad's `cgroup_parent` is. Never fails: what cannot be used is said by `enforcement`.
    pub fn prepare(hierarchies: Hierarchies, parent: &str) -> Self {
        let parent = PathBuf::from(parent.trim_matches('/'));
        let mut hierarchies = hierarchies;
        let mut missing = BTreeMap::new();
        if let Some(root) = hierarchies.unified.clone()
            && let Err(reason) = make_parent(&root, &parent)
        {
            hierarchies.unified = None;
            hierarchies.unified_reason = Some(reason);
        }
        if let Some(root) = hierarchies.counting()
            && make_parent(root, &parent).is_err()
        {
            hierarchies.accounting = None;
        }
        for controller in Controller::ALL {
            if let Err(reason) = hierarchies.ready(controller, &parent) {
                hierarchies.drop_controller(controller);
                missing.insert(controller, reason);
            }
        }
        Self { hierarchies, parent, enforcement: Enforcement(missing) }
    }

    /// Which limits hold.
    pub fn enforcement(&self) -> &Enforcement {
        &self.enforcement
    }

    /// The cgroup below which tasks are, relative to the hierarchies' roots.
    pub fn parent(&self) -> &Path {
        &self.parent
    }

    /// The version that limits memory here: 1 or 2; 0 if nothing does.
    pub fn version(&self) -> u32 {
        match self.hierarchies.place(Controller::Memory) {
            Some(Place::V2(_)) => 2,
            Some(Place::V1(_)) => 1,
            None => 0,
        }
    }

    /// The cgroups of a task with the values of its limits. Makes parents again that someone removed.
    pub fn plan(
        &self,
        id: &TaskHandleId,
        limits: &Limits,
        instead: Option<&CgroupOverride>,
    ) -> Result<Vec<Cgroup>, CgroupError> {
        if let Some(instead) = instead {
            return named(&self.hierarchies, instead);
        }
        for root in self.hierarchies.roots() {
            let directory = root.join(&self.parent);
            if !directory.is_dir() {
                make_parent(root, &self.parent)
                    .and_then(|()| self.enable_again())
                    .map_err(|reason| CgroupError::Parent { directory, source: io::Error::other(reason) })?;
            }
        }
        plan::own(&self.hierarchies, &self.parent.join(id.cgroup_name()), limits)
    }

    fn enable_again(&self) -> Result<(), String> {
        let mut used = Controller::ALL.into_iter().filter(|controller| self.enforcement.enforces(*controller));
        used.try_for_each(|controller| self.hierarchies.ready(controller, &self.parent))
    }

    /// Every directory that a task's cgroups may be in, whether they exist or not.
    pub fn directories(&self, id: &TaskHandleId) -> Vec<PathBuf> {
        let name = self.parent.join(id.cgroup_name());
        self.hierarchies.roots().map(|root| root.join(&name)).collect()
    }
}

/// Makes a directory below a hierarchy's root; a new version 1 cpuset needs its parent's processors first.
fn make_parent(root: &Path, parent: &Path) -> Result<(), String> {
    let mut directory = root.to_owned();
    for part in parent.components() {
        let above = directory.clone();
        directory.push(part);
        match fs::create_dir(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(format!("cannot make {}: {error}", directory.display()));
            }
            _ => {}
        }
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let (from, to) = (above.join(file), directory.join(file));
            // Version 2 inherits by itself, and its root has no such file.
            if let (Ok(value), Ok(own)) = (fs::read_to_string(from), fs::read_to_string(&to))
                && own.trim().is_empty()
                && directory.join("cpuset.cpu_exclusive").exists()
            {
                fs::write(&to, value.trim()).map_err(|error| format!("cannot write {}: {error}", to.display()))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_limits_that_a_task_has_are_noted_as_not_enforced() {
        let missing = [(Controller::Memory, "x".to_owned()), (Controller::Cpuset, "x".to_owned())];
        let enforcement = Enforcement(BTreeMap::from(missing));
        assert_eq!(enforcement.note(&Limits::default()), None);
        let limits = Limits { memory_bytes: Some(1), cores: Some("0".into()), cpu_shares: 5, ..Limits::default() };
        assert_eq!(enforcement.note(&limits).as_deref(), Some("not enforced: memory, cpuset"));
        assert!(enforcement.enforces(Controller::Pids));
    }
}
