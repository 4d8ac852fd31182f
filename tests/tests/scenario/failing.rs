//! Tasks that fail: restarts by the policy, and what is said when a task cannot start.

use nomadd_tests::{Agent, until};
use serde_json::Value;

use super::jobs;

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_task_is_restarted_as_often_as_its_policy_says() {
    let agent = Agent::dev().await;
    let policy = "restart {\n  attempts = 2\n  delay = \"50ms\"\n  interval = \"10m\"\n  mode = \"fail\"\n}\nreschedule {\n  attempts = 0\n  unlimited = false\n}\n";
    let script = "echo tried >> $NOMAD_ALLOC_DIR/tries\nexit 1";
    agent.file("fails.nomad.hcl", &jobs::job("fails", "batch", 1, policy, script));
    agent.ctl(&["job", "run", "-detach", "fails.nomad.hcl"]).await.ok();
    let all = failed(&agent, "fails").await;
    let state = &all[0]["TaskStates"]["t"];
    assert_eq!((&state["Restarts"], &state["Failed"], &state["State"]), (&2.into(), &true.into(), &"dead".into()));
    let count = |kind: &str| state["Events"].as_array().unwrap().iter().filter(|event| event["Type"] == kind).count();
    assert_eq!(
        (count("Started"), count("Terminated"), count("Restarting"), count("Not Restarting")),
        (3, 3, 2, 1),
        "{state}"
    );
    let tries = agent.ctl(&["alloc", "fs", all[0]["ID"].as_str().unwrap(), "alloc/tries"]).await.ok();
    assert_eq!(tries.lines().count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_cannot_start_says_what_is_missing() {
    let agent = Agent::dev().await;
    let user = jobs::batch("user", 1, "exit 0").replace("driver =", "user = \"nobody-such\"\n      driver =");
    let binary = jobs::batch("binary", 1, "exit 0").replace("/bin/sh", "/no/such/program");
    for (job, text, missing) in [("user", user, "nobody-such"), ("binary", binary, "/no/such/program")] {
        let file = format!("{job}.nomad.hcl");
        agent.file(&file, &text);
        agent.ctl(&["job", "run", "-detach", &file]).await.ok();
        let all = failed(&agent, job).await;
        let events = all[0]["TaskStates"]["t"]["Events"].as_array().unwrap();
        let failure =
            events.iter().find(|event| event["Type"] == "Driver Failure").unwrap_or_else(|| panic!("{events:?}"));
        let said = failure["DisplayMessage"].as_str().unwrap();
        assert!(said.contains(missing), "{said}");
        let status = agent.ctl(&["alloc", "status", all[0]["ID"].as_str().unwrap()]).await.ok();
        assert!(status.contains("Driver Failure") && status.contains(missing), "{status}");
    }
}

async fn failed(agent: &Agent, job: &str) -> Vec<Value> {
    agent.allocations_until(job, "it has failed", |all| all.iter().any(|one| one["ClientStatus"] == "failed")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_a_task_that_ends_in_order_and_kills_one_that_does_not() {
    let agent = Agent::dev().await;
    let orderly = "trap 'echo in order; exit 0' INT\necho up\nwhile :; do sleep 0.02; done";
    let stubborn = "trap '' INT\necho up\nwhile :; do sleep 0.02; done";
    for (job, script, code, signal) in [("orderly", orderly, 0, 0), ("stubborn", stubborn, 137, 9)] {
        let file = format!("{job}.nomad.hcl");
        agent.file(
            &file,
            &jobs::service(job, 1, "", script).replace("kill_timeout = \"2s\"", "kill_timeout = \"300ms\""),
        );
        agent.ctl(&["job", "run", &file]).await.ok();
        let id = agent.allocations(job).await[0]["ID"].as_str().unwrap().to_owned();
        until("the task has set its trap", || async {
            let logs = agent.ctl(&["alloc", "logs", &id]).await;
            if logs.out.contains("up") { Ok(()) } else { Err(logs) }
        })
        .await;
        agent.ctl(&["job", "stop", "-detach", job]).await.ok();
        let all = agent
            .allocations_until(job, "it has ended", |all| all.iter().all(|one| one["ClientStatus"] == "complete"))
            .await;
        let events = all[0]["TaskStates"]["t"]["Events"].as_array().unwrap();
        let ended = events.iter().find(|event| event["Type"] == "Terminated").unwrap_or_else(|| panic!("{events:?}"));
        assert_eq!((&ended["ExitCode"], &ended["Signal"]), (&code.into(), &signal.into()), "{job}: {ended}");
    }
}
