//! nomadd is killed; its tasks go on, and a new nomadd takes them back.

use nomadd_tests::{Agent, process, until};
use serde_json::Value;

use super::jobs;

/// Counts without a pause longer than the others, says that it was signalled, and leaves its process id in a file.
const COUNTS: &str = r#"echo $$ > "$NOMAD_TASK_DIR/pid"
trap 'echo signalled' USR1
n=0
while :; do echo "line $n"; n=$((n+1)); sleep 0.02; done"#;
/// Ends with a known code as soon as a file is there.
const ENDS: &str = r#"echo $$ > "$NOMAD_TASK_DIR/pid"
while [ ! -e "$NOMAD_TASK_DIR/go" ]; do sleep 0.02; done
echo last words
exit 7"#;

#[tokio::test(flavor = "multi_thread")]
async fn tasks_outlive_a_killed_agent_and_are_taken_back() {
    let mut agent = Agent::durable().await;
    agent.file("counts.nomad.hcl", &jobs::service("counts", 1, "", COUNTS));
    agent.file("ends.nomad.hcl", &jobs::batch("ends", 1, ENDS));
    agent.ctl(&["job", "run", "counts.nomad.hcl"]).await.ok();
    agent.ctl(&["job", "run", "-detach", "ends.nomad.hcl"]).await.ok();
    let running = |all: &[Value]| all.iter().any(|one| one["ClientStatus"] == "running");
    let counts = id(&agent.allocations_until("counts", "it runs", running).await);
    let ends = id(&agent.allocations_until("ends", "it runs", running).await);
    let all = agent.path().join("data/alloc");
    let folder = |id: &str| all.join(id).join("t/local");
    let (counting, ending) = (pid(&folder(&counts)).await, pid(&folder(&ends)).await);
    let go = folder(&ends).join("go");

    agent.kill();
    assert!(process::runs(counting) && process::runs(ending), "both tasks go on without nomadd");
    std::fs::write(go, "").unwrap();
    until("one task has ended while nomadd is away", || async {
        if process::runs(ending) { Err("runs") } else { Ok(()) }
    })
    .await;

    agent.restart().await;
    agent.node_ready().await;
    let ended = agent
        .allocations_until("ends", "how it ended is known", |all| all.iter().any(|one| one["ClientStatus"] == "failed"))
        .await;
    let events = ended[0]["TaskStates"]["t"]["Events"].as_array().unwrap();
    assert!(events.iter().any(|event| event["Type"] == "Terminated" && event["ExitCode"] == 7), "{events:?}");
    let words = agent.ctl(&["alloc", "logs", &ends]).await.ok();
    assert_eq!(words.trim(), "last words");

    // The one that runs is the same process, and everything works on it.
    assert_eq!(pid(&folder(&counts)).await, counting);
    assert!(process::runs(counting));
    let answered = agent
        .ctl(&["alloc", "exec", "-i=false", "-t=false", &counts, "/bin/sh", "-c", "cat $NOMAD_TASK_DIR/pid"])
        .await
        .ok();
    assert_eq!(answered.trim(), counting.to_string());
    agent.ctl(&["alloc", "signal", "-s", "SIGUSR1", &counts]).await.ok();
    let text = until("the signal has arrived", || async {
        let text = agent.ctl(&["alloc", "logs", &counts]).await.out;
        if text.contains("signalled") { Ok(text) } else { Err(text.len()) }
    })
    .await;
    let numbers: Vec<u64> = text.lines().filter_map(|line| line.strip_prefix("line ")?.parse().ok()).collect();
    let expected: Vec<u64> = (0..numbers.len() as u64).collect();
    assert_eq!(numbers, expected, "no line is lost or twice");

    let now = agent.allocations("counts").await;
    assert_eq!(now.len(), 1, "nothing was placed anew");
    assert_eq!((&now[0]["ClientStatus"], &now[0]["TaskStates"]["t"]["Restarts"]), (&"running".into(), &0.into()));
    agent.ctl(&["job", "stop", "counts"]).await.ok();
    until("the task is stopped", || async { if process::runs(counting) { Err("runs") } else { Ok(()) } }).await;
}

fn id(all: &[Value]) -> String {
    all[0]["ID"].as_str().unwrap().to_owned()
}

/// The process id that a task has left in its folder.
async fn pid(folder: &std::path::Path) -> u32 {
    let file = folder.join("pid");
    until("the task has told its process id", || async {
        std::fs::read_to_string(&file)
            .map_err(|error| error.to_string())?
            .trim()
            .parse::<u32>()
            .map_err(|error| error.to_string())
    })
    .await
}
