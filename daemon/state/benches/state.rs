//! Measures the state alone: allocations upserted by plan results while a snapshot is held, and memory per running one.
//!
//! `cargo bench -p nomadd-state` prints one line of JSON per row; `NOMADD_BENCH_ALLOCATIONS` sets how many allocations
//! (1,000,000). Memory is what the process gained, indexes included, over allocations that run with three task events.

use std::sync::Arc;
use std::time::Instant;

use nomadd_model::{
    AllocatedCpuResources, AllocatedMemoryResources, AllocatedResources, AllocatedTaskResources, AllocationId,
    AllocationMetric, ClientStatus, EvaluationId, Job, Node, NodeId, NodeStatus, Placement, PlacementBatch, Plan,
    SecretId, SmallMap, Task, TaskEvent, TaskEventKind, TaskGroup, TaskState, TaskStatus, Text, Time, detail,
};
use nomadd_state::{
    AllocationClientUpdate, AllocationClientUpdates, Command, JobRegister, NodeRegister, PlanResults, Response, State,
    snapshot,
};

const NODES: usize = 5_000;
const JOBS: usize = 20;
const BATCH: usize = 1_000;

/// A small generator (splitmix64): ids must be spread as real ones are.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }
    fn id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.next().to_le_bytes());
        id[8..].copy_from_slice(&self.next().to_le_bytes());
        id
    }
}

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or_default() * 4096
}

/// CPU time that this thread has used, in seconds; on a machine that others use it says more than the wall clock.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or_default() / 1e9
}

fn node(id: NodeId, number: usize) -> Node {
    let mut node = Node { id, name: format!("node-{number}").into(), status: NodeStatus::Ready, ..Node::default() };
    for attribute in 0..60 {
        node.attributes.insert(format!("attribute.{attribute}").into(), format!("value {attribute}").into());
    }
    node.node_resources.cpu.cpu_shares = 1 << 40;
    node.node_resources.memory.memory_mb = 1 << 40;
    node.node_resources.disk.disk_mb = 1 << 40;
    node
}

fn job_name(number: usize) -> Text {
    format!("job-{number}").into()
}

fn job(number: usize) -> Job {
    let task = Task { name: "server".into(), driver: "raw_exec".into(), ..Task::default() };
    let group = TaskGroup { name: "web".into(), tasks: vec![task], ..TaskGroup::default() };
    Job { id: job_name(number), namespace: "default".into(), task_groups: vec![group], ..Job::default() }
}

fn resources() -> Arc<AllocatedResources> {
    let mut resources = AllocatedResources::default();
    resources.shared.disk_mb = 300;
    let task = AllocatedTaskResources {
        cpu: AllocatedCpuResources { cpu_shares: 100, reserved_cores: Vec::new() },
        memory: AllocatedMemoryResources { memory_mb: 64, memory_max_mb: 0 },
        ..AllocatedTaskResources::default()
    };
    resources.tasks.insert("server".into(), task);
    Arc::new(resources)
}

fn plan(
    state: &State,
    random: &mut Random,
    nodes: &[NodeId],
    number: usize,
    first: usize,
) -> (Plan, Vec<AllocationId>) {
    let id = job_name(number);
    let current = state.job("default", &id);
    let mut ids = Vec::with_capacity(BATCH);
    let placements = (0..BATCH)
        .map(|at| {
            let id = AllocationId::from_random(random.id());
            ids.push(id);
            let node_id = nodes[(random.next() % nodes.len() as u64) as usize];
            Placement { id, node_id, index: (first + at) as u64, ..Placement::default() }
        })
        .collect();
    let batch = PlacementBatch {
        task_group: "web".into(),
        resources: resources(),
        metrics: Some(Arc::new(AllocationMetric { nodes_evaluated: 14, ..AllocationMetric::default() })),
        placements,
    };
    let plan = Plan {
        eval_id: EvaluationId::from_random(random.id()),
        namespace: "default".into(),
        job_id: id,
        job_version: current.map_or(0, |job| job.version),
        job_create_index: current.map_or(0, |job| job.create_index),
        snapshot_index: state.index(),
        placements: vec![batch],
        ..Plan::default()
    };
    (plan, ids)
}

fn running(ids: &[AllocationId]) -> Command {
    let update = |id: &AllocationId| {
        let events = vec![
            TaskEvent::new(TaskEventKind::Received, Time(1_700_000_000_000_000_000)),
            TaskEvent::new(TaskEventKind::Setup, Time(1_700_000_000_100_000_000))
                .with(detail::MESSAGE, "Building Task Directory"),
            TaskEvent::new(TaskEventKind::Started, Time(1_700_000_000_200_000_000)),
        ];
        let state = TaskState {
            events,
            started_at: Time(1_700_000_000_200_000_000),
            state: TaskStatus::Running,
            ..TaskState::default()
        };
        AllocationClientUpdate {
            id: *id,
            client_status: ClientStatus::Running,
            client_description: "Tasks are running".into(),
            task_states: SmallMap::from([(Text::from("server"), state)]),
            ..AllocationClientUpdate::default()
        }
    };
    let updates = AllocationClientUpdates { updates: ids.iter().map(update).collect(), evaluations: Vec::new() };
    Command::AllocationClientUpdate(updates)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted: usize =
        std::env::var("NOMADD_BENCH_ALLOCATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let mut random = Random(1);
    let mut state = State::new();
    let mut index = 1;
    let mut nodes = Vec::with_capacity(NODES);
    for number in 0..NODES {
        let id = NodeId::from_random(random.id());
        nodes.push(id);
        let register =
            NodeRegister { node: Arc::new(node(id, number)), secret: SecretId([1; 16]), ..NodeRegister::default() };
        state.apply(index, Time(1), Command::NodeRegister(register));
        index += 1;
    }
    for number in 0..JOBS {
        let register = JobRegister { job: Arc::new(job(number)), ..JobRegister::default() };
        state.apply(index, Time(1), Command::JobRegister(register));
        index += 1;
    }

    let before = resident();
    let mut placed = 0;
    let (mut seconds, mut busy, mut slowest, mut updating) = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
    let mut held = state.clone();
    let mut all = Vec::with_capacity(wanted);
    while placed < wanted {
        let (plan, ids) = plan(&state, &mut random, &nodes, placed / BATCH % JOBS, placed);
        let command = Command::PlanResults(PlanResults { plans: vec![plan], evaluations: Vec::new() });
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let applied = state.apply(index, Time(2), command);
        let spent = start.elapsed().as_secs_f64();
        busy += cpu_seconds() - cpu;
        assert!(matches!(&applied.response, Response::Plans(results) if results[0].placed == BATCH as u64));
        seconds += spent;
        slowest = slowest.max(spent);
        // The reader of the batch before lets go, one of this batch holds on.
        held = state.clone();
        placed += ids.len();
        all.extend(ids);
        index += 1;
    }
    row(
        "state: allocations upserted by plan results",
        "allocations/s",
        HIGHER,
        placed as f64 / seconds,
        Some(150_000),
        placed,
    );
    row("state: the same per second of CPU", "allocations/s", HIGHER, placed as f64 / busy, None, placed);
    row("state: the same, slowest batch", "allocations/s", HIGHER, BATCH as f64 / slowest, None, placed);
    for ids in all.chunks(BATCH) {
        let encoded = running(ids).encode()?;
        let command = Command::decode(&encoded)?;
        let start = Instant::now();
        state.apply(index, Time(3), command);
        updating += start.elapsed().as_secs_f64();
        held = state.clone();
        index += 1;
    }
    row("state: updates of clients", "allocations/s", HIGHER, all.len() as f64 / updating, None, placed);
    let bytes = (resident() - before) as f64 / placed as f64;
    row("state: memory per running allocation", "bytes", LOWER, bytes, Some(1536), placed);
    assert_eq!(held.allocation_count(), placed);

    let start = Instant::now();
    let mut bytes = Vec::new();
    snapshot::write(&state, &mut bytes)?;
    let rate = placed as f64 / start.elapsed().as_secs_f64();
    row("state: snapshot written", "allocations/s", HIGHER, rate, None, placed);
    row("state: snapshot per allocation", "bytes", LOWER, bytes.len() as f64 / placed as f64, None, placed);
    let start = Instant::now();
    let read = snapshot::read(bytes.as_slice())?;
    let rate = placed as f64 / start.elapsed().as_secs_f64();
    row("state: snapshot read", "allocations/s", HIGHER, rate, None, placed);
    assert!(read == state, "what is read is what was written");
    drop((read, bytes));
    let start = Instant::now();
    let mut clones = 0usize;
    for _ in 0..100_000 {
        clones += std::hint::black_box(state.clone()).node_count();
    }
    row("state: a snapshot taken", "ns", LOWER, start.elapsed().as_nanos() as f64 / 100_000.0, None, placed);
    assert_eq!(clones, NODES * 100_000);
    Ok(())
}

const LOWER: &str = "lower";
const HIGHER: &str = "higher";

/// One row of the table: what was measured, and what is to be reached where something is.
fn row(name: &str, unit: &str, better: &str, value: f64, goal: Option<u32>, allocations: usize) {
    let load =
        format!("{allocations} allocations with 3 task events on {NODES} nodes, a snapshot held across every batch");
    let value = value.round();
    let line = serde_json::json!({
        "name": name, "unit": unit, "better": better, "samples": [value], "value": value, "goal": goal,
        "command": "cargo bench -p nomadd-state", "load": load,
    });
    println!("{line}");
}
