//! What holds whatever jobs and nodes there are: no overcommit, no forbidden node, a second look changes nothing,
//! unchanged allocations stay, and the same seed gives the same plan.
use std::collections::BTreeSet;

use nomadd_model::spec::Constraint;
use nomadd_model::{
    Affinity, ClientStatus, DesiredTransition, DisconnectStrategy, Duration, Job, JobType, NetworkResource, NodeStatus,
    Port, Spread, Trigger, UpdateStrategy,
};
use nomadd_scheduler::ask::Ask;
use nomadd_scheduler::feasible;
use nomadd_scheduler::fleet::{capacity, is_ready};
use nomadd_scheduler::{Context, Outcome, Scheduler, process};
use proptest::prelude::*;

use crate::world::{World, job};

#[derive(Debug, Clone)]
struct NodeSpec {
    cpu: i64,
    memory: i64,
    rack: u8,
    linux: bool,
    most: i64,
}

#[derive(Debug, Clone)]
struct JobSpec {
    count: i64,
    cpu: i64,
    memory: i64,
    constrained: bool,
    distinct: u8,
    spread: bool,
    affinity: bool,
    static_port: bool,
    dynamic_ports: usize,
    parallel: i64,
    version: u8,
    disconnect: u8,
}

#[derive(Debug, Clone)]
enum Step {
    Run(u8, JobSpec),
    Stop(u8),
    NodeDown(u8),
    NodeUp(u8),
    Ineligible(u8),
    Fail(u8),
    AllRun(u8),
    Healthy(u8),
    Pass(u16),
    Drain(u8),
    Disconnect(u8),
    Return(u8),
}

fn node_spec() -> impl Strategy<Value = NodeSpec> {
    (500..4_000i64, 256..4_096i64, 0..3u8, prop::bool::weighted(0.8), prop::sample::select(vec![0, 0, 2]))
        .prop_map(|(cpu, memory, rack, linux, most)| NodeSpec { cpu, memory, rack, linux, most })
}

fn job_spec() -> impl Strategy<Value = JobSpec> {
    (
        (0..7i64, 50..1_500i64, 32..1_500i64),
        (any::<bool>(), 0..4u8, any::<bool>(), any::<bool>()),
        (prop::bool::weighted(0.2), 0..3usize, 0..3i64, 0..3u8, 0..3u8),
    )
        .prop_map(|((count, cpu, memory), (constrained, distinct, spread, affinity), tail)| {
            let (static_port, dynamic_ports, parallel, version, disconnect) = tail;
            JobSpec {
                count,
                cpu,
                memory,
                constrained,
                distinct,
                spread,
                affinity,
                static_port,
                dynamic_ports,
                parallel,
                version,
                disconnect,
            }
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u8, job_spec()).prop_map(|(id, spec)| Step::Run(id, spec)),
        1 => (0..3u8).prop_map(Step::Stop),
        1 => (0..8u8).prop_map(Step::NodeDown),
        1 => (0..8u8).prop_map(Step::NodeUp),
        1 => (0..8u8).prop_map(Step::Ineligible),
        2 => (0..3u8).prop_map(Step::Fail),
        1 => (0..3u8).prop_map(Step::AllRun),
        1 => (0..3u8).prop_map(Step::Healthy),
        1 => (1..400u16).prop_map(Step::Pass),
        1 => (0..3u8).prop_map(Step::Drain),
        1 => (0..8u8).prop_map(Step::Disconnect),
        1 => (0..8u8).prop_map(Step::Return),
    ]
}

fn build(id: u8, spec: &JobSpec) -> Job {
    // The kind belongs to the name: a job cannot change it.
    let mut made = job(&format!("j{id}"), spec.count);
    made.kind = [JobType::Service, JobType::Batch, JobType::System][usize::from(id) % 3];
    let group = &mut made.task_groups[0];
    if made.kind == JobType::System {
        group.count = 1;
        group.reschedule_policy = None;
    }
    group.tasks[0].resources.cpu = spec.cpu;
    group.tasks[0].resources.memory_mb = spec.memory;
    group.tasks[0].env.insert("V".into(), spec.version.to_string());
    if spec.parallel > 0 && made.kind != JobType::Batch {
        group.update = Some(UpdateStrategy { max_parallel: spec.parallel, ..UpdateStrategy::default() });
    }
    if spec.static_port || spec.dynamic_ports > 0 {
        let port = |label: String, value| Port { label, value, ..Port::default() };
        group.networks = vec![NetworkResource {
            reserved_ports: if spec.static_port { vec![port("fix".into(), 9_000)] } else { Vec::new() },
            dynamic_ports: (0..spec.dynamic_ports).map(|at| port(format!("p{at}"), 0)).collect(),
            ..NetworkResource::default()
        }];
    }
    if spec.disconnect > 0 {
        group.disconnect = Some(DisconnectStrategy {
            lost_after: Some(Duration::from_secs(300)),
            replace: spec.disconnect > 1,
            ..DisconnectStrategy::default()
        });
    }
    let rule = |left: &str, operand: &str, right: &str| Constraint {
        l_target: left.into(),
        operand: operand.into(),
        r_target: right.into(),
    };
    if spec.constrained {
        made.constraints.push(rule("${attr.kernel.name}", "=", "linux"));
    }
    match spec.distinct {
        1 => made.constraints.push(rule("", "distinct_hosts", "")),
        2 => made.constraints.push(rule("${meta.rack}", "distinct_property", "2")),
        _ => {}
    }
    if made.kind != JobType::System {
        if spec.spread {
            made.spreads = vec![Spread { attribute: "${meta.rack}".into(), weight: 50, ..Spread::default() }];
        }
        if spec.affinity {
            made.affinities = vec![Affinity {
                l_target: "${meta.rack}".into(),
                operand: "=".into(),
                r_target: "r1".into(),
                weight: 60,
            }];
        }
    }
    made
}

fn check_no_overcommit(world: &World) {
    for node in world.state.nodes() {
        let (usage, capacity) = (world.state.node_usage(node.id).unwrap(), capacity(node));
        assert!(usage.cpu_shares <= capacity.cpu && usage.memory_mb <= capacity.memory, "{usage:?} of {capacity:?}");
        assert!(node.node_max_allocs == 0 || i64::from(usage.allocations) <= node.node_max_allocs);
        for address in usage.addresses() {
            for port in usage.ports_of(address) {
                assert_eq!(usage.port_holders(address, port), 1, "port {port} twice");
            }
        }
    }
}

fn check_allowed(world: &World, job: &Job, outcome: &Outcome) {
    let Some(plan) = &outcome.plan else { return };
    let ask = Ask::new(job, &job.task_groups[0], &world.state);
    for placement in plan.placements.iter().flat_map(|batch| &batch.placements) {
        let node = world.state.node(placement.node_id).unwrap();
        assert!(is_ready(node) && feasible::is_in_reach(job, node), "{node:?}");
        assert_eq!(feasible::verdict(&ask, node), Ok(()));
    }
    let live = world.live(&job.id);
    let current: Vec<_> = live.iter().filter(|one| one.job_version == job.version).collect();
    let hosts: BTreeSet<_> = current.iter().map(|one| one.node_id).collect();
    if job.constraints.iter().any(|rule| rule.operand == "distinct_hosts") && !plan.placements.is_empty() {
        assert_eq!(hosts.len(), current.len(), "two on one host");
    }
    if job.kind == JobType::System {
        let all: BTreeSet<_> = live.iter().map(|one| one.node_id).collect();
        assert_eq!(all.len(), live.len(), "two of a system job on one node");
    } else {
        // An unknown allocation may come back beside its replacement.
        let known = live.iter().filter(|one| one.client_status != ClientStatus::Unknown).count();
        assert!(known as i64 <= job.task_groups[0].count.max(0), "more than wanted: {known}");
    }
}

fn settle(world: &mut World, id: &str, trigger: Trigger) {
    let evaluation = world.evaluation(id, trigger);
    let context = Context { now: world.now, seed: world.seed + 1 };
    let fresh = process(&world.state, &evaluation, &context);
    let again = Scheduler::default().process(&world.state, &evaluation, &context);
    assert_eq!(fresh.plan, again.plan, "the same seed, another plan");
    let outcome = world.look(&evaluation);
    assert_eq!(fresh.plan, outcome.plan, "a kept fleet, another plan");
    assert_eq!(fresh.evaluation, outcome.evaluation);
    world.write(&outcome);
    check_no_overcommit(world);
    if let Some(job) = world.state.job("default", id).cloned() {
        check_allowed(world, &job, &outcome);
        let queued: i64 = outcome.evaluation.queued_allocations.values().sum();
        assert_eq!(queued > 0, outcome.created.iter().any(|one| one.triggered_by == Trigger::QueuedAllocs));
    }
    let second = world.evaluation(id, trigger);
    let second = world.look(&second);
    assert!(second.plan.is_none(), "a second look changes something: {:#?}\nafter {:#?}", second.plan, outcome.plan);
}

fn take(world: &mut World, nodes: &[nomadd_model::NodeId], step: Step) {
    let name = |id: u8| format!("j{id}");
    match step {
        Step::Run(id, spec) => {
            let before: BTreeSet<_> = world.live(&name(id)).iter().map(|one| one.id).collect();
            let old = world.state.job("default", &name(id)).cloned();
            let new = world.register(build(id, &spec));
            settle(world, &name(id), Trigger::JobRegister);
            let unchanged = old.is_some_and(|old| old.version == new.version && !old.stop);
            if unchanged {
                let after: BTreeSet<_> = world.live(&name(id)).iter().map(|one| one.id).collect();
                assert!(before.is_subset(&after), "the same job moved its allocations");
            }
        }
        Step::Stop(id) => {
            if world.state.job("default", &name(id)).is_some() {
                world.stop(&name(id));
                settle(world, &name(id), Trigger::JobDeregister);
                assert!(world.live(&name(id)).is_empty());
            }
        }
        Step::NodeDown(at) => node_changes(world, nodes, at, |world, id| world.node_status(id, NodeStatus::Down)),
        Step::NodeUp(at) => node_changes(world, nodes, at, |world, id| world.node_status(id, NodeStatus::Ready)),
        Step::Ineligible(at) => node_changes(world, nodes, at, |world, id| world.ineligible(id)),
        Step::Fail(id) => {
            if let Some(one) = world.live(&name(id)).first() {
                world.client(one.id, ClientStatus::Failed);
                settle(world, &name(id), Trigger::RetryFailedAlloc);
            }
        }
        Step::Drain(id) => {
            if let Some(one) = world.live(&name(id)).first() {
                let transition = DesiredTransition { migrate: Some(true), ..DesiredTransition::default() };
                world.transition(one.id, transition);
                settle(world, &name(id), Trigger::NodeDrain);
            }
        }
        Step::Disconnect(at) => {
            node_changes(world, nodes, at, |world, id| world.node_status(id, NodeStatus::Disconnected));
        }
        Step::Return(at) => node_changes(world, nodes, at, |world, id| {
            world.node_status(id, NodeStatus::Ready);
            let here: Vec<_> = world.state.allocations_by_node(id).cloned().collect();
            for one in here.iter().filter(|one| one.client_status == ClientStatus::Unknown) {
                world.client(one.id, ClientStatus::Running);
            }
        }),
        Step::AllRun(id) => world.all_run(&name(id)),
        Step::Healthy(id) => {
            for one in world.live(&name(id)) {
                world.healthy(one.id, true);
            }
            if world.state.job("default", &name(id)).is_some() {
                settle(world, &name(id), Trigger::DeploymentWatcher);
            }
        }
        Step::Pass(seconds) => {
            world.pass(i64::from(seconds));
            settle_all(world);
        }
    }
}

fn node_changes(
    world: &mut World,
    nodes: &[nomadd_model::NodeId],
    at: u8,
    change: impl FnOnce(&mut World, nomadd_model::NodeId),
) {
    change(world, nodes[usize::from(at) % nodes.len()]);
    settle_all(world);
}

fn settle_all(world: &mut World) {
    for id in 0..3u8 {
        if world.state.job("default", &format!("j{id}")).is_some() {
            settle(world, &format!("j{id}"), Trigger::NodeUpdate);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_promises_hold(
        specs in prop::collection::vec(node_spec(), 1..8),
        steps in prop::collection::vec(step(), 1..14),
    ) {
        let mut world = World::new();
        let nodes = world.add_nodes(specs.len(), |at, node| {
            let spec = &specs[at];
            node.node_resources.cpu.cpu_shares = spec.cpu;
            node.node_resources.memory.memory_mb = spec.memory;
            node.node_max_allocs = spec.most;
            node.meta.insert("rack".into(), format!("r{}", spec.rack).into());
            if !spec.linux {
                node.attributes.insert("kernel.name".into(), "plan9".into());
            }
        });
        for step in steps {
            take(&mut world, &nodes, step);
        }
    }

    #[test]
    fn more_of_the_same_moves_nothing(count in 1..30i64, more in 1..20i64, nodes in 1..6usize) {
        let mut world = World::new();
        world.add_nodes(nodes, |_, _| {});
        world.run(job("web", count));
        let before: BTreeSet<_> = world.live("web").iter().map(|one| one.id).collect();
        world.run(job("web", count + more));
        let after: BTreeSet<_> = world.live("web").iter().map(|one| one.id).collect();
        prop_assert!(before.is_subset(&after));
        prop_assert_eq!(after.len() as i64, (count + more).min(nodes as i64 * 8));
    }
}
