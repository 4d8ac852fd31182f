//! Snapshots: saved, restored, and refused when they are broken.

use nomadd_tests::{Agent, until};

use super::jobs;

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_snapshot_brings_back_what_was_there() {
    let agent = Agent::durable().await;
    agent.file("kept.nomad.hcl", &jobs::service("kept", 1, "", "exec sleep 1000"));
    agent.ctl(&["job", "run", "kept.nomad.hcl"]).await.ok();
    let saved = agent.ctl(&["operator", "snapshot", "save", "state.snap"]).await.ok();
    assert!(saved.contains("state.snap"), "{saved}");
    agent.ctl(&["job", "stop", "-purge", "kept"]).await.ok();
    agent.file("new.nomad.hcl", &jobs::batch("new", 1, "exit 0"));
    agent.ctl(&["job", "run", "-detach", "new.nomad.hcl"]).await.ok();

    agent.ctl(&["operator", "snapshot", "restore", "state.snap"]).await.ok();
    until("the old state is back", || async {
        let listed = agent.ctl(&["job", "status"]).await.ok();
        if listed.contains("kept") && !listed.contains("new") { Ok(()) } else { Err(listed) }
    })
    .await;
    // It is the state that is worked on, and the node keeps its place in it.
    agent.node_ready().await;
    agent.file("after.nomad.hcl", &jobs::batch("after", 1, "exit 0"));
    agent.ctl(&["job", "run", "--wait", "after.nomad.hcl"]).await.ok();

    let mut bytes = std::fs::read(agent.path().join("state.snap")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(agent.path().join("broken.snap"), bytes).unwrap();
    let refused = agent.ctl(&["operator", "snapshot", "restore", "broken.snap"]).await.code(1);
    assert!(!refused.err.is_empty(), "{refused:?}");
    let listed = agent.ctl(&["job", "status"]).await.ok();
    assert!(listed.contains("kept") && listed.contains("after"), "nothing has changed: {listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let mut agent = Agent::durable().await;
    for number in 0..20 {
        let name = format!("job-{number}");
        agent.file("job.nomad.hcl", &jobs::batch(&name, 0, "exit 0"));
        agent.ctl(&["job", "run", "-detach", "job.nomad.hcl"]).await.ok();
    }
    agent.kill();
    agent.restart().await;
    let jobs = agent.get("/v1/jobs").await;
    assert_eq!(jobs.as_array().unwrap().len(), 20);
}
