//! The flow first-cluster as people wrote it down: three servers by hand, `server join`, two clients, a job of three; then
//! a client dies, one is drained, the leader dies, one leaves and comes again. The user interface is left out.

use nomadd_tests::ctl::{table, value};
use nomadd_tests::lab::{Host, Lab, on_hosts, running};
use nomadd_tests::until;

/// server.hcl; only the name differs between the hosts.
const SERVER: &str = r#"data_dir = "/tmp/server"

name = "server1"

server {
  enabled = true

  # Self-elect, should be 3 or 5 for production
  bootstrap_expect = 3
}
"#;

/// client1.hcl with the address of the first server; raw processes are allowed, as there is no docker here.
const CLIENT: &str = r#"log_level = "DEBUG"

data_dir = "/tmp/client1"

name = "client1"

client {
  enabled = true
  servers = ["10.77.0.1:4647"]
}

# Modify our port to avoid a collision with server1 and client1
ports {
  http = 5656
}
plugin "raw_exec" {
  config {
    enabled = true
  }
}
"#;

fn example(token: &str) -> String {
    format!(
        r#"job "example" {{
  datacenters = ["dc1"]
  group "cache" {{
    count = 3
    task "redis" {{
      driver = "raw_exec"
      config {{
        command = "/bin/sleep"
        args    = ["100000"]
      }}
      env {{
        LAB = "{token}"
      }}
      resources {{
        cpu    = 500
        memory = 256
      }}
    }}
  }}
}}
"#
    )
}

#[test]
fn the_first_cluster_forms_as_it_is_written_down() {
    on_hosts(first_cluster);
}

async fn first_cluster(lab: Lab) {
    let servers = ["server1", "server2", "server3"].map(|name| lab.host(name));
    for server in &servers {
        server.file("server.hcl", &SERVER.replace("server1", server.name()).replace("/tmp/server2", "/tmp/server"));
        server.start("agent", "-config=server.hcl");
    }
    for server in &servers {
        answers(server, &[]).await;
    }
    // Nobody leads before they know each other, and that is said.
    let alone = servers[0].ctl(&["job", "status"]).await.code(1);
    assert!(alone.err.contains("No cluster leader"), "{}", alone.err);
    for server in &servers[1..] {
        let joined = server.ctl(&["server", "join", "10.77.0.1"]).await.ok();
        assert_eq!(joined.trim(), "Joined 1 servers successfully");
    }
    for server in &servers {
        until("one of three leads", || async {
            let shown = server.ctl(&["server", "members"]).await;
            let members = shown.rows("Name");
            let leaders = members.iter().filter(|row| row["Leader"] == "true").count();
            let alive = members.iter().filter(|row| row["Status"] == "alive").count();
            if (leaders, alive) == (1, 3) { Ok(()) } else { Err(format!("{shown:?}")) }
        })
        .await;
    }

    // A name that stands already.
    let twin = lab.host("twin");
    twin.file("server.hcl", SERVER);
    twin.start("agent", "-config=server.hcl");
    answers(&twin, &[]).await;
    let refused = twin.ctl(&["server", "join", "10.77.0.2"]).await.code(1);
    assert!(refused.err.contains("the name server1.global is taken"), "{}", refused.err);
    drop(twin);

    // Two clients, and the example with a count of three.
    let clients = ["client1", "client2"].map(|name| lab.host(name));
    for client in &clients {
        client.file("client1.hcl", &CLIENT.replace("client1", client.name()));
        client.start("agent", "-config=client1.hcl");
    }
    let on_client = ["-address=http://127.0.0.1:5656"];
    let ready = |count: usize| {
        let server = &servers[1];
        async move {
            until("the nodes are ready", || async {
                let shown = server.ctl(&["node", "status"]).await;
                let nodes = shown.rows("ID");
                let there = nodes.iter().filter(|row| row["Status"] == "ready").count();
                if there == count { Ok(nodes) } else { Err(shown) }
            })
            .await
        }
    };
    let nodes = ready(2).await;
    let id_of = |name: &str| nodes.iter().find(|row| row["Name"] == name).unwrap()["ID"].clone();
    let token = lab.token();
    clients[1].file("example.nomad.hcl", &example(&token));
    let ran = clients[1].ctl(&["job", "run", on_client[0], "example.nomad.hcl"]).await.ok();
    assert!(ran.contains("finished with status \"complete\""), "{ran}");
    let placed = |count: usize, hosts: usize| {
        let (server, token) = (&servers[2], token.clone());
        async move {
            until("the example runs", || async {
                let shown = server.ctl(&["job", "status", "-verbose", "example"]).await;
                if shown.code != 0 {
                    return Err(format!("{shown:?}"));
                }
                let rows = table(shown.out.split("Allocations\n").last().unwrap(), "ID");
                let rows: Vec<_> =
                    rows.into_iter().filter(|row| row["Status"] == "running" && row["Desired"] == "run").collect();
                let mut names: Vec<_> = rows.iter().map(|row| row["Node Name"].clone()).collect();
                names.sort();
                names.dedup();
                let real = running(&token, "example");
                if rows.len() == count && names.len() == hosts && real.len() == count {
                    Ok(rows)
                } else {
                    Err(format!("{}\nthere run {real:?}", shown.out))
                }
            })
            .await
        }
    };
    placed(3, 2).await;

    // A client is killed with everything on it, as if by a power cut: its tasks are placed on the other.
    let [first, _second] = clients;
    drop(first);
    until("the lost client is down", || async {
        let shown = servers[0].ctl(&["node", "status"]).await;
        let nodes = shown.rows("ID");
        let down = nodes.iter().any(|row| row["Name"] == "client1" && row["Status"] == "down");
        if down { Ok(()) } else { Err(shown) }
    })
    .await;
    placed(3, 1).await;

    // Another client takes its place; the second is drained, and its tasks move there.
    let third = lab.host("client3");
    third.file("client1.hcl", &CLIENT.replace("client1", "client3"));
    third.start("agent", "-config=client1.hcl");
    ready(2).await;
    let drained =
        servers[0].ctl(&["node", "drain", "-enable", "-yes", "-deadline", "1m", &id_of("client2")]).await.ok();
    assert!(drained.contains("Drain complete"), "{drained}");
    let moved = placed(3, 1).await;
    let before = moved.clone();
    assert!(moved.iter().all(|row| row["Node Name"] == "client3"), "{moved:?}");
    let id = &moved[0]["ID"];
    let status = third.ctl(&["alloc", "status", on_client[0], id]).await.ok();
    assert_eq!(value(&status, "Client Status"), "running");

    // The leader is killed: nothing that runs is touched.
    let members = table(&servers[0].ctl(&["server", "members"]).await.ok(), "Name");
    let leader = members.iter().find(|row| row["Leader"] == "true").unwrap()["Name"].clone();
    let leader = servers.iter().find(|server| leader.starts_with(server.name())).unwrap();
    leader.kill("agent");
    let other = servers.iter().find(|server| server.name() != leader.name()).unwrap();
    until("another leads", || async {
        let found = other.get("/v1/status/leader").await?;
        if found.as_str().is_some_and(|found| !found.is_empty() && !found.starts_with(&leader.address())) {
            Ok(())
        } else {
            Err(found.to_string())
        }
    })
    .await;
    leader.start("agent", "-config=server.hcl");
    answers(leader, &[]).await;
    ready(2).await;
    let ids = |rows: &[std::collections::BTreeMap<String, String>]| {
        let mut ids: Vec<String> = rows.iter().map(|row| row["ID"].clone()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&placed(3, 1).await), ids(&before));

    // A server leaves in order and comes again.
    let leaves = servers.iter().find(|server| server.name() != leader.name()).unwrap();
    leaves.file("server.hcl", &format!("leave_on_interrupt = true\n{}", SERVER.replace("server1", leaves.name())));
    leaves.stop("agent", "INT").await;
    leaves.start("agent", "-config=server.hcl");
    answers(leaves, &[]).await;
    // Who has not met the others yet cannot tell them that it goes.
    until("it has met the others again", || async {
        let rows = leaves.ctl(&["server", "members"]).await;
        if rows.out.matches(" alive ").count() == 3 { Ok(()) } else { Err(rows) }
    })
    .await;
    assert_eq!(leaves.stop("agent", "INT").await, 0);
    until("it shows as left", || async {
        let shown = leader.ctl(&["server", "members"]).await;
        let members = shown.rows("Name");
        let left = members.iter().any(|row| row["Name"].starts_with(leaves.name()) && row["Status"] == "left");
        if left { Ok(()) } else { Err(shown) }
    })
    .await;
    leaves.start("agent", "-config=server.hcl");
    answers(leaves, &[]).await;
    leaves.ctl(&["server", "join", &leader.address()]).await.ok();
    until("three vote again", || async {
        let shown = leaves.ctl(&["operator", "raft", "list-peers"]).await;
        let peers = shown.rows("Node");
        let voters = peers.iter().filter(|row| row["Voter"] == "true").count();
        if voters == 3 { Ok(()) } else { Err(shown) }
    })
    .await;
    servers[1].ctl(&["job", "stop", "example"]).await.ok();
    until("nothing of it runs", || async {
        let real = running(&token, "example");
        if real.is_empty() { Ok(()) } else { Err(real) }
    })
    .await;
}

/// Waits until an agent's API answers on its host.
async fn answers(host: &Host, flags: &[&str]) {
    until("the API answers", || async {
        let mut command = vec!["agent-info"];
        command.extend(flags);
        let said = host.ctl(&command).await;
        if said.code == 0 { Ok(()) } else { Err(format!("{said:?} {}", host.log("agent"))) }
    })
    .await;
}
