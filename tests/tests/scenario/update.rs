//! Rolling updates.

use nomadd_tests::Agent;
use serde_json::Value;

use super::jobs;

#[tokio::test(flavor = "multi_thread")]
async fn a_destructive_update_replaces_no_more_at_once_than_max_parallel() {
    let agent = Agent::dev().await;
    let update = "update {\n  max_parallel = 1\n  min_healthy_time = \"0s\"\n}\n";
    let text = |word: &str| jobs::job("web", "service", 4, update, &format!("echo {word}\nexec sleep 1000"));
    agent.file("web.nomad.hcl", &text("one"));
    agent.ctl(&["job", "run", "web.nomad.hcl"]).await.ok();
    agent.file("web.nomad.hcl", &text("two"));
    let plan = agent.ctl(&["job", "plan", "web.nomad.hcl"]).await.code(1).out;
    assert!(plan.contains("(1 create/destroy update, 3 ignore)"), "{plan}");
    let run = agent.ctl(&["job", "run", "web.nomad.hcl"]).await.ok();
    assert!(run.contains("Deployment completed successfully"), "{run}");

    let all = agent
        .allocations_until("web", "four new ones run and the old ones are gone", |all| {
            let newest = |allocation: &&Value| allocation["JobVersion"] == 1;
            all.iter().filter(newest).filter(|one| one["ClientStatus"] == "running").count() == 4
                && all.iter().filter(|one| one["JobVersion"] == 0).all(|one| one["ClientStatus"] == "complete")
        })
        .await;
    // Each new one was made after the one before it was seen healthy: never more than one of the four is missing.
    let mut newest: Vec<&Value> = all.iter().filter(|allocation| allocation["JobVersion"] == 1).collect();
    newest.sort_by_key(|allocation| allocation["CreateIndex"].as_u64());
    for pair in newest.windows(2) {
        let healthy = pair[0]["DeploymentStatus"]["ModifyIndex"].as_u64().unwrap();
        let made = pair[1]["CreateIndex"].as_u64().unwrap();
        assert!(healthy < made, "made at {made}, the one before healthy at {healthy}: {pair:?}");
        assert_eq!(pair[0]["DeploymentStatus"]["Healthy"], true);
    }
    let names: std::collections::BTreeSet<_> = newest.iter().map(|one| one["Name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 4, "each index is there once");
}
