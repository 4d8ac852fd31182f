//! A long list of allocations: its JSON is made piece by piece as the reader takes it, so that a million cost no more memory
//! than their ids. A reader that takes too long is cut off: it holds an old state.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use nomadd_state::State;
use tokio::time::Instant;

use super::Key;
use crate::view::{self, AllocationParts};

/// About how large a piece is, in bytes.
const PIECE: usize = 64 << 10;
/// How long a reader may take for all of it.
const PATIENCE: Duration = Duration::from_secs(600);

struct Rest {
    state: Arc<State>,
    keys: std::vec::IntoIter<Key>,
    parts: AllocationParts,
    until: Instant,
    /// What stands before the next one; nothing more comes once it is empty.
    before: &'static [u8],
}

/// The list as a body.
pub(super) fn body(state: Arc<State>, keys: Vec<Key>, parts: AllocationParts) -> Body {
    let rest = Rest { state, keys: keys.into_iter(), parts, until: Instant::now() + PATIENCE, before: b"[" };
    let pieces = stream::unfold(rest, |mut rest| async move {
        let piece = rest.piece()?;
        Some((piece, rest))
    });
    Body::from_stream(pieces.fuse())
}

impl Rest {
    fn piece(&mut self) -> Option<io::Result<Bytes>> {
        if self.before.is_empty() {
            return None;
        }
        if Instant::now() >= self.until {
            self.before = b"";
            let text = format!("the list was not taken within {} s", PATIENCE.as_secs());
            return Some(Err(io::Error::new(io::ErrorKind::TimedOut, text)));
        }
        let mut piece = Vec::with_capacity(PIECE + (4 << 10));
        while piece.len() < PIECE {
            let Some((_, id)) = self.keys.next() else {
                if self.before == b"[" {
                    piece.push(b'[');
                }
                piece.push(b']');
                self.before = b"";
                break;
            };
            let Some(allocation) = self.state.allocation(id) else { continue };
            piece.extend_from_slice(self.before);
            self.before = b",";
            let stub = view::allocation_stub(&self.state, allocation, self.parts);
            if let Err(error) = serde_json::to_writer(&mut piece, &stub) {
                self.before = b"";
                return Some(Err(error.into()));
            }
        }
        Some(Ok(piece.into()))
    }
}

#[cfg(test)]
mod tests {
    use nomadd_model::{
        AllocationId, Job, Node, NodeId, NodeStatus, Placement, PlacementBatch, Plan, Task, TaskGroup, Time,
    };
    use nomadd_state::{Command, JobRegister, NodeRegister, PlanResults};

    use super::*;

    /// A state with so many allocations of one job on one node.
    fn state(count: u32) -> State {
        let mut state = State::new();
        let mut index = 1;
        let mut apply = |command| {
            index += 1;
            state.apply(index, Time(1), command)
        };
        let node_id = NodeId([1; 16]);
        let node = Node { id: node_id, name: "n".into(), status: NodeStatus::Ready, ..Node::default() };
        apply(Command::NodeRegister(NodeRegister { node: Arc::new(node), ..NodeRegister::default() }));
        let tasks = vec![Task { name: "t".into(), ..Task::default() }];
        let group = TaskGroup { name: "g".into(), count: i64::from(count), tasks, ..TaskGroup::default() };
        let job = Job { id: "j".into(), namespace: "default".into(), task_groups: vec![group], ..Job::default() };
        apply(Command::JobRegister(JobRegister { job: Arc::new(job), ..JobRegister::default() }));
        let placement = |number: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
            id[15] = 1;
            let resources = Some(Arc::default());
            Placement { id: AllocationId(id), node_id, index: number.into(), resources, ..Placement::default() }
        };
        let mut placed = 0;
        while placed < count {
            let more = (count - placed).min(3_000);
            let placements = (placed..placed + more).map(placement).collect();
            let batch = PlacementBatch { task_group: "g".into(), placements, ..PlacementBatch::default() };
            let plan = Plan {
                namespace: "default".into(),
                job_id: "j".into(),
                job_create_index: 3,
                snapshot_index: 3 + u64::from(placed / 3_000),
                placements: vec![batch],
                ..Plan::default()
            };
            apply(Command::PlanResults(PlanResults { plans: vec![plan], evaluations: vec![] }));
            placed += more;
        }
        assert_eq!(state.allocation_count(), count as usize);
        state
    }

    fn pieces(state: State) -> Vec<Bytes> {
        let keys: Vec<Key> = state.allocations().map(|allocation| (0, allocation.id)).collect();
        let parts = AllocationParts { resources: false, task_states: true };
        let keys = keys.into_iter();
        let mut rest = Rest { state: Arc::new(state), keys, parts, until: Instant::now() + PATIENCE, before: b"[" };
        std::iter::from_fn(|| rest.piece()).map(Result::unwrap).collect()
    }

    #[test]
    fn a_long_list_is_whole_json_in_pieces_of_bounded_size() {
        let pieces = pieces(state(3_000));
        assert!(pieces.len() > 20, "{} pieces", pieces.len());
        assert!(pieces.iter().all(|piece| piece.len() < PIECE + (8 << 10)));
        let list: Vec<serde_json::Value> = serde_json::from_slice(&pieces.concat()).unwrap();
        let ids: Vec<&str> = list.iter().map(|stub| stub["ID"].as_str().unwrap()).collect();
        assert!(ids.len() == 3_000 && ids.is_sorted());
    }

    /// `cargo test --release -p nomadd-http --lib -- --ignored --nocapture a_million`
    #[test]
    #[ignore = "a measurement of a minute"]
    fn a_million_allocations_are_listed_in_less_than_50_mb_beside_the_state() {
        let memory = |key: &str| {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.split_whitespace().next().unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
        };
        let state = Arc::new(state(1_000_000));
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let (before, started) = (memory("VmRSS:"), std::time::Instant::now());
        let asked = super::super::Asked { paging: Default::default(), prefix: String::new(), namespace: "*".into() };
        let (keys, _) = asked.choose(&state).unwrap();
        let parts = AllocationParts { resources: false, task_states: true };
        let keys = keys.into_iter();
        let mut rest = Rest { state, keys, parts, until: Instant::now() + PATIENCE, before: b"[" };
        let bytes: usize = std::iter::from_fn(|| rest.piece()).map(|piece| piece.unwrap().len()).sum();
        let more = memory("VmHWM:") - before;
        eprintln!("{bytes} bytes in {:?}; {more:.1} MB more than the {before:.0} MB with the state", started.elapsed());
        assert!(bytes > 300_000_000 && more < 50.0);
    }

    #[test]
    fn an_empty_list_is_empty_json_and_a_slow_reader_is_cut_off() {
        assert_eq!(pieces(State::new()).concat(), b"[]");
        let state = Arc::new(State::new());
        let parts = AllocationParts { resources: false, task_states: true };
        let mut rest = Rest { state, keys: Vec::new().into_iter(), parts, until: Instant::now(), before: b"," };
        assert!(rest.piece().is_some_and(|piece| piece.is_err()));
        assert!(rest.piece().is_none());
    }
}
