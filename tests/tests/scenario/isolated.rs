//! Tasks of the exec driver: a root of their own, what they may and may not do there, and all that people do with tasks.

use nomadd_tests::{Agent, process, until};
use serde_json::Value;

use super::jobs;

/// Whether tasks cannot be isolated here, which is said.
pub async fn skip(agent: &Agent) -> bool {
    let nodes = agent.get("/v1/nodes").await;
    let driver = &nodes[0]["Drivers"]["exec"];
    let cannot = driver["Detected"] != true;
    if cannot {
        eprintln!("SKIPPED: the driver exec is not here: {}", driver["HealthDescription"]);
    }
    cannot
}

/// A job of the exec driver instead of raw_exec; `more` goes into the task's config.
pub fn exec(job: &str, more: &str) -> String {
    job.replace("driver = \"raw_exec\"", "driver = \"exec\"").replace("config {\n", &format!("config {{\n{more}\n"))
}

/// The output of a job's only allocation, once it has ended well.
async fn output(agent: &Agent, name: &str, text: &str) -> String {
    let file = format!("{name}.nomad.hcl");
    agent.file(&file, text);
    agent.ctl(&["job", "run", "-detach", &file]).await.ok();
    let ended =
        |all: &[Value]| all.iter().any(|one| matches!(one["ClientStatus"].as_str(), Some("complete" | "failed")));
    let all = agent.allocations_until(name, "it has ended", ended).await;
    let id = all[0]["ID"].as_str().unwrap();
    let logs = agent.ctl(&["alloc", "logs", id]).await.ok();
    let errors = agent.ctl(&["alloc", "logs", "-stderr", id]).await.ok();
    assert_eq!(all[0]["ClientStatus"], "complete", "{}\n{logs}\n{errors}", all[0]["TaskStates"]);
    logs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_sees_only_its_root_and_cannot_write_the_host() {
    let agent = Agent::dev().await;
    if skip(&agent).await {
        return;
    }
    let script = "echo pid $$; id -un; pwd; ls / | tr '\\n' ' '; echo\necho $NOMAD_ALLOC_DIR $NOMAD_TASK_DIR $NOMAD_SECRETS_DIR\n\
        touch /usr/x /etc/x 2>/dev/null || echo read-only\nls -d /home /root /private/x 2>/dev/null\n\
        echo a > /local/a; echo b > /alloc/data/b; echo c > /secrets/c; echo d > /tmp/d; cat /local/a /alloc/data/b /secrets/c /tmp/d\n\
        grep CapBnd /proc/self/status; ls /proc | grep -c '^[0-9]'";
    let job = exec(&jobs::batch("sees", 1, script), "cap_drop = [\"all\"]\ncap_add = [\"kill\"]");
    let out = output(&agent, "sees", &job).await;
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..3], ["pid 1", "nobody", "/"], "{out}");
    for name in ["alloc", "bin", "dev", "etc", "local", "proc", "secrets", "tmp", "usr"] {
        assert!(lines[3].split(' ').any(|one| one == name), "{name}: {out}");
    }
    assert!(!lines[3].contains("home") && !lines[3].contains("srv"), "{out}");
    assert_eq!(lines[4..10], ["/alloc /local /secrets", "read-only", "a", "b", "c", "d"], "{out}");
    assert_eq!(lines[10], "CapBnd:\t0000000000000020", "{out}");
    assert!(lines[11].parse::<u32>().unwrap() <= 4, "{out}");
    assert!(!std::path::Path::new("/usr/x").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_task_from_starting_is_told() {
    let agent = Agent::dev().await;
    if skip(&agent).await {
        return;
    }
    let job = |name: &str| exec(&jobs::batch(name, 1, "exit 0"), "");
    let cases = [
        ("user", job("user").replace("driver =", "user = \"nobody-such\"\n      driver ="), "unknown user nobody-such"),
        (
            "binary",
            job("binary").replace("/bin/sh", "/no/such/program"),
            "\"/no/such/program\" not found inside the task's root",
        ),
        ("caps", exec(&jobs::batch("caps", 1, "exit 0"), "cap_add = [\"sys_admin\"]"), "the agent's allow_caps"),
    ];
    for (name, text, expected) in cases {
        let file = format!("{name}.nomad.hcl");
        agent.file(&file, &text);
        agent.ctl(&["job", "run", "-detach", &file]).await.ok();
        let all = agent
            .allocations_until(name, "it has failed", |all| all.iter().any(|one| one["ClientStatus"] == "failed"))
            .await;
        let events = all[0]["TaskStates"]["t"]["Events"].as_array().unwrap();
        assert!(events.iter().any(|event| event["DisplayMessage"].as_str().unwrap().contains(expected)), "{events:?}");
    }
    // A key that does not exist is refused at the registration.
    agent.file("key.nomad.hcl", &exec(&jobs::batch("key", 1, "exit 0"), "chroot = true"));
    let refused = agent.ctl(&["job", "run", "key.nomad.hcl"]).await.code(1);
    assert!(refused.err.contains("\"chroot\""), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_runs_out_is_told() {
    let agent = Agent::dev().await;
    if skip(&agent).await {
        return;
    }
    agent.file("eats.nomad.hcl", &exec(&jobs::batch("eats", 1, "exec perl -e '$x = \"a\" x 100_000_000'"), ""));
    agent.ctl(&["job", "run", "-detach", "eats.nomad.hcl"]).await.ok();
    let all = agent
        .allocations_until("eats", "it has failed", |all| all.iter().any(|one| one["ClientStatus"] == "failed"))
        .await;
    let events = all[0]["TaskStates"]["t"]["Events"].as_array().unwrap();
    let ended = events.iter().find(|event| event["Type"] == "Terminated").unwrap();
    assert!(ended["DisplayMessage"].as_str().unwrap().contains("OOM"), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn isolated_tasks_outlive_a_killed_agent_and_everything_works_on_them() {
    let mut agent = Agent::durable().await;
    if skip(&agent).await {
        return;
    }
    let script = "trap 'echo signalled' USR1\necho $$ > /local/pid\nhostname > /dev/null\nwhile :; do sleep 0.02; done";
    agent.file("stays.nomad.hcl", &exec(&jobs::service("stays", 1, "", script), ""));
    agent.ctl(&["job", "run", "stays.nomad.hcl"]).await.ok();
    let id = agent.allocations("stays").await[0]["ID"].as_str().unwrap().to_owned();
    let folder = agent.path().join("data/alloc").join(&id).join("t/local");
    until("it has told its process id", || async {
        match std::fs::read_to_string(folder.join("pid")) {
            Ok(text) if text.trim() == "1" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    agent.kill();
    agent.restart().await;
    agent.node_ready().await;
    let inside = |script: &'static str| ["alloc", "exec", "-i=false", "-t=false", &id, "/bin/sh", "-c", script];
    until("it is taken back", || async {
        let ran = agent.ctl(&inside("id -un; ls -d /root 2>/dev/null; cat /local/pid; echo $NOMAD_TASK_DIR")).await;
        if ran.code == 0 && ran.out == "nobody\n1\n/local\n" { Ok(()) } else { Err(ran) }
    })
    .await;
    agent.ctl(&inside("exit 9")).await.code(9);
    agent.ctl(&["alloc", "signal", "-s", "SIGUSR1", &id]).await.ok();
    until("the signal has arrived", || async {
        let text = agent.ctl(&["alloc", "logs", &id]).await.out;
        if text.contains("signalled") { Ok(()) } else { Err(text) }
    })
    .await;
    let stats = agent.get(&format!("/v1/client/allocation/{id}/stats")).await;
    assert!(stats["ResourceUsage"]["MemoryStats"]["Usage"].as_u64().is_some_and(|bytes| bytes > 0), "{stats}");
    agent.ctl(&["alloc", "restart", &id]).await.ok();
    agent
        .allocations_until("stays", "it was restarted", |all| {
            all[0]["TaskStates"]["t"]["Restarts"] == 1 && all[0]["TaskStates"]["t"]["State"] == "running"
        })
        .await;
    agent.ctl(&["job", "stop", "-purge", "stays"]).await.ok();
    until("no process of it is left", || async {
        if process::with_environment(&id).is_empty() { Ok(()) } else { Err(process::with_environment(&id)) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_runs_by_the_hosts_java_in_a_root_of_its_own() {
    let agent = Agent::dev().await;
    let drivers = agent.get("/v1/nodes").await[0]["Drivers"].clone();
    if drivers["java"]["Detected"] != true {
        eprintln!("SKIPPED: no Java is on this host (package default-jre-headless)");
        return;
    }
    assert!(
        drivers["java"]["Attributes"]["driver.java.version"].as_str().is_some_and(|it| !it.is_empty()),
        "{drivers}"
    );
    // A program that every Java has: one that needs no archive of our own.
    let job = jobs::batch("runs", 1, "")
        .replace("driver = \"raw_exec\"", "driver = \"java\"")
        .replace("memory = 16", "memory = 300");
    let (head, tail) = job.split_at(job.find("config {").unwrap());
    let rest = &tail[tail.find("      resources {").unwrap()..];
    let config = "config {\n  class = \"sun.security.tools.keytool.Main\"\n  args = [\"-list\", \"-cacerts\", \"-storepass\", \"changeit\"]\n  \
        jvm_options = [\"-Xmx64m\", \"-XshowSettings:properties\"]\n}\n";
    agent.file("runs.nomad.hcl", &format!("{head}{config}{rest}"));
    agent.ctl(&["job", "run", "-detach", "runs.nomad.hcl"]).await.ok();
    let ended =
        |all: &[Value]| all.iter().any(|one| matches!(one["ClientStatus"].as_str(), Some("complete" | "failed")));
    let all = agent.allocations_until("runs", "it has ended", ended).await;
    let id = all[0]["ID"].as_str().unwrap();
    let said = agent.ctl(&["alloc", "logs", "-stderr", id]).await.ok();
    let out = agent.ctl(&["alloc", "logs", id]).await.ok();
    assert!(said.contains("user.dir = /\n") && said.contains("user.name = nobody"), "{said}");
    assert!(all[0]["ClientStatus"] == "complete" || out.contains("eystore"), "{out}\n{said}");
    // Neither class nor archive: told at the start, because either may be written later.
    agent.file(
        "none.nomad.hcl",
        &format!("{}config {{\n  args = [\"x\"]\n}}\n{rest}", head.replace("\"runs\"", "\"none\"")),
    );
    agent.ctl(&["job", "run", "-detach", "none.nomad.hcl"]).await.ok();
    let all = agent.allocations_until("none", "it has ended", ended).await;
    let events = all[0]["TaskStates"]["t"]["Events"].as_array().unwrap();
    assert!(
        events.iter().any(|event| event["DisplayMessage"].as_str().unwrap().contains("\"jar_path\"")),
        "{events:?}"
    );
}
