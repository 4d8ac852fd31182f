//! What units and slices are called: a pure function of what the task is called.
//!
//! A slice per allocation, `nomad-<alloc12>.slice`; in it `<job>.<group>.<task>.<alloc12>.<restart>.service`. Names keep
//! letters, digits and `_`; everything else is `_`, and each is cut at 40 bytes. The full names are in the description.

use crate::spec::{Labels, TaskHandleId};

/// The longest part of a name, in bytes.
const LONGEST: usize = 40;
/// How much of an allocation's id names its slice, in hexadecimal digits.
const ALLOCATION: usize = 12;

/// The slice that all tasks of the node are below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentSlice(String);

impl ParentSlice {
    /// From a cgroup's path; `None` if that is not the path of a slice, such as `nomad.slice` or `a.slice/a-b.slice`.
    pub fn from_cgroup(parent: &str) -> Option<Self> {
        let parts: Vec<&str> = parent.trim_matches('/').split('/').collect();
        let stem = parts.last()?.strip_suffix(".slice")?;
        let plain = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
        };
        let words: Vec<&str> = stem.split('-').collect();
        let above = (1..=words.len()).map(|count| format!("{}.slice", words[..count].join("-")));
        (words.iter().all(|word| plain(word)) && above.eq(parts.iter().copied())).then(|| Self(stem.to_owned()))
    }

    /// The slice of an allocation.
    pub fn of_allocation(&self, allocation: &str) -> String {
        format!("{}-{}.slice", self.0, short(allocation))
    }

    /// The folder of settings for all slices of allocations.
    pub fn settings_folder(&self) -> String {
        format!("{}-.slice.d", self.0)
    }
}

/// The names that a task's unit may have, the usual one first. Two tasks of an allocation whose usual names are the same
/// (`a-b` and `a_b`) differ in the second.
pub fn services(id: &TaskHandleId, labels: &Labels) -> [String; 2] {
    let name = |task: String| {
        let (job, group, allocation) = (part(&labels.job), part(&labels.group), short(&id.allocation));
        format!("{job}.{group}.{task}.{allocation}.{}.service", labels.restart)
    };
    let usual = part(&id.task);
    let distinct = format!("{}_{:08x}", &usual[..usual.len().min(LONGEST - 9)], hash(&id.task));
    [name(usual), name(distinct)]
}

/// What all units of tasks look like, for systemd's matching of names.
pub const PATTERN: &str = "*.*.*.*.*.service";

fn part(text: &str) -> String {
    let safe = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let part: String = text.chars().map(safe).take(LONGEST).collect();
    if part.is_empty() { "_".to_owned() } else { part }
}

fn short(allocation: &str) -> String {
    allocation.chars().filter(char::is_ascii_alphanumeric).take(ALLOCATION).collect()
}

/// FNV-1a: equal on every release.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(job: &str, task: &str) -> [String; 2] {
        let labels = Labels { job: job.into(), group: "g".into(), restart: 3, ..Labels::default() };
        services(&TaskHandleId::new("0a1b2c3d-1111-2222-3333-444455556666", task), &labels)
    }

    #[test]
    fn names_are_those_of_the_job_with_what_units_cannot_hold_replaced() {
        assert_eq!(names("web", "server")[0], "web.g.server.0a1b2c3d1111.3.service");
        assert_eq!(names("web-api", "a.b")[0], "web_api.g.a_b.0a1b2c3d1111.3.service");
        assert_eq!(names("a/b", "")[0], "a_b.g._.0a1b2c3d1111.3.service");
        assert_eq!(names("größe", "ж")[0], "gr__e.g._.0a1b2c3d1111.3.service");
        let long = names(&"x".repeat(300), &"ü".repeat(300));
        for name in &long {
            assert!(name.len() < 256 && name.split('.').all(|part| part.len() <= LONGEST), "{name}");
        }
    }

    #[test]
    fn tasks_whose_usual_names_are_the_same_differ_in_the_second() {
        for (one, other) in [("a-b", "a_b"), ("ж", "щ"), (&*"x".repeat(300), &*"x".repeat(299))] {
            let (one, other) = (names("j", one), names("j", other));
            assert_eq!(one[0], other[0]);
            assert_ne!(one[1], other[1]);
            assert_ne!(one[0], one[1]);
        }
    }

    #[test]
    fn a_parent_is_a_slice_at_its_own_place() {
        let slice =
            |parent: &str| ParentSlice::from_cgroup(parent).map(|slice| slice.of_allocation("0a1b2c3d-1111-22"));
        assert_eq!(slice("nomad.slice").as_deref(), Some("nomad-0a1b2c3d1111.slice"));
        assert_eq!(slice("/a.slice/a-b.slice/").as_deref(), Some("a-b-0a1b2c3d1111.slice"));
        for bad in ["nomad", "", "x/nomad.slice", "a-b.slice", "-.slice", ".slice", "a b.slice"] {
            assert_eq!(slice(bad), None, "{bad}");
        }
    }
}
