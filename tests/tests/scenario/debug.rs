//! `operator debug` against real agents: what is in the archive, what is left out of it, and how it ends.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nomadd_tests::ctl::ctl;
use nomadd_tests::{Agent, Cluster, until};
use serde_json::Value;

const JOB: &str = r#"job "web" {
  meta {
    owner     = "night-watch"
    api_token = "hunter-meta"
  }
  group "g" {
    task "t" {
      driver = "raw_exec"
      env {
        DATABASE = "postgres://app:hunter-url@db/x"
        ANYTHING = "hunter-env"
      }
      config {
        command = "/bin/sh"
        args    = ["-c", "exec sleep 1000", "app", "-password", "hunter-word", "--secret=hunter-flag"]
      }
    }
  }
}
"#;

/// Unpacks the archive that a run named; the folder in it, and the archive.
fn unpacked(agent: &Agent, printed: &str) -> (PathBuf, PathBuf) {
    let name = printed.lines().find_map(|line| line.strip_prefix("Created debug archive: "));
    let archive = agent.path().join(name.unwrap_or_else(|| panic!("no archive: {printed}")));
    let done = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(agent.path()).status();
    assert!(done.unwrap().success());
    (archive.with_extension("").with_extension(""), archive)
}

fn json(folder: &Path, name: &str) -> Value {
    let text = std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_answers_the_question_of_the_night_and_holds_no_secret() {
    let agent = Agent::start(&["-dev"], "enable_debug = true\n").await;
    agent.node_ready().await;
    agent.file("web.nomad.hcl", JOB);
    agent.ctl(&["job", "run", "web.nomad.hcl"]).await.ok();
    let words = ["operator", "debug", "-duration=2s", "-interval=1s", "-log-level=TRACE", "-token=hunter-token"];
    let words = [&words[..], &["-event-topic=all", "-event-index=1"]].concat();
    let printed = agent.ctl(&words).await.ok();
    assert!(printed.contains("          Servers: (1/1) ["), "{printed}");
    assert!(printed.contains("    Capture interval 0001\n") && !printed.contains('\u{1b}'), "{printed}");
    let (folder, archive) = unpacked(&agent, &printed);
    assert_eq!(std::fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);

    let index = json(&folder, "index.json");
    assert_eq!(index["Missing"], serde_json::json!([]), "{index:#}");
    assert_eq!((&index["Flags"]["token"], &index["Interrupted"]), (&Value::Bool(true), &Value::Bool(false)));
    let server = format!("server/{}", index["Servers"][0].as_str().unwrap());
    let client = format!("client/{}", index["Clients"][0].as_str().unwrap());
    for (name, pointer) in [
        ("cluster/jobs/default/web.json".to_owned(), "/TaskGroups/0/Tasks/0/Config/command"),
        ("cluster/members.json".to_owned(), "/Members/0/Name"),
        ("cluster/namespaces.json".to_owned(), "/0/Name"),
        ("cluster/node-pools.json".to_owned(), "/0/Name"),
        ("cluster/scheduler-configuration.json".to_owned(), "/SchedulerConfig/SchedulerAlgorithm"),
        ("cluster/version.json".to_owned(), "/nomadctl"),
        (format!("{server}/agent-host.json"), "/HostData/OS"),
        (format!("{server}/agent-self.json"), "/stats/raft/term"),
        (format!("{server}/agent-members.json"), "/Members/0/Status"),
        (format!("{client}/node.json"), "/Attributes/kernel.name"),
        ("interval/0001/allocations.json".to_owned(), "/0/JobID"),
        ("interval/0001/evaluations.json".to_owned(), "/0/TriggeredBy"),
        ("interval/0001/nodes.json".to_owned(), "/0/Status"),
        ("interval/0001/raft-configuration.json".to_owned(), "/Servers/0/ID"),
        ("interval/0001/autopilot-health.json".to_owned(), "/Servers/0/Name"),
        (format!("interval/0001/{server}/metrics.json"), "/Gauges/0/Name"),
        (format!("interval/0001/{server}/tasks.json"), "/Tasks/0/Kind"),
        (format!("interval/0001/{client}/stats.json"), "/Memory/Total"),
    ] {
        let value = json(&folder, &name);
        assert!(value.pointer(pointer).is_some_and(|value| !value.is_null()), "{name} lacks {pointer}: {value:#}");
    }
    assert!(folder.join(&server).join("monitor.log").is_file());
    let task = json(&folder, "cluster/jobs/default/web.json")["TaskGroups"][0]["Tasks"][0].clone();
    assert_eq!(task["Env"]["ANYTHING"], "<masked>");
    assert_eq!(
        task["Config"]["args"],
        serde_json::json!(["-c", "exec sleep 1000", "app", "-password", "<masked>", "--secret=<masked>"])
    );
    let events = std::fs::read_to_string(folder.join("cluster/eventstream.json")).unwrap();
    assert!(events.contains("night-watch") && events.contains("<masked>"), "{events}");
    for file in files(&folder) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("hunter-"), "{}: {text}", file.display());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0, "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_named_and_an_interrupted_capture_is_kept() {
    // In development enable_debug is on.
    let agent = Agent::durable().await;
    // No archive but a folder; the host's data are not told without enable_debug.
    let words = ["operator", "debug", "-duration=1s", "-interval=1s", "-output=out", "-node-id=none"];
    let printed = agent.ctl(&words).await.ok();
    let made = printed.lines().find_map(|line| line.strip_prefix("Created debug directory: ")).unwrap().to_owned();
    let index = json(&agent.path().join(made), "index.json");
    let missing = index["Missing"].as_array().unwrap();
    assert_eq!(missing.len(), 1, "{index:#}");
    assert_eq!(
        missing[0]["Error"],
        "Unexpected response code: 403 (Permission denied): set enable_debug = true for the agent"
    );
    assert!(printed.contains("1 of "), "{printed}");

    let mut long = agent.follow("long", &["operator", "debug", "-duration=10m", "-interval=5m"]);
    long.prints("Capture interval 0000").await;
    until("the first lists are asked for", || async {
        // A request later the capture has begun to write.
        agent.api().call::<Value>(nomadd_api::Request::get("/v1/agent/self")).await.map(drop)
    })
    .await;
    long.interrupt();
    assert_eq!(long.ends().await.code(), Some(0));
    let (folder, _) = unpacked(&agent, &long.printed());
    assert_eq!(json(&folder, "index.json")["Interrupted"], true);

    let refused = |code: i32, words: &'static [&'static str], expected: &'static str| {
        let asked = agent.ctl(words);
        async move {
            let asked = asked.await.code(code);
            assert!(asked.err.contains(expected), "{}", asked.err);
        }
    };
    refused(1, &["operator", "debug", "-server-id=nobody"], "no server \"nobody\" is known").await;
    refused(1, &["operator", "debug", "-duration=1s"], "interval: 30s is greater than duration 1s").await;
    refused(2, &["operator", "debug", "-duration=1s", "-interval=1s", "-output=agent.hcl"], "Error collecting data: ")
        .await;
    let nobody = ctl("http://127.0.0.1:9", &["operator", "debug"], agent.path()).await.code(1);
    assert!(
        nobody.err.starts_with("Error querying agent: Get \"http://127.0.0.1:9/v1/agent/self\": dial tcp"),
        "{}",
        nobody.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_agent_of_a_cluster_is_asked_from_any_of_them() {
    let mut cluster = Cluster::form(3, 1).await;
    let words = ["operator", "debug", "-duration=1s", "-interval=1s"];
    let printed = cluster.clients[0].ctl(&words).await.ok();
    let (folder, _) = unpacked(&cluster.clients[0], &printed);
    let index = json(&folder, "index.json");
    for name in ["s1.global", "s2.global", "s3.global"] {
        let own = json(&folder, &format!("server/{name}/agent-self.json"));
        assert_eq!(own["member"]["Name"], *name, "{index:#}");
        let metrics = json(&folder, &format!("interval/0000/server/{name}/metrics.json"));
        assert!(!metrics["Gauges"].as_array().unwrap().is_empty());
        assert_eq!(json(&folder, &format!("interval/0000/server/{name}/tasks.json"))["Name"], *name);
        assert_eq!(
            json(&folder, &format!("server/{name}/agent-members.json"))["ServerName"],
            name.trim_end_matches(".global")
        );
    }
    let node = index["Clients"][0].as_str().unwrap();
    let tasks = json(&folder, &format!("interval/0000/client/{node}/tasks.json"));
    assert!(tasks["Tasks"].as_array().unwrap().iter().any(|task| task["Kind"] == "ClientLoop"), "{tasks}");

    // With a server gone, and nobody told yet, the rest is captured all the same.
    cluster.servers[2].kill();
    let printed = cluster.servers[0].ctl(&words).await.ok();
    let (folder, _) = unpacked(&cluster.servers[0], &printed);
    let index = json(&folder, "index.json");
    assert_eq!(json(&folder, "server/s1.global/agent-self.json")["member"]["Name"], "s1.global");
    let about = format!("{}{}", index["Missing"], index["NotAsked"]);
    assert!(about.contains("s3.global"), "{index:#}");
}
