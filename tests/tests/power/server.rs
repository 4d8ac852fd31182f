//! A server in a machine: its kernel, its disk, and a first process that does nothing but start the agent.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nomadd_api::{Client, Request};
use nomadd_tests::agent::{binary, free_port};
use nomadd_tests::machine::{Cut, Disk, Hardware, Initrd, Kernel, Machine, api};
use nomadd_tests::wait::{until, until_within};
use serde_json::Value;
use tempfile::TempDir;

use super::ledger::{Content, Thing};

/// How long a machine may take to boot and its server to serve; an idle core does it in 5 s.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long one answer may take while it boots.
const ANSWER: Duration = Duration::from_secs(10);
/// The disk, in MiB: a server wants 256 MiB free.
const DISK: u64 = 640;
/// The memory, in MiB.
const MEMORY: u32 = 512;

/// Snapshots are made, and the log before them removed, every few writes.
const CONFIGURATION: &str = r#"name = "machine"
data_dir = "/data/nomadd"
bind_addr = "10.0.2.15"

server {
  enabled = true
  bootstrap_expect = 1
  num_schedulers = 1
  raft_snapshot_threshold = 50
  raft_snapshot_interval = "1s"
  raft_trailing_logs = 20
}
"#;

/// What the machine says when its agent has ended.
const ENDED: &str = "the agent ended with";

/// The machine's first process. Its kernel keeps what is not synced as long as it can: a dirty page lives until there is no
/// room for it, so that without fdatasync all is lost, not only the last 30 s.
const SCRIPT: &str = r#"mkdir /data
mount -t ext4 /dev/vda /data || exit 1
cd /proc/sys/vm
echo 90 >dirty_ratio
echo 80 >dirty_background_ratio
echo 0 >dirty_writeback_centisecs
cd /
[ ! -e /lib/no-sync.so ] || export LD_PRELOAD=/lib/no-sync.so
nomadd agent -config=/etc/agent.hcl
echo "the agent ended with $?"
sleep 1000000"#;

/// fdatasync and its sisters removed.
const NO_SYNC: &str = "
int fdatasync(int file) { (void)file; return 0; }
int fsync(int file) { (void)file; return 0; }
int syncfs(int file) { (void)file; return 0; }
void sync(void) {}
";

/// Whether the server's syncing does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    Sync,
    /// The functions that sync are replaced in the machine; the agent is the same.
    NoSync,
}

/// When the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Now.
    Any,
    /// When the machine has written and asks for a flush.
    Flush,
}

/// The machine with its disk.
pub struct Server {
    folder: TempDir,
    initrd: PathBuf,
    kernel: Kernel,
    disk: Disk,
    machine: Option<Machine>,
    port: u16,
    boots: u32,
}

impl Server {
    /// A machine that is off, with an empty disk.
    pub fn new(durability: Durability) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kernel = Kernel::find();
        let mut initrd = Initrd::new(&kernel, SCRIPT);
        initrd.program("bin/nomadd", &binary("nomadd"));
        initrd.file("etc/agent.hcl", CONFIGURATION.as_bytes());
        if durability == Durability::NoSync {
            let (source, library) = (folder.path().join("no-sync.c"), folder.path().join("no-sync.so"));
            std::fs::write(&source, NO_SYNC).unwrap();
            let compiled = Command::new("gcc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
            assert!(compiled.unwrap().success(), "gcc makes a library");
            initrd.program("lib/no-sync.so", &library);
        }
        let archive = folder.path().join("initrd");
        initrd.write(&archive);
        let disk = Disk::ext4(DISK, folder.path());
        Self { initrd: archive, kernel, disk, machine: None, port: free_port(), boots: 0, folder }
    }

    /// Switches it on and waits until the server serves; an error is the end of the console of a machine whose agent ended.
    pub async fn boot(&mut self) -> Result<(), String> {
        self.boots += 1;
        let hardware = Hardware {
            kernel: self.kernel.image(),
            initrd: self.initrd.clone(),
            append: String::new(),
            memory: MEMORY,
            disks: vec![self.disk.plug(self.folder.path())],
            forwards: vec![(self.port, 4646)],
        };
        let console = self.folder.path().join(format!("console-{}", self.boots));
        let mut machine = Machine::boot(&hardware, &console);
        let api = api(self.port);
        let served = until_within(PATIENCE, "the server serves", || {
            assert!(machine.runs(), "the machine went off: {}", machine.last_words());
            let ended = machine.console().contains(ENDED).then(|| machine.last_words());
            let words = machine.last_words();
            let api = &api;
            async move {
                if let Some(words) = ended {
                    return Ok(Err(words));
                }
                let asked = api.call::<Value>(Request::get("/v1/status/leader"));
                match tokio::time::timeout(ANSWER, asked).await {
                    Ok(Ok(answer)) if answer.value.as_str().is_some_and(|leader| !leader.is_empty()) => Ok(Ok(())),
                    answer => Err(format!("{answer:?}\n{words}")),
                }
            }
        })
        .await;
        self.machine = Some(machine);
        served
    }

    /// Cuts the power at a moment: of the disk first, so that nothing becomes durable any more, then of the machine.
    pub async fn cut(&mut self, moment: Moment, seed: u64) -> Cut {
        match moment {
            Moment::Any => self.disk.cut(seed),
            Moment::Flush => self.disk.cut_at_flush(seed),
        }
        let cut = until("the power of the disk is cut", async || self.disk.was_cut().ok_or("not yet")).await;
        self.machine.take().unwrap().kill();
        cut
    }

    /// A client of its API.
    pub fn api(&self) -> Client {
        api(self.port)
    }
    /// What its server said when it had read its log.
    pub fn opened(&self) -> String {
        let console = self.machine.as_ref().map(Machine::console).unwrap_or_default();
        console
            .lines()
            .find_map(|line| line.split_once("log is open: "))
            .map_or_else(String::new, |(_, what)| what.to_owned())
    }
    /// How often its disk was flushed.
    pub fn flushes(&self) -> u64 {
        self.disk.flushes()
    }
    /// The end of its console.
    pub fn last_words(&self) -> String {
        self.machine.as_ref().map(Machine::last_words).unwrap_or_default()
    }

    /// What it has, but for what it has from the beginning.
    pub async fn content(&self) -> Content {
        let mut content = Content::new();
        let api = self.api();
        let list =
            async |path: &str| until_within(PATIENCE, path, || api.call::<Vec<Value>>(Request::get(path))).await.value;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for space in list("/v1/namespaces").await {
            if space["Name"] != "default" {
                content.insert(Thing::Namespace(text(&space["Name"])), text(&space["Description"]));
            }
        }
        for job in list("/v1/jobs").await {
            content.insert(Thing::Job(text(&job["ID"])), text(&job["Name"]));
        }
        content
    }
}
