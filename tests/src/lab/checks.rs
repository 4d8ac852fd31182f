//! What really happened, as the processes of the machine and the tasks' own notes show it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::process;

/// The allocations of a job whose task runs, in any lab host: id and name, sorted. One that runs twice is there twice.
pub fn running(token: &str, job: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for pid in process::with_environment(token) {
        let of = |name| process::variable(pid, name);
        if of("LAB").as_deref() != Some(token) || of("NOMAD_JOB_ID").as_deref() != Some(job) {
            continue;
        }
        // What a task has started itself is not the task; a zombie is neither.
        let parent =
            process::parent(pid).is_some_and(|parent| process::variable(parent, "LAB").as_deref() == Some(token));
        if !parent && process::runs(pid) {
            found.extend(of("NOMAD_ALLOC_ID").zip(of("NOMAD_ALLOC_NAME")));
        }
    }
    found.sort();
    found
}

/// The starts that tasks noted: allocation id, its name, host.
#[derive(Clone, Debug, Default)]
pub struct Starts(Vec<(String, String, String)>);

impl Starts {
    /// Reads the notes.
    pub fn read(shared: &Path) -> Self {
        let text = std::fs::read_to_string(shared.join("starts")).unwrap_or_default();
        let line = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            Some((words.next()?, words.next()?, words.next()?))
        };
        Self(text.lines().filter_map(line).collect())
    }
    /// The allocations that were started.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(id, ..)| id.as_str()).filter(|id| id.len() == 36)
    }
    /// How often a task of a job was started.
    pub fn of(&self, job: &str) -> usize {
        let prefix = format!("{job}.");
        self.0.iter().filter(|(_, name, _)| name.starts_with(&prefix)).count()
    }
    /// Panics if an allocation was started more than once.
    #[track_caller]
    pub fn none_twice(&self) {
        let mut count: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (id, name, host) in &self.0 {
            count.entry(id).or_default().push(host);
            assert!(
                count[id.as_str()].len() == 1,
                "{name} ({id}) was started more than once: {:?}",
                count[id.as_str()]
            );
        }
    }
}
