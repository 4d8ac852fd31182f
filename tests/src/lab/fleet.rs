//! Servers and clients, each on a host of its own, with jobs that run all the while.

use nomadd_api::Request;
use serde_json::{Value, json};

use super::checks::{Starts, running};
use super::{Host, Lab};
use crate::wait::until;

/// The name of the only agent on a host.
const AGENT: &str = "agent";
const ARGUMENTS: &str = "-config=/tmp/agent.hcl";

/// What makes a host a client, besides its name and its servers.
pub const CLIENT: &str = "data_dir = \"/tmp/data\"\nplugin \"raw_exec\" {\n  config {\n    enabled = true\n  }\n}\n";

/// The configuration of a server that waits for so many; `more` goes into its `server` block, `top` beside it.
pub fn server_text(name: &str, expect: usize, more: &str, top: &str) -> String {
    format!(
        "name = \"{name}\"\ndata_dir = \"/tmp/data\"\n{top}server {{\n  enabled = true\n  num_schedulers = 1\n  bootstrap_expect = {expect}\n{more}}}\n"
    )
}

/// Servers and clients on hosts of their own.
pub struct Fleet {
    /// The servers.
    pub servers: Vec<Host>,
    /// The agents that are only clients.
    pub clients: Vec<Host>,
    /// What they are plugged into; outlives them.
    pub lab: Lab,
}

impl Fleet {
    /// Boots hosts, starts agents, and waits for a leader and all nodes. `prepare` sees each host of a server before its agent.
    pub async fn form(lab: Lab, servers: usize, clients: usize, prepare: impl Fn(&Host)) -> Self {
        let servers: Vec<Host> = (1..=servers).map(|number| lab.host(&format!("s{number}"))).collect();
        let clients: Vec<Host> = (1..=clients).map(|number| lab.host(&format!("c{number}"))).collect();
        let known: Vec<String> = servers.iter().map(|server| format!("\"{}\"", server.address())).collect();
        let known = known.join(", ");
        let join = format!("  server_join {{\n    retry_join = [{known}]\n    retry_interval = \"1s\"\n  }}\n");
        for server in &servers {
            prepare(server);
            server.file("agent.hcl", &server_text(server.name(), servers.len(), &join, ""));
        }
        for client in &clients {
            let block = format!(
                "name = \"{}\"\n{CLIENT}client {{\n  enabled = true\n  servers = [{known}]\n}}\n",
                client.name()
            );
            client.file("agent.hcl", &block);
        }
        let fleet = Self { servers, clients, lab };
        fleet.all().for_each(Self::start);
        fleet.leader().await;
        fleet.ready().await;
        fleet
    }

    /// All hosts, servers first.
    pub fn all(&self) -> impl Iterator<Item = &Host> {
        self.servers.iter().chain(&self.clients)
    }
    /// The servers whose agent runs.
    pub fn up(&self) -> impl Iterator<Item = &Host> {
        self.servers.iter().filter(|server| server.is_up(AGENT))
    }
    /// Starts the agent of a host.
    pub fn start(host: &Host) {
        host.start(AGENT, ARGUMENTS);
    }
    /// The same with more in the agent's environment.
    pub fn start_with(host: &Host, environment: &str) {
        host.start_with(environment, AGENT, ARGUMENTS);
    }
    /// Kills the agent of a host with SIGKILL.
    pub fn kill(host: &Host) {
        host.kill(AGENT);
    }
    /// Sends a signal to the agent of a host.
    pub fn signal(host: &Host, signal: &str) {
        host.signal(AGENT, signal);
    }
    /// Stops the agent of a host in order.
    pub async fn stop(host: &Host) -> i32 {
        host.stop(AGENT, "TERM").await
    }

    /// Waits until these servers know the same leader, which is one of them; its place among all.
    pub async fn leader_of(&self, servers: &[&Host]) -> usize {
        until("the servers agree on a leader", || async {
            let mut found = Vec::new();
            for server in servers {
                found.push(server.get("/v1/status/leader").await?.as_str().unwrap_or_default().to_owned());
            }
            let leader = |server: &Host| format!("{}:4647", server.address()) == found[0];
            let is_theirs = servers.iter().any(|server| leader(server));
            match self.servers.iter().position(leader) {
                Some(place) if is_theirs && found.iter().all(|other| *other == found[0]) => Ok(place),
                _ => Err(format!("{found:?}")),
            }
        })
        .await
    }
    /// Waits until all servers that run know the same leader; its place.
    pub async fn leader(&self) -> usize {
        let up: Vec<&Host> = self.up().collect();
        self.leader_of(&up).await
    }
    /// Waits until every server says that all nodes are ready.
    pub async fn ready(&self) {
        for server in self.up() {
            until("all nodes are ready", || async {
                let nodes = server.get("/v1/nodes").await?;
                let ready = nodes.as_array().into_iter().flatten().filter(|node| node["Status"] == "ready").count();
                if ready == self.clients.len() { Ok(()) } else { Err(format!("{}: {nodes}", server.name())) }
            })
            .await;
        }
    }
    /// Waits until so many servers vote, all alive.
    pub async fn voters(&self, count: usize) {
        for server in self.up() {
            until("the servers vote", || async {
                let found = server.get("/v1/operator/raft/configuration").await?;
                let voters =
                    found["Servers"].as_array().into_iter().flatten().filter(|one| one["Voter"] == true).count();
                if voters == count { Ok(()) } else { Err(format!("{}: {found}", server.name())) }
            })
            .await;
        }
    }

    /// Waits until every server sees every server alive.
    pub async fn members(&self) {
        for server in self.up() {
            until("the servers see each other", || async {
                let found = server.get("/v1/agent/members").await?;
                let alive = found["Members"].as_array().into_iter().flatten().filter(|one| one["Status"] == "alive");
                if alive.count() == self.servers.len() { Ok(()) } else { Err(format!("{}: {found}", server.name())) }
            })
            .await;
        }
    }

    /// Registers a service of so many tasks, spread over the nodes, and waits until they run.
    pub async fn service(&self, name: &str, count: usize) {
        let job = self.job(name, "service", count, "exec sleep 100000");
        let registered: Value = self.servers[0].ask(put("/v1/jobs", &job)).await.expect("the job is taken");
        assert!(registered["EvalID"].as_str().is_some_and(|id| !id.is_empty()), "{registered}");
        self.runs(name, count).await;
    }
    /// A job whose tasks note their start, and then do `script`.
    pub fn job(&self, name: &str, kind: &str, count: usize, script: &str) -> Value {
        job(&self.lab.token(), name, kind, count, script)
    }
    /// Waits until exactly these many allocations of a service run, as every server says and as the processes show.
    pub async fn runs(&self, name: &str, count: usize) {
        let token = self.lab.token();
        for server in self.up() {
            until(&format!("{count} of {name} run"), || async {
                let stubs = server.get(&format!("/v1/job/{name}/allocations")).await?;
                let stubs = stubs.as_array().into_iter().flatten();
                let told = stubs.filter(|stub| stub["ClientStatus"] == "running" && stub["DesiredStatus"] == "run");
                let mut told: Vec<(String, String)> =
                    told.map(|stub| (text(&stub["ID"]), text(&stub["Name"]))).collect();
                told.sort();
                let mut names: Vec<&String> = told.iter().map(|(_, name)| name).collect();
                names.sort();
                names.dedup();
                let real = running(&token, name);
                if told.len() == count && names.len() == count && real == told {
                    Ok(())
                } else {
                    Err(format!("{} says {told:?}; there run {real:?}", server.name()))
                }
            })
            .await;
        }
    }
    /// What was started so far.
    pub fn starts(&self) -> Starts {
        Starts::read(&self.lab.shared())
    }
}

/// A PUT with a JSON body.
pub(super) fn put(path: &str, body: &Value) -> Request {
    Request::put(path).json(body).expect("JSON")
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A job of raw processes; every start leaves a line in the shared folder.
pub(super) fn job(token: &str, name: &str, kind: &str, count: usize, script: &str) -> Value {
    let line = format!("echo \"$NOMAD_ALLOC_ID $NOMAD_ALLOC_NAME $(hostname)\" >>/tmp/shared/starts; {script}");
    json!({ "Job": {
        "ID": name, "Name": name, "Type": kind, "Datacenters": ["*"],
        "TaskGroups": [{
            "Name": "g", "Count": count,
            "Spreads": [{ "Attribute": "${node.unique.name}", "Weight": 50 }],
            "RestartPolicy": { "Attempts": 0, "Mode": "fail", "Interval": 60_000_000_000_u64, "Delay": 1_000_000_000 },
            "EphemeralDisk": { "SizeMB": 10 },
            "Tasks": [{
                "Name": "t", "Driver": "raw_exec", "Env": { "LAB": token },
                "Config": { "command": "/bin/sh", "args": ["-c", line] },
                "Resources": { "CPU": 20, "MemoryMB": 16 },
                "LogConfig": { "MaxFiles": 1, "MaxFileSizeMB": 1 },
            }],
        }],
    } })
}
