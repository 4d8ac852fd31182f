//! How long from a job to its process, and how long many short tasks take.

use std::time::Instant;

use nomadd_tests::Agent;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use super::rows::{Better, latency as print_latency, row};
use nomadd_tests::load::http::{Connection, request};

const JOBS: usize = 120;
/// The first jobs warm caches up and are not counted.
const WARM: usize = 20;

/// PUT /v1/jobs → the task's process runs → the API says so.
pub async fn latency() {
    let load = format!("{} jobs one after the other, each a shell in raw_exec; blocking query", JOBS - WARM);
    let (process, api) = of_driver("raw_exec").await;
    print_latency("PUT /v1/jobs to the task's process running", &process, 15.0, &load);
    print_latency("PUT /v1/jobs to the API saying running", &api, 40.0, &load);
}

/// The same with a root of its own.
pub async fn isolated() {
    let load = format!("{} jobs one after the other, each a shell in exec with a volume of the host", JOBS - WARM);
    let (process, _) = of_driver("exec").await;
    print_latency("PUT /v1/jobs to the process of an exec task running", &process, 60.0, &load);
}

/// How long each job took until its process ran, and until the API said so, in milliseconds.
async fn of_driver(driver: &str) -> (Vec<f64>, Vec<f64>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let volume =
        format!("client {{\n  host_volume \"pipes\" {{\n    path = \"{}\"\n  }}\n}}\n", folder.path().display());
    let agent = Agent::start(&["-dev"], &volume).await;
    agent.node_ready().await;
    let pipe_path = folder.path().join("started");
    let made = std::process::Command::new("mkfifo").arg("-m666").arg(&pipe_path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo works");
    let mut started = pipe::OpenOptions::new().read_write(true).open_receiver(&pipe_path).expect("the pipe opens");
    let mut connection = Connection::open(agent.port).await.expect("a connection");
    let (mut process, mut api) = (Vec::new(), Vec::new());
    for number in 0..JOBS {
        let name = format!("quick-{number}");
        let seen = if driver == "exec" { "/pipes/started".into() } else { pipe_path.display().to_string() };
        let mut job = job(&name, "service", 1, &format!("echo > {seen}; exec sleep 1000"));
        let group = &mut job["Job"]["TaskGroups"][0];
        group["Tasks"][0]["Driver"] = driver.into();
        if driver == "exec" {
            group["Volumes"] = json!({"p": {"Name": "p", "Type": "host", "Source": "pipes"}});
            group["Tasks"][0]["VolumeMounts"] = json!([{"Volume": "p", "Destination": "/pipes"}]);
        }
        let body = request("PUT", "/v1/jobs", job.to_string().as_bytes());
        let start = Instant::now();
        let reply = connection.send(&body).await.expect("an answer");
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        let mut port = Connection::open(agent.port).await.expect("a connection");
        let runs = async {
            let _byte = started.read_u8().await.expect("the task writes");
            start.elapsed().as_secs_f64() * 1000.0
        };
        let said = async {
            let path = format!("/v1/job/{name}/allocations");
            wait(&mut port, &path, |value| value[0]["ClientStatus"] == "running").await;
            start.elapsed().as_secs_f64() * 1000.0
        };
        let (runs, said) = tokio::join!(runs, said);
        if number >= WARM {
            process.push(runs);
            api.push(said);
        }
        let purge = request("DELETE", &format!("/v1/job/{name}?purge=true"), b"");
        connection.send(&purge).await.expect("an answer");
    }
    (process, api)
}

/// One batch job of 200 short tasks.
pub async fn batch() {
    let agent = Agent::dev().await;
    let mut samples = Vec::new();
    for number in 0..5 {
        let name = format!("many-{number}");
        let mut job = job(&name, "batch", 200, "");
        job["Job"]["TaskGroups"][0]["Tasks"][0]["Config"] = json!({"command": "/bin/true"});
        let mut connection = Connection::open(agent.port).await.expect("a connection");
        let start = Instant::now();
        let reply = connection.send(&request("PUT", "/v1/jobs", job.to_string().as_bytes())).await.expect("an answer");
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        let path = format!("/v1/job/{name}/summary");
        wait(&mut connection, &path, |value| value["Summary"]["g"]["Complete"] == 200).await;
        samples.push(start.elapsed().as_secs_f64());
    }
    row("one batch job, count 200, /bin/true: all complete", "s", Better::Lower, &samples, 1.0, "median of 5 jobs");
}

/// Blocking queries until the answer is accepted.
async fn wait(connection: &mut Connection, path: &str, accepts: impl Fn(&Value) -> bool) {
    let mut index = 0;
    for _ in 0..10_000 {
        let reply = connection.get(&format!("{path}?index={index}&wait=10s")).await;
        if accepts(&reply.json()) {
            return;
        }
        index = reply.index;
    }
    panic!("{path}: never");
}

fn job(name: &str, kind: &str, count: usize, script: &str) -> Value {
    json!({"Job": {"ID": name, "Name": name, "Type": kind, "Datacenters": ["*"], "TaskGroups": [{
        "Name": "g", "Count": count, "EphemeralDisk": {"SizeMB": 10}, "Tasks": [{
            "Name": "t", "Driver": "raw_exec", "LogConfig": {"MaxFiles": 1, "MaxFileSizeMB": 5}, "Config": {"command": "/bin/sh", "args": ["-c", script]},
            "Resources": {"CPU": 10, "MemoryMB": 16}}]}]}})
}
