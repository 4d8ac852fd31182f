//! What `job why` says.

use nomadd_model::spec::Constraint;
use nomadd_model::{ClientStatus, DriverInfo, NodeStatus};
use nomadd_scheduler::why;

use crate::world::{World, job};

fn explain(world: &World, id: &str) -> String {
    let job = world.state.job("default", id).unwrap();
    let mut lines = Vec::new();
    for explanation in why(&world.state, job) {
        lines.push(format!("{}: {}", explanation.group, explanation.summary));
        lines.extend(explanation.reasons.iter().map(|reason| format!("- {reason}")));
        lines.extend(explanation.suggestions.iter().map(|help| format!("> {help}")));
    }
    lines.join("\n")
}

#[test]
fn a_job_that_runs_needs_no_explanation() {
    let mut world = World::new();
    world.add_nodes(1, |_, _| {});
    world.run(job("web", 1));
    world.all_run("web");
    assert_eq!(explain(&world, "web"), "");
}

#[test]
fn missing_drivers_constraints_and_memory_are_counted_and_the_nearest_node_is_named() {
    let mut world = World::new();
    world.add_nodes(4, |at, node| {
        node.name = format!("n{at}").into();
        match at {
            0 => node.drivers.clear(),
            1 => drop(node.attributes.insert("kernel.name".into(), "plan9".into())),
            2 => node.node_resources.memory.memory_mb = 512,
            _ => node.node_resources.memory.memory_mb = 1_500,
        }
    });
    let mut web = job("web", 1);
    web.constraints =
        vec![Constraint { l_target: "${attr.kernel.name}".into(), operand: "=".into(), r_target: "linux".into() }];
    web.task_groups[0].tasks[0].resources.memory_mb = 2_048;
    world.run(web);
    assert_eq!(
        explain(&world, "web"),
        "g: 1 of 1 are not placed, 0 are running\n\
         - 1 of 4 nodes do not satisfy `${attr.kernel.name} = linux`\n\
         - 1 of 4 nodes lack driver raw_exec\n\
         - 2 of 2 suitable nodes have not enough free memory: largest free memory is 1500 MB on node n3, the group asks 2048 MB\n\
         > ask for at most 1500 MB of memory, stop something, or add a node\n\
         > change the constraint `${attr.kernel.name} = linux`: on n1 it is \"plan9\"\n\
         > enable or install driver raw_exec on a node"
    );
}

#[test]
fn an_unhealthy_driver_says_why_and_a_node_that_is_down_is_counted() {
    let mut world = World::new();
    let nodes = world.add_nodes(2, |_, node| {
        let info = DriverInfo { detected: true, health_description: "no cgroups".into(), ..DriverInfo::default() };
        node.drivers.insert("raw_exec".into(), info);
        node.name = "n".into();
    });
    world.node_status(nodes[1], NodeStatus::Down);
    world.run(job("web", 1));
    assert_eq!(
        explain(&world, "web"),
        "g: 1 of 1 are not placed, 0 are running\n\
         - 1 of 2 nodes are down\n\
         - 1 of 2 nodes lack driver raw_exec\n\
         > driver raw_exec on n says: no cgroups"
    );
}

#[test]
fn a_failed_allocation_and_a_stopped_job_are_explained() {
    let mut world = World::new();
    world.add_nodes(1, |_, _| {});
    let mut batch = job("sum", 1);
    batch.task_groups[0].reschedule_policy = None;
    world.run(batch);
    let id = world.live("sum")[0].id;
    world.client(id, ClientStatus::Failed);
    let text = explain(&world, "sum");
    assert!(text.contains(&format!("- allocation {} failed", id.short())), "{text}");
    assert!(text.contains("- its reschedule policy allows no further try"), "{text}");
    assert!(text.starts_with("g: 1 of 1 have failed, 0 are running\n"), "{text}");
    assert!(!text.contains("have room now") && !text.contains("job eval"), "it does not lack a place: {text}");
    assert!(text.contains(&format!("> look at its logs: `nomadctl alloc logs {}`", id.short())), "{text}");
    world.stop("sum");
    assert_eq!(
        explain(&world, "sum"),
        ": job \"sum\" is stopped\n- somebody stopped it, so nothing of it shall run\n\
         > start it again with `nomadctl job start sum`"
    );
}
