//! What a process costs, from /proc: memory, processor time by the names of its threads, bytes written.

use std::collections::BTreeMap;

/// What a process has used so far.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// Processor time in nanoseconds by the stage that a thread's name tells.
    pub stages: BTreeMap<String, u64>,
    /// Resident memory in bytes.
    pub resident: u64,
    /// Bytes that it had written to disks.
    pub written: u64,
}

fn field(pid: u32, file: &str, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let found = text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok());
    found.unwrap_or(0)
}

impl Cost {
    /// Of a process as it is now. Threads that have ended are not in it.
    pub fn of(pid: u32) -> Self {
        let mut stages = BTreeMap::new();
        for thread in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let read = |file: &str| std::fs::read_to_string(thread.path().join(file)).unwrap_or_default();
            let used: u64 = read("schedstat").split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
            let name = read("comm");
            // Numbered threads of one kind count together.
            let name = name.trim().trim_end_matches(|sign: char| sign.is_ascii_digit() || sign == '-');
            *stages.entry(name.to_owned()).or_insert(0) += used;
        }
        Self { stages, resident: field(pid, "status", "VmRSS:") * 1024, written: field(pid, "io", "write_bytes:") }
    }

    /// Processor time of all stages in nanoseconds.
    pub fn cpu(&self) -> u64 {
        self.stages.values().sum()
    }

    /// What was used since an earlier look; memory is what grew.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let stages = self
            .stages
            .iter()
            .map(|(name, used)| (name.clone(), used.saturating_sub(earlier.stages.get(name).copied().unwrap_or(0))));
        Self {
            stages: stages.collect(),
            resident: self.resident.saturating_sub(earlier.resident),
            written: self.written.saturating_sub(earlier.written),
        }
    }

    /// The stages in microseconds per `each`, the largest first; those below a tenth are left out.
    pub fn per(&self, each: u64) -> String {
        let mut parts: Vec<(f64, &str)> =
            self.stages.iter().map(|(name, used)| (*used as f64 / 1e3 / each.max(1) as f64, name.as_str())).collect();
        parts.sort_by(|a, b| b.0.total_cmp(&a.0));
        let shown = parts.iter().filter(|(used, _)| *used >= 0.1).map(|(used, name)| format!("{name} {used:.1}"));
        shown.collect::<Vec<_>>().join(", ")
    }
}
