//! What a task uses at this moment: read from its cgroups, or from its processes where there are none.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::cgroup::Controller;

/// One reading. Counters run from the task's start; two readings give a percentage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// When it was read.
    pub at: Instant,
    /// Processor time, in nanoseconds.
    pub cpu_total_ns: u64,
    /// Of that in user mode, in nanoseconds.
    pub cpu_user_ns: u64,
    /// Of that in the kernel, in nanoseconds.
    pub cpu_system_ns: u64,
    /// How often a bandwidth limit stopped it.
    pub throttled_periods: u64,
    /// For how long, in nanoseconds.
    pub throttled_ns: u64,
    /// Anonymous memory, in bytes.
    pub rss: u64,
    /// File pages, in bytes.
    pub cache: u64,
    /// Swapped out, in bytes.
    pub swap: u64,
    /// All that counts against its limit, in bytes.
    pub usage: u64,
    /// The most of that so far, in bytes.
    pub max_usage: u64,
    /// Kernel memory for it, in bytes.
    pub kernel: u64,
    /// Its processes.
    pub pids: Vec<i32>,
    /// Which of these were counted: without the memory controller, memory is the sum of the processes' resident pages.
    pub measured: Vec<Controller>,
}

impl Usage {
    /// A reading of something that uses nothing, such as the mock driver's tasks.
    pub fn none(at: Instant) -> Self {
        Self {
            at,
            cpu_total_ns: 0,
            cpu_user_ns: 0,
            cpu_system_ns: 0,
            throttled_periods: 0,
            throttled_ns: 0,
            rss: 0,
            cache: 0,
            swap: 0,
            usage: 0,
            max_usage: 0,
            kernel: 0,
            pids: Vec::new(),
            measured: Vec::new(),
        }
    }

    /// The processor time between two readings, 100 for one core fully used: (total, user, system).
    pub fn cpu_percent_since(&self, earlier: &Self) -> (f64, f64, f64) {
        let span = self.at.saturating_duration_since(earlier.at).as_nanos() as f64;
        let percent = |now: u64, then: u64| {
            if span > 0.0 { now.saturating_sub(then) as f64 * 100.0 / span } else { 0.0 }
        };
        (
            percent(self.cpu_total_ns, earlier.cpu_total_ns),
            percent(self.cpu_user_ns, earlier.cpu_user_ns),
            percent(self.cpu_system_ns, earlier.cpu_system_ns),
        )
    }
}

/// Why there is no reading.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// Nothing runs any more.
    #[error("the task has ended")]
    Ended,
    /// The reading itself was cut off by the agent's shutdown.
    #[error("the agent is shutting down")]
    ShuttingDown,
}

/// Reads a task's usage. A few small files; `pid` is the task's main process.
pub fn read(cgroups: &[PathBuf], pid: i32, at: Instant) -> Usage {
    let mut usage = Usage::none(at);
    for cgroup in cgroups {
        read_cpu(&mut usage, cgroup);
        read_memory(&mut usage, cgroup);
        if usage.pids.is_empty() {
            let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
            usage.pids = text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect();
        }
    }
    if usage.pids.is_empty() {
        usage.pids = family(pid);
    }
    let missing = |controller| !usage.measured.contains(&controller);
    let (no_cpu, no_memory) = (missing(Controller::Cpu), missing(Controller::Memory));
    if no_cpu || no_memory {
        let sums = processes(&usage.pids);
        if no_cpu {
            (usage.cpu_user_ns, usage.cpu_system_ns) = (sums.user_ns, sums.system_ns);
            usage.cpu_total_ns = sums.user_ns + sums.system_ns;
        }
        if no_memory {
            (usage.rss, usage.usage) = (sums.resident, sums.resident);
        }
    }
    usage
}

fn read_cpu(usage: &mut Usage, cgroup: &Path) {
    // Version 1 without version 2 beside it.
    let number = |file: &str| fs::read_to_string(cgroup.join(file)).ok()?.trim().parse::<u64>().ok();
    if let Some(total) = number("cpuacct.usage") {
        usage.cpu_total_ns = total;
        usage.cpu_user_ns = number("cpuacct.usage_user").unwrap_or(total);
        usage.cpu_system_ns = number("cpuacct.usage_sys").unwrap_or(0);
        usage.measured.push(Controller::Cpu);
    }
    let Some(stat) = Fields::read(cgroup, "cpu.stat") else { return };
    if let Some(total) = stat.get("usage_usec") {
        usage.cpu_total_ns = total * 1000;
        usage.cpu_user_ns = stat.get("user_usec").unwrap_or(0) * 1000;
        usage.cpu_system_ns = stat.get("system_usec").unwrap_or(0) * 1000;
        usage.measured.push(Controller::Cpu);
    }
    // Version 2 counts microseconds, version 1 nanoseconds; on a hybrid host only one has the controller.
    if let Some(time) = stat.get("throttled_usec").map(|time| time * 1000).or_else(|| stat.get("throttled_time")) {
        usage.throttled_ns += time;
        usage.throttled_periods += stat.get("nr_throttled").unwrap_or(0);
    }
}

fn read_memory(usage: &mut Usage, cgroup: &Path) {
    let number = |file: &str| fs::read_to_string(cgroup.join(file)).ok()?.trim().parse::<u64>().ok();
    let v1 = number("memory.usage_in_bytes");
    let Some(current) = v1.or_else(|| number("memory.current")) else { return };
    let stat = Fields::read(cgroup, "memory.stat").unwrap_or_default();
    let field = |key| stat.get(key).unwrap_or(0);
    usage.usage = current;
    if v1.is_some() {
        (usage.rss, usage.cache, usage.swap) = (field("total_rss"), field("total_cache"), field("total_swap"));
        usage.max_usage = number("memory.max_usage_in_bytes").unwrap_or(0);
        usage.kernel = number("memory.kmem.usage_in_bytes").unwrap_or(0);
    } else {
        (usage.rss, usage.cache) = (field("anon"), field("file"));
        usage.swap = number("memory.swap.current").unwrap_or(0);
        usage.max_usage = number("memory.peak").unwrap_or(0);
        usage.kernel = field("kernel");
    }
    usage.measured.push(Controller::Memory);
}

#[derive(Default)]
struct Fields(String);

impl Fields {
    fn read(cgroup: &Path, file: &str) -> Option<Self> {
        fs::read_to_string(cgroup.join(file)).ok().map(Self)
    }
    fn get(&self, key: &str) -> Option<u64> {
        self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
    }
}

/// A process and its descendants, as far as they are still its children's children.
fn family(pid: i32) -> Vec<i32> {
    let mut pids = vec![pid];
    let mut next = 0;
    while let Some(parent) = pids.get(next).copied() {
        next += 1;
        let text = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        pids.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    pids
}

#[derive(Default)]
struct Sums {
    user_ns: u64,
    system_ns: u64,
    resident: u64,
}

fn processes(pids: &[i32]) -> Sums {
    // USER_HZ is 100 and a page 4 KiB on every platform that Debian runs this on; wrong ones would scale, not fail.
    const TICK_NS: u64 = 10_000_000;
    const PAGE: u64 = 4096;
    let mut sums = Sums::default();
    for pid in pids {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |place: usize| fields.get(place).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        sums.user_ns += field(11) * TICK_NS;
        sums.system_ns += field(12) * TICK_NS;
        sums.resident += field(21) * PAGE;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_cgroups_a_process_is_read_by_itself() {
        let own = std::process::id() as i32;
        let usage = read(&[], own, Instant::now());
        assert!(usage.pids.contains(&own) && usage.rss > 0 && usage.measured.is_empty());
    }

    #[test]
    fn percent_is_of_one_core() {
        let then = read(&[], std::process::id() as i32, Instant::now());
        let mut now = then.clone();
        now.at += std::time::Duration::from_secs(2);
        now.cpu_total_ns += 3_000_000_000;
        assert_eq!(now.cpu_percent_since(&then).0, 150.0);
        assert_eq!(then.cpu_percent_since(&then).0, 0.0);
    }
}
