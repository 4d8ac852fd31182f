//! Node pools: their nodes alone are used, and their scheduler settings count instead of the cluster's.

use std::collections::BTreeSet;

use nomadd_model::{Job, NodePool, NodePoolSchedulerConfiguration, SchedulerConfiguration};
use nomadd_state::{Command, NodePoolUpsert, SchedulerConfigurationSet};

use crate::world::{World, job};

fn in_pool(mut job: Job, pool: &str) -> Job {
    job.node_pool = pool.into();
    job.task_groups[0].tasks[0].resources.memory_max_mb = 200;
    job
}

/// Three nodes in the pool "wide" and three in "default"; the cluster packs and has no oversubscription.
fn two_pools(scheduler: Option<NodePoolSchedulerConfiguration>) -> World {
    let mut world = World::new();
    let config = SchedulerConfiguration { scheduler_algorithm: "binpack".into(), ..SchedulerConfiguration::default() };
    world.apply(Command::SchedulerConfigurationSet(SchedulerConfigurationSet { config, check_index: None }));
    let pool = NodePool { name: "wide".into(), scheduler_configuration: scheduler, ..NodePool::default() };
    world.apply(Command::NodePoolUpsert(NodePoolUpsert { pools: vec![pool] }));
    world.add_nodes(6, |at, node| node.node_pool = if at < 3 { "wide".into() } else { "default".into() });
    world
}

/// How many nodes three jobs of one allocation each are put on, and the most memory that they may use.
fn placed(world: &mut World, pool: &str) -> (usize, i64) {
    let mut nodes = BTreeSet::new();
    let mut most = 0;
    for name in ["a", "b", "c"] {
        world.run(in_pool(job(name, 1), pool));
        for allocation in world.live(name) {
            nodes.insert(allocation.node_id);
            most =
                allocation.allocated_resources.tasks.values().map(|task| task.memory.memory_max_mb).max().unwrap_or(0);
        }
    }
    (nodes.len(), most)
}

#[test]
fn the_settings_of_a_pool_count_for_its_jobs_and_for_no_other() {
    let of_pool = NodePoolSchedulerConfiguration {
        scheduler_algorithm: "spread".into(),
        memory_oversubscription_enabled: Some(true),
    };
    assert_eq!(placed(&mut two_pools(Some(of_pool.clone())), "wide"), (3, 200));
    assert_eq!(placed(&mut two_pools(Some(of_pool)), "default"), (1, 0));
    assert_eq!(placed(&mut two_pools(None), "wide"), (1, 0), "without settings of its own the cluster's count");
}

#[test]
fn a_job_is_placed_on_nodes_of_its_pool_alone_and_in_all_on_any() {
    let mut world = two_pools(None);
    for (name, pool, expected) in [("few", "wide", Some("wide")), ("many", "all", None)] {
        let mut wanted = in_pool(job(name, 6), pool);
        wanted.constraints.push(nomadd_model::spec::Constraint {
            operand: "distinct_hosts".into(),
            ..nomadd_model::spec::Constraint::default()
        });
        world.run(wanted);
        let live = world.live(name);
        assert_eq!(live.len(), if expected.is_some() { 3 } else { 6 });
        for allocation in live {
            let node = world.state.node(allocation.node_id).map(|node| node.node_pool.to_string());
            assert!(expected.is_none_or(|pool| node.as_deref() == Some(pool)), "{node:?}");
        }
    }
}
