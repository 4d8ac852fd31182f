//! Memory and idle CPU of the agent, and the memory of the processes that stand beside each task.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nomadd_tests::{Agent, process, until};
use serde_json::json;

use super::load::register;
use super::rows::{Better, row};
use nomadd_tests::load::http::{Connection, request};

const MANY: usize = 10_000;
const TASKS: usize = 50;

/// Resident memory and CPU of an agent that does nothing, and its memory after many jobs came and went.
pub async fn idle() {
    let agent = Agent::dev().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (before, started) = (cpu_nanoseconds(agent.pid()), Instant::now());
    tokio::time::sleep(Duration::from_secs(15)).await;
    let used = (cpu_nanoseconds(agent.pid()) - before) as f64 / started.elapsed().as_nanos() as f64;
    row(
        "idle agent: resident memory",
        "MB",
        Better::Lower,
        &[resident(agent.pid())],
        25.0,
        "agent -dev, 20 s after its start",
    );
    row("idle agent: CPU", "% of a core", Better::Lower, &[used * 100.0], 0.2, "over 15 s");

    register(agent.port, 16, MANY, "gone").await;
    let mut connection = Connection::open(agent.port).await.expect("a connection");
    for number in 0..MANY {
        let reply = connection.send(&request("DELETE", &format!("/v1/job/gone-{number}?purge=true"), b"")).await;
        assert!(reply.is_ok_and(|reply| reply.status == 200), "the job is purged");
    }
    connection.send(&request("PUT", "/v1/system/gc", b"")).await.expect("an answer");
    until("everything is collected", || async {
        let mut connection = Connection::open(agent.port).await.map_err(|error| error.to_string())?;
        let evaluations = connection.get("/v1/evaluations").await.json();
        match evaluations.as_array() {
            Some(none) if none.is_empty() => Ok(()),
            other => {
                connection.send(&request("PUT", "/v1/system/gc", b"")).await.map_err(|error| error.to_string())?;
                Err(format!("{:?} evaluations", other.map(Vec::len)))
            }
        }
    })
    .await;
    // The agent looks every five seconds whether it keeps much more than it uses.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let load = "count 0 each, then PUT /v1/system/gc; 12 s later";
    row(
        "agent after 10,000 jobs registered and purged: resident memory",
        "MB",
        Better::Lower,
        &[resident(agent.pid())],
        40.0,
        load,
    );
}

/// Memory of the helper processes of each running task.
pub async fn helpers() {
    of_driver("raw_exec", 1.0).await;
    of_driver("exec", 2.0).await;
}

async fn of_driver(driver: &str, goal: f64) {
    let agent = Agent::dev().await;
    let job = json!({"Job": {"ID": "many", "Name": "many", "Type": "service", "Datacenters": ["*"], "TaskGroups": [{
        "Name": "g", "Count": TASKS, "EphemeralDisk": {"SizeMB": 10}, "Tasks": [{
            "Name": "t", "Driver": driver, "LogConfig": {"MaxFiles": 1, "MaxFileSizeMB": 5}, "Config": {"command": "/bin/sleep", "args": ["1000"]},
            "Resources": {"CPU": 10, "MemoryMB": 16}}]}]}});
    let mut connection = Connection::open(agent.port).await.expect("a connection");
    let reply = connection.send(&request("PUT", "/v1/jobs", job.to_string().as_bytes())).await.expect("an answer");
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    // A development agent's folder is temporary: tasks are known by the job in their environment, and by their parents.
    let helpers = until("all tasks run", || async {
        let tasks: Vec<u32> =
            process::with_environment("NOMAD_JOB_ID=many\0").into_iter().filter(|pid| name(*pid) == "sleep").collect();
        let helpers: BTreeSet<u32> =
            tasks.iter().filter_map(|pid| parent(*pid)).filter(|pid| *pid != agent.pid() && *pid > 1).collect();
        if tasks.len() == TASKS { Ok(helpers) } else { Err(tasks.len()) }
    })
    .await;
    let each: Vec<f64> = helpers.iter().map(|pid| proportional(*pid)).collect();
    let mean = each.iter().sum::<f64>() / TASKS as f64;
    let load = format!("{TASKS} tasks, {} helper processes, mean PSS per task", helpers.len());
    let what = format!("each running {driver} task: memory of all helper processes");
    row(&what, "MB", Better::Lower, &[mean], goal, &load);
}

fn status(pid: u32, file: &str, key: &str) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok())
}
/// Resident memory in MB.
pub fn resident(pid: u32) -> f64 {
    status(pid, "status", "VmRSS:").unwrap_or(f64::NAN) * 1024.0 / 1e6
}
/// Memory with shared pages counted by their share, in MB.
fn proportional(pid: u32) -> f64 {
    status(pid, "smaps_rollup", "Pss:").unwrap_or(f64::NAN) * 1024.0 / 1e6
}
fn parent(pid: u32) -> Option<u32> {
    status(pid, "status", "PPid:").map(|pid| pid as u32)
}
fn name(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}
/// CPU time of all threads that live, in nanoseconds.
pub fn cpu_nanoseconds(pid: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the agent runs").flatten();
    let of = |path: std::path::PathBuf| {
        std::fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()
    };
    threads.filter_map(|thread| of(thread.path())).sum()
}
