//! A network namespace for one test, the room in it, and looks at what is set up.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use nomadd_network::{Config, Mode, Networks, PortMapping, Request};
use nomadd_runtime::Runtime;
use tempfile::TempDir;

/// A host of one test: a network namespace, and folders.
pub struct World {
    pub folder: TempDir,
    pub runtime: Runtime,
}

/// Runs a test in a network namespace of its own, which only root may make; threads and processes that it starts inherit it.
pub fn alone<F: Future<Output = ()>>(test: impl FnOnce(World) -> F + Send + 'static) {
    let outcome = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        sh("ip link set lo up && ip link add up0 type bridge && ip addr add 10.99.0.1/24 dev up0 && ip link set up0 up");
        let reactor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let world = World { folder: tempfile::tempdir().unwrap(), runtime: Runtime::real(2) };
        reactor.block_on(test(world));
    })
    .join();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl World {
    /// How the room is set up here.
    pub fn config(&self) -> Config {
        let mut config = Config::new(self.folder.path().join("networks"), helper());
        config.configurations = self.folder.path().join("configurations");
        config.bridge.addresses = self.folder.path().join("addresses");
        config
    }
    /// The room, as an agent has it.
    pub fn networks(&self, config: Config) -> Arc<Networks> {
        Arc::new(Networks::new(config, self.runtime.clone()))
    }
    /// Writes a plugin that is a shell script.
    pub fn plugin(&self, name: &str, script: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = self.folder.path().join("plugins");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }
    /// Everything that plugins leave on a host: namespaces, devices of pairs, taken addresses, rules of single allocations.
    pub fn left(&self) -> String {
        let addresses = self.folder.path().join("addresses");
        let networks = self.folder.path().join("networks");
        let links = "ip -o link show type veth | wc -l";
        let rules = "iptables -t nat -S | grep -cE 'CNI-(DN-|[0-9a-f])|--to-destination'";
        let shown = sh(&format!(
            "echo veth=$({links}) rules=$({rules}) admitted=$(iptables -S | grep -c -- '-[sd] 172.26.[0-9.]*/32'); \
             find {} -name '172.*' 2>/dev/null; ls {} 2>/dev/null; true",
            addresses.display(),
            networks.display()
        ));
        shown.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// What `World::left` says of a clean host.
pub const CLEAN: &str = "veth=0 rules=0 admitted=0";

/// The executor's binary; cargo puts it beside the folder of test programs when the workspace is built.
fn helper() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let beside = this.parent().and_then(Path::parent).unwrap().join("nomadd-executor");
    assert!(beside.is_file(), "{} is missing: build the workspace's binaries first", beside.display());
    beside
}

/// Runs a line in a shell; what it printed.
#[track_caller]
pub fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{line}: {out}{err}");
    out.trim().to_owned()
}

/// Runs a line in a namespace; what it printed.
#[track_caller]
pub fn inside(namespace: &Path, line: &str) -> String {
    sh(&format!("nsenter --net={} sh -c '{line}'", namespace.display()))
}

pub fn request(id: &str, mode: Mode) -> Request {
    Request { id: id.to_owned(), mode, hostname: "web".to_owned(), ..Request::default() }
}

pub fn port(host_port: u16, container_port: u16) -> PortMapping {
    PortMapping { host_port, container_port, protocol: "tcp".to_owned(), host_ip: String::new() }
}
