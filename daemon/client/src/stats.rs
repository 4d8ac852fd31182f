//! What the host, the allocations and their tasks use. Read when somebody asks: an idle node spends nothing on it, and a
//! percentage is of the time since the last question.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use nomadd_model::{
    AllocResourceUsage, AllocationId, CpuStats, HostCPUStats, HostDiskStats, HostMemoryStats, HostStats, MemoryStats,
    ResourceUsage, TaskResourceUsage, Text,
};
use nomadd_supervisor::{Controller, Handle, Usage};

use crate::allocation::shared::{RequestError, Running};
use crate::client::Client;
use crate::fingerprint::storage;

/// The processors' times at the last question.
#[derive(Debug)]
pub struct HostUsage(Mutex<Sample>);

#[derive(Clone, Debug)]
struct Sample {
    at: Instant,
    cores: BTreeMap<String, Times>,
    /// The last answer, for questions that come too soon after one another to measure anything.
    answer: Vec<HostCPUStats>,
}

/// Times of a core in clock ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Times {
    user: u64,
    system: u64,
    idle: u64,
    total: u64,
}

/// The kernel counts in hundredths of a second; below this span they say nothing.
const LEAST_SPAN: std::time::Duration = std::time::Duration::from_millis(200);

impl HostUsage {
    /// Begins to measure.
    pub fn begin() -> Self {
        let cores = read_cores(&read("/proc/stat"));
        Self(Mutex::new(Sample { at: Instant::now(), cores, answer: Vec::new() }))
    }

    fn cores(&self, mhz_per_core: f64) -> Vec<HostCPUStats> {
        let mut sample = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sample.at.elapsed() < LEAST_SPAN && !sample.answer.is_empty() {
            return sample.answer.clone();
        }
        let now = read_cores(&read("/proc/stat"));
        let answer = now
            .iter()
            .map(|(name, now)| {
                let then = sample.cores.get(name).copied().unwrap_or_default();
                between(name, then, *now, mhz_per_core)
            })
            .collect::<Vec<_>>();
        *sample = Sample { at: Instant::now(), cores: now, answer: answer.clone() };
        answer
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn read_cores(stat: &str) -> BTreeMap<String, Times> {
    let cores = stat.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().filter(|name| name.starts_with("cpu") && *name != "cpu")?;
        let ticks: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
        let tick = |place: usize| ticks.get(place).copied().unwrap_or(0);
        // user nice system idle iowait irq softirq steal; guest times are contained in user and nice.
        let times = Times {
            user: tick(0) + tick(1),
            system: tick(2) + tick(5) + tick(6),
            idle: tick(3) + tick(4),
            total: (0..8).map(tick).sum(),
        };
        Some((name.to_owned(), times))
    });
    cores.collect()
}

fn between(name: &str, then: Times, now: Times, mhz: f64) -> HostCPUStats {
    let span = now.total.saturating_sub(then.total) as f64;
    let percent = |now: u64, then: u64| {
        if span > 0.0 { now.saturating_sub(then) as f64 * 100.0 / span } else { 0.0 }
    };
    let idle = if span > 0.0 { percent(now.idle, then.idle) } else { 100.0 };
    HostCPUStats {
        cpu: name.to_owned(),
        idle,
        system: percent(now.system, then.system),
        total_percent: 100.0 - idle,
        total_ticks: (100.0 - idle) / 100.0 * mhz,
        user: percent(now.user, then.user),
    }
}

fn memory(meminfo: &str) -> HostMemoryStats {
    let field = |key: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0) << 10
    };
    let (total, free, available) = (field("MemTotal"), field("MemFree"), field("MemAvailable"));
    let cached = field("Buffers") + field("Cached") + field("SReclaimable");
    HostMemoryStats { available, free, total, used: total.saturating_sub(free + cached) }
}

/// A file system by the path of something on it.
pub fn disk(path: &Path, device: &str, mountpoint: &str) -> Option<HostDiskStats> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    let used = bytes(stat.f_blocks.saturating_sub(stat.f_bfree));
    let (size, available) = (bytes(stat.f_blocks), bytes(stat.f_bavail));
    let percent = |part: u64, whole: u64| if whole > 0 { part as f64 * 100.0 / whole as f64 } else { 0.0 };
    Some(HostDiskStats {
        available,
        device: device.to_owned(),
        inodes_used_percent: percent(stat.f_files.saturating_sub(stat.f_ffree), stat.f_files),
        mountpoint: mountpoint.to_owned(),
        size,
        used,
        // Of what is not kept for root, as df counts.
        used_percent: percent(used, used + available),
    })
}

fn disks(mounts: &str) -> Vec<HostDiskStats> {
    let mut seen = Vec::new();
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?, words.next()?)).filter(|(device, _)| device.starts_with("/dev/"))
    });
    for (device, point) in mounts {
        if seen.iter().any(|stats: &HostDiskStats| stats.device == device) {
            continue;
        }
        seen.extend(disk(Path::new(&point.replace("\\040", " ")), device, point));
    }
    seen
}

impl Client {
    /// What the host uses.
    pub async fn stats(&self) -> HostStats {
        let inner = std::sync::Arc::clone(&self.0);
        let read = self.0.context.pool.run(move || {
            let node = inner.context.node();
            let cores = node.node_resources.cpu.total_cpu_cores.max(1);
            let mhz = node.node_resources.cpu.cpu_shares as f64 / cores as f64;
            let cpu = inner.host_usage.cores(mhz);
            let uptime = read("/proc/uptime");
            let uptime = uptime.split(['.', ' ']).next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
            let mounts = read("/proc/self/mounts");
            let alloc_dir = &inner.context.config.alloc_dir;
            let device = storage::device(&mounts, alloc_dir).unwrap_or_default();
            HostStats {
                alloc_dir_stats: disk(alloc_dir, &device, &alloc_dir.to_string_lossy()),
                cpu_ticks_consumed: cpu.iter().map(|core| core.total_ticks).sum(),
                cpu,
                device_stats: Vec::new(),
                disk_stats: disks(&mounts),
                memory: Some(memory(&read("/proc/meminfo"))),
                timestamp: inner.context.runtime.clock.now().0,
                uptime,
            }
        });
        read.await.unwrap_or_default()
    }

    /// What the running tasks of an allocation use; one task's only, if it is named.
    pub async fn allocation_stats(
        &self,
        id: AllocationId,
        task: Option<&str>,
    ) -> Result<AllocResourceUsage, RequestError> {
        let shared = self.0.shared(id)?;
        shared.settled().await;
        let running: Vec<(Text, Handle, Option<Usage>)> = {
            let view = shared.lock();
            if let Some(task) = task.filter(|task| view.task(task).is_none()) {
                return Err(RequestError::UnknownTask(task.to_owned()));
            }
            let wanted = view.running.iter().filter(|(name, _)| task.is_none_or(|task| task == name.as_str()));
            wanted.map(|(name, running)| (name.clone(), running.handle.clone(), running.usage.clone())).collect()
        };
        let node = self.node();
        let cores = node.node_resources.cpu.total_cpu_cores.max(1);
        let mhz = node.node_resources.cpu.cpu_shares as f64 / cores as f64;
        let clock = &self.0.context.runtime.clock;
        let mut usage = AllocResourceUsage { timestamp: clock.now().0, ..AllocResourceUsage::default() };
        let mut sum = ResourceUsage::default();
        for (name, handle, earlier) in running {
            // A task that has just ended uses nothing.
            let Ok(now) = handle.stats().await else { continue };
            let age = clock.now().since(handle.started_at()).to_std();
            let own = task_usage(&now, earlier.as_ref(), age, mhz);
            add(&mut sum, &own);
            let pids = now.pids.iter().map(|pid| (pid.to_string(), process(*pid))).collect();
            let timestamp = clock.now().0;
            usage.tasks.insert(name.to_string(), TaskResourceUsage { pids, resource_usage: Some(own), timestamp });
            if let Some(Running { usage, .. }) = shared.lock().running.get_mut(&name) {
                *usage = Some(now);
            }
        }
        usage.resource_usage = Some(sum);
        Ok(usage)
    }
}

/// A task's usage in the API's form; percentages since the earlier reading, or since the task began.
fn task_usage(now: &Usage, earlier: Option<&Usage>, age: std::time::Duration, mhz: f64) -> ResourceUsage {
    let (percent, user, system) = match earlier {
        Some(earlier) => now.cpu_percent_since(earlier),
        None => {
            let span = age.as_nanos() as f64;
            let percent = |spent: u64| if span > 0.0 { spent as f64 * 100.0 / span } else { 0.0 };
            (percent(now.cpu_total_ns), percent(now.cpu_user_ns), percent(now.cpu_system_ns))
        }
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let memory = if now.measured.contains(&Controller::Memory) {
        words(&["RSS", "Cache", "Swap", "Usage", "Max Usage", "Kernel Usage"])
    } else {
        words(&["RSS"])
    };
    ResourceUsage {
        cpu_stats: Some(CpuStats {
            measured: words(&["System Mode", "User Mode", "Percent", "Throttled Periods", "Throttled Time"]),
            percent,
            system_mode: system,
            throttled_periods: now.throttled_periods,
            throttled_time: now.throttled_ns,
            total_ticks: percent / 100.0 * mhz,
            user_mode: user,
        }),
        device_stats: Vec::new(),
        memory_stats: Some(MemoryStats {
            cache: now.cache,
            kernel_usage: now.kernel,
            max_usage: now.max_usage,
            measured: memory,
            rss: now.rss,
            swap: now.swap,
            usage: now.usage,
            ..MemoryStats::default()
        }),
    }
}

/// What one process of a task uses: its resident memory; processor time is counted for the task as a whole.
fn process(pid: i32) -> ResourceUsage {
    const PAGE: u64 = 4096;
    let statm = read(&format!("/proc/{pid}/statm"));
    let pages = statm.split_ascii_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    let memory = MemoryStats { measured: vec!["RSS".to_owned()], rss: pages * PAGE, ..MemoryStats::default() };
    ResourceUsage { cpu_stats: Some(CpuStats::default()), device_stats: Vec::new(), memory_stats: Some(memory) }
}

fn add(sum: &mut ResourceUsage, own: &ResourceUsage) {
    let (Some(cpu), Some(memory)) = (&own.cpu_stats, &own.memory_stats) else { return };
    let total = sum.cpu_stats.get_or_insert_default();
    total.measured.clone_from(&cpu.measured);
    total.percent += cpu.percent;
    total.system_mode += cpu.system_mode;
    total.throttled_periods += cpu.throttled_periods;
    total.throttled_time += cpu.throttled_time;
    total.total_ticks += cpu.total_ticks;
    total.user_mode += cpu.user_mode;
    let total = sum.memory_stats.get_or_insert_default();
    total.measured.clone_from(&memory.measured);
    total.cache += memory.cache;
    total.kernel_usage += memory.kernel_usage;
    total.max_usage += memory.max_usage;
    total.rss += memory.rss;
    total.swap += memory.swap;
    total.usage += memory.usage;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_use_of_a_core_is_between_two_readings() {
        let cores = |user: u64, idle: u64| read_cores(&format!("cpu  9 9 9 9\ncpu0 {user} 0 10 {idle} 0 0 0 0 0 0\n"));
        let (then, now) = (cores(100, 100), cores(150, 150));
        let stats = between("cpu0", then["cpu0"], now["cpu0"], 2000.0);
        assert_eq!((stats.user, stats.idle, stats.system, stats.total_ticks), (50.0, 50.0, 0.0, 1000.0));
        let still = between("cpu0", then["cpu0"], then["cpu0"], 2000.0);
        assert_eq!((still.idle, still.total_percent), (100.0, 0.0));
    }

    #[test]
    fn memory_in_use_leaves_out_what_the_kernel_would_give_back() {
        let text = "MemTotal: 1000 kB\nMemFree: 200 kB\nMemAvailable: 600 kB\nBuffers: 100 kB\nCached: 300 kB\n";
        let stats = memory(text);
        assert_eq!((stats.total, stats.used, stats.available), (1000 << 10, 400 << 10, 600 << 10));
    }
}
