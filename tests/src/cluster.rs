//! Several agents of the real binary that form a cluster, each on an address of its own of this host.

use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::Value;

use crate::agent::Agent;
use crate::wait::until;

/// Addresses are not used twice by the tests of one process.
static LAST: AtomicU16 = AtomicU16::new(0);

/// An address of loopback that no other test of this process uses.
pub fn address() -> String {
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    format!("127.{}.{}.{}", 10 + std::process::id() % 200, number / 200, 1 + number % 200)
}

/// Servers and agents that are only clients.
pub struct Cluster {
    /// The servers.
    pub servers: Vec<Agent>,
    /// The clients.
    pub clients: Vec<Agent>,
}

/// What is added to configurations.
#[derive(Clone, Debug, Default)]
pub struct More {
    /// Into the `server` block.
    pub server: String,
    /// In front of the file of each server.
    pub of_servers: String,
    /// In front of the file of each client.
    pub of_clients: String,
}

/// A server named `name` that expects so many; `more` goes into its `server` block.
pub fn server(name: &str, expect: usize, more: &str) -> Agent {
    let host = address();
    let text = format!(
        "name = \"{name}\"\nbind_addr = \"{host}\"\nserver {{\n  enabled = true\n  num_schedulers = 1\n  bootstrap_expect = {expect}\n{more}}}\n"
    );
    Agent::prepare_at(&host, &[], &text)
}

/// A client named `name` of the given servers.
pub fn client(name: &str, servers: &[Agent]) -> Agent {
    let host = address();
    let known: Vec<String> = servers.iter().map(|server| format!("\"{}\"", server.rpc_address())).collect();
    let text = format!(
        "name = \"{name}\"\nbind_addr = \"{host}\"\nclient {{\n  enabled = true\n  network_interface = \"lo\"\n  servers = [{}]\n}}\nplugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n",
        known.join(", ")
    );
    Agent::prepare_at(&host, &[], &text)
}

impl Cluster {
    /// Servers that find each other by `retry_join`, and clients; running, with a leader, all nodes ready.
    pub async fn form(servers: usize, clients: usize) -> Self {
        Self::form_with(servers, clients, &More::default()).await
    }

    /// The same with more configuration.
    pub async fn form_with(servers: usize, clients: usize, more: &More) -> Self {
        let mut all: Vec<Agent> =
            (1..=servers).map(|number| server(&format!("s{number}"), servers, &more.server)).collect();
        let join: Vec<String> = all.iter().map(|server| format!("\"{}\"", server.serf_address())).collect();
        for server in &mut all {
            let file = server.path().join("agent.hcl");
            let text = std::fs::read_to_string(&file).expect("the configuration is there");
            let block = format!(
                "  server_join {{\n    retry_join = [{}]\n    retry_interval = \"1s\"\n  }}\n}}\n",
                join.join(", ")
            );
            let text = text.trim_end().strip_suffix('}').expect("the server block is the last").to_owned() + &block;
            std::fs::write(&file, more.of_servers.clone() + &text).expect("the configuration is written");
            server.spawn();
        }
        let mut cluster = Self { servers: all, clients: Vec::new() };
        cluster.leader().await;
        for number in 1..=clients {
            let mut client = client(&format!("c{number}"), &cluster.servers);
            let file = client.path().join("agent.hcl");
            let text = std::fs::read_to_string(&file).expect("the configuration is there");
            std::fs::write(&file, more.of_clients.clone() + &text).expect("the configuration is written");
            client.restart().await;
            cluster.clients.push(client);
        }
        if let Some(client) = cluster.clients.first() {
            cluster.ready(client, clients).await;
        }
        cluster
    }

    /// Waits until an agent knows so many nodes that take allocations.
    pub async fn ready(&self, agent: &Agent, count: usize) {
        until("all nodes are ready", || async {
            let nodes = asked(agent, "/v1/nodes").await?;
            let ready = nodes.as_array().into_iter().flatten().filter(|node| node["Status"] == "ready").count();
            if ready == count { Ok(()) } else { Err(nodes.to_string()) }
        })
        .await;
    }

    /// Waits until all running servers know the same leader; its place among them.
    pub async fn leader(&self) -> usize {
        until("the servers agree on a leader", || async {
            let mut found = Vec::new();
            for server in self.servers.iter().filter(|server| server.is_running()) {
                let leader = asked(server, "/v1/status/leader").await?;
                found.push(leader.as_str().unwrap_or_default().to_owned());
            }
            let first = found.first().cloned().unwrap_or_default();
            let place = self.servers.iter().position(|server| server.rpc_address() == first && server.is_running());
            match place {
                Some(place) if found.iter().all(|leader| *leader == first) => Ok(place),
                _ => Err(format!("{found:?}")),
            }
        })
        .await
    }
}

/// What an agent answers, or why not.
pub async fn asked(agent: &Agent, path: &str) -> Result<Value, String> {
    let answer = agent.api().call::<Value>(nomadd_api::Request::get(path)).await;
    answer.map(|answer| answer.value).map_err(|error| format!("{error:?} at {}", agent.address()))
}
