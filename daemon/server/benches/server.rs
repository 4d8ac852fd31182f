//! Placements per second of a whole server, durable: jobs are registered, evaluated, planned, and committed to a log on the
//! disk, on fake nodes that only stand in the state.
//!
//! `cargo bench -p nomadd-server --bench server -- [JOBS COUNT NODES]`; without numbers the two loads of the table in the
//! README are run: 20 × 1,000 and 500 × 1,000 on 5,000 nodes. Prints one line of JSON per load.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

use std::sync::Arc;
use std::time::Instant;

use nomadd_model::{DriverInfo, JobRegisterRequest, Node, NodeId, NodeStatus, SecretId, spec};
use nomadd_raft::{Durability, Raft};
use nomadd_runtime::Runtime;
use nomadd_server::{Caller, Config, Server};
use nomadd_state::{Command, NodeRegister, Table, WatchKey};

/// How many nodes one entry of the log registers.
const NODES_PER_ENTRY: usize = 250;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let loads = match numbers.as_slice() {
        [jobs, count, nodes] => vec![(*jobs, *count, *nodes)],
        _ => vec![(20, 1000, 5000), (500, 1000, 5000)],
    };
    for (jobs, count, nodes) in loads {
        let reactor = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (seconds, placed) = reactor.block_on(run(jobs, count, nodes));
        println!(
            "{}",
            serde_json::json!({
                "name": format!("whole server, {jobs} jobs x {count} on {nodes} nodes"), "unit": "placements/s",
                "better": "higher", "samples": [(placed as f64 / seconds).round()], "value": (placed as f64 / seconds).round(),
                "goal": 30_000, "command": "cargo bench -p nomadd-server",
                "load": format!("durable; {placed} placed in {seconds:.2} s, first registration to all placed"),
            })
        );
        reactor.shutdown_background();
    }
}

async fn run(jobs: usize, count: usize, nodes: usize) -> (f64, usize) {
    let folder = tempfile::tempdir_in(std::env::var("NOMADD_BENCH_DIR").unwrap_or_else(|_| "/var/tmp".into())).unwrap();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let runtime = Runtime::real(threads);
    let name = nomadd_raft::Server { name: "server.global".into(), address: "127.0.0.1:4647".into() };
    let config = nomadd_raft::Config::new(folder.path().join("raft"), name, Durability::Sync, runtime.clone());
    let (raft, _) = Raft::open(config).await.unwrap();
    let mut config = Config::new(folder.path().join("server"));
    config.job_max_priority = 100;
    if let Ok(schedulers) = std::env::var("SCHEDULERS") {
        config.schedulers = schedulers.parse().unwrap();
    }
    let server = Server::start(config, raft.clone(), runtime.clone()).unwrap();
    register_nodes(&raft, nodes, jobs * count).await;
    let started = Instant::now();
    let registrations = (0..jobs).map(|number| {
        let (server, job) = (server.clone(), job(number, count));
        tokio::spawn(async move {
            let request = JobRegisterRequest { job: Some(job), ..JobRegisterRequest::default() };
            nomadd_server::jobs::register(&server, &Caller::anonymous(), request).await.unwrap();
        })
    });
    let registrations: Vec<_> = registrations.collect();
    for registration in registrations {
        registration.await.unwrap();
    }
    let wanted = jobs * count;
    let watcher = server.watch([WatchKey::Table(Table::Allocations)]);
    loop {
        let placed = server.state().allocation_count();
        if placed >= wanted {
            let seconds = started.elapsed().as_secs_f64();
            let stats = server.queue_stats();
            eprintln!("placed {placed} in {seconds:.3} s; index {}; {stats:?}", server.state().index());
            runtime.tasks.cancel();
            raft.shutdown().await;
            return (seconds, placed);
        }
        if tokio::time::timeout(std::time::Duration::from_secs(60), watcher.changed()).await.is_err() {
            eprintln!("stuck at {placed} of {wanted}: {:?}", server.queue_stats());
            for evaluation in server.state().evaluations().take(5) {
                eprintln!("{} {} {}", evaluation.triggered_by, evaluation.status, evaluation.status_description);
            }
            std::process::exit(1);
        }
    }
}

fn job(number: usize, count: usize) -> spec::Job {
    serde_json::from_value(serde_json::json!({
        "ID": format!("load-{number}"), "Name": format!("load-{number}"), "Type": "service", "Datacenters": ["dc1"],
        "TaskGroups": [{
            "Name": "g", "Count": count,
            "EphemeralDisk": { "SizeMB": 110 },
            "Tasks": [{ "Name": "t", "Driver": "mock_driver", "Resources": { "CPU": 10, "MemoryMB": 10 } }],
        }],
    }))
    .unwrap()
}

/// Nodes with room for everything and a little more.
async fn register_nodes(raft: &Raft, nodes: usize, wanted: usize) {
    let room = (wanted / nodes + 1).max(100) as i64 * 2;
    let commands: Vec<_> = (0..nodes)
        .map(|number| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            id[8..].copy_from_slice(&(number as u64).to_be_bytes());
            let mut node = Node {
                id: NodeId::from_random(id),
                name: format!("node{number}").into(),
                datacenter: "dc1".into(),
                node_pool: "default".into(),
                status: NodeStatus::Ready,
                ..Node::default()
            };
            node.node_resources.cpu.cpu_shares = room * 10;
            node.node_resources.memory.memory_mb = room * 10;
            node.node_resources.disk.disk_mb = room * 110;
            node.node_resources.min_dynamic_port = 20_000;
            node.node_resources.max_dynamic_port = 32_000;
            node.attributes.insert("driver.mock_driver".into(), "1".into());
            node.attributes.insert("kernel.name".into(), "linux".into());
            let driver = DriverInfo { detected: true, healthy: true, ..DriverInfo::default() };
            node.drivers.insert("mock_driver".into(), driver);
            let secret = SecretId([1; 16]);
            Command::NodeRegister(NodeRegister { node: Arc::new(node), secret, evaluations: Vec::new() })
        })
        .collect();
    for chunk in commands.chunks(NODES_PER_ENTRY) {
        raft.propose(Command::Batch(chunk.to_vec())).await.unwrap();
    }
}
