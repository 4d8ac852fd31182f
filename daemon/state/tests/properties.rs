//! Properties of the replicated state, whatever commands and plans arrive in whatever order.
//!
//! apply never panics, never promises a node's resources twice, keeps its indexes, counts and sums; the same commands give
//! the same state; a snapshot gives the same state back. Runs in `make test`.

use std::sync::Arc;

use nomadd_model::{
    AllocDeploymentStatus, AllocatedCpuResources, AllocatedDeviceResource, AllocatedMemoryResources,
    AllocatedResources, AllocatedTaskResources, AllocationId, AllocationPreemption, AllocationStop, ClientStatus,
    Deployment, DeploymentId, DeploymentState, DeploymentStatus, DeploymentStatusUpdate, DesiredStatus,
    DesiredTransition, DrainStrategy, Eligibility, Evaluation, EvaluationId, EvaluationStatus, InPlaceUpdate, Job,
    Node, NodeDevice, NodeDeviceResource, NodeId, NodeStatus, Placement, PlacementBatch, Plan, PortMapping, SecretId,
    Task, TaskGroup, TaskState, Time,
};
use nomadd_state::{
    AllocationClientUpdate, AllocationClientUpdates, AllocationDesiredTransitions, AllocationTransition, Command,
    DeploymentAllocHealth, DeploymentDelete, DeploymentStatusSet, EvaluationDelete, EvaluationUpsert, JobDelete,
    JobDeletion, JobDeregister, JobKey, JobRegister, JobScale, JobStability, NodeDeregister, NodeDrainSet,
    NodeEligibilitySet, NodeRegister, NodeStatusSet, PlanResults, State, snapshot,
};
use proptest::prelude::*;

/// One wish, made into a command against the state that it meets.
#[derive(Clone, Debug)]
enum Wish {
    RegisterJob { job: u8, count: u8, enforce: Option<u8> },
    DeregisterJob { job: u8, purge: bool },
    DeleteJob { job: u8 },
    Stable { job: u8, version: u8 },
    Scale { job: u8, count: u8 },
    RegisterNode { node: u8 },
    DeregisterNode { node: u8 },
    Status { node: u8, status: u8 },
    Eligible { node: u8, eligible: bool },
    Drain { node: u8, on: bool },
    Evaluate { evaluation: u8, job: u8, status: u8, queued: u8 },
    Delete { evaluation: u8, allocation: u8 },
    Client { allocation: u8, status: u8, healthy: Option<bool> },
    Transition { allocation: u8 },
    Plan(Vec<PlanWish>),
    DeploymentStatus { deployment: u8, status: u8 },
    Health { deployment: u8, allocation: u8, healthy: bool },
    DeleteDeployment { deployment: u8 },
    Reconcile,
}

#[derive(Clone, Debug)]
struct PlanWish {
    job: u8,
    /// Nothing is added to the version, most of the time.
    stale: bool,
    all_at_once: bool,
    deployment: Option<u8>,
    placements: Vec<PlaceWish>,
    stops: Vec<(u8, u8)>,
    preemptions: Vec<(u8, u8)>,
    in_place: Vec<(u8, u8)>,
}

#[derive(Clone, Debug)]
struct PlaceWish {
    allocation: u8,
    node: u8,
    size: u8,
    previous: u8,
    own: bool,
}

fn wish() -> impl Strategy<Value = Wish> {
    let small = 0u8..4;
    prop_oneof![
        3 => (small.clone(), 0u8..4, prop::option::weighted(0.2, 0u8..3))
            .prop_map(|(job, count, enforce)| Wish::RegisterJob { job, count, enforce }),
        1 => (small.clone(), any::<bool>()).prop_map(|(job, purge)| Wish::DeregisterJob { job, purge }),
        1 => small.clone().prop_map(|job| Wish::DeleteJob { job }),
        1 => (small.clone(), 0u8..3).prop_map(|(job, version)| Wish::Stable { job, version }),
        1 => (small.clone(), 0u8..5).prop_map(|(job, count)| Wish::Scale { job, count }),
        3 => small.clone().prop_map(|node| Wish::RegisterNode { node }),
        1 => small.clone().prop_map(|node| Wish::DeregisterNode { node }),
        1 => (small.clone(), small.clone()).prop_map(|(node, status)| Wish::Status { node, status }),
        1 => (small.clone(), any::<bool>()).prop_map(|(node, eligible)| Wish::Eligible { node, eligible }),
        1 => (small.clone(), any::<bool>()).prop_map(|(node, on)| Wish::Drain { node, on }),
        3 => (0u8..8, small.clone(), 0u8..5, 0u8..4)
            .prop_map(|(evaluation, job, status, queued)| Wish::Evaluate { evaluation, job, status, queued }),
        1 => (0u8..8, 0u8..24).prop_map(|(evaluation, allocation)| Wish::Delete { evaluation, allocation }),
        6 => (0u8..24, 0u8..6, prop::option::of(any::<bool>()))
            .prop_map(|(allocation, status, healthy)| Wish::Client { allocation, status, healthy }),
        1 => (0u8..24).prop_map(|allocation| Wish::Transition { allocation }),
        12 => prop::collection::vec(plan(), 1..3).prop_map(Wish::Plan),
        1 => (small.clone(), 0u8..5).prop_map(|(deployment, status)| Wish::DeploymentStatus { deployment, status }),
        1 => (small.clone(), 0u8..24, any::<bool>())
            .prop_map(|(deployment, allocation, healthy)| Wish::Health { deployment, allocation, healthy }),
        1 => small.prop_map(|deployment| Wish::DeleteDeployment { deployment }),
        1 => Just(Wish::Reconcile),
    ]
}

fn plan() -> impl Strategy<Value = PlanWish> {
    let placement = (0u8..24, 0u8..4, 0u8..6, 0u8..24, any::<bool>())
        .prop_map(|(allocation, node, size, previous, own)| PlaceWish { allocation, node, size, previous, own });
    (
        0u8..4,
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.2),
        prop::option::weighted(0.3, 0u8..4),
        prop::collection::vec(placement, 0..8),
        prop::collection::vec((0u8..24, 0u8..6), 0..4),
        prop::collection::vec((0u8..24, 0u8..24), 0..2),
        prop::collection::vec((0u8..24, 0u8..6), 0..3),
    )
        .prop_map(|(job, stale, all_at_once, deployment, placements, stops, preemptions, in_place)| PlanWish {
            job,
            stale,
            all_at_once,
            deployment,
            placements,
            stops,
            preemptions,
            in_place,
        })
}

fn name(job: u8) -> nomadd_model::Text {
    format!("job{job}").into()
}
fn allocation_id(number: u8) -> AllocationId {
    AllocationId([number + 1; 16])
}
fn node_id(number: u8) -> NodeId {
    NodeId([number + 1; 16])
}
fn evaluation_id(number: u8) -> EvaluationId {
    EvaluationId([number + 1; 16])
}
fn deployment_id(number: u8) -> DeploymentId {
    DeploymentId([number + 1; 16])
}
fn of<T: Copy>(all: &[T], number: u8) -> T {
    all[usize::from(number) % all.len()]
}

fn node(number: u8) -> Node {
    let mut node = Node {
        id: node_id(number),
        name: format!("node{number}").into(),
        status: NodeStatus::Ready,
        node_max_allocs: if number == 0 { 3 } else { 0 },
        ..Node::default()
    };
    let has = &mut node.node_resources;
    has.cpu.cpu_shares = 1000;
    has.cpu.reservable_cpu_cores = vec![0, 1, 2];
    has.memory.memory_mb = 1000;
    has.disk.disk_mb = 1000;
    has.devices = vec![NodeDeviceResource {
        kind: "gpu".into(),
        instances: vec![NodeDevice { id: "g0".into(), healthy: true, ..NodeDevice::default() }],
        ..NodeDeviceResource::default()
    }];
    node.reserved_resources.cpu.cpu_shares = 100;
    node.reserved_resources.networks.reserved_host_ports = "22".into();
    node
}

fn resources(size: u8) -> AllocatedResources {
    let mut task = AllocatedTaskResources {
        cpu: AllocatedCpuResources { cpu_shares: 150 * i64::from(size), reserved_cores: Vec::new() },
        memory: AllocatedMemoryResources { memory_mb: 100 * i64::from(size), memory_max_mb: 0 },
        ..AllocatedTaskResources::default()
    };
    let mut resources = AllocatedResources::default();
    resources.shared.disk_mb = 50;
    match size {
        1 => task.cpu.reserved_cores = vec![1],
        2 => {
            resources.shared.ports =
                vec![PortMapping { value: 8080, host_ip: "10.0.0.1".into(), ..PortMapping::default() }]
        }
        3 => {
            task.devices = vec![AllocatedDeviceResource {
                kind: "gpu".into(),
                device_ids: vec!["g0".into()],
                ..AllocatedDeviceResource::default()
            }];
        }
        _ => {}
    }
    resources.tasks.insert("t".into(), task);
    resources
}

fn job(number: u8, count: u8) -> Job {
    let group = TaskGroup {
        name: "g".into(),
        count: i64::from(count),
        tasks: vec![Task { name: "t".into(), ..Task::default() }],
        ..TaskGroup::default()
    };
    Job {
        id: name(number),
        namespace: "default".into(),
        node_pool: "default".into(),
        task_groups: vec![group],
        parent_id: if number == 3 { name(0) } else { "".into() },
        ..Job::default()
    }
}

fn evaluation(number: u8, job: u8, status: EvaluationStatus, queued: u8) -> Evaluation {
    Evaluation {
        id: evaluation_id(number),
        namespace: "default".into(),
        job_id: name(job),
        status,
        queued_allocations: [("g".into(), i64::from(queued))].into(),
        ..Evaluation::default()
    }
}

fn command(state: &State, wish: &Wish) -> Command {
    let default = || nomadd_model::Text::from("default");
    match wish.clone() {
        Wish::RegisterJob { job: number, count, enforce } => Command::JobRegister(JobRegister {
            job: Arc::new(job(number, count)),
            evaluation: Some(evaluation(number, number, EvaluationStatus::Pending, count)),
            enforce_index: enforce.map(u64::from),
            tracked_versions: 2,
            ..JobRegister::default()
        }),
        Wish::DeregisterJob { job, purge } => Command::JobDeregister(JobDeregister {
            namespace: default(),
            id: name(job),
            purge,
            no_shutdown_delay: purge,
            evaluation: Some(evaluation(job + 4, job, EvaluationStatus::Pending, 0)),
            ..JobDeregister::default()
        }),
        Wish::DeleteJob { job } => Command::JobDelete(JobDelete {
            jobs: vec![JobDeletion { key: JobKey { namespace: default(), id: name(job) }, modify_index: 0 }],
        }),
        Wish::Stable { job, version } => Command::JobStability(JobStability {
            namespace: default(),
            id: name(job),
            version: version.into(),
            stable: true,
        }),
        Wish::Scale { job, count } => Command::JobScale(JobScale {
            namespace: default(),
            id: name(job),
            group: "g".into(),
            count: Some(count.into()),
            ..JobScale::default()
        }),
        Wish::RegisterNode { node: number } => Command::NodeRegister(NodeRegister {
            node: Arc::new(node(number)),
            secret: SecretId([1; 16]),
            evaluations: vec![],
        }),
        Wish::DeregisterNode { node } => {
            Command::NodeDeregister(NodeDeregister { ids: vec![node_id(node)], evaluations: vec![] })
        }
        Wish::Status { node, status } => Command::NodeStatus(NodeStatusSet {
            id: node_id(node),
            status: of(NodeStatus::ALL, status),
            ..NodeStatusSet::default()
        }),
        Wish::Eligible { node, eligible } => Command::NodeEligibility(NodeEligibilitySet {
            id: node_id(node),
            eligibility: if eligible { Eligibility::Eligible } else { Eligibility::Ineligible },
            ..NodeEligibilitySet::default()
        }),
        Wish::Drain { node, on } => Command::NodeDrain(NodeDrainSet {
            id: node_id(node),
            strategy: on.then(DrainStrategy::default),
            mark_eligible: true,
            ..NodeDrainSet::default()
        }),
        Wish::Evaluate { evaluation: number, job, status, queued } => Command::EvaluationUpsert(EvaluationUpsert {
            evaluations: vec![evaluation(number, job, of(EvaluationStatus::ALL, status), queued)],
        }),
        Wish::Delete { evaluation, allocation } => Command::EvaluationDelete(EvaluationDelete {
            evaluations: vec![evaluation_id(evaluation)],
            allocations: vec![allocation_id(allocation)],
        }),
        Wish::Client { allocation, status, healthy } => Command::AllocationClientUpdate(AllocationClientUpdates {
            updates: vec![AllocationClientUpdate {
                id: allocation_id(allocation),
                client_status: of(ClientStatus::ALL, status),
                task_states: [("t".into(), TaskState::default())].into(),
                deployment_status: Some(AllocDeploymentStatus { healthy, ..AllocDeploymentStatus::default() }),
                ..AllocationClientUpdate::default()
            }],
            evaluations: vec![],
        }),
        Wish::Transition { allocation } => Command::AllocationDesiredTransition(AllocationDesiredTransitions {
            transitions: vec![AllocationTransition {
                id: allocation_id(allocation),
                transition: DesiredTransition { migrate: Some(true), ..DesiredTransition::default() },
            }],
            evaluations: vec![],
        }),
        Wish::Plan(plans) => Command::PlanResults(PlanResults {
            plans: plans.iter().map(|plan| plan_of(state, plan)).collect(),
            evaluations: vec![],
        }),
        Wish::DeploymentStatus { deployment, status } => Command::DeploymentStatus(DeploymentStatusSet {
            update: DeploymentStatusUpdate {
                deployment_id: deployment_id(deployment),
                status: of(DeploymentStatus::ALL, status),
                description: "as told".into(),
            },
            ..DeploymentStatusSet::default()
        }),
        Wish::Health { deployment, allocation, healthy } => {
            let ids = vec![allocation_id(allocation)];
            let (healthy, unhealthy) = if healthy { (ids, vec![]) } else { (vec![], ids) };
            Command::DeploymentAllocHealth(DeploymentAllocHealth {
                id: deployment_id(deployment),
                healthy,
                unhealthy,
                ..DeploymentAllocHealth::default()
            })
        }
        Wish::DeleteDeployment { deployment } => {
            Command::DeploymentDelete(DeploymentDelete { ids: vec![deployment_id(deployment)] })
        }
        Wish::Reconcile => Command::JobSummariesReconcile,
    }
}

fn plan_of(state: &State, wish: &PlanWish) -> Plan {
    let current = state.job("default", &name(wish.job));
    let shared = Arc::new(resources(4));
    let placements = wish
        .placements
        .iter()
        .enumerate()
        .map(|(at, placement)| Placement {
            id: allocation_id(placement.allocation),
            node_id: node_id(placement.node),
            index: at as u64,
            resources: placement.own.then(|| Arc::new(resources(placement.size))),
            previous: if placement.previous < 12 { allocation_id(placement.previous) } else { AllocationId::NONE },
            deployment_id: wish.deployment.map(deployment_id).unwrap_or_default(),
            canary: placement.size == 5,
            ..Placement::default()
        })
        .collect();
    Plan {
        eval_id: evaluation_id(wish.job),
        all_at_once: wish.all_at_once,
        namespace: "default".into(),
        job_id: name(wish.job),
        job_version: current.map_or(0, |job| job.version) + u64::from(wish.stale),
        job_create_index: current.map_or(0, |job| job.create_index),
        snapshot_index: state.index(),
        placements: vec![PlacementBatch {
            task_group: "g".into(),
            resources: shared,
            placements,
            ..PlacementBatch::default()
        }],
        in_place: wish
            .in_place
            .iter()
            .map(|(id, size)| InPlaceUpdate {
                id: allocation_id(*id),
                deployment_id: wish.deployment.map(deployment_id).unwrap_or_default(),
                resources: (*size > 2).then(|| Arc::new(resources(*size))),
                metrics: None,
            })
            .collect(),
        stops: wish
            .stops
            .iter()
            .map(|(id, kind)| AllocationStop {
                id: allocation_id(*id),
                desired_status: if *kind == 0 { DesiredStatus::Run } else { DesiredStatus::Stop },
                client_status: match kind {
                    0 => Some(ClientStatus::Unknown),
                    1 => Some(ClientStatus::Lost),
                    _ => None,
                },
                ..AllocationStop::default()
            })
            .collect(),
        preemptions: wish
            .preemptions
            .iter()
            .map(|(id, by)| AllocationPreemption { id: allocation_id(*id), by: allocation_id(*by) })
            .collect(),
        deployment: wish.deployment.map(|number| Deployment {
            id: deployment_id(number),
            namespace: "default".into(),
            job_id: name(wish.job),
            job_version: current.map_or(0, |job| job.version),
            job_create_index: current.map_or(0, |job| job.create_index),
            task_groups: [(
                "g".into(),
                DeploymentState { progress_deadline: nomadd_model::Duration(10), ..DeploymentState::default() },
            )]
            .into(),
            ..Deployment::default()
        }),
        ..Plan::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn whatever_arrives_the_state_holds_together(wishes in prop::collection::vec(wish(), 1..60)) {
        let (mut state, mut twin) = (State::new(), State::new());
        for (at, wish) in wishes.iter().enumerate() {
            let (index, now) = (10 + at as u64, Time(1_000 + at as i64));
            let command = command(&state, wish);
            let encoded = command.encode().unwrap();
            let held = state.clone();
            let before = held.verify();
            let applied = state.apply(index, now, command);
            prop_assert_eq!(held.verify(), before, "a held snapshot changed");
            let again = twin.apply(index, now, Command::decode(&encoded).unwrap());
            prop_assert_eq!(&applied.response, &again.response);
            prop_assert_eq!(&applied.changes, &again.changes);
            prop_assert_eq!(state.verify(), Vec::<String>::new(), "after {:?}", wish);
            prop_assert_eq!(state.exceeded_nodes(), Vec::new(), "after {:?}", wish);
            prop_assert_eq!(state.index(), index);
        }
        prop_assert_eq!(&state, &twin);
        let mut bytes = Vec::new();
        snapshot::write(&state, &mut bytes).unwrap();
        let restored = snapshot::read(bytes.as_slice()).unwrap();
        prop_assert_eq!(restored.verify(), Vec::<String>::new());
        prop_assert_eq!(&restored, &state);
        let mut rewritten = Vec::new();
        snapshot::write(&restored, &mut rewritten).unwrap();
        prop_assert!(rewritten == bytes, "a snapshot of what was restored differs");
    }

    #[test]
    fn no_bytes_panic_the_readers(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Command::decode(&bytes);
        let _ = snapshot::read(bytes.as_slice());
    }
}
