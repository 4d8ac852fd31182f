//! What apply does with jobs, plans, client updates and deployments, as a story each.
//!
//! The rules are those of the compatible behaviour: job state, fit check, deployments. Properties are in `properties.rs`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::sync::Arc;

use nomadd_model::*;
use nomadd_state::*;

mod apply {
    mod jobs;
}

const NODE: NodeId = NodeId([1; 16]);

/// A state with the clock and index that a log would bring.
struct Cluster {
    state: State,
    index: u64,
}

impl Cluster {
    /// One ready node with 1,000 MHz, 1,000 MB and three cores.
    fn new() -> Self {
        let mut cluster = Self { state: State::new(), index: 10 };
        cluster.add_node(NODE);
        cluster
    }
    fn apply(&mut self, command: Command) -> Applied {
        self.index += 1;
        let applied = self.state.apply(self.index, Time(self.index as i64 * 1_000), command);
        assert_eq!(self.state.verify(), Vec::<String>::new());
        applied
    }
    fn add_node(&mut self, id: NodeId) {
        let mut node = Node { id, name: "n1".into(), status: NodeStatus::Ready, ..Node::default() };
        node.node_resources.cpu.cpu_shares = 1000;
        node.node_resources.cpu.reservable_cpu_cores = vec![0, 1, 2];
        node.node_resources.memory.memory_mb = 1000;
        node.node_resources.disk.disk_mb = 1000;
        self.apply(Command::NodeRegister(NodeRegister { node: Arc::new(node), ..NodeRegister::default() }));
    }
    fn register(&mut self, count: i64) -> Applied {
        self.register_with(|job| job.task_groups[0].count = count)
    }
    fn register_with(&mut self, change: impl FnOnce(&mut Job)) -> Applied {
        let group = TaskGroup {
            name: "web".into(),
            tasks: vec![Task { name: "server".into(), ..Task::default() }],
            ..TaskGroup::default()
        };
        let mut job = Job { id: "j".into(), namespace: "default".into(), task_groups: vec![group], ..Job::default() };
        change(&mut job);
        self.apply(Command::JobRegister(JobRegister { job: Arc::new(job), ..JobRegister::default() }))
    }
    fn job(&self) -> Arc<Job> {
        self.state.job("default", "j").unwrap().clone()
    }
    /// A plan of the current job that places allocations of the given sizes in MHz.
    fn plan(&self, placements: &[(u8, i64)]) -> Plan {
        let job = self.job();
        let placements = placements
            .iter()
            .map(|(id, cpu)| Placement {
                id: allocation(*id),
                node_id: NODE,
                index: u64::from(*id),
                resources: Some(Arc::new(resources(*cpu, |_| {}))),
                ..Placement::default()
            })
            .collect();
        Plan {
            eval_id: EvaluationId([7; 16]),
            namespace: "default".into(),
            job_id: "j".into(),
            job_version: job.version,
            job_create_index: job.create_index,
            snapshot_index: self.state.index(),
            placements: vec![PlacementBatch { task_group: "web".into(), placements, ..PlacementBatch::default() }],
            ..Plan::default()
        }
    }
    fn commit(&mut self, plan: Plan) -> PlanResult {
        let applied = self.apply(Command::PlanResults(PlanResults { plans: vec![plan], evaluations: vec![] }));
        match applied.response {
            Response::Plans(mut results) => results.remove(0),
            other => panic!("{other:?}"),
        }
    }
    fn place(&mut self, placements: &[(u8, i64)]) -> PlanResult {
        self.commit(self.plan(placements))
    }
    fn client(&mut self, id: u8, client_status: ClientStatus) {
        self.client_with(id, client_status, None);
    }
    fn client_with(&mut self, id: u8, client_status: ClientStatus, healthy: Option<bool>) {
        let update = AllocationClientUpdate {
            id: allocation(id),
            client_status,
            deployment_status: Some(AllocDeploymentStatus { healthy, ..AllocDeploymentStatus::default() }),
            ..AllocationClientUpdate::default()
        };
        self.apply(Command::AllocationClientUpdate(AllocationClientUpdates {
            updates: vec![update],
            evaluations: vec![],
        }));
    }
    fn evaluate(&mut self, status: EvaluationStatus, queued: i64) -> Applied {
        self.apply(Command::EvaluationUpsert(EvaluationUpsert { evaluations: vec![evaluation(7, status, queued)] }))
    }
    fn allocation(&self, id: u8) -> &Arc<Allocation> {
        self.state.allocation(allocation(id)).unwrap()
    }
    fn used(&self) -> i64 {
        self.state.node_usage(NODE).unwrap().cpu_shares
    }
}

fn allocation(id: u8) -> AllocationId {
    AllocationId([id; 16])
}
fn evaluation(id: u8, status: EvaluationStatus, queued: i64) -> Evaluation {
    Evaluation {
        id: EvaluationId([id; 16]),
        namespace: "default".into(),
        job_id: "j".into(),
        status,
        queued_allocations: [("web".into(), queued)].into(),
        ..Evaluation::default()
    }
}
fn resources(cpu: i64, change: impl FnOnce(&mut AllocatedResources)) -> AllocatedResources {
    let mut resources = AllocatedResources::default();
    let cpu = AllocatedCpuResources { cpu_shares: cpu, reserved_cores: Vec::new() };
    resources.tasks.insert("server".into(), AllocatedTaskResources { cpu, ..AllocatedTaskResources::default() });
    change(&mut resources);
    resources
}
fn stop(id: u8) -> AllocationStop {
    AllocationStop { id: allocation(id), desired_status: DesiredStatus::Stop, ..AllocationStop::default() }
}

#[test]
fn a_plan_is_committed_as_far_as_its_nodes_have_room() {
    let mut cluster = Cluster::new();
    let other = NodeId([2; 16]);
    cluster.add_node(other);
    cluster.register(3);
    assert_eq!(cluster.place(&[(1, 600)]).refresh_index, 0);
    let mut plan = cluster.plan(&[(2, 500), (3, 100)]);
    plan.placements[0].placements[1].node_id = other;
    let result = cluster.commit(plan);
    assert_eq!((result.placed, &result.rejected_nodes, &result.rejected), (1, &vec![NODE], &vec![allocation(2)]));
    assert_eq!(result.refresh_index, cluster.index);
    assert_eq!(cluster.used(), 600);
    assert_eq!(cluster.allocation(3).name, "j.web[3]");
    assert_eq!(cluster.allocation(3).node_name, "n1");

    let mut all = cluster.plan(&[(4, 500), (5, 100)]);
    all.all_at_once = true;
    all.placements[0].placements[1].node_id = other;
    assert_eq!(cluster.commit(all).placed, 0);
    assert!(cluster.state.allocation(allocation(5)).is_none());
}

#[test]
fn cores_ports_and_devices_are_given_once() {
    for (taken, collides) in [
        (resources(1, |all| all.tasks.get_mut("server").unwrap().cpu.reserved_cores = vec![1]), true),
        (resources(1, |all| all.tasks.get_mut("server").unwrap().cpu.reserved_cores = vec![7]), true),
        (
            resources(1, |all| {
                all.shared.ports = vec![PortMapping { value: 80, host_ip: "10.0.0.1".into(), ..PortMapping::default() }]
            }),
            true,
        ),
        (resources(1, |_| {}), false),
    ] {
        let mut cluster = Cluster::new();
        cluster.register(2);
        let mut plan = cluster.plan(&[(1, 1), (2, 1)]);
        for placement in &mut plan.placements[0].placements {
            placement.resources = Some(Arc::new(taken.clone()));
        }
        assert_eq!(cluster.commit(plan).placed, if collides { 0 } else { 2 }, "{taken:?}");
    }
}

#[test]
fn a_negative_amount_makes_no_room() {
    let mut cluster = Cluster::new();
    cluster.register(2);
    assert_eq!(cluster.place(&[(1, -5000), (2, 900)]).placed, 2);
    assert_eq!(cluster.place(&[(3, 200)]).placed, 0);
    assert_eq!(cluster.used(), 900);
}

#[test]
fn a_stopped_allocation_holds_its_room_until_its_client_is_done_or_a_successor_takes_it() {
    let mut cluster = Cluster::new();
    cluster.register(1);
    cluster.place(&[(1, 800)]);
    cluster.client(1, ClientStatus::Running);
    let mut stopping = cluster.plan(&[]);
    stopping.stops = vec![stop(1)];
    cluster.commit(stopping);
    assert_eq!(cluster.place(&[(2, 800)]).placed, 0, "the first one may still run");
    cluster.client(1, ClientStatus::Complete);
    assert_eq!(cluster.used(), 0);
    assert_eq!(cluster.place(&[(2, 800)]).placed, 1);

    // A destructive update on a full node: the successor takes the room, the client starts it when the first has ended.
    let mut update = cluster.plan(&[(3, 900)]);
    update.stops = vec![stop(2)];
    update.placements[0].placements[0].previous = allocation(2);
    assert_eq!(cluster.commit(update).placed, 1);
    assert_eq!(cluster.used(), 900);
    assert_eq!(cluster.allocation(2).next_allocation, allocation(3));
    cluster.client(2, ClientStatus::Complete);
    assert_eq!(cluster.used(), 900, "what was handed over is not given back again");
}

#[test]
fn what_a_slow_way_brings_after_a_newer_batch_of_the_node_is_not_taken() {
    let mut cluster = Cluster::new();
    cluster.register(2);
    cluster.place(&[(1, 100), (2, 100)]);
    let mut say = |batches: &[(u64, u8, ClientStatus)]| {
        let update = |(number, id, client_status): &(u64, u8, ClientStatus)| AllocationClientUpdate {
            id: allocation(*id),
            client_status: *client_status,
            number: *number,
            ..AllocationClientUpdate::default()
        };
        let updates = batches.iter().map(update).collect();
        cluster.apply(Command::AllocationClientUpdate(AllocationClientUpdates { updates, evaluations: vec![] }));
        [1, 2].map(|id| cluster.allocation(id).client_status)
    };
    let (running, complete, failed) = (ClientStatus::Running, ClientStatus::Complete, ClientStatus::Failed);
    assert_eq!(say(&[(7, 1, running), (7, 2, running)]), [running, running], "all of a batch is taken");
    assert_eq!(say(&[(8, 1, complete)]), [complete, running]);
    assert_eq!(say(&[(7, 1, running), (7, 2, failed)]), [complete, running], "a late one changes nothing");
    assert_eq!(say(&[(8, 1, running)]), [complete, running], "the same one a second time neither");
    assert_eq!(say(&[(9, 2, failed), (8, 2, running)]), [complete, failed], "nor in one entry with a newer one");
    let stored = {
        let mut bytes = Vec::new();
        snapshot::write(&cluster.state, &mut bytes).unwrap();
        snapshot::read(&bytes[..]).unwrap()
    };
    assert_eq!((stored.reported(NODE), &stored), (9, &cluster.state), "snapshots keep it");
    cluster.apply(Command::NodeDeregister(NodeDeregister { ids: vec![NODE], ..NodeDeregister::default() }));
    assert_eq!(cluster.state.reported(NODE), 0, "a node that was forgotten begins anew");
}

#[test]
fn plans_of_an_older_job_or_an_older_state_are_dropped_whole() {
    let mut cluster = Cluster::new();
    cluster.register(1);
    let old = cluster.plan(&[(1, 10)]);
    cluster.register(2);
    let result = cluster.commit(old);
    assert_eq!((result.placed, result.rejected.len(), result.refresh_index), (0, 1, cluster.index));

    let (first, second) = (cluster.plan(&[(1, 10)]), cluster.plan(&[(2, 10)]));
    assert_eq!(cluster.commit(first).placed, 1);
    assert_eq!(cluster.commit(second).placed, 0, "it has not seen what the first one placed");
    cluster.apply(Command::JobDeregister(JobDeregister {
        namespace: "default".into(),
        id: "j".into(),
        ..JobDeregister::default()
    }));
    assert_eq!(cluster.place(&[(3, 10)]).placed, 0, "the job is stopped");
}

#[test]
fn nodes_that_are_down_ineligible_or_draining_get_nothing() {
    let eligibility = Command::NodeEligibility(NodeEligibilitySet {
        id: NODE,
        eligibility: Eligibility::Ineligible,
        ..NodeEligibilitySet::default()
    });
    let down = Command::NodeStatus(NodeStatusSet { id: NODE, status: NodeStatus::Down, ..NodeStatusSet::default() });
    let drain = Command::NodeDrain(NodeDrainSet {
        id: NODE,
        strategy: Some(DrainStrategy::default()),
        ..NodeDrainSet::default()
    });
    let gone = Command::NodeDeregister(NodeDeregister { ids: vec![NODE], evaluations: vec![] });
    for command in [eligibility, down, drain, gone] {
        let mut cluster = Cluster::new();
        cluster.register(1);
        cluster.apply(command.clone());
        assert_eq!(cluster.place(&[(1, 10)]).rejected_nodes, vec![NODE], "{command:?}");
    }
}

#[test]
fn a_preempted_allocation_makes_room_for_the_one_that_evicts_it() {
    let mut cluster = Cluster::new();
    cluster.register(1);
    cluster.place(&[(1, 800)]);
    let mut plan = cluster.plan(&[(2, 900)]);
    plan.placements[0].placements[0].preempted = vec![allocation(1)];
    plan.preemptions = vec![AllocationPreemption { id: allocation(1), by: allocation(2) }];
    assert_eq!(cluster.commit(plan).placed, 1);
    let evicted = cluster.allocation(1);
    assert_eq!(evicted.desired_status, DesiredStatus::Evict);
    assert_eq!(evicted.desired_description, format!("Preempted by alloc ID {}", allocation(2)).as_str());
    assert_eq!(evicted.preempted_by_allocation, allocation(2));
    assert_eq!(cluster.used(), 900);
}

#[test]
fn a_lost_allocation_whose_client_comes_back_gets_no_room_again() {
    let mut cluster = Cluster::new();
    cluster.register(1);
    cluster.place(&[(1, 800)]);
    let mut plan = cluster.plan(&[]);
    plan.stops = vec![AllocationStop { client_status: Some(ClientStatus::Lost), ..stop(1) }];
    cluster.commit(plan);
    assert_eq!(cluster.used(), 0);
    cluster.place(&[(2, 900)]);
    cluster.client(1, ClientStatus::Running);
    assert_eq!(cluster.used(), 900);
    assert_eq!(cluster.allocation(1).alloc_states.len(), 1);
}

#[test]
fn a_node_keeps_its_secret_and_what_servers_said_of_it() {
    let mut cluster = Cluster::new();
    let id = NodeId([3; 16]);
    let register = |secret: u8| {
        let node = Arc::new(Node { id, status: NodeStatus::Ready, node_pool: "gpu".into(), ..Node::default() });
        Command::NodeRegister(NodeRegister { node, secret: SecretId([secret; 16]), ..NodeRegister::default() })
    };
    cluster.apply(register(1));
    assert!(cluster.state.node_pool("gpu").is_some(), "the pool is made by its first node");
    assert!(cluster.state.node(id).unwrap().computed_class.starts_with("v1:"));
    let drain = NodeDrainSet { id, strategy: Some(DrainStrategy::default()), ..NodeDrainSet::default() };
    cluster.apply(Command::NodeDrain(drain));
    assert_eq!(cluster.apply(register(2)).response, Response::Refused(Refused::NodeSecret));
    cluster.apply(register(1));
    let node = cluster.state.node(id).unwrap();
    assert!(node.drain && node.scheduling_eligibility == Eligibility::Ineligible);
    assert_eq!(node.events.len(), 1);
    assert_eq!(cluster.state.nodes_by_prefix("0303").count(), 1);
}

#[test]
fn an_entry_of_another_release_is_read_with_what_both_know() {
    // `Stable` was not written (zero), and a field of a later release was.
    let inner = std::collections::BTreeMap::from([("Namespace", "default"), ("ID", "j"), ("Later", "x")]);
    let bytes = rmp_serde::to_vec_named(&std::collections::BTreeMap::from([("JobStability", inner)])).unwrap();
    let expected = JobStability { namespace: "default".into(), id: "j".into(), ..JobStability::default() };
    assert_eq!(Command::decode(&bytes).unwrap(), Command::JobStability(expected));
}

#[test]
fn events_are_called_after_their_command_and_carry_the_thing_as_it_is_then() {
    let mut cluster = Cluster::new();
    cluster.register(1);
    let plans = PlanResults { plans: vec![cluster.plan(&[(1, 100)])], evaluations: vec![] };
    let applied = cluster.apply(Command::PlanResults(plans));
    let placed = applied.events.iter().find(|event| event.topic() == Topic::Allocation).unwrap();
    assert_eq!(placed.kind, EventKind::PlanResult);
    let id = allocation(1);
    assert_eq!(placed.payload, cluster.state.allocation(id).cloned().map(Payload::Allocation));
    assert_eq!(placed.filter_keys().unwrap()[0], "j");
    assert_eq!((placed.namespace(), placed.key()), ("default", id.to_string()));

    let pool = NodePool { name: "gpu".into(), ..NodePool::default() };
    cluster.apply(Command::NodePoolUpsert(NodePoolUpsert { pools: vec![pool] }));
    let applied = cluster.apply(Command::NodePoolDelete(NodePoolDelete { names: vec!["gpu".into()] }));
    let [deleted] = applied.events.as_slice() else { panic!("{:?}", applied.events) };
    assert_eq!(deleted.kind, EventKind::NodePoolDeleted);
    assert!(matches!(&deleted.payload, Some(Payload::NodePool(pool)) if pool.name == "gpu"));
}

#[test]
fn nodes_are_told_of_what_servers_change_and_not_of_what_they_reported() {
    let mut cluster = Cluster::new();
    cluster.register(2);
    let plan = cluster.plan(&[(2, 10), (1, 10)]);
    let placed = cluster.apply(Command::PlanResults(PlanResults { plans: vec![plan], evaluations: vec![] }));
    assert_eq!(placed.assigned, [(NODE, allocation(1)), (NODE, allocation(2))]);
    let ended = |id| AllocationClientUpdate {
        id: allocation(id),
        client_status: ClientStatus::Complete,
        ..AllocationClientUpdate::default()
    };
    let reported = cluster.apply(Command::AllocationClientUpdate(AllocationClientUpdates {
        updates: vec![ended(1)],
        evaluations: vec![],
    }));
    assert_eq!(reported.assigned, []);
    let mut stopping = cluster.plan(&[]);
    stopping.stops = vec![stop(2)];
    let stopped = cluster.apply(Command::PlanResults(PlanResults { plans: vec![stopping], evaluations: vec![] }));
    assert_eq!(stopped.assigned, [(NODE, allocation(2))]);
    let removed = cluster
        .apply(Command::EvaluationDelete(EvaluationDelete { evaluations: vec![], allocations: vec![allocation(1)] }));
    assert_eq!(removed.assigned, [(NODE, allocation(1))]);
}
