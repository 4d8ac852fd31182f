//! Two regions that know each other: a request to an agent of one is answered by the other, and neither takes the other's
//! servers for its own.

use nomadd_api::Request;
use nomadd_tests::cluster::{asked, client, server};
use nomadd_tests::{Agent, until};
use serde_json::Value;

const JOB: &str = r#"job "there" {
  region = "west"
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "echo far away; exec sleep 1000"]
      }
      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
"#;

/// Writes the region in front of an agent's configuration and starts it.
fn of_region(mut agent: Agent, region: &str) -> Agent {
    let file = agent.path().join("agent.hcl");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("region = \"{region}\"\n{text}")).unwrap();
    agent.spawn();
    agent
}

async fn leads(agent: &Agent) {
    until("it leads", || async {
        match asked(agent, "/v1/status/leader").await? {
            Value::String(leader) if !leader.is_empty() => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_another_region_is_answered_there() {
    let west = of_region(server("w1", 1, ""), "west");
    let east = of_region(server("e1", 1, ""), "east");
    leads(&west).await;
    leads(&east).await;
    let worker = of_region(client("c1", std::slice::from_ref(&west)), "west");
    until("the client is ready", || async {
        let nodes = asked(&west, "/v1/nodes").await?;
        if nodes[0]["Status"] == "ready" { Ok(()) } else { Err(nodes.to_string()) }
    })
    .await;

    // A region that nobody knows is a sentence.
    let lost = east.api().call::<Value>(Request::get("/v1/jobs?region=west")).await.unwrap_err().to_string();
    assert!(lost.contains("No path to region"), "{lost}");

    east.ctl(&["server", "join", &west.serf_address()]).await.ok();
    until("both know both regions", || async {
        for agent in [&east, &west] {
            let regions = asked(agent, "/v1/regions").await?;
            if regions != serde_json::json!(["east", "west"]) {
                return Err(regions.to_string());
            }
        }
        Ok(())
    })
    .await;

    // The job's own region decides where it goes, whichever agent takes it.
    let file = east.file("there.nomad.hcl", JOB);
    east.ctl(&["job", "run", "-detach", file.to_str().unwrap()]).await.ok();
    let stubs = until("it runs in the west", || async {
        let found = asked(&east, "/v1/job/there/allocations?region=west").await?;
        if found[0]["ClientStatus"] == "running" { Ok(found) } else { Err(found.to_string()) }
    })
    .await;
    assert_eq!(stubs[0]["NodeName"], "c1");
    assert_eq!(asked(&east, "/v1/jobs").await.unwrap(), serde_json::json!([]));
    let id = stubs[0]["ID"].as_str().unwrap();
    until("its log is read through the east", || async {
        let log = east.ctl(&["alloc", "logs", "-region", "west", id]).await;
        if log.out.contains("far away") { Ok(()) } else { Err(format!("{log:?}")) }
    })
    .await;
    // The client of the west answers for the east, too.
    let own = asked(&worker, "/v1/jobs?region=east").await.unwrap();
    assert_eq!(own, serde_json::json!([]));

    for (agent, name) in [(&east, "e1.east"), (&west, "w1.west")] {
        let servers = asked(agent, "/v1/operator/raft/configuration").await.unwrap();
        let servers = servers["Servers"].as_array().unwrap();
        assert!(servers.len() == 1 && servers[0]["Node"] == name, "{servers:?}");
    }
    east.ctl(&["job", "stop", "-region", "west", "-detach", "there"]).await.ok();
    until("it ended in the west", || async {
        let found = asked(&west, "/v1/job/there/allocations").await?;
        if found[0]["ClientStatus"] == "complete" { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
}
