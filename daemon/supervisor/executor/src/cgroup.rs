//! What is done to a task's cgroups: make with their settings, join, kill all within, read what was used, remove.
//!
//! The executor does it for its task; the supervisor kills and removes what an executor that died left behind. Which
//! hierarchies and values these are the supervisor decides (`nomadd-supervisor`, `cgroup.rs`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process;
use crate::report::{Failed, Stage};
use crate::spec::{Cgroup, Need, Owner};

/// Makes the task's own cgroups and writes their settings. What an earlier run left of the same name is killed first:
/// its memory counters and processes are not this run's.
pub fn make(cgroups: &[Cgroup]) -> Result<(), Failed> {
    for cgroup in cgroups {
        let directory = &cgroup.directory;
        if cgroup.owner == Owner::Task {
            match fs::create_dir(directory) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    remove(std::slice::from_ref(cgroup));
                    match fs::create_dir(directory) {
                        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                            return Err(Failed::path(Stage::Cgroup, &error, directory));
                        }
                        _ => {}
                    }
                }
                Err(error) => return Err(Failed::path(Stage::Cgroup, &error, directory)),
                Ok(()) => {}
            }
        }
        for (file, value, need) in &cgroup.settings {
            let path = directory.join(file);
            let result = write(&path, value);
            if let (Err(error), Need::Required) = (result, need) {
                return Err(Failed::system(Stage::Cgroup, &error, format_args!("{} = {value}", path.display())));
            }
        }
    }
    Ok(())
}

/// The version 2 cgroup, for a child to be born in, with a descriptor of it.
pub fn birth_place(cgroups: &[Cgroup]) -> Option<(&Path, OwnedFd)> {
    let mut joined = cgroups.iter().filter(|cgroup| cgroup.owner != Owner::Unit);
    let cgroup = joined.find(|cgroup| cgroup.directory.join("cgroup.events").exists())?;
    let descriptor = File::open(&cgroup.directory).ok()?;
    Some((&cgroup.directory, OwnedFd::from(descriptor)))
}

/// Where a process joins the task: each of its cgroups, but none that another of them is in.
pub fn places(cgroups: &[Cgroup]) -> Vec<PathBuf> {
    let within = |outer: &Path| cgroups.iter().any(|inner| inner.directory.parent() == Some(outer));
    cgroups.iter().map(|cgroup| &cgroup.directory).filter(|directory| !within(directory)).cloned().collect()
}

/// Moves the calling process, which must have one thread, into each cgroup.
///
/// On version 1 by the file `tasks`: moving oneself as a thread needs no lock against all forks of the host, which
/// `cgroup.procs` takes and for which it waits ten milliseconds and more (measured on 6.18, two loaded cores).
pub fn join<'a>(directories: impl Iterator<Item = &'a Path>) -> Result<(), Failed> {
    for directory in directories {
        let mut path = directory.join("tasks");
        let mut result = write(&path, "0");
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            path = directory.join("cgroup.procs");
            result = write(&path, "0");
        }
        result.map_err(|error| Failed::path(Stage::Cgroup, &error, path))?;
    }
    Ok(())
}

/// Kills every process in the task's own cgroups; says whether there was any.
pub fn kill(cgroups: &[Cgroup]) -> Found {
    let mut found = Found::None;
    for cgroup in owned(cgroups) {
        let pids = members(&cgroup.directory);
        if pids.is_empty() {
            continue;
        }
        found = Found::Some;
        if write(&cgroup.directory.join("cgroup.kill"), "1").is_err() {
            for pid in pids {
                drop(process::kill(pid, libc::SIGKILL));
            }
        }
    }
    found
}

/// Whether a search found something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    None,
    /// Something.
    Some,
}

/// What the cgroups' counters say at the end.
#[derive(Debug, Default)]
pub struct Totals {
    /// Processes that the kernel killed for memory.
    pub oom_kills: u64,
    /// The most memory used, in bytes; 0 if not counted.
    pub memory_peak: u64,
    /// Processor time; `None` if not counted.
    pub cpu: Option<Duration>,
}

/// Reads the counters, of the task's own cgroups and its unit's only: others' count others too.
pub fn totals(cgroups: &[Cgroup]) -> Totals {
    let mut totals = Totals::default();
    for cgroup in cgroups.iter().filter(|cgroup| cgroup.owner != Owner::Others) {
        let read = |file: &str| fs::read_to_string(cgroup.directory.join(file)).ok();
        let number = |file: &str| read(file).and_then(|text| text.trim().parse::<u64>().ok());
        let field = |file: &str, key: &str| {
            let text = read(file)?;
            text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok())
        };
        // v2, else v1.
        if let Some(kills) = field("memory.events", "oom_kill ").or_else(|| field("memory.oom_control", "oom_kill ")) {
            totals.oom_kills = kills;
        }
        if let Some(peak) = number("memory.peak").or_else(|| number("memory.max_usage_in_bytes")) {
            totals.memory_peak = peak;
        }
        let cpu = field("cpu.stat", "usage_usec ").map(Duration::from_micros);
        if let Some(cpu) = cpu.or_else(|| number("cpuacct.usage").map(Duration::from_nanos)) {
            // The task's own comes first; the unit's has the executor's in it.
            totals.cpu.get_or_insert(cpu);
        }
    }
    totals
}

/// Kills what is in the task's own cgroups and removes them, with a bounded wait; what stays the daemon removes later.
pub fn remove(cgroups: &[Cgroup]) {
    for attempt in 0..50 {
        let mut left = false;
        for cgroup in owned(cgroups) {
            match fs::remove_dir(&cgroup.directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => left = true,
                _ => {}
            }
        }
        if !left {
            return;
        }
        kill(cgroups);
        std::thread::sleep(Duration::from_millis(1 + attempt / 5));
    }
}

fn owned(cgroups: &[Cgroup]) -> impl Iterator<Item = &Cgroup> {
    cgroups.iter().filter(|cgroup| cgroup.owner == Owner::Task)
}

fn members(directory: &Path) -> Vec<i32> {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect()
}

fn write(path: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}
