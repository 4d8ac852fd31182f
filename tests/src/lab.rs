//! Hosts of their own on this machine: network, process, mount and name spaces with a folder each, on a switch that only the
//! test sees. Agents run on them with the ports and paths of real hosts; links are cut, packets dropped, power is lost.
//!
//! The test's own thread lives in the network namespace of the switch, so nothing is added to the machine's network. A host
//! is a shell that is process 1 of its namespace and reads its commands from a pipe of the test: when the test ends, however
//! it ends, the pipe closes, the shell ends, and the kernel takes every process, mount and link of the host along.
//! Folders and cgroups that a killed test could not remove are removed by the next one.
//! Needs root, iproute2, util-linux and nftables (`make deps`).

mod booted;
mod checks;
mod fleet;
mod host;
mod writer;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use tempfile::TempDir;

pub use booted::Booted;
pub use checks::{Starts, running};
pub use fleet::{CLIENT, Fleet, server_text};
pub use host::Host;
pub use writer::Writer;

/// What the folders of all tests on hosts begin with; the id of the test process follows.
const PREFIX: &str = "nomadd-hosts-";

/// The switch, and what all hosts share.
pub struct Lab {
    folder: TempDir,
    hosts: Mutex<u8>,
}

/// Runs a test in a network namespace of its own, with a switch that its hosts are plugged into.
///
/// # Panics
/// When the test does, and when the machine does not allow namespaces.
pub fn on_hosts<F: Future<Output = ()>>(test: impl FnOnce(Lab) -> F + Send + 'static) {
    let outcome = std::thread::spawn(move || {
        // The namespace is the thread's; all threads and processes that it starts inherit it.
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
            .expect("tests on hosts make network namespaces: run them as root");
        let lab = Lab::new();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(test(lab));
    })
    .join();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Lab {
    fn new() -> Self {
        remove_leftovers();
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir().expect("a temporary folder");
        for shared in ["shared", "bin"] {
            std::fs::create_dir(folder.path().join(shared)).expect("a folder of the lab");
        }
        ip("link set lo up");
        ip("link add br0 type bridge");
        ip("addr add 10.77.0.254/24 dev br0");
        ip("link set br0 up");
        Self { folder, hosts: Mutex::new(0) }
    }

    /// Boots a host with the next address.
    pub fn host(&self, name: &str) -> Host {
        Host::boot(self.folder.path(), name, self.next_number())
    }
    fn next_number(&self) -> u8 {
        let mut last = self.hosts.lock().expect("no test panicked in here");
        *last += 1;
        *last
    }
    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A folder that every host sees as `/tmp/shared`.
    pub fn shared(&self) -> PathBuf {
        self.folder.path().join("shared")
    }
    /// Names this lab in the environment of tasks.
    pub fn token(&self) -> String {
        self.folder.path().file_name().expect("it has a name").to_string_lossy().into_owned()
    }
    /// Plugs the host out of the switch, or in again; its own interface keeps its address.
    pub fn link(&self, host: &Host, up: bool) {
        ip(&format!("link set v{} {}", host.number(), if up { "up" } else { "down" }));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        remove_cgroups(&self.shared());
    }
}

/// Runs `ip` in the namespace of the switch.
fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("ip runs: install iproute2");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Removes the folders and cgroups of tests that were killed; their processes and links went with them.
fn remove_leftovers() {
    let entries = std::fs::read_dir(std::env::temp_dir()).expect("a temporary folder").flatten();
    for path in entries.map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let pid = rest.split('-').next().and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove_cgroups(&path.join("shared"));
            remove_own_cgroups(&name);
            let _gone = std::fs::remove_dir_all(&path);
        }
    }
}

/// Removes the cgroups of the allocations that were started: hosts that lose their power leave them empty.
fn remove_cgroups(shared: &Path) {
    let started = Starts::read(shared);
    let Ok(hierarchies) = std::fs::read_dir("/sys/fs/cgroup") else { return };
    for tasks in hierarchies.flatten().map(|entry| entry.path().join("nomad.slice")) {
        for entry in std::fs::read_dir(tasks).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if started.ids().any(|id| name.starts_with(id)) {
                let _gone = std::fs::remove_dir(entry.path());
            }
        }
    }
}

/// Removes the cgroups that belong to a booted host, or to all of a lab: those whose names begin so. Its processes are gone or
/// going.
fn remove_own_cgroups(prefix: &str) {
    let Ok(entries) = std::fs::read_dir("/sys/fs/cgroup") else { return };
    let roots = entries.flatten().map(|entry| entry.path()).chain([PathBuf::from("/sys/fs/cgroup")]);
    for root in roots {
        for entry in std::fs::read_dir(&root).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                remove_tree(&entry.path());
            }
        }
    }
}

/// Removes a cgroup and those below it, as soon as the kernel has taken their last processes away.
fn remove_tree(cgroup: &Path) {
    let below = std::fs::read_dir(cgroup).into_iter().flatten().flatten().map(|entry| entry.path());
    below.filter(|path| path.is_dir() && !path.is_symlink()).for_each(|path| remove_tree(&path));
    for _ in 0..200 {
        match std::fs::remove_dir(cgroup) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            _ => return,
        }
    }
}
