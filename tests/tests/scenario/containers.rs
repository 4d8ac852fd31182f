//! Containers: images made here and pulled from a registry on this host, run by the docker driver without any Docker.

use nomadd_tests::image::Registry;
use nomadd_tests::{Agent, process, until};
use serde_json::Value;

use super::jobs;

/// Whether containers cannot be run here, which is said.
async fn skip(agent: &Agent) -> bool {
    let nodes = agent.get("/v1/nodes").await;
    let driver = &nodes[0]["Drivers"]["docker"];
    let cannot = driver["Detected"] != true;
    if cannot {
        eprintln!("SKIPPED: the driver docker is not here: {}", driver["HealthDescription"]);
    }
    cannot
}

/// A job of the docker driver instead of raw_exec; `more` goes into the task's config.
fn docker(job: &str, image: &str, more: &str) -> String {
    let config = format!("config {{\n        image = \"{image}\"\n{more}\n");
    job.replace("driver = \"raw_exec\"", "driver = \"docker\"").replace("config {\n", &config)
}

async fn run(agent: &Agent, name: &str, text: &str) {
    let file = format!("{name}.nomad.hcl");
    agent.file(&file, text);
    agent.ctl(&["job", "run", "-detach", &file]).await.ok();
}

async fn until_status(agent: &Agent, name: &str, status: &str) -> Value {
    let is = |all: &[Value]| all.iter().any(|one| one["ClientStatus"] == status);
    agent.allocations_until(name, status, is).await.remove(0)
}

/// What a job's only allocation wrote, once it has ended well.
async fn output(agent: &Agent, name: &str, text: &str) -> String {
    run(agent, name, text).await;
    let ended =
        |all: &[Value]| all.iter().any(|one| matches!(one["ClientStatus"].as_str(), Some("complete" | "failed")));
    let all = agent.allocations_until(name, "it has ended", ended).await;
    let id = all[0]["ID"].as_str().unwrap();
    let logs = agent.ctl(&["alloc", "logs", "-task", "t", id]).await.ok();
    let errors = agent.ctl(&["alloc", "logs", "-stderr", "-task", "t", id]).await.ok();
    assert_eq!(all[0]["ClientStatus"], "complete", "{}\n{logs}\n{errors}", all[0]["TaskStates"]);
    logs
}

fn events(allocation: &Value) -> String {
    let events = allocation["TaskStates"]["t"]["Events"].as_array().unwrap();
    events.iter().map(|event| format!("{}: {}\n", event["Type"], event["DisplayMessage"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_pulled_runs_and_is_all_that_tasks_are() {
    let agent = Agent::dev().await;
    if skip(&agent).await {
        return;
    }
    let registry = Registry::start().await;
    let image = registry.push(
        "web:1",
        "echo from the image > etc/motd",
        &["--config.env", "KIND=image", "--config.workingdir", "/tmp"],
    );
    let node = agent.get("/v1/nodes").await;
    assert_eq!(node[0]["Drivers"]["docker"]["Healthy"], true, "{node}");

    let script = "cat /etc/motd; pwd; echo $KIND $OWN $NOMAD_TASK_DIR; trap 'echo told to end; exit 0' TERM\necho here > /local/file; touch /new\nwhile :; do sleep 0.1; done";
    let job = docker(&jobs::service("web", 1, "", script), &image, "")
        .replace("resources {", "env {\n OWN = \"task\"\n}\nresources {");
    run(&agent, "web", &job).await;
    let running = until_status(&agent, "web", "running").await;
    let id = running["ID"].as_str().unwrap();
    assert!(events(&running).contains("Downloading image"), "{}", events(&running));
    until("it writes", || async {
        let logs = agent.ctl(&["alloc", "logs", id]).await.ok();
        if logs.starts_with("from the image\n/tmp\nimage task /local\n") { Ok(()) } else { Err(logs) }
    })
    .await;
    let inside = agent
        .ctl(&[
            "alloc",
            "exec",
            "-i=false",
            "-t=false",
            id,
            "/bin/sh",
            "-c",
            "cat /local/file; echo $$; ls -d /usr 2>&1",
        ])
        .await;
    assert!(inside.out.starts_with("here\n") && inside.out.contains("No such file"), "{}", inside.out);
    agent.ctl(&["job", "stop", "-detach", "web"]).await.ok();
    let ended = until_status(&agent, "web", "complete").await;
    let logs = agent.ctl(&["alloc", "logs", id]).await.ok();
    assert!(logs.ends_with("told to end\n"), "{logs}{}", events(&ended));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_config_says_of_a_container_is_so_inside() {
    let agent = Agent::start(&["-dev"], "plugin \"docker\" {\n config {\n volumes {\n enabled = true\n }\n allow_caps = [\"kill\", \"chown\", \"net_raw\"]\n }\n}\n").await;
    agent.node_ready().await;
    if skip(&agent).await {
        return;
    }
    let registry = Registry::start().await;
    let image = registry.push(
        "config:1",
        "mkdir data; echo of the image > data/file; chown 33:34 data",
        &["--config.user", "web", "--config.cmd", "/bin/true"],
    );
    let outside = agent.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "of the host\n").unwrap();

    let script = "id; hostname; cat /etc/hosts | grep db; grep nameserver /etc/resolv.conf; ulimit -n; cat /proc/sys/kernel/shmmax\n\
        touch /x 2>/dev/null || echo read-only; cat /host/file; touch /host/x 2>/dev/null || echo host read-only\n\
        cat /data/file; df /small | tail -1 | tr -s ' ' | cut -d' ' -f2; grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status";
    let more = format!(
        "hostname = \"myself\"\nextra_hosts = [\"db:10.9.8.7\"]\ndns_servers = [\"10.9.9.9\"]\nreadonly_rootfs = true\ninit = true\n\
         ulimit {{\n nofile = \"500:600\"\n}}\nsysctl = {{\n \"kernel.shmmax\" = \"12345678\"\n}}\nvolumes = [\"{}:/host:ro\"]\ncap_add = [\"net_raw\"]\ngroup_add = [\"logs\"]\n\
         mount {{\n type = \"volume\"\n source = \"kept\"\n target = \"/data\"\n}}\nmount {{\n type = \"tmpfs\"\n target = \"/small\"\n tmpfs_options {{\n size = 1048576\n }}\n}}\n",
        outside.display()
    );
    let out = output(&agent, "config", &docker(&jobs::batch("config", 1, script), &image, &more)).await;
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "uid=33(web) gid=34(web) groups=50(logs)", "{out}");
    assert_eq!(lines[1..6], ["myself", "10.9.8.7 db", "nameserver 10.9.9.9", "500", "12345678"], "{out}");
    assert_eq!(lines[6..11], ["read-only", "of the host", "host read-only", "of the image", "1024"], "{out}");
    assert!(
        out.contains("NoNewPrivs:\t1") && out.contains("Seccomp:\t2") && out.contains("CapBnd:\t0000000000002021"),
        "{out}"
    );

    // The volume is there again for another job, and the root is not.
    let again = docker(
        &jobs::batch("again", 1, "cat /data/file; ls /x"),
        &image,
        "mount {\n type = \"volume\"\n source = \"kept\"\n target = \"/data\"\n}\n",
    )
    .replace("ls /x", "ls /x 2>&1 | wc -l");
    assert_eq!(output(&agent, "again", &again).await.trim(), "of the image\n1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_container_from_starting_is_told() {
    let agent = Agent::dev().await;
    if skip(&agent).await {
        return;
    }
    let registry = Registry::start().await;
    let image = registry.push("plain:1", "", &[]);
    let absent = format!("{}/absent:1", registry.address);
    let nobody = format!("127.0.0.1:{}/x:1", nomadd_tests::agent::free_port());
    let job = |name: &str, image: &str, more: &str| docker(&jobs::batch(name, 1, "true"), image, more);
    for (name, text, expected) in [
        ("absent", job("absent", &absent, ""), "has no such image"),
        ("nobody", job("nobody", &nobody, ""), "cannot be reached"),
        ("user", job("user", &image, "").replace("driver =", "user = \"no-such\"\n driver ="), "the image has no user"),
        ("program", job("program", &image, "").replace("/bin/sh", "/no/such"), "/no/such"),
        ("privileged", job("privileged", &image, "privileged = true"), "set allow_privileged = true"),
        ("caps", job("caps", &image, "cap_add = [\"sys_admin\"]"), "the agent's allow_caps"),
        ("sysctl", job("sysctl", &image, "sysctl = {\n \"vm.swappiness\" = \"1\"\n}"), "which is the whole host's"),
    ] {
        run(&agent, name, &text).await;
        let failed = until_status(&agent, name, "failed").await;
        assert!(events(&failed).contains(expected), "{name}: {}", events(&failed));
    }
    // What can be known before is told at registration.
    agent.file("tty.nomad.hcl", &job("tty", &image, "tty = true"));
    let refused = agent.ctl(&["job", "run", "tty.nomad.hcl"]).await.code(1);
    assert!(refused.err.contains("is not supported for the task itself"), "{}", refused.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_outlives_the_agent_and_goes_without_a_trace() {
    let mut agent = Agent::durable().await;
    if skip(&agent).await {
        return;
    }
    let registry = Registry::start().await;
    let image = registry.push("lasting:1", "", &[]);
    let script = "echo begun; while :; do sleep 0.1; done";
    run(&agent, "lasting", &docker(&jobs::service("lasting", 1, "", script), &image, "")).await;
    let id = until_status(&agent, "lasting", "running").await["ID"].as_str().unwrap().to_owned();
    let roots = agent.path().join("data/images/roots");
    assert_eq!(std::fs::read_dir(&roots).unwrap().count(), 1);
    agent.kill();
    agent.restart().await;
    agent.node_ready().await;
    let answer = agent.ctl(&["alloc", "exec", "-i=false", "-t=false", &id, "/bin/echo", "still here"]).await.ok();
    assert_eq!(answer.trim(), "still here");
    agent.ctl(&["job", "stop", "-detach", "lasting"]).await.ok();
    until_status(&agent, "lasting", "complete").await;
    until("its root is gone", || async {
        let left = std::fs::read_dir(&roots).unwrap().count();
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(roots.to_str().unwrap()), "{mounts}");
    // Without an image in use a collection takes all of it.
    agent.api().bytes(nomadd_api::Request::put("/v1/client/gc")).await.unwrap();
    let layers = agent.path().join("data/images/layers");
    until("the image is gone", || async {
        let left = std::fs::read_dir(&layers).unwrap().count();
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    assert!(process::runs(agent.pid()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_stopped_while_its_image_comes_ends_at_once() {
    let agent = Agent::dev().await;
    if skip(&agent).await {
        return;
    }
    // Something that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let image = format!("{}/x:1", silent.local_addr().unwrap());
    run(&agent, "waits", &docker(&jobs::service("waits", 1, "", "true"), &image, "")).await;
    let told = |all: &[Value]| {
        all.iter().any(|one| one["TaskStates"]["t"].is_object() && events(one).contains("Downloading image"))
    };
    agent.allocations_until("waits", "it downloads", told).await;
    agent.ctl(&["job", "stop", "-detach", "waits"]).await.ok();
    let over = |all: &[Value]| all.iter().any(|one| one["TaskStates"]["t"]["State"] == "dead");
    agent.allocations_until("waits", "it is over", over).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_loaded_from_an_archive_that_the_job_has() {
    let agent =
        Agent::start(&["-dev"], "plugin \"docker\" {\n config {\n volumes {\n enabled = true\n }\n }\n}\n").await;
    agent.node_ready().await;
    if skip(&agent).await {
        return;
    }
    let registry = Registry::start().await;
    let archive = agent.path().join("image.tar");
    registry.archive("some/thing:1", "echo loaded > etc/motd", &archive);
    // A first task puts it where the others find it.
    let fetch = jobs::task("fetch", &format!("cp {} $NOMAD_ALLOC_DIR/data/image.tar", archive.display()));
    let fetch = fetch.replace("driver =", "lifecycle {\n hook = \"prestart\"\n}\n driver =");
    let inner = format!("{}{fetch}", jobs::ONCE);
    let job = jobs::job("load", "batch", 1, &inner, "cat /etc/motd");
    let split = job.find("task \"t\"").unwrap();
    let (before, after) = job.split_at(split);
    let own = docker(after, "some/thing:1", "load = \"image.tar\"");
    let fetched = before.replace("data/image.tar", "data/image.tar; mkdir -p $NOMAD_ALLOC_DIR/../t/local; cp $NOMAD_ALLOC_DIR/data/image.tar $NOMAD_ALLOC_DIR/../t/local/");
    assert_eq!(output(&agent, "load", &format!("{fetched}{own}")).await, "loaded\n");
}
