//! The killer: a child writes and says what was acknowledged, the parent kills it at any instant, and all of that is there.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use nomadd_raft::disk::RealDisk;
use nomadd_raft::{Config, Durability, Raft};

use crate::support::{Folder, config_at, described};

const FOLDER: &str = "NOMADD_RAFT_KILLED_FOLDER";
const SYNC: &str = "NOMADD_RAFT_KILLED_SYNC";
const ROUNDS: u32 = 220;
const WRITERS: u64 = 8;

/// Small segments and many snapshots, so that kills meet every kind of work. A kill takes nothing from the operating
/// system, so most rounds do without syncs and are many instead; every fourth is as in earnest.
fn small(folder: &Path, durability: Durability) -> Config {
    let mut config = config_at(folder);
    config.disk = Arc::new(RealDisk { durability });
    config.limits.segment = 8 << 10;
    config.limits.snapshot_threshold = 60;
    config.limits.snapshot_interval = Duration::from_millis(4);
    config.limits.trailing_logs = 30;
    config
}

/// What a writer's key holds: the greatest number it was written with.
fn value(raft: &Raft, key: &str) -> Option<u64> {
    raft.state().namespace(key).and_then(|found| found.description.parse().ok())
}

#[test]
#[ignore = "the child of the test below: alone it does nothing"]
fn a_child_that_writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let durability = if std::env::var_os(SYNC).is_some() { Durability::Sync } else { Durability::NoSync };
        let (raft, _) = Raft::open(small(Path::new(&folder), durability)).await.unwrap();
        let say = Arc::new(|line: String| std::io::stdout().lock().write_all(line.as_bytes()).unwrap());
        say("\nready\n".to_owned());
        let writers = (0..WRITERS).map(|writer| {
            let (raft, say) = (raft.clone(), Arc::clone(&say));
            tokio::spawn(async move {
                let key = format!("writer-{writer}");
                let mut number = value(&raft, &key).unwrap_or(0);
                loop {
                    number += 1;
                    let committed = raft.propose(described(&key, &number.to_string())).await.unwrap();
                    say(format!("ack {key} {number} {}\n", committed.index));
                }
            })
        });
        futures_util::future::join_all(writers).await;
    });
}

fn spawn(folder: &Path, durability: Durability) -> Child {
    let mut child = Process::new(std::env::current_exe().unwrap());
    child.args([
        "--exact",
        "killer::a_child_that_writes_until_it_is_killed",
        "--ignored",
        "--nocapture",
        "--test-threads=1",
    ]);
    if durability == Durability::Sync {
        child.env(SYNC, "1");
    }
    child.env(FOLDER, folder).stdout(Stdio::piped()).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_survives_kill_9_at_any_instant() {
    let folder = Folder::new();
    let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
    let (mut last_index, mut total, mut torn, mut from_snapshot) = (0, 0_u64, 0, 0);
    // A fixed sequence decides the instants; what they meet differs from run to run.
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    for round in 0..ROUNDS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let wait = Duration::from_micros((random >> 33) % 12_000);
        let durability = if round % 4 == 0 { Durability::Sync } else { Durability::NoSync };
        let mut child = spawn(&folder.0, durability);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (ready, is_ready) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut said = Vec::new();
            for line in lines.map_while(Result::ok) {
                if line == "ready" {
                    let _gone = ready.send(());
                } else if let Some(ack) = line.strip_prefix("ack ") {
                    said.push(ack.to_owned());
                }
            }
            said
        });
        // Every tenth is killed while it opens.
        if round % 10 != 9 {
            is_ready.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        std::thread::sleep(wait);
        child.kill().unwrap();
        child.wait().unwrap();
        for ack in reader.join().unwrap() {
            let words: Vec<&str> = ack.split(' ').collect();
            // A line that the kill cut short says nothing.
            if let [key, number, index] = words[..]
                && let (Ok(number), Ok(index)) = (number.parse::<u64>(), index.parse::<u64>())
            {
                acknowledged.insert(key.to_owned(), number);
                last_index = last_index.max(index);
                total += 1;
            }
        }
        let (raft, recovered) =
            Raft::open(small(&folder.0, durability)).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        for (key, number) in &acknowledged {
            let found = value(&raft, key);
            assert!(found >= Some(*number), "round {round}: {key} is {found:?}, {number} was acknowledged");
        }
        assert!(recovered.index > last_index, "round {round}: {recovered:?} after index {last_index}");
        torn += u32::from(recovered.torn > 0);
        from_snapshot += u32::from(recovered.snapshot_index.is_some());
        raft.shutdown().await;
    }
    eprintln!(
        "{ROUNDS} kills: {total} writes acknowledged, none lost; {torn} torn writes cut, {from_snapshot} starts from a snapshot"
    );
    assert!(total > u64::from(ROUNDS) && from_snapshot > 0, "the child wrote too little to prove anything");
}
