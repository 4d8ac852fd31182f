//! What people are told when something cannot be placed.

use nomadd_tests::Agent;

use super::batch::NOWHERE;
use super::jobs;

#[tokio::test(flavor = "multi_thread")]
async fn a_placement_that_fails_is_explained() {
    let agent = Agent::dev().await;
    agent.file("never.nomad.hcl", &jobs::job("never", "batch", 1, NOWHERE, "exit 0"));
    let run = agent.ctl(&["job", "run", "never.nomad.hcl"]).await.code(2).out;
    for part in [
        "finished with status \"complete\" but failed to place all allocations:",
        "Task Group \"g\" (failed to place 1 allocation):",
        "* Constraint \"${attr.kernel.name} = windows\": 1 nodes excluded by filter",
        "waiting for additional capacity to place remainder",
    ] {
        assert!(run.contains(part), "{part:?} is missing:\n{run}");
    }
    let status = agent.ctl(&["job", "status", "never"]).await.ok();
    assert!(status.contains("Placement Failure") && status.contains("1 nodes excluded by filter"), "{status}");

    let why = agent.ctl(&["job", "why", "never"]).await.ok();
    assert!(why.contains("windows") && why.contains("linux"), "names what is asked and what there is:\n{why}");

    let big = jobs::job("big", "batch", 1, "", "exit 0").replace("memory = 16", "memory = 9000000");
    agent.file("big.nomad.hcl", &big);
    let run = agent.ctl(&["job", "run", "big.nomad.hcl"]).await.code(2).out;
    assert!(run.contains("* Dimension \"memory\" exhausted on 1 nodes"), "{run}");
    let why = agent.ctl(&["job", "why", "big"]).await.ok();
    assert!(why.contains("9000000"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_had_no_place_is_placed_when_there_is_room() {
    let agent = Agent::dev().await;
    let node = agent.get("/v1/nodes").await[0]["ID"].as_str().unwrap().to_owned();
    agent.ctl(&["node", "eligibility", "-disable", &node]).await.ok();
    agent.file("later.nomad.hcl", &jobs::batch("later", 1, "exit 0"));
    agent.ctl(&["job", "run", "later.nomad.hcl"]).await.code(2);
    agent.ctl(&["node", "eligibility", "-enable", &node]).await.ok();
    agent
        .allocations_until("later", "the job is placed and complete", |all| {
            all.iter().any(|allocation| allocation["ClientStatus"] == "complete")
        })
        .await;
}
