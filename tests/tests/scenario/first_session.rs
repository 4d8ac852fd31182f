//! The first session of somebody who knows Nomad: every command in its order, with redis-server of Debian.

use nomadd_tests::ctl::{table, value};
use nomadd_tests::{Agent, until};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn the_flow_of_a_first_session_works() {
    let agent = Agent::dev().await;

    let nodes = table(&agent.ctl(&["node", "status"]).await.ok(), "ID");
    assert_eq!(nodes.len(), 1);
    assert_eq!((nodes[0]["Status"].as_str(), nodes[0]["Eligibility"].as_str()), ("ready", "eligible"));
    let members = table(&agent.ctl(&["server", "members"]).await.ok(), "Name");
    assert_eq!((members[0]["Status"].as_str(), members[0]["Leader"].as_str()), ("alive", "true"));
    assert_eq!(agent.ctl(&["job", "status"]).await.ok().trim(), "No running jobs");

    let written = agent.ctl(&["job", "init", "-short"]).await.ok();
    assert_eq!(written.trim(), "Example job file written to example.nomad.hcl");
    let again = agent.ctl(&["job", "init"]).await.code(1);
    assert!(again.err.contains("already exists"), "{}", again.err);
    let file = agent.path().join("example.nomad.hcl");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("redis-server"), "the example runs what this host has:\n{text}");
    // A port of all interfaces would do, too; and the default of 10 s until healthy only makes the test long.
    let text = text.replacen("  group", "  update {\n    min_healthy_time = \"0s\"\n  }\n\n  group", 1);
    std::fs::write(&file, &text).unwrap();
    agent.ctl(&["job", "validate", "example.nomad.hcl"]).await.ok();

    let run = agent.ctl(&["job", "run", "example.nomad.hcl"]).await.ok();
    assert!(run.contains("Monitoring evaluation") && run.contains("finished with status \"complete\""), "{run}");
    assert!(run.contains("Deployment completed successfully"), "{run}");
    let status = agent.ctl(&["job", "status", "example"]).await.ok();
    assert_eq!(value(&status, "Status"), "running");
    assert_eq!(table(&status, "Task Group")[0]["Running"], "1");

    std::fs::write(&file, text.replace("count = 1", "count = 3")).unwrap();
    let plan = agent.ctl(&["job", "plan", "example.nomad.hcl"]).await.code(1).out;
    assert!(
        plan.contains("(2 create, 1 in-place update)") && plan.contains("\"1\" => \"3\" (forces create)"),
        "{plan}"
    );
    assert!(plan.contains("- All tasks successfully allocated."), "{plan}");
    let index = value(&plan, "Job Modify Index");
    let run = agent.ctl(&["job", "run", "-check-index", &index, "example.nomad.hcl"]).await.ok();
    assert_eq!(run.matches(" created: node").count(), 2, "{run}");
    let outdated = agent.ctl(&["job", "run", "-check-index", &index, "example.nomad.hcl"]).await.code(1);
    assert!(
        outdated
            .err
            .contains(&format!("Enforcing job modify index {index}: job exists with conflicting job modify index"))
    );
    assert!(outdated.err.contains("Job not updated"), "{}", outdated.err);

    let status = agent.ctl(&["job", "status", "example"]).await.ok();
    let allocations = table(&status, "ID        Node ID");
    assert_eq!(allocations.iter().filter(|row| row["Status"] == "running").count(), 3, "{status}");
    let id = allocations[0]["ID"].clone();
    look_inside(&agent, &id).await;

    let ports: Vec<u16> = agent.allocations("example").await.iter().map(port).collect();
    assert_eq!(ports.iter().filter(|port| answers(**port)).count(), 3, "three redis-servers run at {ports:?}");
    agent.ctl(&["job", "stop", "example"]).await.ok();
    until("the job is dead", || async {
        let status = agent.ctl(&["job", "status", "example"]).await.ok();
        if value(&status, "Status") == "dead (stopped)" && table(&status, "Task Group")[0]["Running"] == "0" {
            Ok(())
        } else {
            Err(status)
        }
    })
    .await;
    assert!(!ports.iter().any(|port| answers(*port)), "none runs any more");
    agent.ctl(&["job", "stop", "-purge", "example"]).await.ok();
    let gone = agent.ctl(&["job", "status", "example"]).await.code(1);
    assert!(gone.err.contains("No job(s) with prefix or ID \"example\" found"), "{}", gone.err);
}

/// What one allocation shows: status, logs that follow, and a command beside the task.
async fn look_inside(agent: &Agent, id: &str) {
    let status = agent.ctl(&["alloc", "status", id]).await.ok();
    assert_eq!(value(&status, "Client Status"), "running");
    assert_eq!(value(&status, "Deployment Health"), "healthy");
    assert!(status.contains("Task \"redis\" is \"running\"") && status.contains("Task started by client"), "{status}");
    let address = table(&status, "Label")[0]["Address"].clone();
    assert!(address.contains(':'), "{status}");

    let mut logs = agent.follow("logs", &["alloc", "logs", "-f", id]);
    logs.prints("Ready to accept connections").await;
    let port = address.rsplit(':').next().unwrap();
    let pong = agent.ctl(&["alloc", "exec", "-i=false", "-t=false", id, "redis-cli", "-p", port, "ping"]).await.ok();
    assert_eq!(pong.trim(), "PONG");
    let in_shell = ["alloc", "exec", "-i=false", "-t=false", id, "/bin/sh", "-c", "echo $NOMAD_TASK_NAME; exit 3"];
    assert_eq!(agent.ctl(&in_shell).await.code(3).out.trim(), "redis");

    // What is written later is shown; Ctrl-C ends it well.
    agent
        .ctl(&[
            "alloc",
            "exec",
            "-i=false",
            "-t=false",
            id,
            "redis-cli",
            "-p",
            port,
            "config",
            "set",
            "loglevel",
            "debug",
        ])
        .await
        .ok();
    logs.prints("Client closed connection").await;
    logs.interrupt();
    assert_eq!(logs.ends().await.code(), Some(0));
}

/// The port that an allocation was given.
fn port(allocation: &Value) -> u16 {
    let value = &allocation["AllocatedResources"]["Shared"]["Ports"][0]["Value"];
    value.as_u64().and_then(|port| port.try_into().ok()).unwrap_or_else(|| panic!("no port: {allocation}"))
}

fn answers(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}
