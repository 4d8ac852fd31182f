//! What an allocation takes over from the one that it replaces on this node: the files of a sticky `ephemeral_disk`.
//!
//! The shared `alloc/data` and each task's `local` move; nothing is copied. Waits until the previous one is over. Called by
//! `runner` before anything is started.

use std::fs;
use std::io;
use std::path::Path;

use nomadd_model::TaskGroup;

use crate::directory::{AllocationDirectory, DirectoryError, is_usable};

/// Moves what the tasks of a group have kept in `from` to `to`, whose shared directories are made. What is not there, or is no
/// real directory, stays behind.
pub fn take_over(
    from: &AllocationDirectory,
    to: &AllocationDirectory,
    group: &TaskGroup,
) -> Result<(), DirectoryError> {
    hand_over(&from.shared().join("data"), &to.shared().join("data"))?;
    for task in group.tasks.iter().filter(|task| is_usable(&task.name)) {
        let (old, new) = (from.task(&task.name), to.task(&task.name));
        if is_directory(&old.local) {
            to.build_task_root(&task.name)?;
            hand_over(&old.local, &new.local)?;
        }
    }
    Ok(())
}

fn is_directory(path: &Path) -> bool {
    // Not through links: a task may have put one there.
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// Renames a directory into the place of an empty one.
fn hand_over(from: &Path, to: &Path) -> Result<(), DirectoryError> {
    if !is_directory(from) {
        return Ok(());
    }
    let failed = |source: io::Error| DirectoryError::System {
        what: "move the files of the previous allocation to",
        path: to.to_owned(),
        source,
    };
    fs::rename(from, to).map_err(failed)
}

#[cfg(test)]
mod tests {
    use nomadd_model::{AllocationId, Task};

    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn data_and_local_files_move_and_links_do_not() {
        let folder = TempDir::new("previous");
        let of = |id: u8| AllocationDirectory::new(folder.path(), AllocationId::from_random([id; 16]));
        let (old, new) = (of(1), of(2));
        old.build().unwrap();
        new.build().unwrap();
        fs::write(old.shared().join("data/kept"), "kept").unwrap();
        for task in ["a", "b"] {
            old.build_task_root(task).unwrap();
        }
        fs::create_dir(old.task("a").local).unwrap();
        fs::write(old.task("a").local.join("mine"), "mine").unwrap();
        std::os::unix::fs::symlink("/etc", old.task("b").local).unwrap();
        let named = |name: &str| Task { name: name.into(), ..Task::default() };
        let group = TaskGroup { tasks: vec![named("a"), named("b"), named("c")], ..TaskGroup::default() };
        take_over(&old, &new, &group).unwrap();
        assert_eq!(fs::read_to_string(new.shared().join("data/kept")).unwrap(), "kept");
        assert_eq!(fs::read_to_string(new.task("a").local.join("mine")).unwrap(), "mine");
        assert!(!new.task("b").local.exists() && !new.task("c").root.exists());
        assert!(!old.shared().join("data").exists());
        take_over(&old, &new, &group).unwrap();
        assert_eq!(
            fs::read_to_string(new.shared().join("data/kept")).unwrap(),
            "kept",
            "nothing is lost by asking twice"
        );
    }
}
