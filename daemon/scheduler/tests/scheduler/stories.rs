//! Stories of jobs: what the scheduler does as jobs, allocations and nodes change.

use nomadd_model::spec::Constraint;
use nomadd_model::{
    ClientStatus, DeploymentStatus, DesiredStatus, DesiredTransition, DisconnectStrategy, Duration, EvaluationStatus,
    Job, JobType, NodeStatus, Trigger, UpdateStrategy,
};

use crate::world::{World, job};

fn with(mut job: Job, change: impl FnOnce(&mut Job)) -> Job {
    change(&mut job);
    job
}

fn update(max_parallel: i64) -> Option<UpdateStrategy> {
    Some(UpdateStrategy { max_parallel, progress_deadline: Duration::from_secs(600), ..UpdateStrategy::default() })
}

#[test]
fn a_new_job_is_placed_with_names_from_zero() {
    let mut world = World::new();
    world.add_nodes(3, |_, _| {});
    let outcome = world.run(job("web", 3));
    assert_eq!(world.names("web"), ["web.g[0]", "web.g[1]", "web.g[2]"]);
    assert_eq!(outcome.evaluation.status, EvaluationStatus::Complete);
    assert_eq!(outcome.evaluation.queued_allocations["g"], 0);
    assert_eq!(outcome.annotations.unwrap().desired_tg_updates["g"].place, 3);
    assert!(outcome.created.is_empty());
}

#[test]
fn a_second_look_changes_nothing() {
    let mut world = World::new();
    world.add_nodes(3, |_, _| {});
    world.run(job("web", 3));
    let outcome = world.evaluate("web");
    assert!(outcome.plan.is_none());
    assert_eq!(outcome.annotations.unwrap().desired_tg_updates["g"].ignore, 3);
}

#[test]
fn a_smaller_count_stops_the_highest_names_and_a_larger_one_fills_the_gaps() {
    let mut world = World::new();
    world.add_nodes(3, |_, _| {});
    world.run(job("web", 4));
    let outcome = world.run(job("web", 2));
    assert_eq!(world.names("web"), ["web.g[0]", "web.g[1]"]);
    let desired = &outcome.annotations.unwrap().desired_tg_updates["g"];
    assert_eq!((desired.stop, desired.in_place_update), (2, 2));
    world.run(job("web", 3));
    assert_eq!(world.names("web"), ["web.g[0]", "web.g[1]", "web.g[2]"]);
}

#[test]
fn a_stopped_job_loses_all_allocations_and_a_purged_one_too() {
    let mut world = World::new();
    world.add_nodes(2, |_, _| {});
    world.run(job("web", 2));
    world.stop("web");
    let outcome = world.evaluate("web");
    assert!(world.live("web").is_empty());
    assert_eq!(outcome.annotations.unwrap().desired_tg_updates["g"].stop, 2);
    for allocation in world.allocations("web") {
        assert_eq!(&*allocation.desired_description, "alloc not needed due to job update");
    }
}

#[test]
fn what_cannot_be_placed_waits_in_a_blocked_evaluation_with_exact_reasons() {
    let mut world = World::new();
    world.add_nodes(5, |at, node| {
        if at < 3 {
            node.attributes.insert("kernel.name".into(), "plan9".into());
        }
        node.node_class = if at == 4 { "big".into() } else { "small".into() };
    });
    let wanted = with(job("web", 2), |job| {
        job.constraints =
            vec![Constraint { l_target: "${attr.kernel.name}".into(), operand: "=".into(), r_target: "linux".into() }];
        job.task_groups[0].tasks[0].resources.memory_mb = 100_000;
    });
    let outcome = world.run(wanted);
    let metric = &outcome.evaluation.failed_tg_allocs["g"];
    assert_eq!((metric.nodes_evaluated, metric.nodes_filtered, metric.nodes_exhausted), (5, 3, 2));
    assert_eq!(metric.constraint_filtered["${attr.kernel.name} = linux"], 3);
    assert_eq!(metric.dimension_exhausted["memory"], 2);
    assert_eq!((metric.class_filtered["small"], metric.class_exhausted["big"]), (3, 1));
    assert_eq!((metric.nodes_available["dc1"], metric.coalesced_failures), (5, 1));
    assert_eq!(metric.resources_exhausted["t"].memory_mb, 100_000);
    assert_eq!(outcome.evaluation.queued_allocations["g"], 2);
    let blocked = &outcome.created[0];
    assert_eq!(blocked.status, EvaluationStatus::Blocked);
    assert_eq!(&*blocked.status_description, "created to place remaining allocations");
    assert_eq!((blocked.triggered_by, blocked.previous_eval), (Trigger::QueuedAllocs, outcome.evaluation.id));
    assert_eq!(outcome.evaluation.blocked_eval, blocked.id);
    assert!(!blocked.escaped_computed_class);
    assert_eq!(blocked.class_eligibility.values().filter(|eligible| **eligible).count(), 2);

    // Woken up without a change it waits on, as the same evaluation.
    let mut again = world.look(blocked);
    assert_eq!((again.evaluation.id, again.evaluation.status), (blocked.id, EvaluationStatus::Blocked));
    assert!(again.created.is_empty());
    world.add_nodes(2, |_, node| node.node_resources.memory.memory_mb = 200_000);
    again = world.process(blocked);
    assert_eq!(again.evaluation.status, EvaluationStatus::Complete);
    assert_eq!(world.live("web").len(), 2);
}

#[test]
fn an_env_change_replaces_and_a_count_change_does_not() {
    let mut world = World::new();
    world.add_nodes(3, |_, _| {});
    world.run(job("web", 2));
    let before: Vec<_> = world.live("web").iter().map(|one| one.id).collect();
    let outcome = world.run(with(job("web", 2), |job| {
        job.task_groups[0].tasks[0].env.insert("A".into(), "b".into());
    }));
    assert_eq!(outcome.annotations.unwrap().desired_tg_updates["g"].destructive_update, 2);
    let after = world.live("web");
    assert_eq!(world.names("web"), ["web.g[0]", "web.g[1]"]);
    for (old, new) in before.iter().zip(&after) {
        let old = world.state.allocation(*old).unwrap();
        assert_eq!((new.previous_allocation, old.next_allocation), (old.id, new.id));
        assert_eq!(&*old.desired_description, "alloc is being updated due to job update");
    }
}

#[test]
fn a_rolling_update_replaces_max_parallel_at_a_time_as_they_become_healthy() {
    let mut world = World::new();
    world.add_nodes(4, |_, _| {});
    let version = |number: &str| {
        with(job("web", 4), |job| {
            job.task_groups[0].update = update(2);
            job.task_groups[0].tasks[0].env.insert("V".into(), number.into());
        })
    };
    let first = world.run(version("1"));
    let deployment = first.plan.unwrap().deployment.unwrap();
    assert_eq!(deployment.task_groups["g"].desired_total, 4);
    assert_eq!(first.evaluation.deployment_id, deployment.id);
    for allocation in world.live("web") {
        assert_eq!(allocation.deployment_id, deployment.id);
        world.healthy(allocation.id, true);
    }
    let done = world.evaluate("web").plan.unwrap();
    assert_eq!(done.deployment_updates[0].status, DeploymentStatus::Successful);
    assert_eq!(&*done.deployment_updates[0].description, "Deployment completed successfully");

    let second = world.run(version("2"));
    let desired = second.annotations.unwrap().desired_tg_updates["g"].clone();
    assert_eq!((desired.destructive_update, desired.ignore), (2, 2));
    let of_version = |world: &World, version| world.live("web").iter().filter(|one| one.job_version == version).count();
    assert_eq!((of_version(&world, 0), of_version(&world, 1)), (2, 2));
    assert!(world.evaluate("web").plan.is_none(), "none of the new ones is healthy yet");
    let fresh: Vec<_> = world.live("web").into_iter().filter(|one| one.job_version == 1).collect();
    world.healthy(fresh[0].id, true);
    world.evaluate("web");
    assert_eq!((of_version(&world, 0), of_version(&world, 1)), (1, 3));
    world.healthy(fresh[1].id, false);
    assert!(world.evaluate("web").plan.is_none(), "one is unhealthy");
}

#[test]
fn a_newer_version_cancels_the_deployment_of_the_older() {
    let mut world = World::new();
    world.add_nodes(2, |_, _| {});
    let version = |value: &str| {
        with(job("web", 1), |job| {
            job.task_groups[0].update = update(1);
            job.task_groups[0].tasks[0].env.insert("V".into(), value.into());
        })
    };
    world.run(version("1"));
    let plan = world.run(version("2")).plan.unwrap();
    assert_eq!(&*plan.deployment_updates[0].description, "Cancelled due to newer version of job");
    assert!(plan.deployment.is_some());
    world.stop("web");
    let plan = world.evaluate("web").plan.unwrap();
    assert_eq!(&*plan.deployment_updates[0].description, "Cancelled because job is stopped");
}

#[test]
fn a_lost_node_is_replaced_once_under_the_same_name() {
    let mut world = World::new();
    world.add_nodes(2, |_, _| {});
    world.run(job("web", 1));
    world.all_run("web");
    let old = world.live("web")[0].clone();
    world.node_status(old.node_id, NodeStatus::Down);
    let evaluation = world.evaluation("web", Trigger::NodeUpdate);
    world.process(&evaluation);
    let new = world.live("web");
    assert_eq!(new.len(), 1);
    assert_ne!(new[0].node_id, old.node_id);
    assert_eq!((&new[0].name, new[0].previous_allocation), (&old.name, old.id));
    let old = world.state.allocation(old.id).unwrap();
    assert_eq!((old.client_status, old.desired_status), (ClientStatus::Lost, DesiredStatus::Stop));
    assert_eq!(&*old.desired_description, "alloc is lost since its node is down");
    assert!(world.evaluate("web").plan.is_none());
}

#[test]
fn a_failed_allocation_is_placed_again_after_its_delay_and_elsewhere() {
    let mut world = World::new();
    world.add_nodes(2, |_, _| {});
    world.run(job("web", 1));
    let old = world.live("web")[0].clone();
    world.client(old.id, ClientStatus::Failed);
    let evaluation = world.evaluation("web", Trigger::RetryFailedAlloc);
    let outcome = world.process(&evaluation);
    let later = &outcome.created[0];
    assert_eq!(later.triggered_by, Trigger::Reschedule);
    assert_eq!(&*later.status_description, "created for delayed rescheduling");
    assert_eq!(later.wait_until, world.now.plus(Duration::from_secs(30)));
    assert_eq!(world.state.allocation(old.id).unwrap().followup_eval_id, later.id);
    assert!(world.evaluate("web").plan.is_none(), "it is not due yet, and noted already");
    world.pass(30);
    world.process(later);
    let new = world.live("web");
    assert_eq!((new.len(), new[0].previous_allocation), (1, old.id));
    assert_ne!(new[0].node_id, old.node_id, "the node where it failed is penalised");
    let tracker = new[0].reschedule_tracker.as_ref().unwrap();
    assert_eq!((tracker.events.len(), tracker.events[0].prev_alloc_id), (1, old.id));
    let old = world.state.allocation(old.id).unwrap();
    assert_eq!(&*old.desired_description, "alloc was rescheduled because it failed");
    assert_eq!(old.desired_status, DesiredStatus::Stop);
}

#[test]
fn a_drained_allocation_moves() {
    let mut world = World::new();
    world.add_nodes(2, |_, _| {});
    world.run(job("web", 1));
    world.all_run("web");
    let old = world.live("web")[0].clone();
    world.ineligible(old.node_id);
    world.transition(old.id, DesiredTransition { migrate: Some(true), ..DesiredTransition::default() });
    let outcome = world.evaluate("web");
    assert_eq!(outcome.annotations.unwrap().desired_tg_updates["g"].migrate, 1);
    let new = world.live("web");
    assert_eq!((new.len(), new[0].previous_allocation), (1, old.id));
    assert_eq!(&*world.state.allocation(old.id).unwrap().desired_description, "alloc is being migrated");
}

#[test]
fn a_complete_batch_is_done_until_a_new_version_comes() {
    let mut world = World::new();
    world.add_nodes(2, |_, _| {});
    let batch = |value: &str| {
        with(job("sum", 2), |job| {
            job.kind = JobType::Batch;
            job.task_groups[0].tasks[0].env.insert("V".into(), value.into());
        })
    };
    world.run(batch("1"));
    for allocation in world.live("sum") {
        world.client(allocation.id, ClientStatus::Complete);
    }
    assert!(world.evaluate("sum").plan.is_none());
    world.run(batch("2"));
    assert_eq!(world.live("sum").len(), 2);
}

fn disconnecting(replace: bool) -> Job {
    with(job("web", 1), |job| {
        job.task_groups[0].disconnect = Some(DisconnectStrategy {
            lost_after: Some(Duration::from_secs(600)),
            replace,
            ..DisconnectStrategy::default()
        });
    })
}

#[test]
fn a_disconnected_allocation_is_replaced_and_its_return_stops_the_replacement() {
    let mut world = World::new();
    world.add_nodes(2, |_, _| {});
    world.run(disconnecting(true));
    world.all_run("web");
    let original = world.live("web")[0].clone();
    world.node_status(original.node_id, NodeStatus::Disconnected);
    let outcome = world.evaluate("web");
    assert_eq!(outcome.created[0].triggered_by, Trigger::MaxDisconnectTimeout);
    assert_eq!(world.state.allocation(original.id).unwrap().client_status, ClientStatus::Unknown);
    assert_eq!(world.live("web").len(), 2, "the unknown one and its replacement");
    assert!(world.evaluate("web").plan.is_none());

    world.node_status(original.node_id, NodeStatus::Ready);
    world.client(original.id, ClientStatus::Running);
    let evaluation = world.evaluation("web", Trigger::Reconnect);
    world.process(&evaluation);
    let live = world.live("web");
    assert_eq!((live.len(), live[0].id), (1, original.id));
    assert!(world.evaluate("web").plan.is_none());
}

#[test]
fn an_unknown_allocation_is_lost_when_its_time_is_over() {
    let mut world = World::new();
    world.add_nodes(2, |_, _| {});
    world.run(disconnecting(false));
    world.all_run("web");
    let original = world.live("web")[0].clone();
    world.node_status(original.node_id, NodeStatus::Disconnected);
    let outcome = world.evaluate("web");
    assert_eq!(world.live("web").len(), 1, "no replacement while it may come back");
    world.pass(600);
    world.process(&outcome.created[0]);
    let live = world.live("web");
    assert_eq!((live.len(), live[0].previous_allocation), (1, original.id));
    assert_eq!(world.state.allocation(original.id).unwrap().client_status, ClientStatus::Lost);
}

#[test]
fn a_removed_group_is_stopped_and_a_new_one_placed() {
    let mut world = World::new();
    world.add_nodes(2, |_, _| {});
    world.run(job("web", 2));
    let outcome = world.run(with(job("web", 1), |job| job.task_groups[0].name = "h".into()));
    let desired = outcome.annotations.unwrap().desired_tg_updates;
    assert_eq!((desired["g"].stop, desired["h"].place), (2, 1));
    assert_eq!(world.names("web"), ["web.h[0]"]);
}

#[test]
fn every_evaluation_of_a_service_job_names_its_newest_deployment() {
    let mut world = World::new();
    world.add_nodes(1, |_, _| {});
    let web = with(job("web", 1), |job| job.task_groups[0].update = update(1));
    let deployment = world.run(web).plan.unwrap().deployment.unwrap();
    world.healthy(world.live("web")[0].id, true);
    world.evaluate("web");
    assert_eq!(world.evaluate("web").evaluation.deployment_id, deployment.id, "nothing changes");
    world.stop("web");
    assert_eq!(world.evaluate("web").evaluation.deployment_id, deployment.id, "the job is stopped");
}
