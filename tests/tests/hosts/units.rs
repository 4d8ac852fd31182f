//! Tasks as systemd's units, on a host that systemd has booted, with the agent as the packages install it.

use std::collections::BTreeMap;

use nomadd_api::Request;
use nomadd_tests::lab::{Booted, Lab, on_hosts};
use nomadd_tests::until;
use serde_json::{Value, json};

const AGENT: &str = "server {\n  enabled = true\n}\nclient {\n  enabled = true\n  supervisor = \"systemd\"\n}\n\
    plugin \"raw_exec\" {\n  config {\n    enabled = true\n  }\n}\n";

/// A job with one group of these tasks, each a shell script.
fn job(id: &str, kind: &str, tasks: &[(&str, &str)]) -> Value {
    let task = |(name, script): &(&str, &str)| {
        json!({
            "Name": name, "Driver": "raw_exec", "KillTimeout": 1_000_000_000_u64,
            "Config": { "command": "/bin/sh", "args": ["-c", script] },
            "Resources": { "CPU": 50, "MemoryMB": 32 },
            "LogConfig": { "MaxFiles": 1, "MaxFileSizeMB": 1 },
        })
    };
    json!({ "Job": {
        "ID": id, "Name": id, "Type": kind, "Datacenters": ["*"],
        "TaskGroups": [{
            "Name": "g", "Count": 1,
            "RestartPolicy": { "Attempts": 0, "Mode": "fail", "Interval": 60_000_000_000_u64, "Delay": 1_000_000_000 },
            "ReschedulePolicy": { "Attempts": 0, "Unlimited": false },
            "EphemeralDisk": { "SizeMB": 10 },
            "Tasks": tasks.iter().map(task).collect::<Vec<_>>(),
        }],
    } })
}

/// What must be escaped in a path is.
fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    text.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

async fn boot(lab: &Lab, agent: &str) -> Booted {
    let host = Booted::boot(lab, "host").await;
    host.start_agent(agent).await;
    until("the node is ready", || async {
        let nodes = host.get("/v1/nodes").await?;
        if nodes[0]["Status"] == "ready" { Ok(()) } else { Err(format!("{nodes}; {}", host.agent_log().await)) }
    })
    .await;
    host
}

async fn register(host: &Booted, job: &Value) {
    let answer: Value = host.ask(Request::put("/v1/jobs").json(job).unwrap()).await.unwrap();
    assert!(answer["EvalID"].as_str().is_some_and(|id| !id.is_empty()), "{answer}");
}

/// Waits until the only allocation of a job has this status; the allocation.
async fn becomes(host: &Booted, id: &str, status: &str) -> Value {
    until(&format!("{id} is {status}"), || async {
        let stubs = host.get(&format!("/v1/job/{}/allocations", escaped(id))).await?;
        match stubs.as_array().and_then(|stubs| stubs.iter().find(|stub| stub["ClientStatus"] == status)) {
            Some(stub) => Ok(stub.clone()),
            None => Err(format!("{stubs}; {}", host.agent_log().await)),
        }
    })
    .await
}

/// The details of the last event of a kind of a task.
fn event<'a>(allocation: &'a Value, task: &str, kind: &str) -> &'a Value {
    let events = allocation["TaskStates"][task]["Events"].as_array().unwrap();
    events.iter().rev().find(|event| event["Type"] == kind).unwrap_or_else(|| panic!("no {kind}: {allocation}"))
}

/// The first twelve digits of an allocation's id.
fn short(allocation: &Value) -> String {
    allocation["ID"].as_str().unwrap().chars().filter(char::is_ascii_alphanumeric).take(12).collect()
}

/// The one unit of a task that runs.
async fn unit_of(host: &Booted, allocation: &Value, task: &str) -> String {
    let (short, mut found) = (short(allocation), Vec::new());
    for unit in host.units().await {
        let fields = host.property(&unit, "LogExtraFields").await;
        if unit.contains(&short) && fields.split(' ').any(|field| field == format!("NOMAD_TASK={task}")) {
            found.push(unit);
        }
    }
    assert_eq!(found.len(), 1, "units of {task} in {short}: {found:?}");
    found.remove(0)
}

#[test]
fn a_task_is_a_unit_with_its_limits_and_its_end_is_told_as_it_was() {
    on_hosts(limits_and_ends);
}

async fn limits_and_ends(lab: Lab) {
    let host = boot(&lab, AGENT).await;
    register(&host, &job("web", "service", &[("server", "exec sleep 100000")])).await;
    let allocation = becomes(&host, "web", "running").await;
    let unit = unit_of(&host, &allocation, "server").await;
    assert_eq!(unit, format!("web.g.server.{}.0.service", short(&allocation)));
    assert_eq!(host.property(&unit, "Slice").await, format!("nomad-{}.slice", short(&allocation)));
    assert_eq!(host.property(&unit, "MemoryMax").await, (32 << 20).to_string());
    let description = host.property(&unit, "Description").await;
    assert!(description.contains("task server of web.g") && description.contains(allocation["ID"].as_str().unwrap()));
    // As the kernel knows it, of the process itself.
    let path = host.property(&unit, "ControlGroup").await;
    let limit = format!(
        "cat /sys/fs/cgroup/memory{path}/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup{path}/memory.max"
    );
    assert_eq!(host.sh(&limit).await.trim(), (32 << 20).to_string());
    let within = host.sh(&format!("cat $(find /sys/fs/cgroup -path '*{path}/task/cgroup.procs')")).await;
    let pid = within.split_whitespace().next().unwrap();
    let line = host.sh(&format!("tr '\\0' ' ' </proc/{pid}/cmdline; cat /proc/{pid}/cgroup")).await;
    assert!(line.starts_with("sleep 100000"), "{line}");
    let memory = line.lines().find(|line| line.contains(":memory:")).map_or(&*line, |line| line);
    assert!(memory.contains(&unit), "the task is not in its unit: {line}");
    // Neither the command nor the environment is in the unit.
    let shown = host.sh(&format!("systemctl show {unit}; systemctl cat {unit}")).await;
    assert!(!shown.contains("sleep 100000") && !shown.contains("NOMAD_ALLOC_DIR"), "{shown}");

    let ends = [
        ("seven", "exit 7", 7, 0, false),
        ("killed", "kill -KILL $$", 137, 9, false),
        ("oom", "head -c 200M /dev/zero | tail", 137, 9, true),
    ];
    for (id, script, ..) in ends {
        register(&host, &job(id, "batch", &[("t", script)])).await;
    }
    for (id, _, code, signal, out_of_memory) in ends {
        let allocation = becomes(&host, id, "failed").await;
        let details = &event(&allocation, "t", "Terminated")["Details"];
        let told = (details["exit_code"].as_str(), details["oom_killed"].as_str());
        let oom = out_of_memory.to_string();
        // A shell whose child the kernel killed tells that as 137 itself.
        assert_eq!(told, (Some(&*code.to_string()), Some(&*oom)), "{id}: {details}");
        if id == "killed" {
            assert_eq!(details["signal"], signal.to_string(), "{details}");
        }
    }

    // It ignores its signal: killed when its time is over, and the unit goes with its slice.
    register(&host, &job("stubborn", "service", &[("t", "trap '' INT TERM; while :; do sleep 1; done")])).await;
    let stubborn = becomes(&host, "stubborn", "running").await;
    let id = stubborn["ID"].as_str().unwrap();
    let _: Value = host.ask(Request::delete("/v1/job/stubborn")).await.unwrap();
    until("the stubborn task is killed", || async {
        let allocation = host.get(&format!("/v1/allocation/{id}")).await?;
        let state = &allocation["TaskStates"]["t"];
        if state["State"] != "dead" {
            return Err(state.to_string());
        }
        let details = &event(&allocation, "t", "Terminated")["Details"];
        assert_eq!(details["signal"], "9");
        assert_eq!(details["exit_message"], "killed: it did not end within its kill_timeout");
        Ok(())
    })
    .await;
    until("only the unit and the slice of web are left", || async {
        let slices = host.sh("systemctl list-units --all --plain --no-legend 'nomad-*.slice'").await;
        let units = host.units().await;
        if units == [unit.clone()] && slices.lines().count() == 1 { Ok(()) } else { Err((units, slices)) }
    })
    .await;
}

#[test]
fn an_isolated_task_is_a_unit_with_a_root_of_its_own_and_outlives_the_agent() {
    on_hosts(isolated);
}

async fn isolated(lab: Lab) {
    let host = boot(&lab, AGENT).await;
    let script =
        "echo up $$ $(id -un) $(ls -d /root /home 2>/dev/null); trap 'exit 3' USR1; while :; do sleep 0.1; done";
    let mut inside = job("inside", "service", &[("t", script)]);
    inside["Job"]["TaskGroups"][0]["Tasks"][0]["Driver"] = json!("exec");
    register(&host, &inside).await;
    let allocation = becomes(&host, "inside", "running").await;
    let unit = unit_of(&host, &allocation, "t").await;
    let path = host.property(&unit, "ControlGroup").await;
    let main = format!("cat $(find /sys/fs/cgroup -path '*{path}/task/cgroup.procs')");
    let pids = host.sh(&main).await;
    let pid = pids.split_whitespace().next().unwrap().to_owned();
    until("it says where it is", || async {
        let said = host.sh("cat $(find /lab/own/data -path '*/alloc/logs/t.stdout.0') /dev/null").await;
        if said.trim() == "up 1 nobody" { Ok(()) } else { Err(said) }
    })
    .await;
    let file = "cat /sys/fs/cgroup/memory{}/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup{}/memory.max";
    assert_eq!(host.sh(&file.replace("{}", &path)).await.trim(), (32 << 20).to_string());
    host.kill_agent().await;
    becomes(&host, "inside", "running").await;
    assert!(host.sh(&main).await.split_whitespace().any(|one| one == pid), "it is the same process");
    host.sh(&format!("kill -USR1 {pid}")).await;
    until("its end is told", || async {
        let id = allocation["ID"].as_str().unwrap();
        let allocation = host.get(&format!("/v1/allocation/{id}")).await?;
        let state = &allocation["TaskStates"]["t"];
        if state["State"] != "dead" {
            return Err(state.to_string());
        }
        assert_eq!(event(&allocation, "t", "Terminated")["Details"]["exit_code"], "3");
        Ok(())
    })
    .await;
}

#[test]
fn names_that_units_cannot_hold_or_that_look_alike_do_not_collide() {
    on_hosts(names);
}

async fn names(lab: Lab) {
    let host = boot(&lab, AGENT).await;
    let long = "x".repeat(200);
    let ids = ["web", "web-api", "web_api", "a/b", "größe-ж", "memory", "ж", &long];
    for id in ids {
        register(&host, &job(id, "service", &[("a-b", "exec sleep 1000"), ("a_b", "exec sleep 1000")])).await;
    }
    let mut units = BTreeMap::new();
    for id in ids {
        let allocation = becomes(&host, id, "running").await;
        for task in ["a-b", "a_b"] {
            let unit = unit_of(&host, &allocation, task).await;
            let description = host.property(&unit, "Description").await;
            assert!(description.contains(&format!("task {task} of {id}.g,")), "{description}");
            assert!(units.insert(unit, (id, task)).is_none());
        }
    }
    assert_eq!(units.len(), 2 * ids.len());
    for id in ids {
        let _: Value = host.ask(Request::delete(format!("/v1/job/{}", escaped(id)))).await.unwrap();
    }
    until("all units are gone", || async {
        let units = host.units().await;
        if units.is_empty() { Ok(()) } else { Err(units) }
    })
    .await;
}

#[test]
fn tasks_outlive_agent_bus_and_systemds_own_restart_and_only_leftovers_are_removed() {
    on_hosts(restarts);
}

async fn restarts(lab: Lab) {
    let host = boot(&lab, AGENT).await;
    let script = "trap 'exit 3' USR1; echo $$ >>/lab/own/pids; while :; do sleep 0.1; done";
    register(&host, &job("stays", "service", &[("t", script)])).await;
    let allocation = becomes(&host, "stays", "running").await;
    let unit = unit_of(&host, &allocation, "t").await;
    let node = allocation["NodeID"].as_str().unwrap();
    let fields = |node: &str, allocation: &str| {
        let fields = [format!("NODE_ID={node}"), format!("ALLOC_ID={allocation}"), "TASK=t".to_owned()];
        fields.map(|field| format!("-p LogExtraFields=NOMAD_{field}")).join(" ")
    };
    // One that this node has forgotten, and two that are others'.
    let gone = fields(node, "00000000-1111-2222-3333-444444444444");
    let others = fields("11111111-1111-2222-3333-444444444444", "00000000-1111-2222-3333-444444444444");
    let (mine, foreign, strange) = ("j.g.t.aaaaaaaaaaaa.0", "j.g.t.bbbbbbbbbbbb.0", "j.g.t.cccccccccccc.0");
    for (name, fields) in [(mine, &*gone), (foreign, &*others), (strange, "")] {
        host.sh(&format!("systemd-run --slice nomad.slice --unit {name}.service {fields} sleep 10000")).await;
    }
    host.kill_agent().await;
    becomes(&host, "stays", "running").await;
    until("the leftover is removed", || async {
        let units = host.units().await;
        let mut expected = vec![format!("{foreign}.service"), format!("{strange}.service"), unit.clone()];
        expected.sort();
        if units == expected { Ok(()) } else { Err(units) }
    })
    .await;

    host.sh("systemctl daemon-reexec").await;
    host.sh("systemctl restart dbus.service").await;
    register(&host, &job("after", "batch", &[("t", "true")])).await;
    becomes(&host, "after", "complete").await;
    host.sh("systemctl restart dbus.service && systemctl daemon-reexec").await;
    register(&host, &job("again", "batch", &[("t", "true")])).await;
    becomes(&host, "again", "complete").await;

    // The same process all the while, and it is still ours.
    let pids = std::fs::read_to_string(host.path("pids")).unwrap();
    assert_eq!(pids.lines().count(), 1, "the task was started once: {pids}");
    let id = allocation["ID"].as_str().unwrap();
    let signal = Request::put(format!("/v1/client/allocation/{id}/signal")).json(&json!({ "Signal": "SIGUSR1" }));
    let _: Value = host.ask(signal.unwrap()).await.unwrap();
    let ended = becomes(&host, "stays", "failed").await;
    assert_eq!(event(&ended, "t", "Terminated")["Details"]["exit_code"], "3");
}

#[test]
fn a_bus_that_is_gone_is_told_in_a_sentence_and_tasks_go_on() {
    on_hosts(no_bus);
}

async fn no_bus(lab: Lab) {
    let host = boot(&lab, AGENT).await;
    register(&host, &job("stays", "service", &[("t", "exec sleep 10000")])).await;
    becomes(&host, "stays", "running").await;
    host.sh("systemctl stop dbus.socket dbus.service").await;
    register(&host, &job("cannot", "batch", &[("t", "true")])).await;
    let allocation = becomes(&host, "cannot", "failed").await;
    let text = event(&allocation, "t", "Driver Failure")["DisplayMessage"].to_string();
    assert!(text.contains("cannot start the task as systemd unit cannot.g.t."), "{text}");
    assert!(text.contains("the system bus or systemd does not answer"), "{text}");
    becomes(&host, "stays", "running").await;
    host.sh("systemctl start dbus.socket").await;
    register(&host, &job("can", "batch", &[("t", "true")])).await;
    becomes(&host, "can", "complete").await;
    let nothing = host.sh("ls /lab/own/data/client/allocations/*/tasks 2>/dev/null; true").await;
    assert!(!nothing.contains("executor.sock"), "{nothing}");
}

#[test]
fn the_journal_has_a_copy_of_what_tasks_write_with_the_names_of_the_job() {
    on_hosts(journal);
}

async fn journal(lab: Lab) {
    let host = boot(&lab, AGENT).await;
    let script = "echo fine; echo broken >&2; printf 'the end'";
    register(&host, &job("web", "batch", &[("t", script)])).await;
    let allocation = becomes(&host, "web", "complete").await;
    let lines = until("the lines arrive", || async {
        let printed = host.run(&["journalctl", "-o", "json", "--no-pager", "NOMAD_JOB_ID=web"]).await.out;
        let lines: Vec<Value> = printed.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let of = |text: &str| lines.iter().find(|line| line["MESSAGE"] == text).cloned();
        let wanted = ["fine", "broken", "the end"].map(of);
        if wanted.iter().all(Option::is_some) { Ok(wanted.map(Option::unwrap)) } else { Err(printed) }
    })
    .await;
    let [fine, broken, ..] = &lines;
    assert_eq!((&fine["PRIORITY"], &broken["PRIORITY"]), (&json!("6"), &json!("3")));
    assert_eq!(fine["SYSLOG_IDENTIFIER"], "t");
    for line in &lines {
        let expected = [
            ("NOMAD_NAMESPACE", json!("default")),
            ("NOMAD_GROUP", json!("g")),
            ("NOMAD_TASK", json!("t")),
            ("NOMAD_ALLOC_ID", allocation["ID"].clone()),
            ("NOMAD_NODE_ID", allocation["NodeID"].clone()),
        ];
        for (field, value) in expected {
            assert_eq!(line[field], value, "{field}: {line}");
        }
    }

    // What the job does not want in its log files is in no journal either, and many lines at once come to one of the two.
    let mut silent = job("silent", "batch", &[("t", "echo secret")]);
    silent["Job"]["TaskGroups"][0]["Tasks"][0]["LogConfig"]["Disabled"] = json!(true);
    register(&host, &silent).await;
    register(&host, &job("flood", "batch", &[("t", "seq 1 50000")])).await;
    becomes(&host, "silent", "complete").await;
    becomes(&host, "flood", "complete").await;
    let logged = host.run(&["journalctl", "-o", "cat", "--no-pager", "NOMAD_JOB_ID=silent"]).await.out;
    assert!(!logged.contains("secret"), "{logged}");
    until("every line is in the journal or told to be only in the file", || async {
        let printed = host.run(&["journalctl", "-o", "cat", "--no-pager", "NOMAD_JOB_ID=flood", "SYSLOG_IDENTIFIER=t"]);
        let printed = printed.await.out;
        let missing =
            |line: &str| line.strip_prefix("nomadd: ")?.strip_suffix(" lines only in the file")?.parse::<usize>().ok();
        let told: usize = printed.lines().filter_map(missing).sum();
        let there = printed.lines().filter(|line| line.parse::<u32>().is_ok()).count();
        if there + told == 50_000 { Ok(()) } else { Err((there, told)) }
    })
    .await;
}

#[test]
fn a_name_that_somebody_else_has_taken_is_left_to_them_and_told() {
    on_hosts(taken);
}

async fn taken(lab: Lab) {
    let host = boot(&lab, AGENT).await;
    let mut body = job("web", "service", &[("t", "exec sleep 10000")]);
    body["Job"]["TaskGroups"][0]["RestartPolicy"] =
        json!({ "Attempts": 9, "Mode": "fail", "Interval": 600_000_000_000_u64, "Delay": 1_000_000 });
    register(&host, &body).await;
    let allocation = becomes(&host, "web", "running").await;
    let (id, short) = (allocation["ID"].as_str().unwrap().to_owned(), short(&allocation));
    let restart = format!("/v1/client/allocation/{id}/restart");
    let restart = || Request::put(restart.clone()).json(&json!({})).unwrap();

    // Another unit has the next name: the task takes its second one.
    let usual = |restart: u32| format!("web.g.t.{short}.{restart}.service");
    host.sh(&format!("systemd-run --unit {} sleep 10000", usual(1))).await;
    let _: Value = host.ask(restart()).await.unwrap();
    let second = until("the task runs under its second name", || async {
        let units = host.units().await;
        let second = units.iter().find(|unit| unit.starts_with("web.g.t_") && unit.ends_with(".1.service"));
        second.cloned().ok_or(units)
    })
    .await;
    until("the API says running", || async {
        let found = host.get(&format!("/v1/allocation/{id}")).await?;
        let state = &found["TaskStates"]["t"];
        if state["State"] == "running" && state["Restarts"] == 1 { Ok(()) } else { Err(state.to_string()) }
    })
    .await;

    // And both of them: the event says which, and the next try has a name of its own.
    let both = [usual(2), second.replace(".1.service", ".2.service")];
    for unit in &both {
        host.sh(&format!("systemd-run --unit {unit} sleep 10000")).await;
    }
    let _: Value = host.ask(restart()).await.unwrap();
    until("the third try runs", || async {
        let units = host.units().await;
        if units.contains(&usual(3)) { Ok(()) } else { Err(units) }
    })
    .await;
    until("the event tells of the name that is taken", || async {
        let found = host.get(&format!("/v1/allocation/{id}")).await?.to_string();
        let told = format!("systemd has a unit {} that is not this task's", usual(2));
        if found.contains(&told) { Ok(()) } else { Err(found) }
    })
    .await;
    for unit in both.iter().chain([&usual(1)]) {
        assert_eq!(host.property(unit, "ActiveState").await, "active", "{unit} is not ours to end");
    }
}
