//! Details that Nomad's users and programs know and look for.

use nomadd_tests::Agent;

use super::jobs;

#[tokio::test(flavor = "multi_thread")]
async fn an_allocations_facts_stand_under_nomads_names() {
    let agent = Agent::dev().await;
    agent.file(
        "web.nomad.hcl",
        &jobs::job("web", "service", 1, "update {\n  min_healthy_time = \"1ms\"\n}\n", "exec sleep 600"),
    );
    let run = agent.ctl(&["job", "run", "web.nomad.hcl"]).await.ok();
    assert!(run.contains("successful"), "{run}");
    let one = &agent.allocations("web").await[0];
    assert!(one["Metrics"]["AllocationTime"].as_i64().unwrap() > 0, "{one}");
    assert_eq!((&one["SigningKeyID"], &one["TaskStates"]["t"]["Paused"]), (&"".into(), &"".into()));
    let stub = &agent.get("/v1/jobs").await[0];
    assert!(stub.as_object().unwrap().contains_key("Multiregion"), "{stub}");
    let node = &agent.get("/v1/nodes").await[0];
    assert!(node.as_object().unwrap().contains_key("HostVolumes"), "{node}");

    // The beginning of an id is enough, whatever it is the id of.
    let id = one["ID"].as_str().unwrap();
    let status = agent.ctl(&["status", &id[..8]]).await.ok();
    assert!(status.contains(id) && status.contains("Task \"t\" is \"running\""), "{status}");
    let unknown = agent.ctl(&["status", "zzzz"]).await.code(1);
    assert!(unknown.err.contains("Unable to resolve ID: \"zzzz\""), "{unknown:?}");

    // Every answer can be had as it is.
    for arguments in [&["alloc", "fs", id][..], &["version"], &["job", "plan", "web.nomad.hcl"]] {
        let shown = agent.ctl(&[arguments, &["-o", "json"]].concat()).await.ok();
        assert!(serde_json::from_str::<serde_json::Value>(&shown).is_ok(), "{arguments:?}: {shown}");
    }

    // Evaluations name the deployment, and the monitor follows it.
    let stop = agent.ctl(&["job", "stop", "web"]).await.ok();
    assert!(stop.contains("Evaluation within deployment") && stop.contains("Monitoring deployment"), "{stop}");
    agent.allocations_until("web", "it is over", |all| all.iter().all(|one| one["ClientStatus"] == "complete")).await;
    let signal = agent.ctl(&["alloc", "signal", id]).await.code(1);
    assert!(signal.err.contains("* Failed to signal task: t, err: Task not running"), "{signal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_in_quick_succession_are_one() {
    let agent = Agent::dev().await;
    agent.file("web.nomad.hcl", &jobs::job("web", "service", 1, "", "exec sleep 600"));
    agent.ctl(&["job", "run", "-detach", "web.nomad.hcl"]).await.ok();
    let all =
        agent.allocations_until("web", "it runs", |all| all.iter().any(|one| one["ClientStatus"] == "running")).await;
    let id = all[0]["ID"].as_str().unwrap();
    agent.ctl(&["alloc", "restart", id]).await.ok();
    agent.ctl(&["alloc", "restart", id, "t"]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_as_nomads_users_write_it_is_understood() {
    let text = "\"region\" = \"global\"\nclient { enabled = true, options { \"driver.raw_exec.enable\" = \"1\" } }\n\
                plugin \"raw_exec\" { config { enabled = true } }\nlimits { http_max_conns_per_client = 200 }\n";
    let agent = Agent::start(&["-dev"], text).await;
    let own = agent.get("/v1/agent/self").await;
    assert_eq!(own["config"]["Limits"]["HTTPMaxConnsPerClient"], 200);
    assert_eq!(own["config"]["Client"]["Options"]["driver.raw_exec.enable"], "1");
    for key in ["ACL", "Autopilot", "Consuls", "Plugins", "Telemetry", "TLSConfig", "Version"] {
        assert!(!own["config"][key].is_null(), "{key}");
    }
}
