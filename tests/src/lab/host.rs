//! One host: its init shell, agents on it, its packet filter.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use nomadd_api::{Client, Request};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::agent::binary;
use crate::ctl::Finished;
use crate::process;
use crate::wait::until;

/// Process 1: makes the host's file systems and then does what it is told; ends with the pipe.
const INIT: &str = r#"set -e
mkdir -p "$1/tmp/bin" "$1/tmp/shared"
mount --bind "$2" "$1/tmp/bin"
mount --bind "$1/../shared" "$1/tmp/shared"
mount --rbind "$1/tmp" /tmp
mount -t tmpfs tmpfs /run
mkdir /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/cgroup /sys/fs/cgroup
umount -l /run/cgroup
hostname "$3"
ip link set lo up
cd /tmp
export PATH="/tmp/bin:$PATH" TMPDIR=/tmp
set +e
echo "@end 0"
while IFS= read -r line; do eval "$line"; echo "@end $?"; done"#;

/// How long an answer may take that is not waited for with `until`.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How many lines of each log a test prints that fails.
const LINES: usize = 60;

/// A host; its power is cut when this is dropped.
pub struct Host {
    name: String,
    number: u8,
    folder: PathBuf,
    init: Child,
    /// The id of process 1 as the machine counts.
    inside: u32,
    shell: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    /// The agents that run, by name: their ids as the host counts.
    agents: Mutex<BTreeMap<String, u32>>,
}

impl Host {
    pub(super) fn boot(lab: &Path, name: &str, number: u8) -> Self {
        let folder = lab.join(name);
        std::fs::create_dir(&folder).expect("names of hosts differ");
        let binaries = binary("nomadd");
        let mut init = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc", "bash", "-c", INIT])
            .arg("init")
            .arg(&folder)
            .arg(binaries.parent().expect("a folder of binaries"))
            .arg(name)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("init.log")).expect("a log"))
            // Ctrl-C at the terminal ends the test, and that its hosts by their pipes.
            .process_group(0)
            .spawn()
            .expect("unshare starts: install util-linux");
        let stdin = init.stdin.take().expect("a pipe");
        let stdout = BufReader::new(init.stdout.take().expect("a pipe"));
        let mut host = Self {
            name: name.to_owned(),
            number,
            folder,
            inside: 0,
            shell: Mutex::new((stdin, stdout)),
            agents: Mutex::new(BTreeMap::new()),
            init,
        };
        host.reply("boot");
        host.inside = process::children(host.init.id()).first().copied().expect("unshare has forked");
        super::ip(&format!("link add v{number} type veth peer name eth0 netns {}", host.inside));
        super::ip(&format!("link set v{number} master br0 up"));
        host.sh(&format!("ip addr add {}/24 dev eth0 && ip link set eth0 up", host.address()));
        host.sh("ip route add default via 10.77.0.254");
        host
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("10.77.0.{}", self.number)
    }
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
    pub(super) fn number(&self) -> u8 {
        self.number
    }

    /// Runs a line in the host's init shell and returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn sh(&self, line: &str) -> String {
        self.shell.lock().expect("the shell works").0.write_all(format!("{line}\n").as_bytes()).expect("init reads");
        self.reply(line)
    }
    #[track_caller]
    fn reply(&self, line: &str) -> String {
        let mut printed = String::new();
        let shell = &mut self.shell.lock().expect("the shell works").1;
        loop {
            let mut next = String::new();
            let read = shell.read_line(&mut next).expect("init answers");
            let said = || std::fs::read_to_string(self.folder.join("init.log")).unwrap_or_default();
            assert!(read > 0, "host {} ended at {line:?}: {}", self.name, said());
            match next.strip_prefix("@end ") {
                Some(code) => {
                    assert!(code.trim() == "0", "{line:?} on host {} ended with {code}: {}", self.name, said());
                    return printed;
                }
                None => printed.push_str(&next),
            }
        }
    }

    /// Writes a file into the host's `/tmp`; the path as the host sees it.
    pub fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.folder.join("tmp").join(name), text).expect("the file is written");
        format!("/tmp/{name}")
    }
    /// A path below the host's `/tmp`, as the test sees it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join("tmp").join(name)
    }
    /// What an agent has logged.
    pub fn log(&self, agent: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{agent}.log"))).unwrap_or_default()
    }

    /// Runs a program on the host, as somebody who is logged in there.
    pub async fn run(&self, arguments: &[&str]) -> Finished {
        let target = format!("-t{}", self.inside);
        let output = tokio::process::Command::new("nsenter")
            .args([&target, "-n", "-m", "-p", "-u", "env", "-i", "PATH=/tmp/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        output.await.expect("nsenter runs").into()
    }
    /// Runs nomadctl on the host; files are in `/tmp`.
    pub async fn ctl(&self, arguments: &[&str]) -> Finished {
        let mut all = vec!["env", "-C", "/tmp", "nomadctl"];
        all.extend(arguments);
        self.run(&all).await
    }

    /// Starts an agent under a name; its log is `/tmp/NAME.log`.
    pub fn start(&self, agent: &str, arguments: &str) {
        self.start_with("", agent, arguments);
    }
    /// The same with more in its environment, `NAME=value` each.
    pub fn start_with(&self, environment: &str, agent: &str, arguments: &str) {
        let line =
            format!("setsid env {environment} nomadd agent {arguments} </dev/null >>/tmp/{agent}.log 2>&1 & echo $!");
        let pid = self.sh(&line).trim().parse().expect("a process id");
        let before = self.agents.lock().expect("agents").insert(agent.to_owned(), pid);
        assert!(before.is_none(), "{agent} runs on {} already", self.name);
    }
    /// Sends a signal to an agent.
    pub fn signal(&self, agent: &str, signal: &str) {
        let pid = self.agents.lock().expect("agents").get(agent).copied().expect("the agent runs");
        self.sh(&format!("kill -{signal} {pid}"));
    }
    /// Kills an agent with SIGKILL; its tasks go on.
    pub fn kill(&self, agent: &str) {
        self.signal(agent, "KILL");
        let pid = self.agents.lock().expect("agents").remove(agent).expect("the agent ran");
        self.sh(&format!("wait {pid}; true"));
    }
    /// Ends an agent with a signal and waits for it; its exit code.
    pub async fn stop(&self, agent: &str, signal: &str) -> i32 {
        self.signal(agent, signal);
        let pid = self.agents.lock().expect("agents").remove(agent).expect("the agent ran");
        until(&format!("{agent} on {} ends", self.name), || async {
            let gone = self.sh(&format!("kill -0 {pid} 2>/dev/null && echo runs; true")).is_empty();
            if gone { Ok(()) } else { Err(self.log(agent)) }
        })
        .await;
        self.sh(&format!("wait {pid}; echo $?")).trim().parse().expect("a code")
    }
    /// Whether an agent was started and neither killed nor stopped.
    pub fn is_up(&self, agent: &str) -> bool {
        self.agents.lock().expect("agents").contains_key(agent)
    }

    /// A client of the API on this port.
    pub fn api_at(&self, port: u16) -> Client {
        Client::new(format!("http://{}:{port}", self.address()).parse().expect("a sound address"))
    }
    /// What the API on port 4646 answers within a few seconds, or why not.
    pub async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, String> {
        match tokio::time::timeout(PATIENCE, self.api_at(4646).call::<T>(request)).await {
            Ok(Ok(answer)) => Ok(answer.value),
            Ok(Err(error)) => Err(format!("{}: {error:?}", self.name)),
            Err(_) => Err(format!("{}: no answer within {PATIENCE:?}", self.name)),
        }
    }
    /// What the API answers to a GET, or why not.
    pub async fn get(&self, path: &str) -> Result<Value, String> {
        self.ask(Request::get(path)).await
    }

    /// Drops packets that come in and match, as nft says: `ip saddr 10.77.0.2`, `meta l4proto udp`.
    pub fn drop_in(&self, packets: &str) {
        self.filter("in", packets);
    }
    /// Drops packets that go out and match.
    pub fn drop_out(&self, packets: &str) {
        self.filter("out", packets);
    }
    fn filter(&self, direction: &str, packets: &str) {
        let (hook, link) = if direction == "in" { ("input", "iif") } else { ("output", "oif") };
        self.sh("nft add table inet cut");
        self.sh(&format!("nft 'add chain inet cut {direction} {{ type filter hook {hook} priority 0; }}'"));
        self.sh(&format!("nft 'add rule inet cut {direction} {link} eth0 {packets} drop'"));
    }
    /// Lets all packets pass again.
    pub fn heal(&self) {
        self.sh("nft flush ruleset");
    }

    /// Puts a small disk at a folder of the host; agents that use it must be started after.
    pub fn disk(&self, folder: &str, megabytes: u32) {
        self.sh(&format!("mkdir -p {folder} && mount -t tmpfs -o size={megabytes}m tmpfs {folder}"));
    }
    /// Fills a disk to the last byte.
    pub fn fill(&self, folder: &str) {
        self.sh(&format!(
            "cat /dev/zero >{folder}/filler 2>/dev/null; cat /dev/zero >{folder}/filler2 2>/dev/null; true"
        ));
    }
    /// Gives the space back that `fill` took.
    pub fn unfill(&self, folder: &str) {
        self.sh(&format!("rm -f {folder}/filler {folder}/filler2"));
    }
}

impl Host {
    /// The ends of the logs, for whoever looks for the cause.
    fn tell(&self) {
        for entry in std::fs::read_dir(self.path("")).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let tail = &lines[lines.len().saturating_sub(LINES)..];
                println!("--- the end of {} on {}:\n{}", path.display(), self.name, tail.join("\n"));
            }
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
        // `unshare --kill-child` takes process 1 along, and that the whole host.
        let _gone = Command::new("kill").args(["-KILL", &self.inside.to_string()]).status();
        let _gone = self.init.kill();
        let _ended = self.init.wait();
    }
}
