//! From limits to directories, files and values: a pure function of the host's hierarchies.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use nomadd_executor::spec::{Cgroup, Need, Owner};

use super::hierarchy::{Hierarchies, Place};
use super::{CgroupError, Controller};
use crate::spec::{CgroupOverride, Limits};

/// Files, values and whether they must be written.
pub type Settings = Vec<(String, String, Need)>;

/// The cgroups of a task that has its own. Only hierarchies where something is limited or counted are joined: each
/// costs the start a tenth of a millisecond. The version 2 hierarchy is always one of them, for its `cgroup.kill`.
pub fn own(hierarchies: &Hierarchies, name: &Path, limits: &Limits) -> Result<Vec<Cgroup>, CgroupError> {
    let mut plan: BTreeMap<PathBuf, Settings> = BTreeMap::new();
    let mut order = Vec::new();
    let mut add = |root: &Path, settings: Settings| {
        if !order.iter().any(|known| known == root) {
            order.push(root.to_owned());
        }
        plan.entry(root.to_owned()).or_default().extend(settings);
    };
    if let Some(root) = &hierarchies.unified {
        add(root, Vec::new());
    }
    if let Some(root) = hierarchies.counting() {
        add(root, Vec::new());
    }
    // Memory is always joined: it is what tells a task's use from the host's.
    match hierarchies.place(Controller::Memory) {
        Some(Place::V1(root)) => add(root, memory_v1(limits)),
        Some(Place::V2(root)) => add(root, memory_v2(limits)),
        None => {}
    }
    if limits.cpu_shares > 0 {
        match hierarchies.place(Controller::Cpu) {
            Some(Place::V1(root)) => add(root, vec![required("cpu.shares", limits.cpu_shares.clamp(2, 262_144))]),
            Some(Place::V2(root)) => add(root, vec![required("cpu.weight", weight(limits.cpu_shares))]),
            None => {}
        }
    }
    check_cores(limits)?;
    if let Some(cores) = &limits.cores {
        match hierarchies.place(Controller::Cpuset) {
            Some(Place::V1(root)) => {
                // A new version 1 cpuset has no memory nodes, and takes no process without.
                let parent = root.join(name);
                let mems = parent.parent().and_then(|parent| std::fs::read_to_string(parent.join("cpuset.mems")).ok());
                let mems = mems.map(|mems| mems.trim().to_owned()).filter(|mems| !mems.is_empty());
                let mems = mems.unwrap_or_else(|| "0".to_owned());
                add(root, vec![required("cpuset.cpus", cores), required("cpuset.mems", mems)]);
            }
            Some(Place::V2(root)) => add(root, vec![required("cpuset.cpus", cores)]),
            None => {}
        }
    }
    if let Some(pids) = limits.pids {
        match hierarchies.place(Controller::Pids) {
            Some(Place::V1(root) | Place::V2(root)) => add(root, vec![required("pids.max", pids)]),
            None => {}
        }
    }
    Ok(order
        .into_iter()
        .map(|root| Cgroup {
            directory: root.join(name),
            owner: Owner::Task,
            settings: plan.remove(&root).unwrap_or_default(),
        })
        .collect())
}

/// The cgroups that a job names; they must exist, and lie below the hierarchies' roots.
pub fn named(hierarchies: &Hierarchies, instead: &CgroupOverride) -> Result<Vec<Cgroup>, CgroupError> {
    let existing = |root: Option<&Path>, cgroup: &str| {
        let error = |reason| CgroupError::Override { cgroup: cgroup.to_owned(), reason };
        let root = root.ok_or_else(|| error("is in a hierarchy that this host does not have"))?;
        let relative = Path::new(cgroup.trim_start_matches('/'));
        if relative.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(error("leads out of the hierarchy"));
        }
        let directory = root.join(relative);
        if !directory.is_dir() {
            return Err(error("does not exist"));
        }
        Ok(Cgroup { directory, owner: Owner::Others, settings: Vec::new() })
    };
    match instead {
        CgroupOverride::V2(cgroup) => Ok(vec![existing(hierarchies.unified.as_deref(), cgroup)?]),
        CgroupOverride::V1(cgroups) => cgroups
            .iter()
            .map(|(name, cgroup)| {
                let controller = Controller::ALL.into_iter().find(|controller| controller.as_str() == name);
                let known = controller.and_then(|controller| hierarchies.v1.get(&controller));
                // Controllers that limit nothing here (freezer, blkio …) are found where distributions mount them.
                let usual = Path::new("/sys/fs/cgroup").join(name);
                let plain = !name.is_empty() && !name.contains(['/', '.']);
                let root = known.map(PathBuf::as_path).or_else(|| (plain && usual.is_dir()).then_some(&*usual));
                existing(root, cgroup)
            })
            .collect(),
    }
}

/// Refuses a list of cores that is none.
pub fn check_cores(limits: &Limits) -> Result<(), CgroupError> {
    match &limits.cores {
        Some(cores) if !is_list(cores) => Err(CgroupError::Cores(cores.clone())),
        _ => Ok(()),
    }
}

/// What systemd does not write by itself into a unit's version 1 cgroup, by controller.
pub fn beside_systemd(controller: Controller, limits: &Limits) -> Settings {
    match controller {
        // Its own limit once more: the one on memory and swap together must follow it.
        Controller::Memory => memory_v1(limits),
        Controller::Cpu if limits.cpu_shares > 0 => {
            vec![required("cpu.shares", limits.cpu_shares.clamp(2, 262_144))]
        }
        _ => Vec::new(),
    }
}

fn memory_v1(limits: &Limits) -> Settings {
    let mut settings = Vec::new();
    if let Some(hard) = limits.hard_memory() {
        settings.push(required("memory.limit_in_bytes", hard));
        // Swap would let a task exceed its memory; kernels without swap accounting lack the file.
        settings.push(optional("memory.memsw.limit_in_bytes", hard));
        settings.push(optional("memory.swappiness", 0));
    }
    if let Some(reserved) = limits.memory_bytes.filter(|reserved| limits.hard_memory() != Some(*reserved)) {
        settings.push(optional("memory.soft_limit_in_bytes", reserved));
    }
    settings
}

fn memory_v2(limits: &Limits) -> Settings {
    let mut settings = Vec::new();
    if let Some(hard) = limits.hard_memory() {
        settings.push(required("memory.max", hard));
        settings.push(optional("memory.swap.max", 0));
    }
    if let Some(reserved) = limits.memory_bytes.filter(|reserved| limits.hard_memory() != Some(*reserved)) {
        settings.push(optional("memory.low", reserved));
    }
    settings
}

/// Version 1 shares (2 … 262144) as a version 2 weight (1 … 10000), on the line that container runtimes agreed on.
pub fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

fn is_list(cores: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.len() < 7 && text.bytes().all(|byte| byte.is_ascii_digit());
    cores.split(',').all(|part| match part.split_once('-') {
        None => number(part),
        Some((first, last)) => number(first) && number(last),
    })
}

fn required(file: &str, value: impl ToString) -> (String, String, Need) {
    (file.to_owned(), value.to_string(), Need::Required)
}

fn optional(file: &str, value: impl ToString) -> (String, String, Need) {
    (file.to_owned(), value.to_string(), Need::Optional)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mounts: &str, controllers: &str, limits: &Limits, expected: &[&str]) {
        let hierarchies = Hierarchies::parse(mounts, |_| controllers.to_owned());
        let cgroups = own(&hierarchies, Path::new("nomad.slice/x"), limits).unwrap();
        let lines: Vec<String> = cgroups
            .iter()
            .flat_map(|cgroup| {
                let directory = cgroup.directory.display();
                let files = cgroup.settings.iter().map(move |(file, value, _)| format!("{directory}/{file}={value}"));
                files.collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(lines, expected);
        let unified = hierarchies.unified.map(|root| root.join("nomad.slice/x"));
        assert!(unified.is_none_or(|unified| cgroups[0].directory == unified));
    }

    fn limits() -> Limits {
        Limits {
            memory_bytes: Some(1000),
            memory_max_bytes: Some(3000),
            cpu_shares: 500,
            cores: Some("0-2,7".into()),
            pids: Some(9),
        }
    }

    #[test]
    fn version_1_limits_are_written_where_each_controller_is() {
        let mounts = "c /c/memory cgroup rw,memory 0 0\nc /c/cpu cgroup rw,cpu 0 0\nc /c/pids cgroup pids 0 0\n\
            c /c/cpuset cgroup rw,cpuset 0 0\nc /c/unified cgroup2 rw 0 0\n";
        check(
            mounts,
            "",
            &limits(),
            &[
                "/c/memory/nomad.slice/x/memory.limit_in_bytes=3000",
                "/c/memory/nomad.slice/x/memory.memsw.limit_in_bytes=3000",
                "/c/memory/nomad.slice/x/memory.swappiness=0",
                "/c/memory/nomad.slice/x/memory.soft_limit_in_bytes=1000",
                "/c/cpu/nomad.slice/x/cpu.shares=500",
                "/c/cpuset/nomad.slice/x/cpuset.cpus=0-2,7",
                "/c/cpuset/nomad.slice/x/cpuset.mems=0",
                "/c/pids/nomad.slice/x/pids.max=9",
            ],
        );
    }

    #[test]
    fn version_2_limits_are_written_in_one_directory_and_shares_become_a_weight() {
        check(
            "c /c cgroup2 rw 0 0\n",
            "cpuset cpu memory pids",
            &limits(),
            &[
                "/c/nomad.slice/x/memory.max=3000",
                "/c/nomad.slice/x/memory.swap.max=0",
                "/c/nomad.slice/x/memory.low=1000",
                "/c/nomad.slice/x/cpu.weight=19",
                "/c/nomad.slice/x/cpuset.cpus=0-2,7",
                "/c/nomad.slice/x/pids.max=9",
            ],
        );
        assert_eq!([weight(1), weight(1024), weight(1 << 40)], [1, 39, 10_000]);
    }

    #[test]
    fn a_limit_without_its_controller_is_left_out_and_other_hierarchies_are_not_joined() {
        check(
            "c /c/cpu cgroup rw,cpu 0 0\nc /c/pids cgroup pids 0 0\n",
            "",
            &Limits { pids: None, ..limits() },
            &["/c/cpu/nomad.slice/x/cpu.shares=500"],
        );
    }

    #[test]
    fn a_list_of_cores_is_checked_before_the_kernel_sees_it() {
        let hierarchies = Hierarchies::default();
        for bad in ["", "a", "1-", "1,,2", "-1", "1 2", "99999999"] {
            let limits = Limits { cores: Some(bad.into()), ..Limits::default() };
            assert!(own(&hierarchies, Path::new("x"), &limits).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_named_cgroup_never_leaves_its_hierarchy() {
        let hierarchies = Hierarchies::parse("c /proc cgroup2 rw 0 0\n", |_| String::new());
        let ask = |cgroup: &str| named(&hierarchies, &CgroupOverride::V2(cgroup.into()));
        assert_eq!(ask("/self").unwrap()[0].directory, Path::new("/proc/self"));
        for bad in ["../etc", "self/../..", "no-such"] {
            assert!(ask(bad).is_err(), "{bad}");
        }
        let v1 = CgroupOverride::V1(BTreeMap::from([("../x".to_owned(), "y".to_owned())]));
        assert!(named(&hierarchies, &v1).is_err());
    }
}
