//! Stories of system and sysbatch jobs, of preemption, ports, cores and the other things that one node gives out.

use nomadd_model::spec::Constraint;
use nomadd_model::{
    ClientStatus, DeploymentStatus, Job, JobType, NetworkResource, NodeStatus, Port, SchedulerConfiguration, Trigger,
    UpdateStrategy,
};
use nomadd_state::{Command, SchedulerConfigurationSet};

use crate::world::{World, job};

fn system(id: &str) -> Job {
    let mut system = job(id, 1);
    system.kind = JobType::System;
    system.task_groups[0].reschedule_policy = None;
    system
}

fn only_linux(job: &mut Job) {
    job.constraints.push(Constraint {
        l_target: "${attr.kernel.name}".into(),
        operand: "=".into(),
        r_target: "linux".into(),
    });
}

fn preempting(world: &mut World, service: bool) {
    let mut config = SchedulerConfiguration::default();
    config.preemption_config.service_scheduler_enabled = service;
    config.preemption_config.system_scheduler_enabled = true;
    world.apply(Command::SchedulerConfigurationSet(SchedulerConfigurationSet { config, check_index: None }));
}

#[test]
fn a_system_job_runs_once_on_every_node_and_follows_new_ones() {
    let mut world = World::new();
    world.add_nodes(3, |_, _| {});
    world.run(system("agent"));
    assert_eq!(world.names("agent"), ["agent.g[0]", "agent.g[0]", "agent.g[0]"]);
    assert!(world.evaluate("agent").plan.is_none());
    world.add_nodes(1, |_, _| {});
    world.evaluate("agent");
    assert_eq!(world.live("agent").len(), 4);
}

#[test]
fn filtered_nodes_are_no_failure_unless_nothing_else_is_left() {
    let mut world = World::new();
    world.add_nodes(2, |at, node| {
        if at == 0 {
            node.attributes.insert("kernel.name".into(), "plan9".into());
        }
    });
    let mut agent = system("agent");
    only_linux(&mut agent);
    let outcome = world.run(agent);
    assert_eq!(world.live("agent").len(), 1);
    assert!(outcome.evaluation.failed_tg_allocs.is_empty());

    let mut none = system("none");
    only_linux(&mut none);
    none.constraints[0].r_target = "windows".into();
    let outcome = world.run(none);
    let metric = &outcome.evaluation.failed_tg_allocs["g"];
    assert_eq!(metric.constraint_filtered["${attr.kernel.name} = windows"], 2);
    assert!(outcome.created.is_empty(), "nothing to wait for");
}

#[test]
fn a_full_node_blocks_a_system_job() {
    let mut world = World::new();
    world.add_nodes(2, |at, node| node.node_resources.memory.memory_mb = if at == 0 { 100 } else { 1_000 });
    let outcome = world.run(system("agent"));
    assert_eq!(world.live("agent").len(), 1);
    assert_eq!(outcome.evaluation.failed_tg_allocs["g"].dimension_exhausted["memory"], 1);
    assert_eq!(outcome.evaluation.queued_allocations["g"], 1);
    assert_eq!(outcome.created.len(), 1);
}

#[test]
fn a_sysbatch_runs_once_per_node_and_version() {
    let mut world = World::new();
    world.add_nodes(2, |_, _| {});
    let mut sweep = system("sweep");
    sweep.kind = JobType::SystemBatch;
    world.run(sweep.clone());
    for allocation in world.live("sweep") {
        world.client(allocation.id, ClientStatus::Complete);
    }
    assert!(world.evaluate("sweep").plan.is_none());
    sweep.task_groups[0].tasks[0].env.insert("A".into(), "b".into());
    world.run(sweep);
    assert_eq!(world.live("sweep").len(), 2);
}

#[test]
fn a_system_update_rolls_and_its_deployment_ends() {
    let mut world = World::new();
    world.add_nodes(3, |_, _| {});
    let mut agent = system("agent");
    agent.task_groups[0].update = Some(UpdateStrategy { max_parallel: 1, ..UpdateStrategy::default() });
    let outcome = world.run(agent.clone());
    assert_eq!(outcome.plan.unwrap().deployment.unwrap().task_groups["g"].desired_total, 3);
    for allocation in world.live("agent") {
        world.healthy(allocation.id, true);
    }
    let done = world.evaluate("agent").plan.unwrap();
    assert_eq!(done.deployment_updates[0].status, DeploymentStatus::Successful);
    agent.task_groups[0].tasks[0].env.insert("A".into(), "b".into());
    let outcome = world.run(agent);
    assert_eq!(outcome.annotations.unwrap().desired_tg_updates["g"].destructive_update, 1);
    let new: Vec<_> = world.live("agent").into_iter().filter(|one| one.job_version == 1).collect();
    assert_eq!(new.len(), 1);
    assert!(world.evaluate("agent").plan.is_none());
    world.healthy(new[0].id, true);
    world.evaluate("agent");
    assert_eq!(world.live("agent").iter().filter(|one| one.job_version == 1).count(), 2);
}

#[test]
fn a_system_allocation_of_a_lost_node_is_lost_and_not_replaced() {
    let mut world = World::new();
    let nodes = world.add_nodes(2, |_, _| {});
    world.run(system("agent"));
    world.all_run("agent");
    world.node_status(nodes[0], NodeStatus::Down);
    let evaluation = world.evaluation("agent", Trigger::NodeUpdate);
    world.process(&evaluation);
    assert_eq!(world.live("agent").len(), 1);
    world.node_status(nodes[0], NodeStatus::Ready);
    world.evaluate("agent");
    assert_eq!(world.live("agent").len(), 2);
}

#[test]
fn a_more_important_job_preempts_where_the_configuration_lets_it() {
    for (enabled, placed) in [(false, 0), (true, 1)] {
        let mut world = World::new();
        world.add_nodes(2, |_, _| {});
        preempting(&mut world, enabled);
        let mut low = job("low", 16);
        low.priority = 20;
        world.run(low);
        assert_eq!(world.live("low").len(), 16, "both nodes are full");
        let mut high = job("high", 1);
        high.priority = 80;
        high.task_groups[0].tasks[0].resources.cpu = 900;
        let outcome = world.run(high);
        assert_eq!(world.live("high").len(), placed, "{enabled}");
        if enabled {
            let victims = outcome.plan.unwrap().preemptions;
            assert_eq!(victims.len(), 2);
            let victim = world.state.allocation(victims[0].id).unwrap();
            assert_eq!(victim.preempted_by_allocation, world.live("high")[0].id);
            assert!(victim.desired_description.starts_with("Preempted by alloc ID "));
            let annotations = outcome.annotations.unwrap();
            assert_eq!(annotations.preempted_allocs.len(), 2);
            assert_eq!(annotations.desired_tg_updates["g"].preemptions, 2);
        }
    }
}

#[test]
fn jobs_of_nearly_the_same_priority_are_left_alone() {
    let mut world = World::new();
    world.add_nodes(1, |_, _| {});
    preempting(&mut world, true);
    let mut low = job("low", 8);
    low.priority = 41;
    world.run(low);
    world.run(job("high", 1));
    assert!(world.live("high").is_empty());
}

#[test]
fn a_static_port_is_taken_from_the_less_important() {
    let mut world = World::new();
    world.add_nodes(1, |_, _| {});
    preempting(&mut world, true);
    let with_port = |id: &str, priority| {
        let mut job = job(id, 1);
        job.priority = priority;
        let port = Port { label: "http".into(), value: 8080, ..Port::default() };
        job.task_groups[0].networks =
            vec![NetworkResource { reserved_ports: vec![port], ..NetworkResource::default() }];
        job
    };
    world.run(with_port("low", 20));
    let outcome = world.run(with_port("peer", 25));
    let metric = &outcome.evaluation.failed_tg_allocs["g"];
    assert_eq!(metric.dimension_exhausted["network: reserved port collision http=8080"], 1);
    world.run(with_port("high", 80));
    assert_eq!((world.live("low").len(), world.live("high").len()), (0, 1));
}

#[test]
fn cores_are_given_to_one_allocation_only() {
    let mut world = World::new();
    world.add_nodes(1, |_, node| node.reserved_resources.cpu.reserved_cpu_cores = vec![0]);
    let mut pinned = job("pinned", 2);
    pinned.task_groups[0].tasks[0].resources.cores = 2;
    let outcome = world.run(pinned);
    let live = world.live("pinned");
    let cpu = &live[0].allocated_resources.tasks["t"].cpu;
    assert_eq!((live.len(), cpu.reserved_cores.as_slice(), cpu.cpu_shares), (1, &[1, 2][..], 2_000));
    assert_eq!(outcome.evaluation.failed_tg_allocs["g"].dimension_exhausted["cores"], 1);
}

#[test]
fn dynamic_ports_of_a_node_never_collide() {
    let mut world = World::new();
    world.add_nodes(1, |_, node| {
        node.node_resources.cpu.cpu_shares = 100_000;
        node.node_resources.memory.memory_mb = 100_000;
        node.node_resources.min_dynamic_port = 20_000;
        node.node_resources.max_dynamic_port = 20_019;
    });
    let mut web = job("web", 25);
    let port = Port { label: "http".into(), to: -1, ..Port::default() };
    web.task_groups[0].networks = vec![NetworkResource { dynamic_ports: vec![port], ..NetworkResource::default() }];
    let outcome = world.run(web);
    let mut ports: Vec<i64> =
        world.live("web").iter().map(|one| one.allocated_resources.shared.ports[0].value).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 20);
    let metric = &outcome.evaluation.failed_tg_allocs["g"];
    assert_eq!(metric.dimension_exhausted["network: dynamic port selection failed"], 1);
    assert_eq!(metric.coalesced_failures, 4);
}

#[test]
fn distinct_hosts_and_properties_hold_and_are_named() {
    let mut world = World::new();
    world.add_nodes(4, |at, node| {
        node.meta.insert("rack".into(), format!("r{}", at % 2).into());
    });
    let distinct = |id: &str, left: &str, operator: &str, right: &str, count| {
        let mut job = job(id, count);
        job.constraints = vec![Constraint { l_target: left.into(), operand: operator.into(), r_target: right.into() }];
        job
    };
    let outcome = world.run(distinct("hosts", "", "distinct_hosts", "", 5));
    assert_eq!(world.live("hosts").len(), 4);
    assert_eq!(outcome.evaluation.failed_tg_allocs["g"].constraint_filtered["distinct_hosts"], 4);
    let outcome = world.run(distinct("racks", "${meta.rack}", "distinct_property", "", 3));
    assert_eq!(world.live("racks").len(), 2);
    let filtered = &outcome.evaluation.failed_tg_allocs["g"].constraint_filtered;
    assert_eq!(filtered["distinct_property: ${meta.rack}=r0 used by 1 allocs"], 2);
    let outcome = world.run(distinct("shelf", "${meta.shelf}", "distinct_property", "", 1));
    let filtered = &outcome.evaluation.failed_tg_allocs["g"].constraint_filtered;
    assert_eq!(filtered["missing property \"${meta.shelf}\""], 4);
}
