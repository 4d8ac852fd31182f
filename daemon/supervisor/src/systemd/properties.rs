//! From a process to the properties of its transient unit: how the executor is run, what the task may use, and what
//! people and the journal call it. The command, its environment and its user are not here: the executor is told them
//! over its own connection, so that no secret is ever in a unit, an argument or a file.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use nomadd_executor::UNIT_ARGUMENT;
use zbus::{Fd, Variant};

use crate::keeper;
use crate::spec::{Labels, Limits, ProcessSpec, TaskHandleId, one_line};

/// What systemd waits for an executor beyond the task's own time: to kill what ignores signals, and to write its report.
const GRACE: Duration = Duration::from_secs(20);

/// One property and its value.
pub type Property<'a> = (&'static str, Variant<'a>);

/// Which version of cgroups limits memory and processors here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Version 1: the processors that a task has alone are not systemd's to say.
    One,
    /// Version 2.
    Two,
}

/// The properties of a task's unit.
pub fn of<'a>(
    spec: &'a ProcessSpec,
    executor: &'a Path,
    slice: &'a str,
    version: Version,
    control: &'a OwnedFd,
) -> Vec<Property<'a>> {
    let executor = executor.to_string_lossy().into_owned();
    let arguments = vec![keeper::executor_name(spec).to_owned(), UNIT_ARGUMENT.to_owned(), spec.id.to_string()];
    let timeout = (spec.kill_timeout + GRACE).as_micros();
    let mut properties: Vec<Property<'a>> = vec![
        ("Description", description(&spec.id, &spec.labels).into()),
        ("Slice", slice.into()),
        // Exec: a binary that is missing then fails the start itself.
        ("Type", "exec".into()),
        ("ExecStart", vec![(executor, arguments, false)].into()),
        // Some releases of systemd fall over a delegated unit without a user.
        ("User", "root".into()),
        ("WorkingDirectory", "/".into()),
        ("StandardInputFileDescriptor", Fd::from(control).into()),
        ("StandardOutput", "null".into()),
        ("StandardError", "null".into()),
        // A stop is told to the executor, which tells the task, waits its time and reports.
        ("KillMode", "mixed".into()),
        ("TimeoutStopUSec", u64::try_from(timeout).unwrap_or(u64::MAX).into()),
        // The executor reports what the kernel killed, and the task decides whether it goes on without.
        ("OOMPolicy", "continue".into()),
        // What ended is in the executor's files: the unit is forgotten, and its name is free.
        ("CollectMode", "inactive-or-failed".into()),
        // The executor makes a cgroup of the task's own below the unit's; it needs no controllers there.
        ("DelegateControllers", Vec::<String>::new().into()),
        ("MemoryAccounting", true.into()),
        ("TasksAccounting", true.into()),
        ("CPUAccounting", true.into()),
        ("SyslogIdentifier", one_line(&spec.id.task).into()),
        ("LogExtraFields", spec.labels.fields(&spec.id).into()),
        // With an interval of 0 journald drops lines all the same.
        ("LogRateLimitIntervalUSec", 1_000_000_u64.into()),
        ("LogRateLimitBurst", 10_000_000_u32.into()),
    ];
    if spec.cgroup_override.is_none() {
        properties.extend(limits(&spec.limits, version));
    }
    properties
}

fn limits(limits: &Limits, version: Version) -> Vec<Property<'static>> {
    let Limits { memory_bytes, memory_max_bytes: _, cpu_shares, cores, pids } = limits;
    let mut properties: Vec<Property<'static>> = Vec::new();
    if let Some(hard) = limits.hard_memory() {
        properties.push(("MemoryMax", hard.into()));
        properties.push(("MemorySwapMax", 0_u64.into()));
    }
    if let Some(reserved) = memory_bytes.filter(|reserved| limits.hard_memory() != Some(*reserved))
        && version == Version::Two
    {
        properties.push(("MemoryLow", reserved.into()));
    }
    if *cpu_shares > 0 {
        let weight = match version {
            // systemd writes a weight as this many 1024th of 100.
            Version::One => (*cpu_shares * 100 / 1024).clamp(1, 10_000),
            Version::Two => crate::cgroup::weight(*cpu_shares),
        };
        properties.push(("CPUWeight", weight.into()));
    }
    if let (Some(cores), Version::Two) = (cores, version) {
        properties.push(("AllowedCPUs", mask(cores).into()));
    }
    if let Some(pids) = pids {
        // The executor is one of them.
        properties.push(("TasksMax", pids.saturating_add(1).into()));
    }
    properties
}

/// A list of processors as bits, the lowest first.
fn mask(cores: &str) -> Vec<u8> {
    let mut mask = Vec::new();
    for part in cores.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else { continue };
        // More than any kernel has.
        for core in first..=last.min(first + 8192) {
            if mask.len() <= core / 8 {
                mask.resize(core / 8 + 1, 0);
            }
            mask[core / 8] |= 1 << (core % 8);
        }
    }
    mask
}

fn description(id: &TaskHandleId, labels: &Labels) -> String {
    let Labels { namespace, job, group, node_id: _, restart: _ } = labels;
    one_line(&format!("nomadd: task {} of {job}.{group}, namespace {namespace}, allocation {}", id.task, id.allocation))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(version: Version, asked: &Limits) -> Vec<String> {
        limits(asked, version).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn limits_become_properties_as_the_hosts_cgroups_know_them() {
        let asked = Limits {
            memory_bytes: Some(1000),
            memory_max_bytes: Some(3000),
            cpu_shares: 1024,
            cores: Some("0-2,9".into()),
            pids: Some(9),
        };
        assert_eq!(
            names(Version::Two, &asked),
            [
                "MemoryMax=uint64 3000",
                "MemorySwapMax=uint64 0",
                "MemoryLow=uint64 1000",
                "CPUWeight=uint64 39",
                "AllowedCPUs=[byte 0x07, 0x02]",
                "TasksMax=uint64 10"
            ]
        );
        let one = ["MemoryMax=uint64 3000", "MemorySwapMax=uint64 0", "CPUWeight=uint64 100", "TasksMax=uint64 10"];
        assert_eq!(names(Version::One, &asked), one);
        assert!(names(Version::Two, &Limits::default()).is_empty());
    }

    #[test]
    fn names_with_line_feeds_stay_on_their_line() {
        let labels = Labels { job: "a\nExecStart=/bin/x".into(), ..Labels::default() };
        let id = TaskHandleId::new("id", "t\0");
        assert!(description(&id, &labels).contains("a ExecStart"));
        assert!(labels.fields(&id).iter().all(|field| !field.contains(&b'\n') && !field.contains(&0)));
    }
}
