//! A host that systemd has booted: this machine's root with a memory file system on top, namespaces and cgroups of its own.
//! The agent on it is `nomadd.service` with the unit file of the packages.
//!
//! Its process 1 dies with the pipe of a shell outside, as the other hosts do. Needs the packages systemd and dbus.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nomadd_api::{Client, Request};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Lab;
use crate::agent::binary;
use crate::ctl::Finished;
use crate::process;
use crate::wait::until;

/// Outside of the host: puts itself into cgroups of the host's own, boots it, and kills it when the pipe closes.
const OUTSIDE: &str = r#"set -e
name=$1; shift
hierarchies=$(awk -F: '$2 != "" { sub(/^name=/, "", $2); print $2 }' /proc/self/cgroup)
for controllers in $hierarchies; do
  own=/sys/fs/cgroup/$controllers/$name
  mkdir -p "$own"
  if [ -e "$own/cpuset.cpus" ]; then
    for file in cpuset.cpus cpuset.mems; do cat "$own/../$file" >"$own/$file"; done
  fi
done
unified=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
mkdir -p "$unified/$name"
for controller in $(cat "$unified/cgroup.controllers"); do echo "+$controller" >"$unified/cgroup.subtree_control" || true; done
(
  # Nothing is started here: unshare must have one child.
  for controllers in $hierarchies; do echo $BASHPID >"/sys/fs/cgroup/$controllers/$name/cgroup.procs"; done
  echo $BASHPID >"$unified/$name/cgroup.procs"
  exec setsid unshare --mount --net --uts --ipc --pid --cgroup --fork --kill-child "$@" </dev/null
) &
echo $!
read -r _ || true
kill -KILL $!
wait"#;

/// A booted host; its power is cut when this is dropped.
pub struct Booted {
    number: u8,
    folder: PathBuf,
    cgroup: String,
    outside: Child,
    /// The id of process 1 as the machine counts.
    inside: u32,
}

impl Booted {
    /// Boots a host with the next address and waits until systemd says that it runs.
    pub async fn boot(lab: &Lab, name: &str) -> Self {
        let (number, folder) = (lab.next_number(), lab.folder().join(name));
        for part in ["", "disk", "root", "own"] {
            std::fs::create_dir(folder.join(part)).expect("names of hosts differ");
        }
        let cgroup = format!("{}-{number}", lab.token());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lab/boot.sh");
        let binaries = binary("nomadd");
        let mut outside = Command::new("bash")
            .args(["-c", OUTSIDE, "outside", &cgroup, "bash"])
            .arg(script)
            .arg(&folder)
            .arg(name)
            .arg(binaries.parent().expect("a folder of binaries"))
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("own/boot.log")).expect("a log"))
            .spawn()
            .expect("bash starts");
        let mut line = String::new();
        let mut stdout = std::io::BufReader::new(outside.stdout.take().expect("a pipe"));
        std::io::BufRead::read_line(&mut stdout, &mut line).expect("bash answers");
        let unshare: u32 = line.trim().parse().expect("a process id");
        let said = folder.join("own/boot.log");
        let said = || std::fs::read_to_string(&said).unwrap_or_default();
        let inside = until("unshare has forked", || async {
            // Before it is unshare it is a shell with children of its own.
            let program = std::fs::read_to_string(format!("/proc/{unshare}/comm")).unwrap_or_default();
            let forked = process::children(unshare).first().copied().filter(|_| program == "unshare\n");
            forked.ok_or_else(said)
        });
        let host = Self { number, folder: folder.clone(), cgroup, outside, inside: inside.await };
        until("systemd runs", || async {
            let state = host.run(&["systemctl", "is-system-running"]).await;
            if matches!(state.out.trim(), "running" | "degraded") { Ok(()) } else { Err((state, said())) }
        })
        .await;
        super::ip(&format!("link add v{number} type veth peer name eth0 netns {inside}", inside = host.inside));
        super::ip(&format!("link set v{number} master br0 up"));
        let address = host.address();
        host.sh(&format!("ip addr add {address}/24 dev eth0 && ip link set eth0 up")).await;
        host.sh("ip route add default via 10.77.0.254").await;
        host
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("10.77.0.{}", self.number)
    }
    /// A path below the host's `/lab/own`, as the test sees it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join("own").join(name)
    }

    /// Runs a program on the host, as somebody who is logged in there.
    pub async fn run(&self, arguments: &[&str]) -> Finished {
        let target = format!("-t{}", self.inside);
        let output = tokio::process::Command::new("nsenter")
            .args([&target, "-a", "env", "-i", "PATH=/lab/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        output.await.expect("nsenter runs").into()
    }
    /// Runs a line of shell on the host and returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub async fn sh(&self, line: &str) -> String {
        self.run(&["sh", "-c", line]).await.ok()
    }
    /// A property of a unit; "" when there is no such unit.
    pub async fn property(&self, unit: &str, property: &str) -> String {
        self.run(&["systemctl", "show", "--value", "-p", property, unit]).await.out.trim().to_owned()
    }
    /// The services of tasks, by name.
    pub async fn units(&self) -> Vec<String> {
        let printed = self.sh("systemctl list-units --all --plain --no-legend '*.*.*.*.*.service'").await;
        let mut units: Vec<_> = printed.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
        units.sort();
        units
    }

    /// Installs the agent as the packages do, with this configuration beside its data directory, and starts it.
    pub async fn start_agent(&self, configuration: &str) {
        let unit = include_str!("../../../systemd/nomadd.service");
        let unit = unit
            .replace("/usr/bin/nomadd agent -config /etc/nomad.d", "/lab/bin/nomadd agent -config /lab/own/agent.hcl");
        std::fs::write(self.path("nomadd.service"), unit).expect("the unit is written");
        let text = format!("data_dir = \"/lab/own/data\"\n{configuration}");
        std::fs::write(self.path("agent.hcl"), text).expect("the configuration is written");
        self.sh("cp /lab/own/nomadd.service /run/systemd/system/ && systemctl daemon-reload && systemctl start nomadd")
            .await;
    }
    /// Kills the agent with SIGKILL; systemd starts it again, and this waits until it serves.
    pub async fn kill_agent(&self) {
        let before = self.property("nomadd", "MainPID").await;
        self.sh("systemctl kill -s KILL --kill-whom=main nomadd").await;
        until("the agent is started again", || async {
            let (state, pid) = (self.property("nomadd", "ActiveState").await, self.property("nomadd", "MainPID").await);
            if state == "active" && pid != before && pid != "0" { Ok(()) } else { Err((state, pid)) }
        })
        .await;
    }
    /// What the agent has logged.
    pub async fn agent_log(&self) -> String {
        self.run(&["journalctl", "--no-pager", "-o", "cat", "-u", "nomadd"]).await.out
    }

    /// What the API on port 4646 answers, or why not.
    pub async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, String> {
        let client = Client::new(format!("http://{}:4646", self.address()).parse().expect("a sound address"));
        let answer = tokio::time::timeout(super::host::PATIENCE, client.call::<T>(request)).await;
        answer.map_err(|_| "no answer".to_owned())?.map(|answer| answer.value).map_err(|error| format!("{error:?}"))
    }
    /// What the API answers to a GET, or why not.
    pub async fn get(&self, path: &str) -> Result<Value, String> {
        self.ask(Request::get(path)).await
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let journal = Command::new("nsenter")
                .args([&format!("-t{}", self.inside), "-a", "journalctl", "-n80", "--no-pager"])
                .output();
            if let Ok(journal) = journal {
                println!("--- the end of the journal:\n{}", String::from_utf8_lossy(&journal.stdout));
            }
        }
        // `unshare --kill-child` takes process 1 along, and that the whole host.
        drop(self.outside.stdin.take());
        let _gone = Command::new("kill").args(["-KILL", &self.inside.to_string()]).status();
        let _ended = self.outside.wait();
        super::remove_own_cgroups(&self.cgroup);
    }
}
