//! An allocation's directory: Nomad's layout and modes, secrets on memory, and its removal.
//!
//! Blocking; called on the pool. Reading files in it is `fs`'s, beneath the root and never by string prefix.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nomadd_model::AllocationId;
use rustix::mount::{MountFlags, UnmountFlags};

/// Where the files of an allocation are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocationDirectory {
    root: PathBuf,
}

/// Why a directory cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The task's name cannot be a directory's.
    #[error(
        "the task name {0:?} cannot be used: it is the name of a directory that the allocation needs, or no name for one"
    )]
    TaskName(String),
    /// The system refuses.
    #[error("cannot {what} {}", path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// The directories of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDirectory {
    /// `<alloc>/<task>`: where the process starts.
    pub root: PathBuf,
    /// `local`.
    pub local: PathBuf,
    /// `secrets`, on memory when the agent is root.
    pub secrets: PathBuf,
    /// `private`: the task does not see it when it is isolated.
    pub private: PathBuf,
}

impl AllocationDirectory {
    /// The directory of an allocation below `alloc_dir`.
    pub fn new(alloc_dir: &Path, id: AllocationId) -> Self {
        Self { root: alloc_dir.join(id.to_string()) }
    }
    /// `<alloc_dir>/<id>`.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// `alloc`: shared by the tasks.
    pub fn shared(&self) -> PathBuf {
        self.root.join("alloc")
    }
    /// `alloc/logs`.
    pub fn logs(&self) -> PathBuf {
        self.root.join("alloc/logs")
    }
    /// The directories of a task.
    pub fn task(&self, name: &str) -> TaskDirectory {
        let root = self.root.join(name);
        let (local, secrets, private) = (root.join("local"), root.join("secrets"), root.join("private"));
        TaskDirectory { root, local, secrets, private }
    }

    /// Makes the shared directories.
    pub fn build(&self) -> Result<(), DirectoryError> {
        make(&self.root, 0o755, Parents::Make)?;
        make(&self.shared(), 0o777, Parents::Expect)?;
        for name in ["logs", "tmp", "data"] {
            make(&self.shared().join(name), 0o777, Parents::Expect)?;
        }
        Ok(())
    }

    /// Makes the directory of a task, without those in it.
    pub fn build_task_root(&self, name: &str) -> Result<(), DirectoryError> {
        if !is_usable(name) {
            return Err(DirectoryError::TaskName(name.to_owned()));
        }
        make(&self.task(name).root, 0o777, Parents::Expect)
    }

    /// Makes the directories of a task; `secrets_mb` is the size of the file system in memory.
    pub fn build_task(&self, name: &str, secrets_mb: i64) -> Result<TaskDirectory, DirectoryError> {
        if !is_usable(name) {
            return Err(DirectoryError::TaskName(name.to_owned()));
        }
        let task = self.task(name);
        make(&task.root, 0o777, Parents::Expect)?;
        make(&task.local, 0o777, Parents::Expect)?;
        make(&task.root.join("tmp"), 0o1777, Parents::Expect)?;
        let megabytes = if secrets_mb > 0 { secrets_mb } else { 1 };
        make_in_memory(&task.secrets, megabytes)?;
        // Nothing of ours is kept there, and each file system in memory costs tens of milliseconds when it goes.
        make(&task.private, 0o777, Parents::Expect)?;
        Ok(task)
    }

    /// Removes everything; what is mounted below is unmounted first.
    pub fn destroy(&self) -> Result<(), DirectoryError> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(system("read", &self.root)(source)),
        };
        for entry in entries.flatten() {
            for name in ["secrets", "private"] {
                unmount(&entry.path().join(name));
            }
        }
        match fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(system("remove", &self.root)(error)),
            _ => Ok(()),
        }
    }
}

/// Whether a task's name can be the name of its directory.
pub fn is_usable(name: &str) -> bool {
    !matches!(name, "" | "." | ".." | "alloc") && name.len() <= 255 && !name.contains(['/', '\0'])
}

enum Parents {
    Make,
    Expect,
}

fn system(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirectoryError + use<> {
    let path = path.to_owned();
    move |source| DirectoryError::System { what, path, source }
}

/// Makes a directory with exactly that mode, whatever the umask is.
fn make(path: &Path, mode: u32, parents: Parents) -> Result<(), DirectoryError> {
    let mut builder = DirBuilder::new();
    builder.mode(mode);
    let made = match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && matches!(parents, Parents::Make) => {
            DirBuilder::new().recursive(true).mode(mode).create(path)
        }
        other => other,
    };
    match made {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)).map_err(system("set the mode of", path)),
        // Only a real directory: a task of an earlier run may have put a link in its place.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            _ => Err(system("make", path)(error)),
        },
        Err(source) => Err(system("make", path)(source)),
    }
}

/// Makes a directory whose content never reaches the disk, where the agent may mount; else a plain one.
fn make_in_memory(path: &Path, megabytes: i64) -> Result<(), DirectoryError> {
    make(path, 0o777, Parents::Expect)?;
    if !rustix::process::geteuid().is_root() || is_mount_point(path) {
        return Ok(());
    }
    let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
    let options = format!("size={megabytes}m,mode=0777");
    let options = std::ffi::CString::new(options).unwrap_or_default();
    match rustix::mount::mount("tmpfs", path, "tmpfs", flags, Some(options.as_c_str())) {
        // A container without the right to mount: the directory alone has to do.
        Ok(()) | Err(rustix::io::Errno::PERM) => Ok(()),
        Err(error) => Err(system("mount memory at", path)(error.into())),
    }
}

fn is_mount_point(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &Path| fs::symlink_metadata(path).map(|metadata| metadata.dev()).ok();
    match path.parent() {
        Some(parent) => device(path) != device(parent),
        None => false,
    }
}

fn unmount(path: &Path) {
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    while fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) && is_mount_point(path) {
        if rustix::mount::unmount(path, flags).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn an_allocation_gets_nomads_layout_and_goes_without_a_trace() {
        let dir = TempDir::new("alloc-dir");
        let directory = AllocationDirectory::new(dir.path(), AllocationId::from_random([1; 16]));
        directory.build().unwrap();
        directory.build_task("web", 2).unwrap();
        directory.build_task("web", 2).unwrap();
        for (path, mode) in [
            ("", 0o755),
            ("alloc", 0o777),
            ("alloc/logs", 0o777),
            ("alloc/tmp", 0o777),
            ("alloc/data", 0o777),
            ("web", 0o777),
            ("web/local", 0o777),
            ("web/tmp", 0o1777),
            ("web/secrets", 0o777),
            ("web/private", 0o777),
        ] {
            let metadata = fs::metadata(directory.root().join(path)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{path}");
        }
        fs::write(directory.root().join("web/secrets/token"), "x").unwrap();
        directory.destroy().unwrap();
        directory.destroy().unwrap();
        assert!(!directory.root().exists());
    }

    #[test]
    fn a_task_whose_name_would_leave_the_directory_is_refused() {
        let dir = TempDir::new("alloc-dir");
        let directory = AllocationDirectory::new(dir.path(), AllocationId::from_random([2; 16]));
        directory.build().unwrap();
        for name in ["", ".", "..", "../x", "a/b", "alloc", "a\0b"] {
            assert!(matches!(directory.build_task(name, 1), Err(DirectoryError::TaskName(_))), "{name:?}");
        }
    }

    #[test]
    fn a_link_in_the_place_of_a_directory_is_not_followed() {
        let dir = TempDir::new("alloc-dir");
        let directory = AllocationDirectory::new(dir.path(), AllocationId::from_random([3; 16]));
        directory.build().unwrap();
        std::os::unix::fs::symlink("/tmp", directory.root().join("web")).unwrap();
        assert!(matches!(directory.build_task("web", 1), Err(DirectoryError::System { .. })));
    }
}
