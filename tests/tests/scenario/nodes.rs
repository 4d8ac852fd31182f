//! Nodes as operators handle them: emptied before an upgrade, cancelled, described by metadata that constraints see.

use nomadd_tests::Agent;
use nomadd_tests::agent::DURABLE;
use nomadd_tests::ctl::value;
use serde_json::Value;

use super::jobs;

const SLEEP: &str = "exec sleep 3600";
const MIGRATE: &str = "migrate {\n  max_parallel = 1\n  min_healthy_time = \"0s\"\n}\n";

async fn own(agent: &Agent) -> Value {
    let id = agent.get("/v1/nodes").await[0]["ID"].as_str().unwrap().to_owned();
    agent.get(&format!("/v1/node/{id}")).await
}

fn running(all: &[Value]) -> usize {
    all.iter().filter(|found| found["ClientStatus"] == "running").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_moves_what_may_move_and_takes_the_rest_at_its_deadline() {
    let agent = Agent::dev().await;
    agent.file("web.nomad.hcl", &jobs::service("web", 2, MIGRATE, SLEEP));
    agent.ctl(&["job", "run", "web.nomad.hcl"]).await.ok();
    let node = own(&agent).await["ID"].as_str().unwrap().to_owned();

    let mut monitor =
        agent.follow("drain", &["node", "drain", "-enable", "-deadline=1h", "-m", "new kernel", "-self", "-yes"]);
    monitor.prints("Ctrl-C to stop monitoring: will not cancel the node drain").await;
    monitor.prints(&format!("Node {node:?} drain strategy set")).await;
    let status = agent.ctl(&["node", "status", &node]).await.ok();
    assert!(value(&status, "Drain").starts_with("true; "), "{status}");
    assert_eq!(value(&status, "Eligibility"), "ineligible");
    // One may be away at a time, and its replacement has no node.
    let all = agent.allocations_until("web", "one has left", |all| running(all) == 1).await;
    assert_eq!(all.len(), 2, "{all:?}");
    nomadd_tests::until("the replacement finds no node", || async {
        let why = agent.ctl(&["job", "status", "web"]).await.ok();
        if why.contains("Placement Failure") { Ok(()) } else { Err(why) }
    })
    .await;
    // All that was to be seen before the deadline is seen: it may come.
    let sooner = ["node", "drain", "-enable", "-deadline=1ms", "-m", "new kernel", "-self", "-yes", "-detach"];
    agent.ctl(&sooner).await.ok();
    assert!(monitor.ends().await.success());
    let told = monitor.printed();
    for part in [
        "marked for migration",
        "draining",
        "status running -> complete",
        &format!("Drain complete for node {node}"),
        &format!("All allocations on node {node:?} have stopped"),
    ] {
        assert!(told.contains(part), "{part:?} is missing:\n{told}");
    }
    agent.allocations_until("web", "both have left", |all| running(all) == 0).await;

    let drained = own(&agent).await;
    assert_eq!((&drained["Drain"], &drained["SchedulingEligibility"]), (&false.into(), &"ineligible".into()));
    assert_eq!(
        (&drained["LastDrain"]["Status"], &drained["LastDrain"]["Meta"]["message"]),
        (&"complete".into(), &"new kernel".into())
    );
    let last = drained["Events"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["Subsystem"], &last["Message"]), (&"Drain".into(), &"Node drain complete".into()));
    assert_eq!(last["Details"]["deadline_reached"], "true");
    let status = agent.ctl(&["node", "status", &node]).await.ok();
    assert_eq!(value(&status, "Drain"), "false");
    assert!(status.contains("Node drain strategy set"), "{status}");

    let unset = agent.ctl(&["node", "drain", "-disable", "-yes", &node[..8]]).await.ok();
    assert_eq!(unset.trim_end(), format!("Node {node:?} drain strategy unset"));
    agent.allocations_until("web", "both are back", |all| running(all) == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_for_batch_jobs_leaves_system_jobs_and_can_be_cancelled() {
    let agent = Agent::dev().await;
    agent.file("sums.nomad.hcl", &jobs::batch("sums", 1, SLEEP));
    agent.file("agent.nomad.hcl", &jobs::job("agent", "system", 1, "", SLEEP));
    for file in ["sums.nomad.hcl", "agent.nomad.hcl"] {
        agent.ctl(&["job", "run", file]).await.ok();
    }
    for job in ["sums", "agent"] {
        agent.allocations_until(job, "it runs", |all| running(all) == 1).await;
    }
    let node = own(&agent).await["ID"].as_str().unwrap().to_owned();
    let set = agent.ctl(&["node", "drain", "-enable", "-no-deadline", "-ignore-system", "-detach", &node]).await.ok();
    assert_eq!(set.trim_end(), format!("Node {node:?} drain strategy set"), "a whole id needs no question");
    let status = agent.ctl(&["node", "status", "-self"]).await.ok();
    assert_eq!(value(&status, "Drain"), "true; no deadline; ignoring system jobs");
    let refused = agent.ctl(&["node", "eligibility", "-enable", "-self"]).await.code(1);
    assert!(refused.err.contains("while it is draining"), "{}", refused.err);
    assert_eq!(running(&agent.allocations("sums").await), 1, "a batch job may end by itself");
    agent.ctl(&["node", "drain", "-disable", "-keep-ineligible", "-yes", "-m", "not today", "-self"]).await.ok();
    let kept = own(&agent).await;
    assert_eq!(
        (&kept["LastDrain"]["Status"], &kept["SchedulingEligibility"]),
        (&"canceled".into(), &"ineligible".into())
    );
    assert_eq!(kept["LastDrain"]["Meta"]["cancel_message"], "not today");
    let none = agent.ctl(&["node", "drain", "-monitor", "-self"]).await.code(0);
    assert_eq!(none.err.trim_end(), "No drain strategy set");

    agent.ctl(&["node", "drain", "-enable", "-force", "-ignore-system", "-yes", "-self"]).await.ok();
    agent.allocations_until("sums", "the batch job is made to go", |all| running(all) == 0).await;
    assert_eq!(running(&agent.allocations("agent").await), 1, "the system job stays");
    let question = agent.ctl(&["node", "drain", "-enable", &node[..8]]).await.code(1);
    assert!(question.out.starts_with(&format!("Are you sure you want to enable drain mode for node {node:?}? [y/N]")));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_set_at_run_time_counts_for_constraints_and_outlasts_the_agent() {
    let configuration = DURABLE.replace("client {\n", "client {\n  meta {\n    rack = \"r1\"\n  }\n");
    let mut agent = Agent::start(&[], &configuration).await;
    agent.node_ready().await;
    let gold = "constraint {\n  attribute = \"${meta.tier}\"\n  value = \"gold\"\n}\n";
    agent.file("gold.nomad.hcl", &jobs::service("gold", 1, gold, SLEEP));
    agent.ctl(&["job", "run", "-detach", "gold.nomad.hcl"]).await.ok();
    assert_eq!(agent.allocations("gold").await.len(), 0);
    agent.ctl(&["node", "meta", "apply", "tier=gold", "rack=r9"]).await.ok();
    agent.allocations_until("gold", "the constraint holds now", |all| running(all) == 1).await;

    agent.kill();
    agent.restart().await;
    agent.node_ready().await;
    let node = own(&agent).await;
    assert_eq!((&node["Meta"]["tier"], &node["Meta"]["rack"]), (&"gold".into(), &"r9".into()));
    agent.ctl(&["node", "meta", "apply", "-unset", "rack"]).await.ok();
    let read: Value = serde_json::from_str(&agent.ctl(&["node", "meta", "read", "-json"]).await.ok()).unwrap();
    assert_eq!(
        read,
        serde_json::json!({
            "Dynamic": { "rack": null, "tier": "gold" }, "Meta": { "tier": "gold" }, "Static": { "rack": "r1" }
        })
    );
    let shown = agent.ctl(&["node", "meta", "read"]).await.ok();
    assert_eq!(
        shown.trim_end(),
        "All Meta\ntier = gold\n\nDynamic Meta\nrack = <unset>\ntier = gold\n\nStatic Meta\nrack = r1"
    );
    let refused = agent.ctl(&["node", "meta", "apply", "1a=x"]).await.code(1);
    assert!(
        refused.err.contains("\"1a\" is invalid; metadata keys must be valid dotted hcl identifiers"),
        "{}",
        refused.err
    );
}
