//! Folders of the host in tasks: what is written stays after stop and run, and what may not be written is not.

use nomadd_tests::{Agent, until};
use serde_json::Value;

use super::{isolated, jobs};

/// An agent with two volumes below its own folder, one of them only to be read.
async fn agent() -> (Agent, tempfile::TempDir) {
    let folder = tempfile::Builder::new().prefix("nomadd-test-volumes-").tempdir().unwrap();
    let (data, fixed) = (folder.path().join("data"), folder.path().join("fixed"));
    for place in [&data, &fixed] {
        std::fs::create_dir(place).unwrap();
        std::fs::set_permissions(place, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    std::fs::write(fixed.join("given"), "given\n").unwrap();
    let text = format!(
        "client {{\n  host_volume \"data\" {{\n    path = \"{}\"\n  }}\n  host_volume \"fixed\" {{\n    path = \"{}\"\n    \
         read_only = true\n  }}\n}}\n",
        data.display(),
        fixed.display()
    );
    let agent = Agent::start(&["-dev"], &text).await;
    agent.node_ready().await;
    (agent, folder)
}

const VOLUMES: &str = "volume \"d\" {\n  type = \"host\"\n  source = \"data\"\n}\nvolume \"f\" {\n  type = \"host\"\n  \
    source = \"fixed\"\n  read_only = true\n}\n";

/// Puts the mounts into the task.
fn mounted(job: &str, data: &str, fixed: &str) -> String {
    let block = |volume: &str, place: &str| {
        format!("volume_mount {{\n  volume = \"{volume}\"\n  destination = \"{place}\"\n}}\n")
    };
    job.replace("      config {", &format!("{}{}      config {{", block("d", data), block("f", fixed)))
}

#[tokio::test(flavor = "multi_thread")]
async fn data_in_a_volume_is_there_again_after_stop_and_run() {
    let (agent, _folder) = agent().await;
    if isolated::skip(&agent).await {
        return;
    }
    let node = agent.get("/v1/nodes").await[0]["ID"].as_str().unwrap().to_owned();
    let volumes = &agent.get(&format!("/v1/node/{node}")).await["HostVolumes"];
    assert_eq!(volumes["fixed"]["ReadOnly"], true, "{volumes}");
    let script = "cat /d/kept 2>/dev/null || echo nothing yet\ncat /f/given\ntouch /f/x 2>/dev/null || echo read-only\n\
        echo kept > /d/kept\nwhile :; do sleep 0.02; done";
    let job = mounted(&isolated::exec(&jobs::service("writes", 1, VOLUMES, script), ""), "/d", "/f");
    agent.file("writes.nomad.hcl", &job);
    for expected in ["nothing yet\ngiven\nread-only\n", "kept\ngiven\nread-only\n"] {
        agent.ctl(&["job", "run", "writes.nomad.hcl"]).await.ok();
        let running = |all: &[Value]| all.iter().any(|one| one["ClientStatus"] == "running");
        let all = agent.allocations_until("writes", "it runs", running).await;
        let id = all.iter().find(|one| one["ClientStatus"] == "running").unwrap()["ID"].as_str().unwrap();
        until("it has read", || async {
            let logs = agent.ctl(&["alloc", "logs", id]).await;
            if logs.out == expected { Ok(()) } else { Err(logs) }
        })
        .await;
        agent.ctl(&["job", "stop", "-purge", "writes"]).await.ok();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains("nomadd-test-volumes"), "nothing is mounted on the host");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_exec_tasks_have_their_volumes_too_and_only_they_see_the_mounts() {
    let (agent, _folder) = agent().await;
    if isolated::skip(&agent).await {
        return;
    }
    let script = "cat f/given; touch f/x 2>/dev/null || echo read-only; echo raw > d/raw; cat d/raw; sleep 1000";
    agent.file("raw.nomad.hcl", &mounted(&jobs::service("raw", 1, VOLUMES, script), "d", "f"));
    agent.ctl(&["job", "run", "raw.nomad.hcl"]).await.ok();
    let id = agent.allocations("raw").await[0]["ID"].as_str().unwrap().to_owned();
    until("it has read and written", || async {
        let logs = agent.ctl(&["alloc", "logs", &id]).await;
        if logs.out == "given\nread-only\nraw\n" { Ok(()) } else { Err(logs) }
    })
    .await;
    let listed = agent.ctl(&["alloc", "exec", "-i=false", "-t=false", &id, "/bin/ls", "d"]).await.ok();
    assert_eq!(listed.trim(), "raw", "a command beside it sees them too");
    let seen = agent.ctl(&["alloc", "fs", "-stat", &id, "t/d/raw"]).await;
    assert_ne!(seen.code, 0, "the host does not: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_that_cannot_be_had_are_named() {
    let (agent, _folder) = agent().await;
    let without = VOLUMES.replace("source = \"data\"", "source = \"elsewhere\"");
    agent.file("none.nomad.hcl", &mounted(&jobs::service("none", 1, &without, "exit 0"), "/d", "/f"));
    agent.ctl(&["job", "run", "-detach", "none.nomad.hcl"]).await.ok();
    until("job why says what is missing", || async {
        let why = agent.ctl(&["job", "why", "none"]).await;
        if why.out.contains("missing compatible host volumes") { Ok(()) } else { Err(why) }
    })
    .await;
    let unknown = mounted(&jobs::service("bad", 1, "", "exit 0"), "/d", "/f");
    agent.file("bad.nomad.hcl", &unknown);
    let refused = agent.ctl(&["job", "run", "bad.nomad.hcl"]).await.code(1);
    assert!(refused.err.contains("references undefined volume d"), "{refused:?}");
    let csi = VOLUMES.replace("type = \"host\"\n  source = \"data\"", "type = \"csi\"\n  source = \"data\"");
    agent.file("csi.nomad.hcl", &mounted(&jobs::service("csi", 1, &csi, "exit 0"), "/d", "/f"));
    let refused = agent.ctl(&["job", "run", "csi.nomad.hcl"]).await.code(1);
    assert!(refused.err.contains("type = \"csi\" of volume \"d\""), "{refused:?}");
}
