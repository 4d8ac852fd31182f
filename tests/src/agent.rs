//! An agent of the real binary, on free ports of loopback, in folders of its own.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use nomadd_api::{Client, Request};
use serde_json::Value;
use tempfile::TempDir;

use crate::ctl::{Finished, Following, ctl};
use crate::wait::until;

/// The configuration of an agent with its state on disk.
pub const DURABLE: &str = "server {\n  enabled = true\n}\nclient {\n  enabled = true\n  network_interface = \"lo\"\n}\nplugin \"raw_exec\" {\n  config {\n    enabled = true\n  }\n}\nbind_addr = \"127.0.0.1\"\n";

/// A running agent; it is killed, and its tasks with it, when this is dropped.
pub struct Agent {
    child: Option<Child>,
    /// The address that it is bound to.
    pub host: String,
    /// Where its API is.
    pub port: u16,
    /// Where it takes RPC.
    pub rpc: u16,
    /// Where it gossips.
    pub serf: u16,
    /// Its folder: configuration, data, log.
    pub folder: TempDir,
    /// The network namespace that it runs in; none: this machine's.
    pub namespace: Option<String>,
    arguments: Vec<String>,
}

/// Where the binaries of this build are.
pub fn binary(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().expect("the test has a path");
    // target/release/deps/test-123 → target/release
    while folder.pop() {
        let candidate = folder.join(name);
        if candidate.is_file() {
            return candidate;
        }
    }
    panic!("{name} is not built; run: cargo build --release --workspace --bins");
}

/// Ports of tests: below those that the kernel gives to connections and those that jobs get, so that nobody takes one
/// between the look and the use.
const PORTS: std::ops::Range<u16> = 10_000..19_000;

/// A free port of loopback. It stays this process's until its end, through restarts of the agent too: a locked file tells
/// the other test processes.
pub fn free_port() -> u16 {
    static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let folder = std::env::temp_dir().join("nomadd-test-ports");
    std::fs::create_dir_all(&folder).expect("a folder for the locks of ports");
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    // Test processes begin at different places, so that they seldom try the same ports.
    let begin = (std::process::id() as usize * 37 + held.len()) % PORTS.len();
    for port in PORTS.skip(begin).chain(PORTS) {
        let lock = File::options().create(true).truncate(false).write(true).open(folder.join(port.to_string()));
        let Ok(lock) = lock else { continue };
        if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            held.push(lock);
            return port;
        }
    }
    panic!("no port of {PORTS:?} is free");
}

impl Agent {
    /// `agent -dev`, ready: its node takes allocations.
    pub async fn dev() -> Self {
        let agent = Self::start(&["-dev"], "").await;
        agent.node_ready().await;
        agent
    }

    /// An agent with its state on disk, so that it can be killed and started again.
    pub async fn durable() -> Self {
        let agent = Self::start(&[], DURABLE).await;
        agent.node_ready().await;
        agent
    }

    /// Starts an agent with flags and configuration; returns when its API answers.
    pub async fn start(flags: &[&str], configuration: &str) -> Self {
        let mut agent = Self::prepare(flags, configuration);
        agent.restart().await;
        agent
    }

    /// Folder, ports and configuration of an agent that does not run yet.
    pub fn prepare(flags: &[&str], configuration: &str) -> Self {
        Self::prepare_at("127.0.0.1", flags, configuration)
    }

    /// The same on another address of this host.
    pub fn prepare_at(host: &str, flags: &[&str], configuration: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("nomadd-test-").tempdir().expect("a temporary folder");
        let (port, rpc, serf) = (free_port(), free_port(), free_port());
        let data = if flags.contains(&"-dev") {
            String::new()
        } else {
            format!("data_dir = \"{}\"\n", folder.path().join("data").display())
        };
        let text = format!("{data}ports {{\n  http = {port}\n  rpc = {rpc}\n  serf = {serf}\n}}\n{configuration}");
        let file = folder.path().join("agent.hcl");
        std::fs::write(&file, text).expect("the configuration is written");
        let mut arguments = vec!["agent".to_owned(), format!("-config={}", file.display())];
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        Self { child: None, host: host.to_owned(), port, rpc, serf, folder, namespace: None, arguments }
    }

    /// `HOST:PORT` of its RPC.
    pub fn rpc_address(&self) -> String {
        format!("{}:{}", self.host, self.rpc)
    }
    /// `HOST:PORT` of its gossip.
    pub fn serf_address(&self) -> String {
        format!("{}:{}", self.host, self.serf)
    }

    /// Starts the process (again), and waits for nothing.
    pub fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).expect("the log opens");
        let mut command = Command::new(binary("nomadd"));
        if let Some(namespace) = &self.namespace {
            command = Command::new("nsenter");
            // Only the network: cgroups and files are this machine's.
            command.arg(format!("--net=/run/netns/{namespace}")).arg(binary("nomadd"));
        }
        let child = command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log is shared"))
            .stderr(log)
            .spawn()
            .expect("nomadd starts");
        self.child = Some(child);
    }

    /// Starts the process (again) and waits for its API.
    pub async fn restart(&mut self) {
        self.spawn();
        let pid = self.pid();
        until("the API answers", || async {
            assert!(crate::process::runs(pid), "the agent ended; log: {}", self.log());
            let asked = self.api().call::<Value>(Request::get("/v1/agent/self")).await;
            asked.map_err(|error| format!("{error}; log: {}", self.log()))
        })
        .await;
    }

    /// Kills the process with SIGKILL; its tasks go on.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is ours to kill");
            child.wait().expect("it is reaped");
        }
    }

    /// Ends the process with SIGINT and returns its exit code.
    pub fn interrupt(&mut self) -> Option<i32> {
        let mut child = self.child.take()?;
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        child.wait().expect("it is reaped").code()
    }

    /// Starts nomadctl against it and lets it run; its output goes to files of this name (`.out`, `.err`) in the agent's folder.
    pub fn follow(&self, name: &str, arguments: &[&str]) -> Following {
        Following::start(&self.address(), arguments, self.path(), name)
    }
    /// The value that the API answers to a GET.
    pub async fn get(&self, path: &str) -> Value {
        let asked = self.api().call::<Value>(Request::get(path)).await;
        asked.unwrap_or_else(|error| panic!("GET {path}: {error}; log: {}", self.log())).value
    }
    /// The allocations of a job with all that the API tells about each.
    pub async fn allocations(&self, job: &str) -> Vec<Value> {
        let listed = self.get(&format!("/v1/job/{job}/allocations")).await;
        let ids = listed.as_array().into_iter().flatten().filter_map(|stub| stub["ID"].as_str());
        let mut all = Vec::new();
        for id in ids {
            all.push(self.get(&format!("/v1/allocation/{id}")).await);
        }
        all
    }
    /// Waits until `look` accepts the job's allocations, and returns them.
    pub async fn allocations_until(&self, job: &str, what: &str, look: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        until(what, || async {
            let all = self.allocations(job).await;
            if look(&all) { Ok(all) } else { Err(serde_json::to_string(&all).unwrap_or_default()) }
        })
        .await
    }

    /// Whether the process was started and not killed.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }
    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }
    /// A client of its API.
    pub fn api(&self) -> Client {
        Client::new(self.address().parse().expect("a sound address"))
    }
    /// `http://HOST:PORT`.
    pub fn address(&self) -> String {
        format!("http://{}:{}", self.host, self.port)
    }
    /// Runs nomadctl against it.
    pub async fn ctl(&self, arguments: &[&str]) -> Finished {
        ctl(&self.address(), arguments, self.folder.path()).await
    }
    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }
    fn log_path(&self) -> PathBuf {
        self.folder.path().join("agent.log")
    }
    /// Writes a file into its folder.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("the file is written");
        path
    }
    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until the node takes allocations.
    pub async fn node_ready(&self) {
        until("the node is ready", || async {
            let nodes =
                self.api().call::<Value>(Request::get("/v1/nodes")).await.map_err(|error| error.to_string())?.value;
            if nodes[0]["Status"] == "ready" { Ok(()) } else { Err(format!("{nodes}; log: {}", self.log())) }
        })
        .await;
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // An ordered stop first: it takes the tasks of a development agent along.
        if let Some(child) = &mut self.child {
            let _gone = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
            let _ended = child.wait();
        }
        // Tasks of a durable agent go on by themselves: end those whose allocation is in this folder.
        for pid in crate::process::with_environment(&self.folder.path().display().to_string()) {
            let _gone = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
        // What is mounted there for allocations that were not removed would keep the folder.
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let below = mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .filter(|place| Path::new(place).starts_with(self.folder.path()));
        for place in below {
            let _gone = Command::new("umount").args(["-l", place]).status();
        }
    }
}
