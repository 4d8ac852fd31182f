//! The cgroup hierarchies that this host has mounted, and which controller is in which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{Controller, make_parent, plan};
use crate::spec::Limits;

/// What is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// The root of the version 2 hierarchy.
    pub unified: Option<PathBuf>,
    /// Why the version 2 hierarchy is not used though it may be there.
    pub(super) unified_reason: Option<String>,
    /// The controllers that the version 2 hierarchy has.
    pub(super) unified_controllers: BTreeSet<Controller>,
    /// The roots of version 1 hierarchies by controller.
    pub(super) v1: BTreeMap<Controller, PathBuf>,
    /// The root of the version 1 hierarchy that counts processor time; needed only without version 2.
    pub(super) accounting: Option<PathBuf>,
    /// The root of the version 1 hierarchy by which systemd finds processes; it uses version 2 where that is mounted.
    pub(super) systemd: Option<PathBuf>,
}

/// Where a controller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// In the version 1 hierarchy of this root.
    V1(&'a Path),
    /// In the version 2 hierarchy of this root.
    V2(&'a Path),
}

impl Hierarchies {
    /// This host's.
    pub fn detect() -> Self {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        Self::parse(&mounts, |root| fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default())
    }

    /// From the lines of `/proc/mounts` and what `cgroup.controllers` holds at a root.
    pub fn parse(mounts: &str, controllers: impl Fn(&Path) -> String) -> Self {
        let mut found = Self::default();
        for line in mounts.lines() {
            let mut fields = line.split(' ').skip(1);
            let (Some(path), Some(kind), Some(options)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            // The kernel writes a space in a path as \040; no host mounts its cgroups there.
            let path = PathBuf::from(path);
            match kind {
                "cgroup2" if found.unified.is_none() => {
                    let text = controllers(&path);
                    let has = |controller: &Controller| text.split_ascii_whitespace().any(|c| c == controller.as_str());
                    found.unified_controllers = Controller::ALL.into_iter().filter(has).collect();
                    found.unified = Some(path);
                }
                "cgroup" => {
                    if options.split(',').any(|option| option == "cpuacct") {
                        found.accounting.get_or_insert_with(|| path.clone());
                    }
                    if options.split(',').any(|option| option == "name=systemd") {
                        found.systemd.get_or_insert_with(|| path.clone());
                    }
                    for controller in Controller::ALL {
                        if options.split(',').any(|option| option == controller.as_str()) {
                            found.v1.entry(controller).or_insert_with(|| path.clone());
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// Where a controller is; version 1 where it is mounted there, because it is then in no other.
    pub fn place(&self, controller: Controller) -> Option<Place<'_>> {
        if let Some(root) = self.v1.get(&controller) {
            return Some(Place::V1(root));
        }
        match &self.unified {
            Some(root) if self.unified_controllers.contains(&controller) => Some(Place::V2(root)),
            _ => None,
        }
    }

    /// The roots in use, each once; the version 2 one first.
    pub fn roots(&self) -> impl Iterator<Item = &Path> {
        let mut v1: BTreeSet<&Path> = self.v1.values().map(PathBuf::as_path).collect();
        v1.extend(self.counting());
        self.unified.as_deref().into_iter().chain(v1)
    }

    /// Where processor time is counted if the version 2 hierarchy, which always does, is not there.
    pub(super) fn counting(&self) -> Option<&Path> {
        if self.unified.is_some() { None } else { self.accounting.as_deref() }
    }

    /// The version 1 hierarchy of processors by itself, if there is one: systemd does not use it.
    pub fn processors(&self) -> Option<Self> {
        let root = self.v1.get(&Controller::Cpuset)?;
        Some(Self { v1: BTreeMap::from([(Controller::Cpuset, root.clone())]), ..Self::default() })
    }

    /// Where systemd has cgroups for its units, by the names of `/proc/self/cgroup`, and what it does not write there. The
    /// one by which it finds processes comes first.
    pub fn of_units(&self, limits: &Limits) -> Vec<(String, PathBuf, plan::Settings)> {
        let v2 = self.unified.iter().map(|root| (String::new(), root.clone(), Vec::new()));
        let v1 = self.systemd.iter().filter(|_| self.unified.is_none());
        let mut found: Vec<_> =
            v2.chain(v1.map(|root| ("name=systemd".to_owned(), root.clone(), Vec::new()))).collect();
        for controller in [Controller::Memory, Controller::Cpu, Controller::Pids] {
            if let Some(root) = self.v1.get(&controller) {
                found.push((controller.to_string(), root.clone(), plan::beside_systemd(controller, limits)));
            }
        }
        if let Some(root) = self.counting().filter(|root| !found.iter().any(|(_, known, _)| known == root)) {
            found.push(("cpuacct".to_owned(), root.to_owned(), Vec::new()));
        }
        found
    }

    /// Makes the controller usable for children of `parent`, or says why it is not.
    pub(super) fn ready(&self, controller: Controller, parent: &Path) -> Result<(), String> {
        match self.place(controller) {
            None => Err(match &self.unified_reason {
                Some(reason) => reason.clone(),
                None => format!("this host has no {controller} controller"),
            }),
            Some(Place::V1(root)) => make_parent(root, parent),
            Some(Place::V2(root)) => {
                let mut directory = root.to_owned();
                let below = parent.components().map(|part| part.as_os_str());
                // Also in the parent itself: its children are the tasks.
                for part in below.map(Some).chain([None]) {
                    enable(&directory, controller)?;
                    directory.extend(part);
                }
                Ok(())
            }
        }
    }

    pub(super) fn drop_controller(&mut self, controller: Controller) {
        self.v1.remove(&controller);
        self.unified_controllers.remove(&controller);
    }
}

fn enable(directory: &Path, controller: Controller) -> Result<(), String> {
    let file = directory.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&file).unwrap_or_default();
    if enabled.split_ascii_whitespace().any(|name| name == controller.as_str()) {
        return Ok(());
    }
    fs::write(&file, format!("+{controller}"))
        .map_err(|error| format!("cannot enable {controller} in {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0\n\
        cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n\
        cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
        cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0\n\
        cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";

    #[test]
    fn controllers_are_found_in_version_1_and_the_rest_in_version_2() {
        let found = Hierarchies::parse(HYBRID, |_| "hugetlb pids\n".to_owned());
        assert_eq!(found.place(Controller::Memory), Some(Place::V1(Path::new("/sys/fs/cgroup/memory"))));
        assert_eq!(found.place(Controller::Cpu), Some(Place::V1(Path::new("/sys/fs/cgroup/cpu,cpuacct"))));
        assert_eq!(found.place(Controller::Pids), Some(Place::V2(Path::new("/sys/fs/cgroup/unified"))));
        assert_eq!(found.place(Controller::Cpuset), None);
        assert_eq!(found.roots().count(), 3);
        let units: Vec<_> = found.of_units(&Limits::default()).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(units, ["", "memory", "cpu"]);
        let without_v2: String =
            HYBRID.lines().filter(|line| !line.contains("cgroup2")).map(|l| format!("{l}\n")).collect();
        let found = Hierarchies::parse(&without_v2, |_| String::new());
        assert_eq!(found.counting(), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct")));
        assert_eq!(found.of_units(&Limits::default())[0].0, "name=systemd");
    }

    #[test]
    fn a_pure_version_2_host_has_all_in_one_place() {
        let mounts = "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n";
        let found = Hierarchies::parse(mounts, |_| "cpuset cpu io memory pids\n".to_owned());
        for controller in Controller::ALL {
            assert_eq!(found.place(controller), Some(Place::V2(Path::new("/sys/fs/cgroup"))));
        }
        assert_eq!(Hierarchies::parse("", |_| String::new()), Hierarchies::default());
    }
}
