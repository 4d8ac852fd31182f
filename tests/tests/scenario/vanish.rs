//! Hosts that vanish, agents that restart: only silence counts as gone, and it counts soon.

use std::time::{Duration, Instant};

use nomadd_tests::cluster::asked;
use nomadd_tests::hosts::{Host, Network};
use nomadd_tests::{Agent, until};
use serde_json::Value;

const ONE: &str = r#"job "one" {
  group "g" {
    restart {
      attempts = 0
    }
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sleep"
        args    = ["1000"]
      }
      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
"#;

struct Hosts {
    network: Network,
    server: Agent,
    clients: Vec<(Host, Agent)>,
}

/// One server and clients, each on a host of its own.
async fn hosts(clients: usize) -> Hosts {
    let mut network = Network::new();
    let host = network.host();
    let text = format!(
        "name = \"s1\"\nbind_addr = \"{}\"\nserver {{\n  enabled = true\n  bootstrap_expect = 1\n}}\n",
        host.address
    );
    let mut server = Agent::prepare_at(&host.address, &[], &text);
    server.namespace = Some(host.namespace);
    server.restart().await;
    let mut all = Vec::new();
    for number in 1..=clients {
        let host = network.host();
        let text = format!(
            "name = \"c{number}\"\nbind_addr = \"{}\"\nclient {{\n  enabled = true\n  network_interface = \"eth0\"\n  servers = [\"{}\"]\n}}\nplugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n",
            host.address,
            server.rpc_address()
        );
        let mut client = Agent::prepare_at(&host.address, &[], &text);
        client.namespace = Some(host.namespace.clone());
        client.spawn();
        all.push((host, client));
    }
    for (_, client) in &all {
        until("the client's API answers", || async { asked(client, "/v1/agent/self").await }).await;
    }
    let hosts = Hosts { network, server, clients: all };
    until("all nodes are ready", || async {
        let nodes = asked(&hosts.server, "/v1/nodes").await?;
        let ready = nodes.as_array().into_iter().flatten().filter(|node| node["Status"] == "ready").count();
        if ready == clients { Ok(()) } else { Err(nodes.to_string()) }
    })
    .await;
    hosts
}

async fn node(server: &Agent, name: &str) -> Result<Value, String> {
    let nodes = asked(server, "/v1/nodes").await?;
    let found = nodes.as_array().into_iter().flatten().find(|node| node["Name"] == name).cloned();
    found.ok_or_else(|| nodes.to_string())
}

/// Where the job's allocation runs.
async fn runs_on(server: &Agent) -> Result<String, String> {
    let listed = asked(server, "/v1/job/one/allocations").await?;
    let runs = |stub: &&Value| stub["ClientStatus"] == "running" && stub["DesiredStatus"] == "run";
    let running = listed.as_array().into_iter().flatten().find(runs);
    running.and_then(|stub| stub["NodeName"].as_str()).map(str::to_owned).ok_or_else(|| listed.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_vanishes_is_down_within_seconds_and_its_allocations_run_elsewhere() {
    // More hosts measure more: `VANISHING=20 cargo test …`.
    let vanishing: usize = std::env::var("VANISHING").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let hosts = hosts(vanishing + 1).await;
    let server = &hosts.server;
    server.file("one.nomad.hcl", ONE);
    server.ctl(&["job", "run", "-detach", "one.nomad.hcl"]).await.ok();
    let mut took = Vec::new();
    for _ in 0..vanishing {
        let name = until("the job runs", || runs_on(server)).await;
        hosts.network.pull(&hosts.clients[place(&name)].0);
        let begun = Instant::now();
        until("the node is down", || async {
            let found = node(server, &name).await?;
            if found["Status"] == "down" { Ok(()) } else { Err(found["Status"].to_string()) }
        })
        .await;
        let down = begun.elapsed();
        until("the replacement runs", || async {
            let now = runs_on(server).await?;
            if now == name { Err(now) } else { Ok(()) }
        })
        .await;
        took.push((down, begun.elapsed() - down));
    }
    let mut downs: Vec<Duration> = took.iter().map(|(down, _)| *down).collect();
    downs.sort();
    println!("down: p50 {:?}, max {:?}; replacement after that: {took:?}", downs[downs.len() / 2], downs.last());
    // Heartbeats alone would take 20 s and more.
    assert!(downs.iter().all(|down| *down < Duration::from_secs(10)), "{took:?}");
}

/// The place of the client of that name.
fn place(name: &str) -> usize {
    name[1..].parse::<usize>().unwrap() - 1
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_restarts_is_waited_for_and_nothing_is_replaced() {
    let mut hosts = hosts(2).await;
    hosts.server.file("one.nomad.hcl", ONE);
    hosts.server.ctl(&["job", "run", "-detach", "one.nomad.hcl"]).await.ok();
    let name = until("the job runs", || runs_on(&hosts.server)).await;
    let place = place(&name);
    // Killed, and started again after the time in which a silent node would be down.
    hosts.clients[place].1.kill();
    let killed = Instant::now();
    until("a silent node would be down", || async {
        let found = node(&hosts.server, &name).await?;
        assert_eq!(found["Status"], "ready", "its host is alive");
        let passed = killed.elapsed();
        if passed > Duration::from_secs(5) { Ok(()) } else { Err(format!("{passed:?}")) }
    })
    .await;
    hosts.clients[place].1.restart().await;
    // The same in order.
    hosts.clients[place].1.interrupt();
    hosts.clients[place].1.restart().await;
    let id = node(&hosts.server, &name).await.unwrap()["ID"].as_str().unwrap().to_owned();
    until("the agent is back and has said that it would stop", || async {
        let found = asked(&hosts.server, &format!("/v1/node/{id}")).await?;
        let events: Vec<String> = found["Events"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|event| event["Message"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert!(!events.iter().any(|event| event == "Node heartbeat missed"), "{events:?}");
        if events.iter().any(|event| event.starts_with("Agent stops")) { Ok(()) } else { Err(format!("{events:?}")) }
    })
    .await;
    assert_eq!(runs_on(&hosts.server).await.unwrap(), name);
    let allocations = asked(&hosts.server, "/v1/job/one/allocations").await.unwrap();
    assert_eq!(allocations.as_array().unwrap().len(), 1, "{allocations}");
}
