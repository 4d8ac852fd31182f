//! Several servers and agents that are only clients: they form, place on all clients, answer everywhere, and survive.

use nomadd_api::Request;
use nomadd_tests::cluster::{More, asked, client, server};
use nomadd_tests::ctl::{ctl, table};
use nomadd_tests::{Agent, Cluster, until};
use serde_json::Value;

const SPREAD: &str = r#"job "spread" {
  group "g" {
    count = 4
    spread {
      attribute = "${node.unique.name}"
    }
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "echo hello from $NOMAD_ALLOC_NAME; exec sleep 1000"]
      }
      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
"#;

/// The running allocations of a job: id and node, sorted.
async fn running(agent: &Agent, job: &str) -> Result<Vec<(String, String)>, String> {
    let stubs = asked(agent, &format!("/v1/job/{job}/allocations")).await?;
    let running = stubs.as_array().into_iter().flatten().filter(|stub| stub["ClientStatus"] == "running");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found: Vec<_> = running.map(|stub| (text(&stub["ID"]), text(&stub["NodeName"]))).collect();
    found.sort();
    Ok(found)
}

async fn until_running(agent: &Agent, job: &str, count: usize) -> Vec<(String, String)> {
    until("the allocations run", || async {
        let found = running(agent, job).await?;
        if found.len() == count { Ok(found) } else { Err(format!("{found:?}")) }
    })
    .await
}

async fn until_peers(agent: &Agent, voters: usize) {
    until("the servers vote", || async {
        let found = asked(agent, "/v1/operator/raft/configuration").await?;
        let count = found["Servers"].as_array().into_iter().flatten().filter(|server| server["Voter"] == true).count();
        if count == voters { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_forms_places_on_all_clients_and_outlives_its_leader() {
    let mut cluster = Cluster::form(3, 2).await;
    let leader = cluster.leader().await;

    // Every agent shows the same servers; one of them leads.
    for agent in cluster.servers.iter().chain(&cluster.clients) {
        let members = table(&agent.ctl(&["server", "members"]).await.ok(), "Name");
        assert_eq!(members.len(), 3, "{members:?}");
        assert!(members.iter().all(|row| row["Status"] == "alive"), "{members:?}");
        assert_eq!(members.iter().filter(|row| row["Leader"] == "true").count(), 1, "{members:?}");
    }

    // A client's own API takes the job; its allocations run on both clients.
    let second = &cluster.clients[1];
    second.file("spread.nomad.hcl", SPREAD);
    second.ctl(&["job", "run", "-detach", "spread.nomad.hcl"]).await.ok();
    let before = until_running(second, "spread", 4).await;
    for name in ["c1", "c2"] {
        assert_eq!(before.iter().filter(|(_, node)| node == name).count(), 2, "{before:?}");
    }

    // Logs, files and commands of an allocation on the first client, through every agent.
    let (id, _) = before.iter().find(|(_, node)| node == "c1").unwrap();
    for agent in cluster.servers.iter().chain(&cluster.clients) {
        // A client reports that a task runs a moment before it has opened its own way for servers.
        until("the log is read", || async {
            let logs = agent.ctl(&["alloc", "logs", id, "t"]).await;
            if logs.out.contains("hello from spread.g[") { Ok(()) } else { Err(logs) }
        })
        .await;
        let files = agent.ctl(&["alloc", "fs", id, "alloc/logs"]).await.ok();
        assert!(files.contains("t.stdout.0"), "{files}");
        let said =
            agent.ctl(&["alloc", "exec", "-i=false", "-t=false", "-task", "t", id, "/bin/echo", "over there"]).await;
        assert_eq!(said.ok().trim(), "over there");
    }
    let status = cluster.servers[0].ctl(&["alloc", "status", "-stats", id]).await.ok();
    assert!(status.contains("Memory Stats") || status.contains("Memory"), "{status}");

    // The leader dies; a write through a follower succeeds, and nothing that runs is touched.
    cluster.servers[leader].kill();
    let follower = &cluster.servers[(leader + 1) % 3];
    let other = SPREAD.replace("\"spread\"", "\"after\"").replace("count = 4", "count = 2");
    follower.file("after.nomad.hcl", &other);
    until("a follower takes a write", || async {
        let ran = follower.ctl(&["job", "run", "-detach", "after.nomad.hcl"]).await;
        if ran.code == 0 { Ok(()) } else { Err(ran.err) }
    })
    .await;
    until_running(follower, "after", 2).await;
    assert_eq!(running(follower, "spread").await.unwrap(), before);
    let new = cluster.leader().await;
    assert_ne!(new, leader);
    let follower = (0..3).find(|place| *place != new && *place != leader).unwrap();
    until("the dead server shows as failed", || async {
        let members = table(&cluster.servers[follower].ctl(&["server", "members"]).await.ok(), "Name");
        let name = format!("s{}.global", leader + 1);
        let row = members.iter().find(|row| row["Name"] == name);
        if row.is_some_and(|row| row["Status"] == "failed") { Ok(()) } else { Err(format!("{members:?}")) }
    })
    .await;

    // It comes back, and votes again.
    cluster.servers[leader].restart().await;
    cluster.leader().await;
    until_peers(&cluster.servers[leader], 3).await;

    // All servers die at once and start again: the jobs are there, the tasks never stopped.
    for server in &mut cluster.servers {
        server.kill();
    }
    for server in &mut cluster.servers {
        server.spawn();
    }
    cluster.leader().await;
    let client = &cluster.clients[0];
    cluster.ready(client, 2).await;
    assert_eq!(until_running(client, "spread", 4).await, before);
    until_running(client, "after", 2).await;
    client.ctl(&["job", "stop", "-detach", "spread"]).await.ok();
    until_running(client, "spread", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_join_by_command_and_one_that_leaves_is_removed() {
    let mut cluster =
        Cluster { servers: (1..=3).map(|at| server(&format!("s{at}"), 3, "")).collect(), clients: Vec::new() };
    for server in &mut cluster.servers {
        let file = server.path().join("agent.hcl");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("leave_on_interrupt = true\n{text}")).unwrap();
        server.restart().await;
    }
    let first = cluster.servers[0].serf_address();
    let nobody = cluster.servers[1].ctl(&["server", "join", "127.0.0.1:1"]).await.code(1);
    assert!(nobody.err.contains("Error joining"), "{}", nobody.err);
    for server in &cluster.servers[1..] {
        let joined = server.ctl(&["server", "join", &first]).await.ok();
        assert_eq!(joined.trim(), "Joined 1 servers successfully");
    }
    cluster.leader().await;
    until_peers(&cluster.servers[2], 3).await;

    // The leadership is handed over on request.
    let leader = cluster.leader().await;
    let next = (leader + 1) % 3;
    let address = cluster.servers[next].rpc_address();
    let moved =
        cluster.servers[leader].ctl(&["operator", "raft", "transfer-leadership", "-peer-address", &address]).await;
    assert!(moved.ok().contains("Transferred leadership"));
    until("the other server leads", || async {
        let leads = cluster.leader().await;
        if leads == next { Ok(()) } else { Err(leads) }
    })
    .await;

    // A server with a name that stands already is refused, with a sentence.
    let mut twin = server("s1", 3, "");
    twin.restart().await;
    let refused = twin.ctl(&["server", "join", &cluster.servers[1].serf_address()]).await.code(1);
    assert!(refused.err.contains("the name s1.global is taken"), "{}", refused.err);

    // One that leaves in order is gone from the voters, and shows as left.
    let code = cluster.servers[next].interrupt();
    assert_eq!(code, Some(0));
    let there = (0..3).find(|place| *place != next).unwrap();
    cluster.leader().await;
    until_peers(&cluster.servers[there], 2).await;
    let members = table(&cluster.servers[there].ctl(&["server", "members"]).await.ok(), "Name");
    let left = members.iter().find(|row| row["Name"] == format!("s{}.global", next + 1)).unwrap();
    assert_eq!(left["Status"], "left");
    let config = cluster.servers[there].ctl(&["operator", "autopilot", "set-config", "-min-quorum", "3"]).await.ok();
    assert!(config.contains("Configuration updated!"), "{config}");
    let config = cluster.servers[there].ctl(&["operator", "autopilot", "get-config"]).await.ok();
    assert!(config.contains("MinQuorum = 3"), "{config}");
    let put =
        Request::put("/v1/operator/autopilot/configuration").json(&serde_json::json!({ "MinQuorum": 0 })).unwrap();
    assert!(cluster.servers[there].api().call::<bool>(put).await.unwrap().value);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_stopped_in_order_moves_its_work_away_first() {
    let mut cluster = Cluster::form(1, 2).await;
    let server = cluster.servers[0].address();
    for client in &mut cluster.clients {
        let file = client.path().join("agent.hcl");
        let text = std::fs::read_to_string(&file).unwrap();
        let drains = "client {\n  drain_on_shutdown {\n    deadline = \"1m\"\n  }\n";
        let text = format!("leave_on_interrupt = true\n{}", text.replace("client {\n", drains));
        std::fs::write(&file, text).unwrap();
        client.kill();
        client.restart().await;
    }
    cluster.ready(&cluster.servers[0], 2).await;
    let migrate = "    migrate {\n      max_parallel     = 4\n      min_healthy_time = \"0s\"\n    }\n    task";
    let file = cluster.servers[0].file("spread.nomad.hcl", &SPREAD.replace("    task", migrate));
    cluster.servers[0].ctl(&["job", "run", "-detach", file.to_str().unwrap()]).await.ok();
    until_running(&cluster.servers[0], "spread", 4).await;

    let code = tokio::task::block_in_place(|| cluster.clients[0].interrupt());
    assert_eq!(code, Some(0), "{}", cluster.clients[0].log());
    let running = until_running(&cluster.servers[0], "spread", 4).await;
    assert!(running.iter().all(|(_, node)| node == "c2"), "{running:?}");
    let nodes = ctl(&server, &["node", "status", "-json"], cluster.servers[0].path()).await.ok();
    let nodes: Value = serde_json::from_str(&nodes).unwrap();
    let left = nodes.as_array().unwrap().iter().find(|node| node["Name"] == "c1").unwrap();
    assert_eq!((&left["LastDrain"]["Status"], &left["Drain"]), (&"complete".into(), &false.into()), "{left}");
    assert_eq!(left["SchedulingEligibility"], "ineligible");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_a_gossip_key_keep_strangers_out() {
    let folder = tempfile::tempdir().unwrap();
    let made = |arguments: &'static [&'static str]| ctl("http://127.0.0.1:1", arguments, folder.path());
    made(&["tls", "ca", "create"]).await.ok();
    made(&["tls", "cert", "create", "-server"]).await.ok();
    made(&["tls", "cert", "create", "-client"]).await.ok();
    let key = made(&["operator", "gossip", "keyring", "generate"]).await.ok();
    let block = |role: &str| {
        let path = |name: &str| folder.path().join(name).display().to_string();
        format!(
            "tls {{\n  rpc = true\n  verify_server_hostname = true\n  ca_file = \"{}\"\n  cert_file = \"{}\"\n  key_file = \"{}\"\n}}\n",
            path("nomad-agent-ca.pem"),
            path(&format!("global-{role}-nomad.pem")),
            path(&format!("global-{role}-nomad-key.pem")),
        )
    };
    let more = More {
        server: format!("  encrypt = \"{}\"\n", key.trim()),
        of_servers: block("server"),
        of_clients: block("client"),
    };
    let cluster = Cluster::form_with(3, 1, &more).await;
    let first = &cluster.servers[0];

    // A client without a certificate is told which setting it lacks, and its node is not registered.
    let mut stranger = client("stranger", &cluster.servers);
    stranger.restart().await;
    until("the client says what it lacks", || async {
        let log = stranger.log();
        if log.contains("it takes only TLS connections: set tls { rpc = true }") { Ok(()) } else { Err(log) }
    })
    .await;
    cluster.ready(first, 1).await;
    assert_eq!(asked(first, "/v1/nodes").await.unwrap().as_array().map(Vec::len), Some(1));

    // So is a server without the key of gossip.
    let mut other = server("s9", 3, "");
    other.restart().await;
    let refused = other.ctl(&["server", "join", &first.serf_address()]).await.code(1);
    assert!(refused.err.contains("wants encrypted gossip and this agent has no key: set `encrypt`"), "{}", refused.err);

    // The key is changed while all run.
    let next = made(&["operator", "gossip", "keyring", "generate"]).await.ok();
    for (operation, key) in [("install", &next), ("use", &next), ("remove", &key)] {
        first.ctl(&["operator", "gossip", "keyring", operation, key.trim()]).await.ok();
    }
    let keys = cluster.servers[2].ctl(&["operator", "gossip", "keyring", "list"]).await.ok();
    assert!(keys.contains(next.trim()) && !keys.contains(key.trim()), "{keys}");
    let members = table(&first.ctl(&["server", "members"]).await.ok(), "Name");
    assert!(members.len() == 3 && members.iter().all(|row| row["Status"] == "alive"), "{members:?}");
}
