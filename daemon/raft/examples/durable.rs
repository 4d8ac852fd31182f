//! Measures the room on this disk: durable commands per second at 1, 16 and 1024 in flight, and how long opening takes.
//!
//! `cargo run --release -p nomadd-raft --example durable [FOLDER]`

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nomadd_model::Namespace;
use nomadd_raft::{Config, Durability, Raft, Server};
use nomadd_runtime::Runtime;
use nomadd_state::{Command, NamespaceUpsert};

fn config(folder: &Path, durability: Durability) -> Config {
    let server = Server { name: "bench.global".into(), address: "127.0.0.1:4647".into() };
    let mut config = Config::new(folder.to_owned(), server, durability, Runtime::real(2));
    config.limits.free = 0;
    config
}

fn upsert(number: u64, size: usize) -> Command {
    let namespace =
        Namespace { name: format!("n{}", number % 1000), description: "x".repeat(size), ..Namespace::default() };
    Command::NamespaceUpsert(NamespaceUpsert { namespaces: vec![namespace] })
}

async fn measure(raft: &Raft, in_flight: u64, size: usize) -> anyhow::Result<()> {
    let begin = Instant::now();
    let span = Duration::from_secs(2);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..in_flight {
        let raft = raft.clone();
        tasks.spawn(async move {
            let mut took = Vec::new();
            let mut number = task;
            while begin.elapsed() < span {
                let start = Instant::now();
                raft.propose(upsert(number, size)).await?;
                took.push(start.elapsed());
                number += in_flight;
            }
            Ok::<_, nomadd_raft::ProposeError>(took)
        });
    }
    let mut took = Vec::new();
    while let Some(one) = tasks.join_next().await {
        took.extend(one??);
    }
    took.sort();
    let rate = took.len() as f64 / begin.elapsed().as_secs_f64();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("{in_flight:>5} in flight, {size:>5} bytes: {rate:>9.0}/s  p50 {p50:>10.1?}  p99 {p99:>10.1?}");
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::args().nth(1).map_or_else(|| std::env::temp_dir().join("nomadd-raft-bench"), PathBuf::from);
    for durability in [Durability::Sync, Durability::NoSync] {
        let _old = std::fs::remove_dir_all(&folder);
        let start = Instant::now();
        let (raft, _) = Raft::open(config(&folder, durability)).await?;
        println!("{durability:?}: new folder opened in {:.1?}", start.elapsed());
        for chunk in 0..1000 {
            raft.propose(upsert(chunk, 1024)).await?;
        }
        let start = Instant::now();
        raft.shutdown().await;
        let down = start.elapsed();
        let start = Instant::now();
        let (raft, recovered) = Raft::open(config(&folder, durability)).await?;
        println!(
            "shut down in {down:.1?}, opened again in {:.1?}, {} entries applied",
            start.elapsed(),
            recovered.replayed
        );
        for (in_flight, size) in [(1, 256), (1, 1024), (16, 1024), (1024, 1024)] {
            measure(&raft, in_flight, size).await?;
        }
        raft.shutdown().await;
        let start = Instant::now();
        let (raft, recovered) = Raft::open(config(&folder, durability)).await?;
        println!(
            "opened again in {:.1?}, {} entries applied, snapshot {:?}",
            start.elapsed(),
            recovered.replayed,
            recovered.snapshot_index
        );
        raft.shutdown().await;
    }
    let _gone = std::fs::remove_dir_all(&folder);
    Ok(())
}
