//! An executor that systemd started: the connection to the daemon is its standard input, and where its cgroups are it
//! finds out by itself. Called by `main.rs` and `run.rs`.

use std::fs;
use std::path::{Path, PathBuf};

use nomadd_executor::report::{Failed, Stage};
use nomadd_executor::spec::{Cgroup, Owner, TaskSpec, UnitHierarchy, UnitSpec};

/// The task's own cgroup below its unit's: what is in it can be killed without the executor.
const BELOW: &str = "task";

/// Adds the cgroups of the unit to those of the task; the one that the task is alone in comes first.
pub fn resolve(spec: &mut TaskSpec) -> Result<(), Failed> {
    let Some(unit) = &spec.unit else { return Ok(()) };
    let own = "/proc/self/cgroup";
    let text = fs::read_to_string(own).map_err(|error| Failed::path(Stage::Cgroup, &error, own))?;
    let found = find(unit, &text).ok_or_else(|| Failed {
        stage: Stage::Cgroup,
        errno: libc::ENOENT,
        what: format!("of unit {}: the executor is not in it", unit.name),
    })?;
    spec.cgroups.splice(0..0, found);
    Ok(())
}

/// The cgroups of a unit by the lines of `/proc/self/cgroup`. A version 1 controller that systemd does not use for the
/// unit has none; `None` if the first, by which processes are found, has none.
fn find(unit: &UnitSpec, text: &str) -> Option<Vec<Cgroup>> {
    let mut found = Vec::new();
    for UnitHierarchy { controller, root, settings } in &unit.hierarchies {
        let Some(directory) = path(text, controller, &unit.name).map(|path| root.join(path)) else {
            if found.is_empty() {
                return None;
            }
            continue;
        };
        if found.is_empty() {
            found.push(Cgroup { directory: directory.join(BELOW), owner: Owner::Task, settings: Vec::new() });
        }
        found.push(Cgroup { directory, owner: Owner::Unit, settings: settings.clone() });
    }
    (!found.is_empty()).then_some(found)
}

/// The cgroup in one hierarchy, relative to its root, if it is the unit's.
fn path(text: &str, controller: &str, unit: &str) -> Option<PathBuf> {
    let line = text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|one| one == controller).then_some(path)
    })?;
    let path = Path::new(line);
    let name = path.file_name()?.to_str()?;
    // What could be a file of the kernel's (`memory.x`) or begins with an underscore systemd puts another one before.
    let named = name == unit || name.strip_prefix('_') == Some(unit);
    named.then(|| path.strip_prefix("/").ok().map(Path::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "9:name=systemd:/nomad.slice/x.service\n8:pids:/nomad.slice/x.service\n4:memory:/nomad.slice/x.service\n\
        2:cpu,cpuacct:/\n0::/nomad.slice/x.service\n";

    fn directories(controllers: &[&str], text: &str) -> Option<Vec<String>> {
        let hierarchies = controllers.iter().map(|controller| UnitHierarchy {
            controller: (*controller).to_owned(),
            root: format!("/c/{controller}").into(),
            settings: Vec::new(),
        });
        let unit = UnitSpec { name: "x.service".into(), hierarchies: hierarchies.collect() };
        let found = find(&unit, text)?;
        Some(found.iter().map(|cgroup| format!("{:?} {}", cgroup.owner, cgroup.directory.display())).collect())
    }

    #[test]
    fn a_units_cgroups_are_those_that_end_in_its_name() {
        let found = directories(&["", "memory", "cpu"], HYBRID).unwrap();
        let expected = [
            "Task /c/nomad.slice/x.service/task",
            "Unit /c/nomad.slice/x.service",
            "Unit /c/memory/nomad.slice/x.service",
        ];
        assert_eq!(found.iter().map(|line| line.replace("/c//", "/c/")).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_unit_whose_name_could_be_a_file_of_the_kernels_is_found() {
        assert_eq!(directories(&[""], "0::/nomad.slice/_x.service\n").map(|found| found.len()), Some(2));
        assert_eq!(directories(&[""], "0::/nomad.slice/yx.service\n"), None);
    }

    #[test]
    fn an_executor_outside_its_unit_does_not_start_the_task() {
        assert_eq!(directories(&["", "memory"], "0::/system.slice/other.service\n"), None);
        assert_eq!(directories(&["name=systemd"], "0::/nomad.slice/x.service\n"), None);
    }
}
