//! Makes the inputs that no editor can write: commands, a segment of the log, snapshots. Run by hand when a format changes:
//! `cargo test -p nomadd-fuzz -- --ignored`; what is committed stays readable for ever, so add files rather than replace them.

use std::path::Path;
use std::sync::Arc;

use nomadd_fuzz::reseal;
use nomadd_model::{Evaluation, Job, Node, NodeStatus, SecretId, Task, TaskGroup, Time};
use nomadd_state::{Command, JobDeregister, JobRegister, NodeRegister, NodeStatusSet, State, snapshot};

/// The commands of a small history: a node comes, a job is registered, the node goes, the job is stopped.
fn commands() -> Vec<(&'static str, Command)> {
    let mut node =
        Node { id: nomadd_model::NodeId([1; 16]), name: "one".into(), status: NodeStatus::Ready, ..Node::default() };
    node.node_resources.cpu.cpu_shares = 4000;
    node.node_resources.memory.memory_mb = 2048;
    let group = TaskGroup {
        name: "g".into(),
        count: 2,
        tasks: vec![Task { name: "t".into(), driver: "mock_driver".into(), ..Task::default() }],
        ..TaskGroup::default()
    };
    let job = Job {
        id: "j".into(),
        namespace: "default".into(),
        node_pool: "default".into(),
        task_groups: vec![group],
        ..Job::default()
    };
    let evaluation = Evaluation { namespace: "default".into(), job_id: "j".into(), ..Evaluation::default() };
    let register =
        Command::NodeRegister(NodeRegister { node: Arc::new(node), secret: SecretId([2; 16]), evaluations: vec![] });
    let down =
        NodeStatusSet { id: nomadd_model::NodeId([1; 16]), status: NodeStatus::Down, ..NodeStatusSet::default() };
    let run = JobRegister { job: Arc::new(job), evaluation: Some(evaluation), ..JobRegister::default() };
    let stop = JobDeregister { namespace: "default".into(), id: "j".into(), ..JobDeregister::default() };
    vec![
        ("noop", Command::Noop),
        ("node", register),
        ("job", Command::JobRegister(run)),
        ("batch", Command::Batch(vec![Command::NodeStatus(down), Command::JobDeregister(stop)])),
    ]
}

/// A segment with one batch: a vote and the commands as entries. `reseal` fills in the checksums.
fn segment() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..8].copy_from_slice(b"nomaddL\x01");
    bytes[8] = 1;
    bytes[16] = 1;
    bytes[48] = 5;
    let mut records: Vec<(u8, Vec<u8>)> = vec![(2, [&1_u64.to_le_bytes()[..], &[9; 16], &[1]].concat())];
    for (index, (_, command)) in commands().into_iter().enumerate() {
        let stored = command.encode().expect("a command has a stored form");
        let head = [(index as u64).to_le_bytes(), 1_u64.to_le_bytes()].concat();
        records.push((1, [&head[..], &[1], &1_700_000_000_000_000_000_i64.to_le_bytes(), &stored].concat()));
    }
    let body: Vec<u8> = records
        .iter()
        .flat_map(|(kind, body)| [&[1, *kind, 0, 0][..], &(body.len() as u32).to_le_bytes(), &[0; 4], body].concat())
        .collect();
    bytes.extend_from_slice(b"nLb\xa7\x01\x00");
    bytes.extend_from_slice(&(records.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&1_u64.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&body);
    reseal::segment(&mut bytes);
    bytes
}

fn archive(stream: &[u8]) -> Vec<u8> {
    let mut header = nomadd_raft::SnapshotHeader::default();
    (header.index, header.term, header.release) = (4, 1, "0.1.0".to_owned());
    let header = rmp_serde::to_vec_named(&header).expect("a header has a stored form");
    let mut bytes = b"nomaddS\x01".to_vec();
    for part in [header.as_slice(), stream] {
        bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(part);
    }
    bytes.extend_from_slice(&[0; 16]);
    reseal::archive(&mut bytes);
    bytes
}

#[test]
#[ignore = "writes files of the corpus anew"]
fn write_the_stored_inputs() {
    let mut state = State::new();
    let mut empty = Vec::new();
    snapshot::write(&state, &mut empty).expect("a snapshot of nothing");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let keep = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::write(folder.join(target).join(name), bytes).expect("a written input")
    };
    for (index, (name, command)) in commands().into_iter().enumerate() {
        keep("command", name, &command.encode().expect("a command has a stored form"));
        state.apply(index as u64 + 1, Time(1_700_000_000_000_000_000), command);
    }
    let mut full = Vec::new();
    snapshot::write(&state, &mut full).expect("a snapshot");
    keep("snapshot", "empty", &empty);
    keep("snapshot", "small", &full);
    keep("archive", "empty", &archive(&empty));
    keep("archive", "small", &archive(&full));
    let whole = segment();
    keep("log_segment", "whole", &whole);
    keep("log_segment", "torn", &whole[..whole.len() - 40]);
}

/// What agents say to each other: the samples that the rooms keep, and what two members of gossip say.
#[test]
#[ignore = "writes files of the corpus anew"]
fn write_the_spoken_inputs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let keep = |target: &str, name: &str, bytes: &[u8]| {
        let folder = root.join("fuzz/corpus").join(target);
        std::fs::create_dir_all(&folder).expect("a folder of the corpus");
        std::fs::write(folder.join(name), bytes).expect("a written input");
    };
    let (packets, messages) = nomadd_gossip::spoken();
    // One of each length: the others differ in numbers only.
    for (target, spoken) in [("gossip_packet", packets), ("gossip_message", messages)] {
        let lengths: std::collections::BTreeMap<usize, Vec<u8>> =
            spoken.into_iter().map(|bytes| (bytes.len(), bytes)).collect();
        for (length, bytes) in lengths {
            keep(target, &format!("of-{length}"), &bytes);
        }
    }
    let first = |room: &str, name: &str| {
        let kept = std::fs::read(root.join("daemon").join(room).join("tests/kept/0.1").join(name)).expect("a sample");
        let length = u32::from_le_bytes(kept[..4].try_into().expect("a length")) as usize;
        kept[4..4 + length].to_vec()
    };
    for name in ["append", "vote", "snapshot-piece", "words", "replies"] {
        keep("raft_message", name, &first("raft", name));
    }
    let frames = [
        "NodeRegisterRequest",
        "NodeAllocationUpdateRequest",
        "NodeAllocations",
        "ServerHelloRequest",
        "ServerHelloResponse",
    ];
    for (kind, name) in frames.into_iter().enumerate() {
        keep("rpc_frame", name, &[&[kind as u8], first("rpc", name).as_slice()].concat());
    }
    keep("rpc_frame", "PlanSubmitRequest", &[&[9], first("rpc", "PlanSubmitRequest").as_slice()].concat());
    keep("rpc_frame", "NodeOrder", &[&[11], first("rpc", "NodeOrder").as_slice()].concat());
}

#[test]
fn the_stored_inputs_are_still_readable() {
    let read = |target: &str, name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target).join(name);
        std::fs::read(path).expect("a committed input")
    };
    let segment = nomadd_raft::check_segment(&read("log_segment", "whole")).expect("a sound segment");
    assert_eq!((segment.entries, segment.commands, segment.torn), (4, 4, 0));
    assert!(nomadd_raft::check_segment(&read("log_segment", "torn")).expect("a torn end is no damage").torn > 0);
    for (name, _) in commands() {
        Command::decode(&read("command", name)).expect("a command of an earlier build");
    }
    for name in ["empty", "small"] {
        snapshot::read(read("snapshot", name).as_slice()).expect("a snapshot of an earlier build");
        nomadd_raft::archive::inspect(read("archive", name).as_slice()).expect("a file of an earlier build");
    }
}
