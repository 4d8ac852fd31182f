//! Drains, decision by decision; a small world that plays scheduler and clients shows what follows from many of them.

use std::sync::Arc;

use nomadd_model::{
    AllocDeploymentStatus, AllocationStop, ClientStatus, DesiredStatus, MigrateStrategy, NodeStatus, Placement,
    PlacementBatch, Plan, Task,
};
use nomadd_state::{
    AllocationClientUpdate, AllocationClientUpdates, JobRegister, NodeRegister, NodeStatusSet, PlanResults,
};
use proptest::prelude::*;

use super::*;

struct World {
    state: State,
    index: u64,
    placed: u8,
}

fn at(seconds: i64) -> Time {
    Time(seconds * 1_000_000_000)
}

fn node(number: u8) -> NodeId {
    NodeId([number; 16])
}

fn within(seconds: i64) -> DrainStrategy {
    let deadline = Duration::from_secs(seconds);
    DrainStrategy { deadline, force_deadline: at(100).plus(deadline), started_at: at(100), ..Default::default() }
}

impl World {
    /// So many nodes with room for everything.
    fn new(nodes: u8) -> Self {
        let mut world = Self { state: State::new(), index: 1, placed: 0 };
        for number in 1..=nodes {
            let mut node = Node { id: node(number), status: NodeStatus::Ready, ..Node::default() };
            node.node_resources.cpu.cpu_shares = 1_000_000;
            world.apply(Command::NodeRegister(NodeRegister { node: Arc::new(node), ..Default::default() }));
        }
        world
    }

    fn apply(&mut self, command: Command) {
        self.index += 1;
        self.state.apply(self.index, at(100), command);
    }

    fn job(&mut self, id: &str, kind: JobType, count: i64, max_parallel: i64) {
        let migrate = MigrateStrategy { max_parallel, ..MigrateStrategy::default() };
        let group = TaskGroup {
            name: "g".into(),
            count,
            migrate: (kind == JobType::Service).then_some(migrate),
            tasks: vec![Task { name: "t".into(), ..Task::default() }],
            ..TaskGroup::default()
        };
        let job = Job { id: id.into(), namespace: "default".into(), kind, task_groups: vec![group], ..Job::default() };
        self.apply(Command::JobRegister(JobRegister { job: Arc::new(job), ..Default::default() }));
    }

    fn plan(&mut self, job: &str, change: impl FnOnce(&mut Plan)) {
        let job = self.state.job("default", job).unwrap().clone();
        let mut plan = Plan {
            namespace: "default".into(),
            job_id: job.id.clone(),
            job_version: job.version,
            job_create_index: job.create_index,
            ..Plan::default()
        };
        change(&mut plan);
        self.apply(Command::PlanResults(PlanResults { plans: vec![plan], ..Default::default() }));
    }

    fn place(&mut self, job: &str, on: u8) -> AllocationId {
        self.placed += 1;
        let id = AllocationId([self.placed; 16]);
        let placement = Placement { id, node_id: node(on), index: u64::from(self.placed), ..Placement::default() };
        self.plan(job, |plan| {
            plan.placements =
                vec![PlacementBatch { task_group: "g".into(), placements: vec![placement], ..Default::default() }];
        });
        assert!(self.state.allocation(id).is_some(), "the placement holds");
        id
    }

    fn report(&mut self, id: AllocationId, client_status: ClientStatus, healthy: Option<bool>) {
        let deployment_status = healthy.map(|_| AllocDeploymentStatus { healthy, ..Default::default() });
        let update =
            AllocationClientUpdate { id, client_status, deployment_status, time: at(100), ..Default::default() };
        let updates = AllocationClientUpdates { updates: vec![update], ..Default::default() };
        self.apply(Command::AllocationClientUpdate(updates));
    }

    fn run(&mut self, job: &str, on: u8) -> AllocationId {
        let id = self.place(job, on);
        self.report(id, ClientStatus::Running, Some(true));
        id
    }

    fn drain(&mut self, number: u8, strategy: DrainStrategy) {
        let set = NodeDrainSet { id: node(number), strategy: Some(strategy), ..NodeDrainSet::default() };
        self.apply(Command::NodeDrain(set));
    }

    fn decide(&self, seconds: i64) -> Decision {
        let drained = self.state.nodes().filter(|node| node.drain).map(|node| node.id).collect();
        decide(&self.state, &drained, at(seconds))
    }

    /// Writes what was decided, as the loop does.
    fn write(&mut self, decision: &Decision) {
        let transition = DesiredTransition { migrate: Some(true), ..DesiredTransition::default() };
        let transitions =
            decision.migrate.iter().map(|&id| AllocationTransition { id, transition: transition.clone() }).collect();
        self.apply(Command::AllocationDesiredTransition(AllocationDesiredTransitions {
            transitions,
            ..Default::default()
        }));
        for (id, _) in &decision.over {
            let of = self.state.node(*id).unwrap().drain_strategy.clone();
            self.apply(Command::NodeDrain(NodeDrainSet { id: *id, of, ..NodeDrainSet::default() }));
        }
    }

    fn stop(&mut self, id: AllocationId) {
        let job = self.state.allocation(id).unwrap().job_id.clone();
        let stop = AllocationStop { id, desired_status: DesiredStatus::Stop, ..AllocationStop::default() };
        self.plan(&job, |plan| plan.stops = vec![stop]);
    }

    fn healthy(&self, job: &str) -> i64 {
        let all = self.state.allocations_by_job("default", job);
        let healthy = all.filter(|found| {
            let judged = found.deployment_status.as_ref().is_some_and(|status| status.healthy == Some(true));
            judged && !is_terminal(found)
        });
        i64::try_from(healthy.count()).unwrap()
    }
}

fn marks(ids: impl IntoIterator<Item = AllocationId>) -> Decision {
    Decision { migrate: ids.into_iter().collect(), ..Decision::default() }
}

#[test]
fn no_more_go_at_a_time_than_the_group_says_and_the_next_go_once_replacements_are_healthy() {
    let mut world = World::new(2);
    world.job("web", JobType::Service, 3, 2);
    let ids: Vec<_> = (0..3).map(|_| world.run("web", 1)).collect();
    world.drain(1, within(60));
    let first = world.decide(101);
    assert_eq!(first, Decision { next: Some(at(160)), ..marks([ids[0], ids[1]]) });
    world.write(&first);
    assert_eq!(world.decide(102).migrate, BTreeSet::new(), "those that are on their way count as away");
    let new = world.place("web", 2);
    world.stop(ids[0]);
    world.report(ids[0], ClientStatus::Complete, None);
    assert_eq!(world.decide(103).migrate, BTreeSet::new(), "a replacement that is not healthy yet does not count");
    world.report(new, ClientStatus::Running, Some(true));
    assert_eq!(world.decide(104).migrate, [ids[2]].into());
}

#[test]
fn what_was_found_unhealthy_does_not_hold_up_the_others() {
    let mut world = World::new(2);
    world.job("web", JobType::Service, 2, 1);
    let (sick, well) = (world.place("web", 2), world.run("web", 1));
    world.drain(1, within(60));
    assert_eq!(world.decide(101).migrate, BTreeSet::new());
    world.report(sick, ClientStatus::Running, Some(false));
    assert_eq!(world.decide(101).migrate, [well].into());
}

#[test]
fn two_drained_nodes_share_what_a_group_allows() {
    let mut world = World::new(3);
    world.job("web", JobType::Service, 4, 1);
    let ids: Vec<_> = [1, 1, 2, 2].into_iter().map(|on| world.run("web", on)).collect();
    world.drain(1, within(60));
    world.drain(2, within(50));
    assert_eq!(world.decide(101), Decision { next: Some(at(150)), ..marks([ids[0]]) });
    // The deadline of one node takes its allocations, and the other node's then have to stay.
    let late = world.decide(150);
    assert_eq!(late.migrate, [ids[2], ids[3]].into());
    assert_eq!(late.over, [(node(2), Ending::Deadline)]);
    world.write(&late);
    assert!(world.state.node(node(2)).unwrap().drain_strategy.is_none());
}

#[test]
fn batch_jobs_run_until_the_deadline_and_system_jobs_go_last() {
    let mut world = World::new(1);
    world.job("sums", JobType::Batch, 1, 0);
    world.job("agent", JobType::System, 1, 0);
    let (sums, agent) = (world.run("sums", 1), world.run("agent", 1));
    world.drain(1, within(60));
    assert_eq!(world.decide(159), Decision { next: Some(at(160)), ..Decision::default() });
    let late = world.decide(160);
    assert_eq!((late.migrate, late.over), ([sums, agent].into(), vec![(node(1), Ending::Deadline)]));
    world.report(sums, ClientStatus::Complete, None);
    let done = world.decide(120);
    assert_eq!((done.migrate, done.over), ([agent].into(), vec![(node(1), Ending::Empty)]));
}

#[test]
fn ignored_system_jobs_stay_and_a_forced_drain_takes_everything_else_at_once() {
    let mut world = World::new(1);
    world.job("web", JobType::Service, 2, 1);
    world.job("agent", JobType::System, 1, 0);
    let (one, two, _) = (world.run("web", 1), world.run("web", 1), world.run("agent", 1));
    world.drain(1, DrainStrategy { deadline: Duration(-1), ignore_system_jobs: true, ..DrainStrategy::default() });
    let forced = world.decide(100);
    assert_eq!((forced.migrate, forced.over), ([one, two].into(), vec![(node(1), Ending::Deadline)]));
}

#[test]
fn a_drain_without_a_deadline_waits_and_ends_when_the_node_is_empty_or_lost() {
    let mut world = World::new(2);
    world.job("sums", JobType::Batch, 2, 0);
    let ids = [world.run("sums", 1), world.run("sums", 1)];
    world.drain(1, DrainStrategy { started_at: at(100), ..DrainStrategy::default() });
    world.drain(2, DrainStrategy { started_at: at(100), ..DrainStrategy::default() });
    let decision = world.decide(1_000_000);
    assert_eq!(decision, Decision { over: vec![(node(2), Ending::Empty)], ..Decision::default() }, "one is empty");
    world.write(&decision);
    let down = NodeStatusSet { id: node(1), status: NodeStatus::Down, ..NodeStatusSet::default() };
    world.apply(Command::NodeStatus(down));
    assert_eq!(world.decide(200).over, [], "a node that is down may come back while its allocations are not lost");
    for id in ids {
        world.report(id, ClientStatus::Lost, None);
    }
    assert_eq!(world.decide(200).over, [(node(1), Ending::Empty)]);
}

#[test]
fn a_stopped_job_is_the_schedulers_and_a_drain_that_changed_is_not_ended() {
    let mut world = World::new(1);
    world.job("web", JobType::Service, 1, 1);
    world.run("web", 1);
    world.drain(1, within(60));
    let late = world.decide(160);
    // An operator gives it more time before the decision is written.
    world.drain(1, within(600));
    let of = Some(within(60));
    world.apply(Command::NodeDrain(NodeDrainSet { id: node(1), of, ..NodeDrainSet::default() }));
    assert_eq!(late.over.len(), 1);
    assert_eq!(world.state.node(node(1)).unwrap().drain_strategy, Some(within(600)));
    let job = nomadd_state::JobDeregister { namespace: "default".into(), id: "web".into(), ..Default::default() };
    world.apply(Command::JobDeregister(job));
    assert_eq!(world.decide(161), Decision { next: Some(at(700)), ..Decision::default() });
}

#[test]
fn the_loop_forgets_nodes_that_are_no_longer_drained_and_looks_when_something_may_matter() {
    let mut world = World::new(2);
    let mut watched = Watched::new(&world.state, at(1));
    watched.due = None;
    let event = |subject| Event { kind: nomadd_state::EventKind::NodeEvent, subject, payload: None };
    watched.note(&world.state, &[event(Subject::Allocation(AllocationId([1; 16])))], at(2));
    assert_eq!(watched.due, None, "no node is drained");
    world.drain(2, within(60));
    watched.note(&world.state, &[event(Subject::Node(node(2))), event(Subject::Node(node(1)))], at(2));
    assert_eq!((watched.drained.clone(), watched.due), ([node(2)].into(), Some(at(2))));
    watched.due = None;
    watched.note(&world.state, &[event(Subject::Allocation(AllocationId([1; 16])))], at(3));
    assert_eq!(watched.due, Some(at(3).plus(GATHER)));
    world.apply(Command::NodeDrain(NodeDrainSet { id: node(2), ..NodeDrainSet::default() }));
    watched.note(&world.state, &[event(Subject::Node(node(2)))], at(4));
    assert!(watched.drained.is_empty());
}

/// What may happen next in a small world.
#[derive(Clone, Debug)]
enum Step {
    Drainer,
    /// The scheduler replaces one that is marked, as far as it has a node for it.
    Scheduler(usize),
    Healthy(usize),
    Stopped(usize),
    Drain(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Drainer),
        2 => (0..40_usize).prop_map(Step::Scheduler),
        2 => (0..40_usize).prop_map(Step::Healthy),
        2 => (0..40_usize).prop_map(Step::Stopped),
        1 => (1..4_u8).prop_map(Step::Drain),
    ]
}

fn pick(found: Vec<AllocationId>, number: usize) -> Option<AllocationId> {
    (!found.is_empty()).then(|| found[number % found.len()])
}

proptest! {
    /// Before the deadline a group never has fewer healthy allocations than its block says, whatever the order in which
    /// drainer, scheduler and clients come to act; and when they all go on, the drained nodes become empty.
    #[test]
    fn enough_stay_healthy_in_any_order_and_the_nodes_become_empty(
        count in 1..6_i64,
        parallel in 1..4_i64,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut world = World::new(4);
        world.job("web", JobType::Service, count, parallel);
        for number in 0..count {
            world.run("web", u8::try_from(1 + number % 3).unwrap());
        }
        let least = (count - parallel).max(0);
        let go_on = (0..400_usize).map(|number| match number % 4 {
            0 => Step::Drainer,
            1 => Step::Scheduler(number),
            2 => Step::Healthy(number),
            _ => Step::Stopped(number),
        });
        for step in steps.into_iter().chain(go_on) {
            let of = |world: &World, wanted: fn(&Allocation) -> bool| {
                let all = world.state.allocations_by_job("default", "web");
                all.filter(|found| wanted(found)).map(|found| found.id).collect::<Vec<_>>()
            };
            match step {
                Step::Drainer => {
                    let decision = world.decide(101);
                    world.write(&decision);
                }
                Step::Scheduler(number) => {
                    if let Some(id) = pick(of(&world, |found| is_marked(found) && !is_terminal(found)), number) {
                        world.stop(id);
                        world.place("web", 4);
                    }
                }
                Step::Healthy(number) => {
                    let waiting = |found: &Allocation| !is_terminal(found) && found.deployment_status.is_none();
                    if let Some(id) = pick(of(&world, waiting), number) {
                        world.report(id, ClientStatus::Running, Some(true));
                    }
                }
                Step::Stopped(number) => {
                    let waiting = |found: &Allocation| {
                        found.desired_status.is_terminal() && !found.client_status.is_terminal()
                    };
                    if let Some(id) = pick(of(&world, waiting), number) {
                        world.report(id, ClientStatus::Complete, None);
                    }
                }
                Step::Drain(number) => world.drain(number, within(600)),
            }
            prop_assert!(world.healthy("web") >= least, "{} of {count} are healthy", world.healthy("web"));
        }
        prop_assert!(world.state.nodes().all(|node| !node.drain), "every drain ends");
    }
}
