//! Batch jobs, and the exit codes of those who wait for a job's fate.

use nomadd_tests::Agent;

use super::jobs;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_short_tasks_all_complete() {
    let agent = Agent::dev().await;
    agent.file("many.nomad.hcl", &jobs::batch("many", 200, "exec /bin/true"));
    agent.ctl(&["job", "run", "--wait", "many.nomad.hcl"]).await.ok();
    let summary = agent.get("/v1/job/many/summary").await;
    let group = &summary["Summary"]["g"];
    assert_eq!(group["Complete"], 200, "{summary}");
    assert_eq!((&group["Failed"], &group["Lost"], &group["Running"]), (&0.into(), &0.into(), &0.into()), "{summary}");
    assert_eq!(agent.get("/v1/job/many").await["Status"], "dead");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_of_wait_is_the_fate_of_the_job() {
    let agent = Agent::dev().await;
    let fates = [
        ("good", jobs::batch("good", 2, "exit 0"), 0),
        ("bad", jobs::batch("bad", 1, "exit 3"), 3),
        ("up", jobs::service("up", 1, "", "exec sleep 1000"), 0),
        ("nowhere", jobs::job("nowhere", "batch", 1, &format!("{NOWHERE}{}", jobs::ONCE), "exit 0"), 2),
        ("down", jobs::service("down", 1, FAILS_AT_ONCE, "exit 1"), 1),
    ];
    for (name, text, code) in fates {
        let file = format!("{name}.nomad.hcl");
        agent.file(&file, &text);
        let ended = agent.ctl(&["job", "run", "--wait", &file]).await;
        assert_eq!(ended.code, code, "{name}\n{}\n{}", ended.out, ended.err);
    }
}

/// A constraint that no node meets.
pub const NOWHERE: &str = "constraint {\n  attribute = \"${attr.kernel.name}\"\n  value = \"windows\"\n}\n";
/// A deployment that does not wait long for a group that cannot come up.
const FAILS_AT_ONCE: &str = "update {\n  min_healthy_time = \"5s\"\n  healthy_deadline = \"6s\"\n  progress_deadline = \"7s\"\n}\nrestart {\n  attempts = 0\n  mode = \"fail\"\n}\nreschedule {\n  attempts = 0\n  unlimited = false\n}\n";
